//! Packets written by hand, one per link type, tunnel and oddity; and what holds for each of them
//! however it is cut.

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use super::*;
use crate::observed::{FastOpen, IcmpError, IcmpKind, SegmentOptions, TcpSegment, TimestampOption};
use build::{
    ethernet, gre, icmp, icmp6, ipv4, ipv4_with, ipv6, packet, plain_segment, tcp, udp, vlan,
};

/// Headers, innermost first: each takes what it carries.
pub(crate) mod build {
    use super::*;

    /// A packet of this link type.
    pub(crate) fn packet(link: u32, captured: &[u8]) -> Packet<'_> {
        let original_len = u32::try_from(captured.len()).unwrap();
        Packet {
            time_ns: 1_700_000_000_000_000_000,
            record: 1,
            offset: 24,
            interface: 0,
            link: LinkType(link),
            captured,
            original_len,
        }
    }

    /// What the SYN of `tcp` in the header of `ipv4` is.
    pub(crate) fn plain_segment() -> TcpSegment {
        TcpSegment {
            time_ns: 1_700_000_000_000_000_000,
            record: 1,
            interface: 0,
            scope: 0,
            from: "10.0.0.7:40000".parse().unwrap(),
            to: "10.9.0.1:443".parse().unwrap(),
            seq: 0x0102_0304,
            ack: 0x0506_0708,
            flags: 2,
            window: 0xfaf0,
            payload: 0,
            ttl: 61,
            ip_id: 0x1234,
            options: SegmentOptions::default(),
            truncated: false,
        }
    }

    pub(crate) fn tcp(options: &[u8], payload: usize) -> Vec<u8> {
        let mut bytes = [&[0x9c, 0x40, 0x01, 0xbb, 1, 2, 3, 4, 5, 6, 7, 8][..]].concat();
        let offset = u8::try_from(5 + options.len() / 4).unwrap() << 4;
        bytes.extend([offset, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
        bytes.extend(options);
        bytes.resize(bytes.len() + payload, b'x');
        bytes
    }

    pub(crate) fn udp(from: u16, to: u16, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + body.len()).unwrap();
        let head = [from, to, length, 0].map(u16::to_be_bytes).concat();
        [&head, body].concat()
    }

    pub(crate) fn ipv4(protocol: u8, body: &[u8]) -> Vec<u8> {
        ipv4_with(protocol, 0x4000, &[], body)
    }

    pub(crate) fn ipv4_with(protocol: u8, fragment: u16, options: &[u8], body: &[u8]) -> Vec<u8> {
        let header = 20 + options.len();
        let first = 0x40 | u8::try_from(header / 4).unwrap();
        let [a, b] = u16::try_from(header + body.len()).unwrap().to_be_bytes();
        let [c, d] = fragment.to_be_bytes();
        let head = [first, 0, a, b, 0x12, 0x34, c, d, 61, protocol, 0, 0];
        [&head, &[10, 0, 0, 7, 10, 9, 0, 1][..], options, body].concat()
    }

    pub(crate) fn ipv6(next: u8, body: &[u8]) -> Vec<u8> {
        let [a, b] = u16::try_from(body.len()).unwrap().to_be_bytes();
        let address = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        [&[0x60, 0, 0, 0, a, b, next, 61][..], &address(7), &address(1), body].concat()
    }

    pub(crate) fn ethernet(ether_type: u16, body: &[u8]) -> Vec<u8> {
        [&[2; 12][..], &ether_type.to_be_bytes(), body].concat()
    }

    pub(crate) fn vlan(id: u16, ether_type: u16, body: &[u8]) -> Vec<u8> {
        [&id.to_be_bytes()[..], &ether_type.to_be_bytes(), body].concat()
    }

    pub(crate) fn gre(flags: u16, protocol: u16, fields: &[u8], body: &[u8]) -> Vec<u8> {
        [&flags.to_be_bytes()[..], &protocol.to_be_bytes(), fields, body].concat()
    }

    pub(crate) fn icmp(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
        ipv4(1, &[&[kind, code, 0, 0, 0, 0, 0, 0][..], quoted].concat())
    }

    pub(crate) fn icmp6(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
        ipv6(58, &[&[kind, code, 0, 0, 0, 0, 0, 0][..], quoted].concat())
    }
}

