//! What crossed the interfaces of the servers' host, as a capture file (pcapng) that any analyser opens.
//!
//! Each segment becomes an IPv4 packet with correct checksums and the options that Linux sends. The
//! model knows neither windows nor the bytes of data: windows are Linux's first ones, and data is zeros.
//! The blocks of the file are written here (three kinds, in the layout of draft-ietf-opsawg-pcapng); the
//! headers of the packets are `etherparse`'s.

use std::io::{self, Write};

use etherparse::err::packet::BuildWriteError;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{
    Icmpv4Type, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, PacketBuilder, TcpHeader,
    TcpOptionElement,
};
use halfopen_model::tcp::{Flags, Segment, Unreachable};
use halfopen_scenario::Interface;

use crate::tap::Packet;

/// Packets that begin with their IPv4 header. With the more common LINKTYPE_RAW (101), libpcap stops at
/// the second interface: it compares the number in the file with its own for the first one, 12.
const LINKTYPE_IPV4: u16 = 228;

/// The interfaces of a capture, in the order of their blocks.
const INTERFACES: [(Interface, &str, u16); 2] =
    [(Interface::Wire, "wire", 1500), (Interface::Loopback, "lo", 65_535)];

/// The window of a SYN, unscaled: Linux's default receive buffer.
const WINDOW_OF_SYN: u16 = 64_240;

/// The window of everything else, scaled by 2^7.
const WINDOW: u16 = 502;
const WINDOW_SCALE: u8 = 7;

/// Bytes of data in one packet at the most.
const PAYLOAD_MOST: usize = 65_483;

/// Writes a capture. Times count from `begin_unix_us`, microseconds since 1970.
///
/// # Errors
///
/// Those of the writer.
pub fn write(
    capture: &[Packet],
    begin_unix_us: u64,
    about: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(&section_header(about))?;
    for (_, name, mtu) in INTERFACES {
        out.write_all(&interface_description(name, mtu))?;
    }
    for (at, Packet { seen, segment, unreachable }) in capture.iter().enumerate() {
        // The kernel counts the packets of a socket up; a router looks at it only in fragments.
        let identification = u16::try_from(at % 0x1_0000).unwrap_or(0);
        let mut packet = packet(segment, seen.interface, identification)?;
        if let Some(what) = unreachable {
            packet = error_about(&packet, segment, *what)?;
        }
        let time = begin_unix_us.saturating_add(seen.at_us);
        out.write_all(&enhanced_packet(seen.interface, time, &packet))?;
    }
    Ok(())
}

/// The bytes of an IPv4 packet with this segment.
fn packet(segment: &Segment, interface: Interface, identification: u16) -> io::Result<Vec<u8>> {
    let (from, to) = (segment.from, segment.to);
    let ip = Ipv4Header {
        time_to_live: 64,
        dont_fragment: true,
        identification,
        source: from.ip().octets(),
        destination: to.ip().octets(),
        protocol: IpNumber::TCP,
        ..Ipv4Header::default()
    };
    let has = |flag| segment.flags.has(flag);
    let header = TcpHeader {
        source_port: from.port(),
        destination_port: to.port(),
        sequence_number: segment.seq.0,
        acknowledgment_number: segment.ack.0,
        syn: has(Flags::SYN),
        ack: has(Flags::ACK),
        fin: has(Flags::FIN),
        rst: has(Flags::RST),
        psh: has(Flags::PSH),
        window_size: match (has(Flags::RST), has(Flags::SYN)) {
            (true, _) => 0,
            (false, true) => WINDOW_OF_SYN,
            (false, false) => WINDOW,
        },
        ..TcpHeader::default()
    };
    let builder = PacketBuilder::ip(IpHeaders::Ipv4(ip, Ipv4Extensions::default()))
        .tcp_header(header)
        .options(&options(segment, interface))
        .map_err(|_| io::Error::other("the options of a SYN fit into a TCP header"))?;
    let payload = vec![0; usize::try_from(segment.payload).unwrap_or(0).min(PAYLOAD_MOST)];
    let mut bytes = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut bytes, &payload).map_err(|error| match error {
        BuildWriteError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    })?;
    Ok(bytes)
}

