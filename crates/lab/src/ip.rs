//! IP packets of both versions: read from the wire, and built for it.
//!
//! Only what the lab needs: no options or extension headers, no fragments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol numbers, which IPv6 calls next headers.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const ICMPV6: u8 = 58;
}

/// Lengths of the headers that are built here.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// A packet that was read, of which the end may be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'p> {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: u8,
    /// What follows the header, as far as it was captured.
    pub(crate) contents: &'p [u8],
    /// How long its header is, in bytes.
    pub(crate) header: usize,
    /// How long it is as a whole, in bytes.
    pub(crate) length: usize,
}

impl<'p> Packet<'p> {
    /// Reads a packet; none if it is not IP or its header is cut.
    pub(crate) fn of(bytes: &'p [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::of_ipv4(bytes),
            6 => Self::of_ipv6(bytes),
            _ => None,
        }
    }

    fn of_ipv4(bytes: &'p [u8]) -> Option<Self> {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        Some(Self {
            from: Ipv4Addr::from(array(bytes, 12)?).into(),
            to: Ipv4Addr::from(array(bytes, 16)?).into(),
            protocol: *bytes.get(9)?,
            contents: bytes.get(header..)?,
            header,
            length: usize::from(u16::from_be_bytes(array(bytes, 2)?)),
        })
    }

    fn of_ipv6(bytes: &'p [u8]) -> Option<Self> {
        Some(Self {
            from: Ipv6Addr::from(array::<16>(bytes, 8)?).into(),
            to: Ipv6Addr::from(array::<16>(bytes, 24)?).into(),
            protocol: *bytes.get(6)?,
            contents: bytes.get(IPV6_HEADER..)?,
            header: IPV6_HEADER,
            length: IPV6_HEADER + usize::from(u16::from_be_bytes(array(bytes, 4)?)),
        })
    }

    /// How long its contents are as a whole, in bytes.
    pub(crate) fn contents_length(&self) -> usize {
        self.length.saturating_sub(self.header)
    }
}

/// Swaps source and destination of a packet. The checksums stay right, because a sum over both does not
/// depend on their order.
pub(crate) fn swap_ends(packet: &mut [u8]) {
    let (source, width) = match packet.first().map(|first| first >> 4) {
        Some(4) => (12, 4),
        _ => (8, 16),
    };
    if let Some(both) = packet.get_mut(source..source + 2 * width) {
        both.rotate_left(width);
    }
}

/// A packet with these contents, from one address to another of the same version.
pub(crate) fn packet(protocol: u8, from: IpAddr, to: IpAddr, contents: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(protocol, from, to, contents),
        (from, to) => ipv6(protocol, in_ipv6(from), in_ipv6(to), contents),
    }
}

fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(IPV4_HEADER + contents.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    let sum = checksum(&packet, 0);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(contents);
    packet
}

fn ipv6(protocol: u8, from: Ipv6Addr, to: Ipv6Addr, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(contents);
    packet
}

fn in_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The sum over the pseudo-header of contents: both addresses, the protocol and the length (RFC 9293,
/// 3.1; RFC 8200, 8.1).
pub(crate) fn pseudo_sum(protocol: u8, from: IpAddr, to: IpAddr, length: usize) -> u32 {
    let sum = |address: IpAddr| match address {
        IpAddr::V4(address) => word_sum(&address.octets()),
        IpAddr::V6(address) => word_sum(&address.octets()),
    };
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    sum(from) + sum(to) + u32::from(protocol) + u32::from(length)
}

/// The Internet checksum (RFC 1071) of some bytes, on top of a sum.
pub(crate) fn checksum(bytes: &[u8], on_top_of: u32) -> [u8; 2] {
    let mut sum = on_top_of + word_sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

/// An odd byte at the end counts as if a zero followed.
fn word_sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| [pair[0], pair.get(1).copied().unwrap_or(0)];
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes(word(pair)))).sum()
}

/// Some bytes at a place.
pub(crate) fn array<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip_version::IpVersion;

    fn both() -> [(IpAddr, IpAddr); 2] {
        IpVersion::ALL.map(|ip| (ip.on_wire(16), ip.near()))
    }

    #[test]
    fn a_packet_that_was_built_is_read_as_it_was() {
        for (from, to) in both() {
            let bytes = packet(protocol::TCP, from, to, b"contents");
            let read = Packet::of(&bytes).expect("a packet");
            assert_eq!((read.from, read.to, read.protocol), (from, to, protocol::TCP));
            assert_eq!((read.contents, read.contents_length()), (&b"contents"[..], 8));
            assert_eq!(read.length, bytes.len());
        }
    }

    #[test]
    fn options_are_part_of_the_header() {
        let (from, to) = both()[0];
        let mut bytes = packet(protocol::TCP, from, to, b"options!contents");
        bytes[0] = 0x47;
        let read = Packet::of(&bytes).expect("a packet");
        assert_eq!((read.contents, read.contents_length()), (&b"contents"[..], 8));
    }

    #[test]
    fn ends_are_swapped_and_nothing_else() {
        for (from, to) in both() {
            let mut bytes = packet(protocol::TCP, from, to, b"contents");
            swap_ends(&mut bytes);
            assert_eq!(bytes, packet(protocol::TCP, to, from, b"contents"));
        }
    }

    #[test]
    fn a_packet_cut_anywhere_is_none_or_has_a_whole_header() {
        for (from, to) in both() {
            let bytes = packet(protocol::TCP, from, to, b"contents");
            for length in 0..bytes.len() {
                let header = bytes.len() - 8;
                assert_eq!(Packet::of(&bytes[..length]).is_some(), length >= header, "{length}");
                swap_ends(&mut bytes[..length].to_vec());
            }
        }
    }
}