fn v4() -> Vec<u8> {
    ipv4(6, &tcp(&[], 0))
}

fn v6() -> Vec<u8> {
    ipv6(6, &tcp(&[], 0))
}

fn v4_segment() -> TcpSegment {
    plain_segment()
}

fn v6_segment() -> TcpSegment {
    let (from, to) = ("[fd00::7]:40000".parse().unwrap(), "[fd00::1]:443".parse().unwrap());
    TcpSegment { from, to, ip_id: 0, ..plain_segment() }
}

/// Its name, link type, bytes, the segment in it, and the name of that one's scope.
type Case = (&'static str, u32, Vec<u8>, TcpSegment, Option<&'static str>);

/// Every packet of this file with a segment.
fn with_segments() -> Vec<Case> {
    let (four, six) = (v4_segment(), v6_segment());
    let e = |body: &[u8]| ethernet(0x0800, body);
    let inner = e(&v4());
    let in_udp =
        |to, head: &[u8], body: &[u8]| e(&ipv4(17, &udp(5555, to, &[head, body].concat())));
    let sll = |head: &[u8], protocol: u16, body: &[u8]| {
        [head, &protocol.to_be_bytes()[..], body].concat()
    };
    let teredo = |head: &[u8]| e(&ipv4(17, &udp(3544, 5555, &[head, &v6()].concat())));
    let gtp = |flags, fields: &[u8], body: &[u8]| {
        let length = u16::try_from(fields.len() + body.len()).unwrap().to_be_bytes();
        in_udp(2152, &[&[flags, 255][..], &length, &[0, 0, 0, 9], fields].concat(), body)
    };
    let geneve = [2, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 1, 1, 1, 1, 1, 1, 1];
    let erspan = [0x10, 7, 0x08, 0x05, 0, 0, 0, 0];
    let llc = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &v4()].concat();
    let attribute = [&[44, 0, 9, 0][..], &v4()].concat();
    let ext =
        |next, kind, body: &[u8]| ipv6(kind, &[&[next, 0, 0, 0, 0, 0, 0, 0][..], body].concat());
    vec![
        ("ethernet, IPv4", 1, e(&v4()), four, None),
        ("ethernet, IPv6", 1, ethernet(0x86dd, &v6()), six, None),
        ("VLAN", 1, ethernet(0x8100, &vlan(7, 0x0800, &v4())), four, Some("vlan 7")),
        ("priority only", 1, ethernet(0x8100, &vlan(0xe000, 0x86dd, &v6())), six, None),
        (
            "QinQ",
            1,
            ethernet(0x88a8, &vlan(5, 0x8100, &vlan(0x2007, 0x0800, &v4()))),
            four,
            Some("vlan 5, vlan 7"),
        ),
        ("old QinQ", 1, ethernet(0x9100, &vlan(5, 0x86dd, &v6())), six, Some("vlan 5")),
        (
            "802.1ah",
            1,
            ethernet(0x88a8, &vlan(5, 0x88e7, &[&[0, 1, 2, 3][..], &inner].concat())),
            four,
            Some("vlan 5, i-sid 66051"),
        ),
        ("VN-Tag", 1, ethernet(0x8926, &[&[0; 4][..], &[0x86, 0xdd], &v6()].concat()), six, None),
        (
            "802.1BR",
            1,
            ethernet(0x893f, &[&[0; 6][..], &[0x81, 0], &vlan(7, 0x0800, &v4())].concat()),
            four,
            Some("vlan 7"),
        ),
        ("FabricPath", 1, ethernet(0x8903, &[&[0; 2][..], &inner].concat()), four, None),
        ("802.3 and SNAP", 1, ethernet(u16::try_from(llc.len()).unwrap(), &llc), four, None),
        ("LLC", 1, ethernet(43, &[&[6, 6, 3][..], &v4()].concat()), four, None),
        (
            "MPLS",
            1,
            ethernet(0x8847, &[&[0, 0, 0x10, 64, 0, 0, 0x21, 64][..], &v4()].concat()),
            four,
            None,
        ),
        (
            "MPLS, Ethernet",
            1,
            ethernet(0x8847, &[&[0, 0, 0x11, 64, 0, 0, 0, 0][..], &inner].concat()),
            four,
            None,
        ),
        (
            "PPPoE",
            1,
            ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 42, 0, 0x21][..], &v4()].concat()),
            four,
            None,
        ),
        ("PPPoE of its own", 51, [&[0x11, 0, 0, 1, 0, 62, 0, 0x57][..], &v6()].concat(), six, None),
        ("PPP", 9, [&[0xff, 3, 0, 0x21][..], &v4()].concat(), four, None),
        ("PPP, short", 9, [&[0x57][..], &v6()].concat(), six, None),
        ("PPP in HDLC", 50, [&[0xff, 3, 0, 0x57][..], &v6()].concat(), six, None),
        ("PPP with direction", 166, [&[1, 0xff, 3, 0, 0x21][..], &v4()].concat(), four, None),
        ("Cisco HDLC", 104, [&[0x0f, 0, 8, 0][..], &v4()].concat(), four, None),
        ("InfiniBand", 242, [&[0; 40][..], &[0x86, 0xdd, 0, 0], &v6()].concat(), six, None),
        ("FDDI", 10, [&[0x50; 13][..], &llc].concat(), four, None),
        ("ARCNET, BSD", 7, [&[1, 2, 212, 0, 0, 9][..], &v4()].concat(), four, None),
        ("ARCNET, Linux", 129, [&[1, 2, 0, 0, 196, 0, 0, 9][..], &v6()].concat(), six, None),
        ("ARCNET, RFC 1051", 7, [&[1, 2, 240][..], &v4()].concat(), four, None),
        (
            "NFLOG",
            239,
            [&[2, 0, 0, 5, 8, 0, 1, 0, 8, 0, 0, 3][..], &attribute].concat(),
            four,
            None,
        ),
        (
            "NFLOG, big endian",
            239,
            [&[10, 0, 0, 5, 0, 5, 0, 10, b'x', 0, 0, 0, 0, 64, 0, 9][..], &v6()].concat(),
            six,
            None,
        ),
        ("802.11", 105, [&[0x08, 1][..], &[0; 22], &llc].concat(), four, None),
        ("802.11, QoS", 105, [&[0x88, 2][..], &[0; 24], &llc].concat(), four, None),
        ("802.11, bridge, HT", 105, [&[0x88, 0x83][..], &[0; 34], &llc].concat(), four, None),
        (
            "802.11, radiotap",
            127,
            [&[0, 0, 8, 0, 0, 0, 0, 0, 0x08, 2][..], &[0; 22], &llc].concat(),
            four,
            None,
        ),
        (
            "802.11, radiotap with padding",
            127,
            [
                &[0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0][..],
                &[9; 8],
                &[0x20, 0x88, 1],
                &[0; 26],
                &llc,
            ]
            .concat(),
            four,
            None,
        ),
        ("SLL", 113, sll(&[0; 14], 0x0800, &v4()), four, None),
        ("SLL, VLAN", 113, sll(&[0; 14], 0x8100, &vlan(7, 0x86dd, &v6())), six, Some("vlan 7")),
        ("SLL2", 276, [&[0x86, 0xdd][..], &[0; 18], &v6()].concat(), six, None),
        ("loopback, little endian", 0, [&[2, 0, 0, 0][..], &v4()].concat(), four, None),
        ("loopback, big endian", 0, [&[0, 0, 0, 30][..], &v6()].concat(), six, None),
        ("loopback, Linux", 0, [&[10, 0, 0, 0][..], &v6()].concat(), six, None),
        ("loopback, OpenBSD", 108, [&[0, 0, 0, 24][..], &v6()].concat(), six, None),
        ("raw, 12", 12, v4(), four, None),
        ("raw, 14", 14, v6(), six, None),
        ("raw, 101", 101, v6(), six, None),
        ("raw IPv4", 228, v4(), four, None),
        ("raw IPv6", 229, v6(), six, None),
        ("4in4", 1, e(&ipv4(4, &v4())), four, None),
        ("6in4", 1, e(&ipv4(41, &v6())), six, None),
        ("4in6", 1, ethernet(0x86dd, &ipv6(4, &v4())), four, None),
        ("6in6", 1, ethernet(0x86dd, &ipv6(41, &v6())), six, None),
        ("GRE", 1, e(&ipv4(47, &gre(0, 0x0800, &[], &v4()))), four, None),
        (
            "GRE with checksum, key, sequence",
            1,
            e(&ipv4(47, &gre(0xb000, 0x86dd, &[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], &v6()))),
            six,
            Some("gre 256"),
        ),
        ("GRE, Ethernet", 1, e(&ipv4(47, &gre(0, 0x6558, &[], &inner))), four, None),
        (
            "GRE of PPTP",
            1,
            e(&ipv4(
                47,
                &gre(
                    0x3081,
                    0x880b,
                    &[0, 44, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0, 0x21],
                    &v4(),
                ),
            )),
            four,
            None,
        ),
        ("GRE over UDP", 1, in_udp(4754, &[0, 0, 8, 0], &v4()), four, None),
        ("ERSPAN I", 1, e(&ipv4(47, &gre(0, 0x88be, &[], &inner))), four, None),
        (
            "ERSPAN II",
            1,
            e(&ipv4(47, &gre(0x1000, 0x88be, &[&[0, 0, 0, 1][..], &erspan].concat(), &inner))),
            four,
            Some("erspan 5"),
        ),
        (
            "ERSPAN III",
            1,
            e(&ipv4(
                47,
                &gre(0x1000, 0x22eb, &[&[0, 0, 0, 1][..], &erspan, &[0, 0, 0, 0]].concat(), &inner),
            )),
            four,
            Some("erspan 5"),
        ),
        (
            "ERSPAN III, IP, with a further header",
            1,
            e(&ipv4(
                47,
                &gre(
                    0x1000,
                    0x22eb,
                    &[&[0, 0, 0, 1][..], &erspan, &[0, 0, 0x08, 1], &[0; 8]].concat(),
                    &v4(),
                ),
            )),
            four,
            Some("erspan 5"),
        ),
        ("VXLAN", 1, in_udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0], &inner), four, Some("vxlan 42")),
        (
            "VXLAN in a VLAN, a VLAN in it, the old port",
            1,
            ethernet(
                0x8100,
                &vlan(
                    7,
                    0x86dd,
                    &ipv6(
                        17,
                        &udp(
                            1,
                            8472,
                            &[
                                &[8, 0, 0, 0, 0, 0, 42, 0][..],
                                &ethernet(0x8100, &vlan(9, 0x86dd, &v6())),
                            ]
                            .concat(),
                        ),
                    ),
                ),
            ),
            six,
            Some("vlan 7, vxlan 42, vlan 9"),
        ),
        ("Geneve", 1, in_udp(6081, &geneve, &inner), four, Some("geneve 42")),
        ("GTP-U", 1, gtp(0x30, &[], &v4()), four, Some("gtp")),
        ("GTP-U, sequence", 1, gtp(0x32, &[0, 1, 0, 0], &v6()), six, Some("gtp")),
        (
            "GTP-U, two extensions",
            1,
            gtp(0x34, &[0, 0, 0, 0x85, 1, 0, 0, 0x85, 2, 0, 0, 0, 0, 0, 0, 0], &v4()),
            four,
            Some("gtp"),
        ),
        ("Teredo", 1, teredo(&[]), six, None),
        ("Teredo, origin", 1, teredo(&[0, 0, 1, 2, 3, 4, 5, 6]), six, None),
        (
            "Teredo, authentication and origin",
            1,
            teredo(&[0, 1, 1, 2, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6]),
            six,
            None,
        ),
        (
            "AYIYA",
            1,
            in_udp(5072, &[&[0x41, 0x52, 0x11, 41][..], &[7; 4 + 16 + 20]].concat(), &v6()),
            six,
            None,
        ),
        ("IPv4 options", 1, e(&ipv4_with(6, 0, &[1; 8], &tcp(&[], 0))), four, None),
        (
            "IPv4, AH",
            1,
            e(&ipv4(51, &[&[6, 4, 0, 0][..], &[0; 20], &tcp(&[], 0)].concat())),
            four,
            None,
        ),
        (
            "first fragment",
            1,
            e(&ipv4_with(6, 0x2000, &[], &tcp(&[], 4))),
            TcpSegment { payload: 4, ..four },
            None,
        ),
        ("hop by hop", 1, ethernet(0x86dd, &ext(6, 0, &tcp(&[], 0))), six, None),
        ("routing", 1, ethernet(0x86dd, &ext(6, 43, &tcp(&[], 0))), six, None),
        ("fragment", 1, ethernet(0x86dd, &ext(6, 44, &tcp(&[], 0))), six, None),
        (
            "destination options, AH",
            1,
            ethernet(0x86dd, &ext(51, 60, &[&[6, 1, 0, 0][..], &[0; 8], &tcp(&[], 0)].concat())),
            six,
            None,
        ),
    ]
}

