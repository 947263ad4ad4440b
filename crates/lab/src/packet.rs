//! TCP segments as IPv4 packets: read from the wire, and built for it.
//!
//! Only what the lab needs: no options but the maximum segment size in a SYN, no fragments.

use std::net::SocketAddrV4;

/// Bits of the flags byte.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
}

/// The protocol number of TCP.
const TCP: u8 = 6;

/// The option "maximum segment size" with 1460 bytes.
const MSS: [u8; 4] = [2, 4, 0x05, 0xb4];

/// A segment with its addresses; of the data only the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) payload: u32,
}

impl Segment {
    /// Reads the headers of a packet, whose data may be cut off; none for what is not TCP over IPv4.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        if first >> 4 != 4 || *packet.get(9)? != TCP {
            return None;
        }
        let ip_header = usize::from(first & 0x0f) * 4;
        let tcp = packet.get(ip_header..)?;
        let flags = *tcp.get(13)?;
        let tcp_header = usize::from(tcp.get(12)? >> 4) * 4;
        let whole = usize::from(u16::from_be_bytes(bytes(packet, 2)?));
        Some(Self {
            from: SocketAddrV4::new(bytes(packet, 12)?.into(), u16::from_be_bytes(bytes(tcp, 0)?)),
            to: SocketAddrV4::new(bytes(packet, 16)?.into(), u16::from_be_bytes(bytes(tcp, 2)?)),
            flags,
            seq: u32::from_be_bytes(bytes(tcp, 4)?),
            ack: u32::from_be_bytes(bytes(tcp, 8)?),
            payload: u32::try_from(whole.saturating_sub(ip_header + tcp_header)).ok()?,
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
        // The pseudo-header: both addresses, the protocol and the length of the segment.
        let (from, to) = (self.from.ip().octets(), self.to.ip().octets());
        let length = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
        let pseudo = word_sum(&from) + word_sum(&to) + u32::from(TCP) + u32::from(length);
        let tcp_sum = checksum(&tcp, pseudo);
        tcp[16..18].copy_from_slice(&tcp_sum);
        ipv4(TCP, from, to, &tcp)
    }
}

/// The ICMP error "destination unreachable" about a packet, of which it quotes the IP header and eight
/// bytes (RFC 792).
pub(crate) fn unreachable(code: u8, from: [u8; 4], to: [u8; 4], about: &[u8]) -> Vec<u8> {
    const ICMP: u8 = 1;
    const DESTINATION_UNREACHABLE: u8 = 3;
    let header = about.first().map_or(20, |first| usize::from(first & 0x0f) * 4);
    let mut icmp = vec![DESTINATION_UNREACHABLE, code, 0, 0, 0, 0, 0, 0];
    icmp.extend(about.iter().take(header + 8));
    let sum = checksum(&icmp, 0);
    icmp[2..4].copy_from_slice(&sum);
    ipv4(ICMP, from, to, &icmp)
}

/// An IPv4 packet with these contents.
pub(crate) fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + contents.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend_from_slice(&from);
    packet.extend_from_slice(&to);
    let sum = checksum(&packet, 0);
    packet[10..12].copy_from_slice(&sum);
    packet.extend_from_slice(contents);
    packet
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

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: u8, payload: u32) -> Segment {
        Segment {
            from: SocketAddrV4::new([10, 77, 0, 16].into(), 20_000),
            to: SocketAddrV4::new([10, 77, 0, 1].into(), 8080),
            flags,
            seq: 0xffff_fff0,
            ack: 7,
            payload,
        }
    }

    #[test]
    fn a_segment_that_was_built_is_read_as_it_was() {
        for segment in [segment(flag::SYN, 0), segment(flag::ACK, 0), segment(flag::ACK, 17)] {
            assert_eq!(Segment::of(&segment.to_packet()), Some(segment));
        }
    }

    #[test]
    fn checksums_are_right_also_for_an_odd_number_of_bytes() {
        for segment in [segment(flag::SYN, 0), segment(flag::ACK, 17)] {
            let packet = segment.to_packet();
            let length = u32::try_from(packet.len() - 20).expect("it is short");
            let pseudo = word_sum(&packet[12..20]) + 6 + length;
            assert_eq!(checksum(&packet[..20], 0), [0, 0]);
            assert_eq!(checksum(&packet[20..], pseudo), [0, 0]);
        }
    }

    #[test]
    fn a_syn_is_refused_by_a_reset_of_its_number_and_anything_else_at_what_it_acknowledges() {
        let reset = segment(flag::SYN, 0).reset().expect("no RST itself");
        assert_eq!((reset.flags, reset.seq, reset.ack), (flag::RST | flag::ACK, 0, 0xffff_fff1));
        let reset = segment(flag::ACK, 17).reset().expect("no RST itself");
        assert_eq!((reset.flags, reset.seq, reset.from.port()), (flag::RST, 7, 8080));
        assert_eq!(reset.reset(), None);
    }

    #[test]
    fn an_icmp_error_quotes_the_ports_and_its_checksum_is_right() {
        let syn = segment(flag::SYN, 0).to_packet();
        let error = unreachable(13, [10, 77, 0, 1], [10, 77, 0, 16], &syn);
        assert_eq!((error[9], error[20], error[21]), (1, 3, 13));
        assert_eq!(checksum(&error[20..], 0), [0, 0]);
        assert_eq!(error[28..], syn[..28]);
    }

    #[test]
    fn a_packet_cut_anywhere_is_no_segment_or_a_whole_one() {
        let packet = segment(flag::SYN, 0).to_packet();
        for length in 0..34 {
            assert!(Segment::of(&packet[..length]).is_none(), "{length} bytes");
        }
    }
}
