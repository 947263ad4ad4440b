//! A block of a TPACKET_V3 ring: what the kernel wrote into it, packet by packet
//! (include/uapi/linux/if_packet.h).
//!
//! The block is bytes like any others: offsets that lead out of it end the walk, and as many packets
//! come out as the block says at the most.

/// Where the status of a block is: `block_status` of `struct tpacket_hdr_v1`, behind two words of
/// `struct tpacket_block_desc`.
pub(super) const STATUS_AT: usize = 8;

/// `num_pkts` and `offset_to_first_pkt`, which follow.
const PACKETS_AT: usize = 12;
const FIRST_AT: usize = 16;

/// Length of `struct tpacket3_hdr`; the address follows it.
const HEADER: usize = 48;

/// Length of `struct sockaddr_ll` without its hardware address.
const ADDRESS: usize = 12;

/// `tp_status`: the VLAN fields say something.
const VLAN_VALID: u32 = 1 << 4;

/// A packet, as it lies in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPacket<'a> {
    /// When the kernel saw it, in nanoseconds since 1970, UTC.
    pub time_ns: i64,
    /// What was kept of it, from its IP header on.
    pub bytes: &'a [u8],
    /// Its whole length.
    pub length: u32,
    /// Ethernet's number for what it is.
    pub ether_type: u16,
    /// The number of the interface that it crossed.
    pub interface: u32,
    /// The VLAN tag that the network card or the kernel has taken out of it.
    pub vlan: Option<u16>,
}

/// The packets of a block.
#[derive(Clone, Debug)]
pub(super) struct Packets<'a> {
    block: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Packets<'a> {
    /// Of this block.
    pub(super) fn of(block: &'a [u8]) -> Self {
        let at = word(block, FIRST_AT).and_then(|at| usize::try_from(at).ok());
        let left = word(block, PACKETS_AT).filter(|_| at.is_some());
        Self { block, at: at.unwrap_or(0), left: left.unwrap_or(0) }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = RingPacket<'a>;

    fn next(&mut self) -> Option<RingPacket<'a>> {
        self.left = self.left.checked_sub(1)?;
        let frame = self.block.get(self.at..)?;
        let packet = packet(frame);
        match word(frame, 0).map(usize::try_from) {
            // None follows, or this one would follow itself.
            Some(Ok(0)) | Some(Err(_)) | None => self.left = 0,
            Some(Ok(next)) => self.at = self.at.checked_add(next)?,
        }
        if packet.is_none() {
            self.left = 0;
        }
        packet
    }
}

fn packet(frame: &[u8]) -> Option<RingPacket<'_>> {
    let address = frame.get(HEADER..HEADER + ADDRESS)?;
    let (seconds, nanos) = (word(frame, 4)?, word(frame, 8)?);
    let kept = usize::try_from(word(frame, 12)?).ok()?;
    let begins = usize::from(half(frame, 24)?);
    let is_tagged = word(frame, 20)? & VLAN_VALID != 0;
    Some(RingPacket {
        time_ns: i64::from(seconds) * 1_000_000_000 + i64::from(nanos),
        bytes: frame.get(begins..begins.checked_add(kept)?)?,
        length: word(frame, 16)?,
        ether_type: u16::from_be_bytes([*address.get(2)?, *address.get(3)?]),
        interface: word(address, 4)?,
        vlan: word(frame, 32).filter(|_| is_tagged).and_then(|tag| u16::try_from(tag).ok()),
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A block with these packets, as the kernel lays them out for a socket of type SOCK_DGRAM.
    fn block(packets: &[&[u8]]) -> Vec<u8> {
        const BEGINS: usize = 48;
        const DATA: usize = 48 + 16 + 16;
        let mut block = vec![0; BEGINS];
        block[PACKETS_AT..PACKETS_AT + 4]
            .copy_from_slice(&u32::try_from(packets.len()).expect("few").to_ne_bytes());
        block[FIRST_AT..FIRST_AT + 4]
            .copy_from_slice(&u32::try_from(BEGINS).expect("small").to_ne_bytes());
        for (at, bytes) in packets.iter().enumerate() {
            let length = u32::try_from(bytes.len()).expect("short");
            let whole = (DATA + bytes.len()).next_multiple_of(8);
            let next = if at + 1 < packets.len() { whole } else { 0 };
            let mut frame = Vec::new();
            for word in [u32::try_from(next).expect("short"), 1, 2, length, 1500, VLAN_VALID] {
                frame.extend(word.to_ne_bytes());
            }
            frame.extend(u16::try_from(DATA).expect("small").to_ne_bytes());
            frame.extend([0; 6]);
            frame.extend(7_u32.to_ne_bytes());
            frame.resize(HEADER, 0);
            frame.extend([17, 0, 0x86, 0xdd]);
            frame.extend(3_u32.to_ne_bytes());
            frame.resize(DATA, 0);
            frame.extend(*bytes);
            frame.resize(whole, 0);
            block.extend(frame);
        }
        block
    }

    #[test]
    fn packets_come_out_in_their_order() {
        let block = block(&[b"one", b"", b"three"]);
        let packets: Vec<RingPacket<'_>> = Packets::of(&block).collect();
        let expected = |bytes| RingPacket {
            time_ns: 1_000_000_002,
            bytes,
            length: 1500,
            ether_type: 0x86dd,
            interface: 3,
            vlan: Some(7),
        };
        assert_eq!(packets, [&b"one"[..], b"", b"three"].map(expected));
    }

    #[test]
    fn a_block_that_is_cut_gives_what_is_whole() {
        let whole = block(&[b"one", b"three"]);
        let counts: Vec<usize> =
            (0..=whole.len()).map(|end| Packets::of(&whole[..end]).count()).collect();
        assert!(counts.is_sorted() && counts[0] == 0 && counts[whole.len()] == 2, "{counts:?}");
    }

    proptest! {
        #[test]
        fn nothing_in_a_block_makes_the_walk_fail_or_go_on_for_ever(
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            packets in 0_u32..100,
        ) {
            if let Some(count) = bytes.get_mut(PACKETS_AT..PACKETS_AT + 4) {
                count.copy_from_slice(&packets.to_ne_bytes());
            }
            let found = Packets::of(&bytes).inspect(|it| assert!(it.bytes.len() <= bytes.len()));
            prop_assert!(found.count() <= packets as usize);
        }

        #[test]
        fn damage_in_a_block_costs_packets_and_nothing_else(at in 0_usize..240, value: u8) {
            let mut block = block(&[b"one", b"two"]);
            if let Some(byte) = block.get_mut(at) {
                *byte = value;
            }
            let count = word(&block, PACKETS_AT).unwrap_or(0);
            let found = Packets::of(&block).take(1000).count();
            prop_assert!(found <= count as usize && found < 1000);
        }
    }
}