#[test]
fn every_link_type_and_tunnel_leads_to_the_segment() {
    for (name, link, bytes, expected, scope) in with_segments() {
        let mut decoder = Decoder::new();
        let found = decoder.decode(&packet(link, &bytes));
        let expected = TcpSegment { scope: u32::from(scope.is_some()), ..expected };
        assert_eq!(found, Ok(Observed::Segment(expected)), "{name}");
        assert_eq!(decoder.scopes().name(expected.scope).as_deref(), scope, "{name}");
        assert_eq!(decoder.counts(), &Counts { segments: 1, ..Counts::default() }, "{name}");
    }
}

/// All that is needed is 14 bytes of the TCP header; with less the packet was cut, never malformed.
#[test]
fn a_packet_that_the_capture_cut_is_never_malformed() {
    for (name, link, bytes, expected, _) in with_segments() {
        let header = usize::try_from(expected.payload).unwrap() + 20;
        for length in 0..bytes.len() {
            let original_len = u32::try_from(bytes.len()).unwrap();
            let cut = Packet { original_len, ..packet(link, &bytes[..length]) };
            let mut decoder = Decoder::new();
            let found = decoder.decode(&cut);
            let missing = bytes.len() - length;
            if missing <= header - 14 {
                let Ok(Observed::Segment(segment)) = found else {
                    panic!("{name} {length}: {found:?}")
                };
                let truncated = missing > header - 20;
                let window = if missing > header - 16 { 0 } else { expected.window };
                let scope = segment.scope;
                assert_eq!(segment, TcpSegment { truncated, window, scope, ..expected }, "{name}");
            } else {
                assert_eq!(found, Ok(Observed::Other), "{name} {length}");
                let counts = decoder.counts();
                // The fields by which a tunnel is known may be what is missing.
                assert_eq!(counts.cut + counts.fragments + counts.other, 1, "{name} {length}");
            }
        }
    }
}

