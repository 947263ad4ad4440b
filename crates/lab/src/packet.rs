//! TCP segments as IP packets: read from the wire, and built for it.
//!
//! Only what the lab needs: no options but the maximum segment size in a SYN.

use std::net::SocketAddr;

use crate::ip::protocol::TCP;
use crate::ip::{self, Packet, array, checksum, pseudo_sum};

/// Bits of the flags byte.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
}

/// The option "maximum segment size" with 1460 bytes.
const MSS: [u8; 4] = [2, 4, 0x05, 0xb4];

/// A segment with its addresses; of the data only the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) payload: u32,
}

impl Segment {
    /// Reads the headers of a packet, whose data may be cut off; none for what is not TCP.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let packet = Packet::of(packet).filter(|packet| packet.protocol == TCP)?;
        let tcp = packet.contents;
        let flags = *tcp.get(13)?;
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        let port = |at| Some(u16::from_be_bytes(array(tcp, at)?));
        Some(Self {
            from: SocketAddr::new(packet.from, port(0)?),
            to: SocketAddr::new(packet.to, port(2)?),
            flags,
            seq: u32::from_be_bytes(array(tcp, 4)?),
            ack: u32::from_be_bytes(array(tcp, 8)?),
            payload: u32::try_from(packet.contents_length().saturating_sub(header)).ok()?,
        })
    }

    /// Whether all of these flags are set.
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// The RST that refuses it; none for an RST (RFC 9293, 3.10.7.1).
    pub(crate) fn reset(&self) -> Option<Self> {
        if self.has(flag::RST) {
            return None;
        }
        let control = u32::from(self.has(flag::SYN)) + u32::from(self.has(flag::FIN));
        let end = self.seq.wrapping_add(self.payload).wrapping_add(control);
        let (seq, ack, flags) = match self.has(flag::ACK) {
            true => (self.ack, 0, flag::RST),
            false => (0, end, flag::RST | flag::ACK),
        };
        Some(Self { from: self.to, to: self.from, seq, ack, flags, payload: 0 })
    }

    /// The packet, with a window of 64240 bytes and data that means nothing.
    pub(crate) fn to_packet(self) -> Vec<u8> {
        let options: &[u8] = if self.has(flag::SYN) { &MSS } else { &[] };
        let mut tcp = Vec::new();
        tcp.extend_from_slice(&self.from.port().to_be_bytes());
        tcp.extend_from_slice(&self.to.port().to_be_bytes());
        tcp.extend_from_slice(&self.seq.to_be_bytes());
        tcp.extend_from_slice(&self.ack.to_be_bytes());
        let words: u8 = if options.is_empty() { 5 } else { 6 };
        tcp.extend_from_slice(&[words << 4, self.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        tcp.extend_from_slice(options);
        tcp.extend((0..self.payload).map(|_| b'x'));
        let (from, to) = (self.from.ip(), self.to.ip());
        let sum = checksum(&tcp, pseudo_sum(TCP, from, to, tcp.len()));
        tcp[16..18].copy_from_slice(&sum);
        ip::packet(TCP, from, to, &tcp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip_version::IpVersion;

    fn segment(ip: IpVersion, flags: u8, payload: u32) -> Segment {
        Segment {
            from: SocketAddr::new(ip.on_wire(16), 20_000),
            to: SocketAddr::new(ip.near(), 8080),
            flags,
            seq: 0xffff_fff0,
            ack: 7,
            payload,
        }
    }

    fn some() -> impl Iterator<Item = Segment> {
        let kinds = [(flag::SYN, 0), (flag::ACK, 0), (flag::ACK, 17)];
        let of = move |ip| kinds.map(|(flags, payload)| segment(ip, flags, payload));
        IpVersion::ALL.into_iter().flat_map(of)
    }

    #[test]
    fn a_segment_that_was_built_is_read_as_it_was() {
        for segment in some() {
            assert_eq!(Segment::of(&segment.to_packet()), Some(segment));
        }
    }

    #[test]
    fn checksums_are_right_also_for_an_odd_number_of_bytes() {
        for segment in some() {
            let packet = segment.to_packet();
            let read = Packet::of(&packet).expect("a packet");
            let pseudo = pseudo_sum(TCP, read.from, read.to, read.contents.len());
            assert_eq!(checksum(read.contents, pseudo), [0, 0]);
            if read.from.is_ipv4() {
                assert_eq!(checksum(&packet[..20], 0), [0, 0]);
            }
        }
    }

    #[test]
    fn a_syn_is_refused_by_a_reset_of_its_number_and_anything_else_at_what_it_acknowledges() {
        let segment = |flags, payload| segment(IpVersion::V4, flags, payload);
        let reset = segment(flag::SYN, 0).reset().expect("no RST itself");
        assert_eq!((reset.flags, reset.seq, reset.ack), (flag::RST | flag::ACK, 0, 0xffff_fff1));
        let reset = segment(flag::ACK, 17).reset().expect("no RST itself");
        assert_eq!((reset.flags, reset.seq, reset.from.port()), (flag::RST, 7, 8080));
        assert_eq!(reset.reset(), None);
    }

    #[test]
    fn a_packet_cut_anywhere_is_no_segment_or_a_whole_one() {
        for (ip, header) in [(IpVersion::V4, 20), (IpVersion::V6, 40)] {
            let packet = segment(ip, flag::SYN, 0).to_packet();
            for length in 0..header + 14 {
                assert!(Segment::of(&packet[..length]).is_none(), "{length} bytes");
            }
        }
    }
}
