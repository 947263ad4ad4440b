//! What names a flow: two ends in a fixed order, and the VLANs and tunnels between them.

use std::net::{Ipv6Addr, SocketAddr};

use crate::Address;

/// Two ends, the lower first. An IPv4 address is kept as IPv6 keeps it (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// High and low half of each: as u128 they would take eight bytes of padding.
    addresses: [[u64; 2]; 2],
    ports: [u16; 2],
    scope: u32,
}

/// Which end of the key sent a segment: 0 for the lower one, 1 for the other.
pub(super) type End = usize;

impl Key {
    /// The flow of a segment, and which of its ends sent it.
    #[inline]
    pub(super) fn of(from: Address, to: Address, scope: u32) -> (Self, End) {
        let number = |it: Address| (it.halves(), it.port());
        let (low, high, end) =
            if number(from) <= number(to) { (from, to, 0) } else { (to, from, 1) };
        let (addresses, ports) = ([low.halves(), high.halves()], [low.port(), high.port()]);
        (Self { addresses, ports, scope }, end)
    }

    /// The address and port of an end.
    pub(super) fn address(&self, end: End) -> SocketAddr {
        let [high, low] = self.addresses[end];
        let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).to_canonical();
        SocketAddr::new(ip, self.ports[end])
    }

    /// The end with the higher port.
    pub(super) fn higher_port(&self) -> End {
        usize::from(self.ports[1] > self.ports[0])
    }

    /// The number of the VLANs and tunnels.
    pub(super) const fn scope(&self) -> u32 {
        self.scope
    }

    /// A hash. The seed makes it costly to prepare a capture whose flows collide.
    pub(super) const fn hash(&self, seed: u64) -> u32 {
        let [[a, b], [c, d]] = self.addresses;
        let ends = (self.ports[0] as u64) << 48 | (self.ports[1] as u64) << 32 | self.scope as u64;
        let mut hash = fold(b ^ seed, d ^ 0x9e37_79b9_7f4a_7c15);
        if a | c != 0 {
            hash ^= fold(a ^ 0xd1b5_4a32_d192_ed03, c ^ 0x8cb9_2ba7_2f3d_8dd7);
        }
        let hash = fold(hash ^ ends, 0xa076_1d64_78bd_642f);
        (hash >> 32) as u32
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the halves are wanted")]
const fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}

/// Both halves of a product, together.
const fn fold(a: u64, b: u64) -> u64 {
    let [high, low] = halves(a as u128 * b as u128);
    high ^ low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(from: &str, to: &str) -> (Key, End) {
        let [from, to] = [from, to].map(|it| it.parse::<SocketAddr>().expect("an address").into());
        Key::of(from, to, 7)
    }

    #[test]
    fn both_directions_have_one_key() {
        for (a, b) in [("10.0.0.2:80", "10.0.0.1:40000"), ("[fd00::1]:80", "[fd00::1]:81")] {
            let ((there, sent_by), (back, answered_by)) = (key(a, b), key(b, a));
            assert_eq!((there, sent_by), (back, 1 - answered_by));
            assert_eq!(there.hash(1), back.hash(1));
            assert_eq!(there.address(sent_by).to_string(), a);
            assert_eq!(there.address(answered_by).to_string(), b);
        }
    }

    #[test]
    fn scopes_tell_equal_addresses_apart() {
        let [from, to] = [Address::v4([10, 0, 0, 2], 80), Address::v4([10, 0, 0, 1], 81)];
        assert_ne!(Key::of(from, to, 0).0, Key::of(from, to, 1).0);
    }
}