/// Of a packet that ends so on the wire anything may be said, but something.
#[test]
fn no_prefix_and_no_flipped_bit_makes_decoding_panic() {
    let mut packets: Vec<_> =
        with_segments().into_iter().map(|(_, link, bytes, ..)| (link, bytes)).collect();
    packets.push((1, ethernet(0x0800, &icmp(3, 3, &v4()))));
    packets.push((1, ethernet(0x86dd, &icmp6(1, 4, &v6()))));
    let mut decoder = Decoder::new();
    let mut told = 0;
    for (link, bytes) in packets {
        for length in 0..bytes.len() {
            let _ = decoder.decode(&packet(link, &bytes[..length]));
            told += 1;
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = decoder.decode(&packet(link, &flipped));
            told += 1;
        }
    }
    let Counts { segments, icmp_errors, fragments, cut, unread_link, malformed, other } =
        *decoder.counts();
    assert_eq!(segments + icmp_errors + fragments + cut + unread_link + malformed + other, told);
    assert_eq!(decoder.warnings().count(), malformed);
}

#[test]
fn the_fast_way_says_what_the_general_way_says() {
    for (name, link, bytes, ..) in with_segments() {
        for payload in 0..3 {
            let mut bytes = bytes.clone();
            // A little padding, which must not count.
            bytes.resize(bytes.len() + payload, 0);
            let packet = packet(link, &bytes);
            if fast::segment(&packet).is_some() {
                let general = Decoder::new().general(&packet).expect("a segment");
                assert_eq!(Decoder::new().decode(&packet), Ok(general), "{name}");
                let mut seen = Vec::new();
                Decoder::new().decode_into(&packet, &mut seen).expect("a segment");
                assert_eq!(seen, [general], "{name}");
            }
        }
    }
    for name in ["ethernet, IPv4", "ethernet, IPv6"] {
        let all = with_segments();
        let (_, link, bytes, ..) = all.iter().find(|(other, ..)| *other == name).unwrap();
        assert!(fast::segment(&packet(*link, bytes)).is_some(), "{name} is what it is for");
    }
}

