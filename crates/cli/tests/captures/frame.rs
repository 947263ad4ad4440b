//! Segments as bytes: Ethernet frames by `etherparse`, which shares nothing with our decoder, in a pcap
//! file with times in nanoseconds.

use std::net::{IpAddr, SocketAddr};

use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder, PacketBuilderStep,
    TcpHeader,
};
use halfopen_capture::script::pictures;
use halfopen_capture::{
    Decoder, FastOpen, IcmpError, IcmpKind, Observed, Reader, SegmentOptions, TcpSegment,
};

use super::common::repository_file;

/// Bytes of a TCP header that every ICMP error quotes (RFC 792).
const QUOTED: usize = 8;

/// What is left of a frame that the capture cut: less than its options.
const CUT_BEHIND_TCP: usize = 20;

/// A capture of these packets.
pub(crate) fn file(packets: &[Observed]) -> Vec<u8> {
    let mut file = Vec::new();
    for number in [0xa1b2_3c4d, 0x0004_0002, 0, 0, 262_144, 1_u32] {
        file.extend(number.to_le_bytes());
    }
    for packet in packets {
        let (time_ns, frame, captured) = frame(packet);
        let (s, ns) = (time_ns.div_euclid(1_000_000_000), time_ns.rem_euclid(1_000_000_000));
        let lengths = [captured, frame.len()].map(|length| i64::try_from(length).expect("short"));
        for number in [s, ns, lengths[0], lengths[1]] {
            file.extend(u32::try_from(number).expect("32 bits").to_le_bytes());
        }
        file.extend(&frame[..captured]);
    }
    file
}

/// When it is captured, the frame, and how much of it is captured.
fn frame(packet: &Observed) -> (i64, Vec<u8>, usize) {
    match packet {
        Observed::Segment(segment) => {
            let (frame, tcp_at) = segment_frame(segment);
            let cut = segment.truncated.then_some(tcp_at + CUT_BEHIND_TCP);
            let captured = cut.unwrap_or(frame.len());
            (segment.time_ns, frame, captured)
        }
        Observed::IcmpError(error) => {
            let frame = icmp_frame(error);
            let captured = frame.len();
            (error.time_ns, frame, captured)
        }
        Observed::Other => unreachable!("no script has it"),
    }
}

/// The frame, and where TCP begins in it.
fn segment_frame(segment: &TcpSegment) -> (Vec<u8>, usize) {
    let mut options = options(&segment.options);
    if segment.truncated {
        // Something must be there to be cut off.
        options.extend([1; 4]);
    }
    let has = |bit| segment.flags & bit != 0;
    let mut tcp =
        TcpHeader::new(segment.from.port(), segment.to.port(), segment.seq, segment.window);
    (tcp.fin, tcp.syn, tcp.rst, tcp.psh, tcp.ack) = (has(1), has(2), has(4), has(8), has(16));
    tcp.acknowledgment_number = segment.ack;
    tcp.set_options_raw(&options).expect("they fit");
    let header = tcp.header_len();
    let data = vec![b'x'; segment.payload as usize];
    let builder = ip(segment.from.ip(), segment.to.ip(), segment.ttl, segment.ip_id);
    let mut frame = Vec::new();
    builder.tcp_header(tcp).write(&mut frame, &data).expect("it fits");
    let tcp_at = frame.len() - data.len() - header;
    (frame, tcp_at)
}

fn ip(from: IpAddr, to: IpAddr, ttl: u8, id: u16) -> PacketBuilderStep<IpHeaders> {
    let headers = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let header = Ipv4Header {
                time_to_live: ttl,
                identification: id,
                source: from.octets(),
                destination: to.octets(),
                ..Ipv4Header::default()
            };
            IpHeaders::Ipv4(header, Default::default())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let header = Ipv6Header {
                hop_limit: ttl,
                source: from.octets(),
                destination: to.octets(),
                ..Ipv6Header::default()
            };
            IpHeaders::Ipv6(header, Default::default())
        }
        _ => unreachable!("both ends are of one family"),
    };
    PacketBuilder::ethernet2([2; 6], [2; 6]).ip(headers)
}

fn options(options: &SegmentOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mss) = options.mss {
        bytes.extend([2, 4]);
        bytes.extend(mss.to_be_bytes());
    }
    if let Some(scale) = options.window_scale {
        bytes.extend([1, 3, 3, scale]);
    }
    if options.sack_permitted {
        bytes.extend([1, 1, 4, 2]);
    }
    if let Some(timestamps) = options.timestamps {
        bytes.extend([1, 1, 8, 10]);
        bytes.extend(timestamps.value.to_be_bytes());
        bytes.extend(timestamps.echo.to_be_bytes());
    }
    match options.fast_open {
        Some(FastOpen::Request) => bytes.extend([1, 1, 34, 2]),
        Some(FastOpen::Cookie) => bytes.extend([1, 1, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
        None => {}
    }
    bytes
}

/// The error, sent to who had sent the packet that it quotes.
fn icmp_frame(error: &IcmpError) -> Vec<u8> {
    let quoted = quoted(error.from.into(), error.to.into(), error.seq);
    let builder = ip(error.reporter, error.from.ip(), 62, 1);
    let mut frame = Vec::new();
    let written = match (error.from.ip(), error.kind) {
        (IpAddr::V4(_), IcmpKind::TooBig) => {
            let big = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1400 };
            builder.icmpv4(Icmpv4Type::DestinationUnreachable(big)).write(&mut frame, &quoted)
        }
        (IpAddr::V4(_), _) => {
            let host = DestUnreachableHeader::Host;
            builder.icmpv4(Icmpv4Type::DestinationUnreachable(host)).write(&mut frame, &quoted)
        }
        (IpAddr::V6(_), IcmpKind::TooBig) => {
            builder.icmpv6(Icmpv6Type::PacketTooBig { mtu: 1400 }).write(&mut frame, &quoted)
        }
        (IpAddr::V6(_), _) => {
            let host = DestUnreachableCode::Address;
            builder.icmpv6(Icmpv6Type::DestinationUnreachable(host)).write(&mut frame, &quoted)
        }
    };
    written.expect("it fits");
    frame
}

fn quoted(from: SocketAddr, to: SocketAddr, seq: u32) -> Vec<u8> {
    let syn = TcpHeader { syn: true, ..TcpHeader::new(from.port(), to.port(), seq, 1000) };
    let mut packet = Vec::new();
    let builder = ip(from.ip(), to.ip(), 60, 1);
    builder.tcp_header(syn).write(&mut packet, &[]).expect("it fits");
    let (ethernet, tcp) = (14, TcpHeader::MIN_LEN);
    packet[ethernet..packet.len() - tcp + QUOTED].to_vec()
}

#[test]
fn what_is_written_is_what_is_read() {
    for picture in pictures(&repository_file("docs/captures.md")) {
        for ends in picture.families() {
            let (packets, mut read) = (picture.packets(ends), Vec::new());
            let file = file(&packets);
            let mut reader = Reader::new(&file[..]).expect("a capture");
            let mut decoder = Decoder::new();
            while let Some(packet) = reader.next_packet().expect("it can be read") {
                read.push(decoder.decode(&packet).expect("whole headers"));
            }
            assert_eq!(read, packets, "line {}: {}", picture.line, picture.about);
        }
    }
}