/// The bytes of the ICMP error about a packet: as much of it as fits into 576 bytes
/// (net/ipv4/icmp.c `icmp_send`). It comes in the name of whom the packet was for.
fn error_about(packet: &[u8], segment: &Segment, what: Unreachable) -> io::Result<Vec<u8>> {
    const QUOTED_MOST: usize = 576 - 20 - 8;
    let quoted = &packet[..packet.len().min(QUOTED_MOST)];
    let header = match what {
        Unreachable::Network => DestUnreachableHeader::Network,
        Unreachable::Host => DestUnreachableHeader::Host,
        Unreachable::Port => DestUnreachableHeader::Port,
        Unreachable::Prohibited => DestUnreachableHeader::FilterProhibited,
    };
    let builder = PacketBuilder::ipv4(segment.to.ip().octets(), segment.from.ip().octets(), 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(header));
    let mut bytes = Vec::with_capacity(builder.size(quoted.len()));
    builder.write(&mut bytes, quoted).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// The options in the order in which Linux writes them (`tcp_options_write`).
fn options(segment: &Segment, interface: Interface) -> Vec<TcpOptionElement> {
    let mut options = Vec::new();
    let is_syn = segment.flags.has(Flags::SYN);
    if is_syn {
        let mss = match interface {
            Interface::Wire => 1460,
            Interface::Loopback => 65_495,
        };
        options.push(TcpOptionElement::MaximumSegmentSize(mss));
        options.push(TcpOptionElement::SelectiveAcknowledgementPermitted);
    }
    if let Some(timestamps) = segment.timestamps {
        if !is_syn {
            options.extend([TcpOptionElement::Noop, TcpOptionElement::Noop]);
        }
        options.push(TcpOptionElement::Timestamp(timestamps.value, timestamps.echo));
    }
    if is_syn {
        options.push(TcpOptionElement::Noop);
        options.push(TcpOptionElement::WindowScale(WINDOW_SCALE));
    }
    options
}

fn section_header(about: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend(1_u16.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // The section's length is not known.
    body.extend(u64::MAX.to_le_bytes());
    const COMMENT: u16 = 1;
    const APPLICATION: u16 = 4;
    option(&mut body, COMMENT, about.as_bytes());
    option(&mut body, APPLICATION, b"halfopen sim");
    end_of_options(&mut body);
    block(0x0a0d_0d0a, &body)
}

fn interface_description(name: &str, mtu: u16) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_IPV4.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // Packets are never cut short.
    body.extend(0_u32.to_le_bytes());
    const NAME: u16 = 2;
    const DESCRIPTION: u16 = 3;
    const TIME_RESOLUTION: u16 = 9;
    option(&mut body, NAME, name.as_bytes());
    option(&mut body, DESCRIPTION, format!("simulated, MTU {mtu}").as_bytes());
    // Microseconds.
    option(&mut body, TIME_RESOLUTION, &[6]);
    end_of_options(&mut body);
    block(1, &body)
}

fn enhanced_packet(interface: Interface, unix_us: u64, packet: &[u8]) -> Vec<u8> {
    let number = INTERFACES.iter().position(|&(known, _, _)| known == interface).unwrap_or(0);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes();
    let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(0).to_le_bytes();
    let mut body = Vec::with_capacity(packet.len() + 24);
    body.extend(u32::try_from(number).unwrap_or(0).to_le_bytes());
    body.extend(half(unix_us >> 32));
    body.extend(half(unix_us));
    body.extend(length);
    body.extend(length);
    padded(&mut body, packet);
    block(6, &body)
}

/// A block: type, length, body, and the length again for who reads backwards.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = Vec::with_capacity(body.len() + 12);
    block.extend(kind.to_le_bytes());
    block.extend(length);
    block.extend(body);
    block.extend(length);
    block
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(body, value);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// Bytes, filled up to 32 bits.
fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use etherparse::{SlicedPacket, TransportSlice};
    use halfopen_model::tcp::{Seq, Timestamps};
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::tap;

    fn seen(interface: Interface, at_us: u64, segment: Segment) -> Packet {
        Packet { seen: tap::seen(at_us, interface, &segment), segment, unreachable: None }
    }

    fn segment(flags: Flags, payload: u32, timestamps: Option<Timestamps>) -> Segment {
        Segment {
            from: SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 2), 40_000),
            to: SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 8080),
            seq: Seq(u32::MAX),
            ack: Seq(7),
            flags,
            payload,
            timestamps,
        }
    }

    /// The packets of a capture with their times and interfaces, as another parser reads them.
    fn packets(capture: &[Packet], begin: u64) -> Vec<(u64, u32, Vec<u8>)> {
        let mut bytes = Vec::new();
        write(capture, begin, "x", &mut bytes).expect("a Vec takes everything");
        let mut reader = PcapNgReader::new(bytes.as_slice()).expect("a section header");
        let mut packets = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.expect("a block") {
                assert_eq!(packet.original_len as usize, packet.data.len());
                // The parser takes the units of a timestamp for nanoseconds.
                let units = u64::try_from(packet.timestamp.as_nanos()).expect("64 bits");
                packets.push((units, packet.interface_id, packet.data.to_vec()));
            }
        }
        assert_eq!(reader.interfaces().len(), 2);
        packets
    }

    fn check_packet(bytes: &[u8], expected: &Segment) {
        let sliced = SlicedPacket::from_ip(bytes).expect("an IP packet");
        let ip = sliced.net.as_ref().and_then(|net| net.ipv4_ref()).expect("IPv4").header();
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("TCP") };
        assert_eq!(ip.to_header().calc_header_checksum(), ip.header_checksum());
        let header = tcp.to_header();
        let sum = header.calc_checksum_ipv4(&ip.to_header(), tcp.payload()).expect("short");
        assert_eq!(sum, tcp.checksum());
        let from = SocketAddrV4::new(ip.source_addr(), tcp.source_port());
        let to = SocketAddrV4::new(ip.destination_addr(), tcp.destination_port());
        assert_eq!((from, to), (expected.from, expected.to));
        assert_eq!(
            (tcp.sequence_number(), tcp.acknowledgment_number()),
            (expected.seq.0, expected.ack.0)
        );
        assert_eq!(header.to_bytes()[13], expected.flags.byte());
        assert_eq!(tcp.payload().len(), expected.payload as usize);
        let timestamps = tcp.options_iterator().find_map(|option| match option {
            Ok(TcpOptionElement::Timestamp(value, echo)) => Some(Timestamps { value, echo }),
            _ => None,
        });
        assert_eq!(timestamps, expected.timestamps);
    }

    #[test]
    fn another_parser_reads_every_segment_back() {
        let clock = Some(Timestamps { value: 5, echo: 6 });
        let segments = [
            segment(Flags::SYN, 0, None),
            segment(Flags::SYN | Flags::ACK, 0, clock),
            segment(Flags::ACK, 0, clock),
            segment(Flags::PSH | Flags::ACK, 1, clock),
            segment(Flags::FIN | Flags::ACK, 0, None),
            segment(Flags::RST, 0, None),
            segment(Flags::ACK, 65_483, clock),
        ];
        let capture: Vec<_> = (0..)
            .zip(segments)
            .map(|(at, s)| {
                seen(if at % 2 == 0 { Interface::Wire } else { Interface::Loopback }, at, s)
            })
            .collect();
        let begin = 1_767_225_600_000_000;
        let packets = packets(&capture, begin);
        assert_eq!(packets.len(), capture.len());
        for ((at, (time, interface, bytes)), segment) in (0..).zip(&packets).zip(&segments) {
            assert_eq!((*time, u64::from(*interface)), (begin + at, at % 2));
            check_packet(bytes, segment);
        }
    }

    #[test]
    fn an_icmp_error_quotes_the_packet_that_did_not_arrive() {
        let syn = segment(Flags::SYN, 0, None);
        for (what, code) in [(Unreachable::Host, 1), (Unreachable::Prohibited, 13)] {
            let sent = seen(Interface::Wire, 0, syn);
            let error = Packet { unreachable: Some(what), ..sent };
            let packets = packets(&[sent, error], 0);
            let sliced = SlicedPacket::from_ip(&packets[1].2).expect("an IP packet");
            let ip = sliced.net.as_ref().and_then(|net| net.ipv4_ref()).expect("IPv4").header();
            assert_eq!((ip.source_addr(), ip.destination_addr()), (*syn.to.ip(), *syn.from.ip()));
            let Some(TransportSlice::Icmpv4(icmp)) = &sliced.transport else { panic!("ICMP") };
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, code));
            assert_eq!(code, what.code());
            // Only the identification differs, which each packet has for itself.
            assert_eq!(icmp.payload()[12..], packets[0].2[12..]);
        }
    }

    #[test]
    fn a_syn_has_the_options_that_linux_sends() {
        let clock = Some(Timestamps { value: 5, echo: 0 });
        let capture = [seen(Interface::Wire, 0, segment(Flags::SYN, 0, clock))];
        let packets = packets(&capture, 0);
        let options = &packets[0].2[40..];
        let expected = [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 5, 0, 0, 0, 0, 1, 3, 3, 7];
        assert_eq!(options, expected);
    }
}