#[test]
fn tunnels_are_switchable() {
    let off = |tunnels: Tunnels, name: &str| {
        let mut decoder = Decoder::with_tunnels(tunnels);
        let all = with_segments();
        let (_, link, bytes, ..) = all.iter().find(|(other, ..)| *other == name).unwrap();
        assert_eq!(decoder.decode(&packet(*link, bytes)), Ok(Observed::Other), "{name}");
    };
    let all = Tunnels::default();
    off(Tunnels { ip_in_ip: false, ..all }, "4in4");
    off(Tunnels { ip_in_ip: false, ..all }, "6in6");
    off(Tunnels { ip_in_ip: false, ..all }, "AYIYA");
    off(Tunnels { gre: false, ..all }, "GRE");
    off(Tunnels { gre: false, ..all }, "GRE over UDP");
    off(Tunnels { vxlan: false, ..all }, "VXLAN");
    off(Tunnels { geneve: false, ..all }, "Geneve");
    off(Tunnels { erspan: false, ..all }, "ERSPAN II");
    off(Tunnels { gtp: false, ..all }, "GTP-U");
    off(Tunnels { teredo: false, ..all }, "Teredo");
    off(Tunnels::NONE, "ERSPAN I");
}

fn check_options(bytes: &[u8], expected: SegmentOptions) {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(bytes, 5)));
    let expected = TcpSegment { options: expected, payload: 5, ..plain_segment() };
    let found = Decoder::new().decode(&packet(1, &frame));
    assert_eq!(found, Ok(Observed::Segment(expected)), "{bytes:?}");
}

#[test]
fn options_are_read_as_far_as_they_make_sense() {
    let none = SegmentOptions::default();
    let timestamps = Some(TimestampOption { value: 0x0102_0304, echo: 5 });
    check_options(
        &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 5, 1, 3, 3, 7],
        SegmentOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps,
            fast_open: None,
        },
    );
    check_options(&[1, 1, 8, 10, 1, 2, 3, 4, 0, 0, 0, 5], SegmentOptions { timestamps, ..none });
    check_options(&[34, 2, 1, 1], SegmentOptions { fast_open: Some(FastOpen::Request), ..none });
    check_options(
        &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1],
        SegmentOptions { fast_open: Some(FastOpen::Cookie), ..none },
    );
    check_options(
        &[254, 4, 0xf9, 0x89],
        SegmentOptions { fast_open: Some(FastOpen::Request), ..none },
    );
    // An end, a length of zero, one beyond the header, a wrong one: nothing after it is read.
    check_options(&[0, 3, 3, 7], none);
    check_options(&[9, 0, 3, 3, 7, 0, 0, 0], none);
    check_options(&[9, 40, 3, 3, 7, 0, 0, 0], none);
    check_options(&[2, 3, 9, 3, 3, 7, 0, 0], SegmentOptions { window_scale: Some(7), ..none });
}

#[test]
fn payload_is_what_the_ip_header_says_or_else_what_was_on_the_wire() {
    let payload_of = |frame: &[u8], original_len: usize| {
        let original_len = u32::try_from(original_len).unwrap();
        let found = Decoder::new().decode(&Packet { original_len, ..packet(1, frame) });
        let Ok(Observed::Segment(segment)) = found else { panic!("{found:?}") };
        segment.payload
    };
    let mut padded = ethernet(0x0800, &v4());
    padded.resize(60, 0);
    assert_eq!(payload_of(&padded, 60), 0, "padding");
    let frame = ethernet(0x0800, &ipv4(6, &tcp(&[], 100)));
    assert_eq!(payload_of(&frame[..60], frame.len()), 100, "cut");
    let mut offloaded = frame.clone();
    offloaded[16..18].fill(0);
    assert_eq!(payload_of(&offloaded, frame.len()), 100, "no length in IPv4");
    assert_eq!(payload_of(&offloaded[..60], 5000), 5000 - 54, "that, and cut");
    let mut jumbo = ethernet(0x86dd, &ipv6(6, &tcp(&[], 100)));
    jumbo[18..20].fill(0);
    assert_eq!(payload_of(&jumbo, jumbo.len()), 100, "no length in IPv6");
}

fn check_icmp(frame: &[u8], expected: Option<(IcmpKind, &str)>) {
    let mut decoder = Decoder::new();
    let found = decoder.decode(&packet(1, frame));
    let expected = match expected {
        None => Observed::Other,
        Some((kind, reporter)) => {
            let reporter: std::net::IpAddr = reporter.parse().unwrap();
            let about = if reporter.is_ipv4() { v4_segment() } else { v6_segment() };
            let TcpSegment { time_ns, record, scope, from, to, seq, .. } = about;
            Observed::IcmpError(IcmpError { time_ns, record, scope, reporter, kind, from, to, seq })
        }
    };
    assert_eq!(found, Ok(expected));
}

#[test]
fn icmp_errors_tell_of_the_segment_that_they_quote() {
    let four = |kind, code, expected| {
        let frame = ethernet(0x0800, &icmp(kind, code, &v4()[..28]));
        check_icmp(&frame, Some((expected, "10.0.0.7")));
    };
    four(3, 0, IcmpKind::HostUnreachable);
    four(3, 1, IcmpKind::HostUnreachable);
    four(3, 3, IcmpKind::PortUnreachable);
    four(3, 4, IcmpKind::TooBig);
    four(3, 13, IcmpKind::AdministrativelyProhibited);
    four(11, 0, IcmpKind::TimeExceeded);
    four(12, 0, IcmpKind::Other);
    let six = |kind, code, expected| {
        let frame = ethernet(0x86dd, &icmp6(kind, code, &v6()));
        check_icmp(&frame, Some((expected, "fd00::7")));
    };
    six(1, 0, IcmpKind::HostUnreachable);
    six(1, 1, IcmpKind::AdministrativelyProhibited);
    six(1, 3, IcmpKind::HostUnreachable);
    six(1, 4, IcmpKind::PortUnreachable);
    six(2, 0, IcmpKind::TooBig);
    six(3, 0, IcmpKind::TimeExceeded);
    // An echo, an error about UDP, one that quotes too little, one about a later fragment.
    check_icmp(&ethernet(0x0800, &icmp(8, 0, &v4())), None);
    check_icmp(&ethernet(0x0800, &icmp(3, 3, &ipv4(17, &[0; 8]))), None);
    check_icmp(&ethernet(0x0800, &icmp(3, 3, &v4()[..27])), None);
    check_icmp(&ethernet(0x0800, &icmp(3, 3, &ipv4_with(6, 5, &[], &[0; 20]))), None);
}

#[test]
fn other_packets_are_counted_by_what_they_are() {
    let count = |link: u32, bytes: &[u8]| {
        let mut decoder = Decoder::new();
        let found = decoder.decode(&packet(link, bytes));
        (*decoder.counts(), found.err())
    };
    let none = Counts::default();
    let other = (Counts { other: 1, ..none }, None);
    let fragment = (Counts { fragments: 1, ..none }, None);
    let malformed = |how| (Counts { malformed: 1, ..none }, Some(how));
    assert_eq!(count(1, &ethernet(0x0806, &[0; 28])), other);
    assert_eq!(count(1, &ethernet(0x0800, &ipv4(17, &udp(53, 53, &[0; 20])))), other);
    assert_eq!(count(1, &ethernet(0x0800, &ipv4_with(6, 3, &[], &[0; 20]))), fragment);
    assert_eq!(count(1, &ethernet(0x0800, &ipv4_with(6, 0x2000, &[], &[0; 8]))), fragment);
    assert_eq!(count(147, &[0; 60]), (Counts { unread_link: 1, ..none }, None));
    // Encrypted, a beacon, several packets in one frame, a fragment.
    let wireless = |head: &[u8]| count(105, &[head, &[0; 60]].concat());
    assert_eq!(wireless(&[0x08, 0x41]), other);
    assert_eq!(wireless(&[0x80, 0]), other);
    assert_eq!(wireless(&[&[0x88, 1][..], &[0; 22], &[0x80]].concat()), other);
    assert_eq!(wireless(&[0x08, 5]), fragment);
    assert_eq!(count(1, &[0; 10]), malformed(Malformed::Short));
    assert_eq!(count(1, &ethernet(0x0800, &v6())), malformed(Malformed::IpVersion));
    assert_eq!(count(1, &ethernet(0x0800, &ipv4(6, &[0; 20]))), malformed(Malformed::TcpHeader));
    let mut short = v4();
    short[0] = 0x44;
    assert_eq!(count(228, &short), malformed(Malformed::Ipv4Header));
    let mut nested = v4();
    for _ in 0..30 {
        nested = ipv4(4, &nested);
    }
    assert_eq!(count(228, &nested), malformed(Malformed::Nesting));
}

#[test]
fn what_only_has_a_tunnels_port_is_something_else() {
    for body in [&[0; 40][..], &[0x45; 40], &[0x60; 40], &[0xff; 40]] {
        for port in [3544, 2152] {
            let frame = ethernet(0x0800, &ipv4(17, &udp(53, port, body)));
            assert_eq!(Decoder::new().decode(&packet(1, &frame)), Ok(Observed::Other));
        }
    }
}

/// etherparse, where it can read a packet at all, reads the same.
#[test]
fn etherparse_agrees() {
    let mut compared = 0;
    for (name, link, bytes, expected, _) in with_segments() {
        let Ok(sliced) = LaxSlicedPacket::from_ethernet(&bytes) else { continue };
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { continue };
        if link != 1 {
            continue;
        }
        let (ttl, from) = match sliced.net {
            Some(LaxNetSlice::Ipv4(ip)) => (ip.header().ttl(), ip.header().source_addr().into()),
            Some(LaxNetSlice::Ipv6(ip)) => {
                (ip.header().hop_limit(), std::net::IpAddr::from(ip.header().source_addr()))
            }
            _ => panic!("TCP is over IP"),
        };
        let theirs = (from, tcp.source_port(), tcp.sequence_number(), tcp.window_size(), ttl);
        let TcpSegment { from, seq, window, ttl, .. } = expected;
        assert_eq!(theirs, (from.ip(), from.port(), seq, window, ttl), "{name}");
        assert_eq!(tcp.payload().len(), expected.payload as usize, "{name}");
        compared += 1;
    }
    assert!(compared >= 8, "only {compared} packets compared");
}
