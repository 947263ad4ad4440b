//! Which packets a packet socket wants, as a classic BPF program for the kernel.
//!
//! Wanted are TCP segments, the first 128 bytes of each, and ICMP errors. What begins and ends a
//! connection (SYN, FIN, RST) is always wanted. A filter without memory cannot tell the ACK that
//! completes a handshake, or the first data after it, from any other segment, and without these a full
//! accept queue cannot be told from a lost ACK. So all segments pass, but for those of flows that are
//! known to be established and busy: their addresses are written into the program ([`Flow`]), and of
//! them only SYN, FIN and RST pass. Most segments of a busy host belong to few flows.
//!
//! The program sees packets from their IP header on, as sockets of type SOCK_DGRAM do. Ports and
//! networks are those at either end; what the caller asked for in more detail it has to look at again.
//! IPv6 packets with extension headers, and fragments after the first, are not looked into: the former
//! all pass, the latter never.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::program::{Assembler, Instruction, LONGEST, Label, op};

/// Bytes that are wanted of a packet: the longest IPv4 and TCP headers together, or the headers of an
/// ICMP error with those that it quotes.
pub(super) const WANTED: u32 = 128;

/// Ranges of ports, and networks, that the kernel compares with; beyond so many it compares with none.
const LISTED: usize = 64;

/// Busy flows that are left out; each costs every other segment four instructions.
pub(super) const BUSY_FLOWS: usize = 32;

/// Offset of what the kernel knows of a packet beside its bytes (include/uapi/linux/filter.h
/// `SKF_AD_OFF`), with PROTOCOL, PKTTYPE and HATYPE.
const BESIDE: u32 = 0xffff_f000;
const PROTOCOL: u32 = BESIDE;
const PACKET_TYPE: u32 = BESIDE + 4;
const HARDWARE: u32 = BESIDE + 28;

const ARPHRD_LOOPBACK: u32 = 772;
const PACKET_OUTGOING: u32 = 4;
const TCP: u32 = 6;
/// FIN, SYN and RST among the flags of a segment.
const FIN_SYN_RST: u32 = 0x07;
/// The offset in the fragment field of IPv4.
const FRAGMENT_OFFSET: u32 = 0x1fff;

/// What of the packets is wanted. The default is every TCP segment and every ICMP error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketFilter {
    /// Only segments with one of these ports at either end.
    pub ports: Option<BTreeSet<u16>>,
    /// Only packets with an address in one of these networks at either end.
    pub networks: Option<Vec<Network>>,
    /// Flows of which nothing but SYN, FIN and RST is wanted; the first 32 count.
    pub busy: Vec<Flow>,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// One of them.
    pub address: IpAddr,
    /// How many bits they share.
    pub bits: u8,
}

/// The two ends of a flow, in any order and of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// One end.
    pub one: SocketAddr,
    /// The other.
    pub other: SocketAddr,
}

/// Where things are in the headers of one version of IP.
struct Version {
    /// Ethernet's number for it.
    ether_type: u32,
    protocol_at: u32,
    source_at: u32,
    destination_at: u32,
    /// Words of an address.
    words: u32,
    icmp: u32,
    /// ICMP types that are errors.
    errors: &'static [u32],
}

const V4: Version = Version {
    ether_type: 0x0800,
    protocol_at: 9,
    source_at: 12,
    destination_at: 16,
    words: 1,
    icmp: 1,
    errors: &[3, 4, 11, 12],
};

const V6: Version = Version {
    ether_type: 0x86dd,
    protocol_at: 6,
    source_at: 8,
    destination_at: 24,
    words: 4,
    icmp: 58,
    errors: &[1, 2, 3, 4],
};

/// Headers between IPv6 and TCP: hop-by-hop options, routing, fragment, destination options.
const EXTENSIONS: [u32; 4] = [0, 43, 44, 60];

impl PacketFilter {
    /// The program.
    pub(super) fn program(&self) -> Vec<Instruction> {
        let mut writer = Writer::new();
        writer.loopback_once();
        writer.code.push(op::LD_WORD, PROTOCOL);
        let v6 = writer.code.label();
        writer.code.jump_if(op::IF_EQUAL, V6.ether_type, v6);
        writer.code.jump_unless(op::IF_EQUAL, V4.ether_type, writer.drop);
        writer.version(&V4, self);
        writer.code.place(v6);
        writer.version(&V6, self);
        let program = writer.finish();
        debug_assert!(program.len() <= LONGEST, "{} instructions", program.len());
        program
    }
}

struct Writer {
    code: Assembler,
    pass: Label,
    drop: Label,
}

impl Writer {
    fn new() -> Self {
        let mut code = Assembler::default();
        let (pass, drop) = (code.label(), code.label());
        Self { code, pass, drop }
    }

    fn finish(mut self) -> Vec<Instruction> {
        self.code.place(self.pass);
        self.code.push(op::RETURN, WANTED);
        self.code.place(self.drop);
        self.code.push(op::RETURN, 0);
        self.code.finish()
    }

    /// What goes over loopback is seen going out and coming in: the former is left out.
    fn loopback_once(&mut self) {
        let go_on = self.code.label();
        self.code.push(op::LD_HALF, HARDWARE);
        self.code.jump_unless(op::IF_EQUAL, ARPHRD_LOOPBACK, go_on);
        self.code.push(op::LD_BYTE, PACKET_TYPE);
        self.code.jump_if(op::IF_EQUAL, PACKET_OUTGOING, self.drop);
        self.code.place(go_on);
    }

    /// Packets of one version of IP; ends in a jump.
    fn version(&mut self, version: &Version, filter: &PacketFilter) {
        let (icmp, tcp) = (self.code.label(), self.code.label());
        self.code.push(op::LD_BYTE, version.protocol_at);
        self.code.jump_if(op::IF_EQUAL, TCP, tcp);
        self.code.jump_if(op::IF_EQUAL, version.icmp, icmp);
        if version.words > 1 {
            for extension in EXTENSIONS {
                self.code.jump_if(op::IF_EQUAL, extension, self.pass);
            }
        }
        self.code.jump(self.drop);

        self.code.place(icmp);
        self.header_length(version);
        self.code.push(op::LD_BYTE_X, 0);
        for &error in version.errors {
            self.code.jump_if(op::IF_EQUAL, error, self.pass);
        }
        self.code.jump(self.drop);

        self.code.place(tcp);
        if version.words == 1 {
            self.code.push(op::LD_HALF, 6);
            self.code.jump_if(op::IF_ANY_BIT, FRAGMENT_OFFSET, self.drop);
        }
        self.networks(version, filter);
        self.header_length(version);
        self.ports(filter);
        self.code.push(op::LD_BYTE_X, 13);
        self.code.jump_if(op::IF_ANY_BIT, FIN_SYN_RST, self.pass);
        self.busy(version, filter);
        self.code.jump(self.pass);
    }

    /// X = where the next header begins.
    fn header_length(&mut self, version: &Version) {
        if version.words == 1 {
            self.code.push(op::LDX_IPV4_LENGTH, 0);
        } else {
            self.code.push(op::LDX, 40);
        }
    }

    fn networks(&mut self, version: &Version, filter: &PacketFilter) {
        let Some(networks) = filter.networks.as_ref().filter(|some| some.len() <= LISTED) else {
            return;
        };
        let is_in = self.code.label();
        for network in networks {
            let Some(words) = network.words(version) else { continue };
            for at in [version.source_at, version.destination_at] {
                let is_not = self.code.label();
                for (place, &(word, mask)) in (0..).zip(&words) {
                    self.code.push(op::LD_WORD, at + 4 * place);
                    self.code.push(op::AND, mask);
                    self.code.jump_unless(op::IF_EQUAL, word, is_not);
                }
                self.code.jump(is_in);
                self.code.place(is_not);
            }
        }
        self.code.jump(self.drop);
        self.code.place(is_in);
    }

    fn ports(&mut self, filter: &PacketFilter) {
        let ranges = filter.ports.as_ref().map(ranges);
        let Some(ranges) = ranges.filter(|some| some.len() <= LISTED) else { return };
        let is_one = self.code.label();
        for at in [0, 2] {
            self.code.push(op::LD_HALF_X, at);
            for &(first, last) in &ranges {
                let is_not = self.code.label();
                self.code.jump_unless(op::IF_AT_LEAST, first.into(), is_not);
                self.code.jump_unless(op::IF_GREATER, last.into(), is_one);
                self.code.place(is_not);
            }
        }
        self.code.jump(self.drop);
        self.code.place(is_one);
    }

    /// Of IPv6 addresses the last words are compared: two flows with equal ports and equal last words
    /// are one in the eyes of the kernel.
    fn busy(&mut self, version: &Version, filter: &PacketFilter) {
        let last_word = 4 * (version.words - 1);
        for flow in filter.busy.iter().take(BUSY_FLOWS) {
            for (from, to) in [(flow.one, flow.other), (flow.other, flow.one)] {
                let (Some(source), Some(destination)) =
                    (version.last_word(from.ip()), version.last_word(to.ip()))
                else {
                    continue;
                };
                let is_not = self.code.label();
                let ports = u32::from(from.port()) << 16 | u32::from(to.port());
                self.code.push(op::LD_WORD_X, 0);
                self.code.jump_unless(op::IF_EQUAL, ports, is_not);
                self.code.push(op::LD_WORD, version.source_at + last_word);
                self.code.jump_unless(op::IF_EQUAL, source, is_not);
                self.code.push(op::LD_WORD, version.destination_at + last_word);
                self.code.jump_if(op::IF_EQUAL, destination, self.drop);
                self.code.place(is_not);
            }
        }
    }
}

impl Version {
    /// The last word of an address, if it is of this version.
    fn last_word(&self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => (self.words == 1).then(|| address.to_bits()),
            IpAddr::V6(address) => {
                let [.., a, b, c, d] = address.octets();
                (self.words > 1).then(|| u32::from_be_bytes([a, b, c, d]))
            }
        }
    }
}

impl Network {
    /// The words that are compared, with their masks, if it is of this version.
    fn words(self, version: &Version) -> Option<Vec<(u32, u32)>> {
        let bytes = match self.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let words = bytes.chunks_exact(4).filter_map(|word| word.first_chunk().copied());
        let words: Vec<u32> = words.map(u32::from_be_bytes).collect();
        if words.len() != usize::try_from(version.words).ok()? {
            return None;
        }
        let masked = words.into_iter().zip(0..).map_while(|(word, place)| {
            let bits = u32::from(self.bits).checked_sub(32 * place).filter(|&bits| bits > 0)?;
            let mask = u32::MAX << (32 - bits.min(32));
            Some((word & mask, mask))
        });
        Some(masked.collect())
    }
}

/// Ports in a row, taken together.
fn ranges(ports: &BTreeSet<u16>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Beside, Segment, run};
    use super::*;

    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;

    fn segment(from: &str, to: &str, flags: u8) -> Segment {
        let address = |text: &str| text.parse().expect("an address");
        Segment { from: address(from), to: address(to), flags }
    }

    fn passes(filter: &PacketFilter, segment: &Segment) -> bool {
        let (packet, beside) = segment.packet();
        wanted(filter, &packet, beside)
    }

    fn wanted(filter: &PacketFilter, packet: &[u8], beside: Beside) -> bool {
        match run(&filter.program(), packet, beside) {
            0 => false,
            WANTED => true,
            other => panic!("{other} bytes are wanted"),
        }
    }

    const ENDS: [(&str, &str); 2] =
        [("10.0.0.1:40000", "10.0.0.2:80"), ("[fd00::1]:40000", "[fd00::2]:80")];

    #[test]
    fn every_segment_passes_once_and_nothing_else_but_icmp_errors() {
        let filter = PacketFilter::default();
        for (from, to) in ENDS {
            for flags in [SYN, ACK, SYN | ACK, 1 | ACK, 4] {
                assert!(passes(&filter, &segment(from, to, flags)), "{from} {flags}");
            }
            let (mut packet, beside) = segment(from, to, SYN).packet();
            let loopback = Beside { hardware: ARPHRD_LOOPBACK, ..beside };
            assert!(wanted(&filter, &packet, loopback));
            let going_out = Beside { packet_type: PACKET_OUTGOING, ..loopback };
            assert!(!wanted(&filter, &packet, going_out));
            let on_a_wire = Beside { packet_type: PACKET_OUTGOING, ..beside };
            assert!(wanted(&filter, &packet, on_a_wire));
            assert!(!wanted(&filter, &packet, Beside { protocol: 0x0806, ..beside }));
            for length in 0..packet.len().min(54) {
                // Whatever is cut does not pass, for its flags cannot be read.
                let is_whole = length > if from.starts_with('[') { 53 } else { 33 };
                assert_eq!(wanted(&filter, &packet[..length], beside), is_whole, "{length}");
            }
            let protocol_at = if from.starts_with('[') { 6 } else { 9 };
            packet[protocol_at] = 17;
            assert!(!wanted(&filter, &packet, beside), "UDP");
        }
    }

    #[test]
    fn icmp_errors_pass_and_echoes_do_not() {
        let filter = PacketFilter { ports: Some(BTreeSet::from([80])), ..PacketFilter::default() };
        for ((from, to), protocol_at, icmp, header, error, echo) in
            [(ENDS[0], 9, 1, 20, 3, 8), (ENDS[1], 6, 58, 40, 1, 128)]
        {
            let (mut packet, beside) = segment(from, to, SYN).packet();
            packet[protocol_at] = icmp;
            for (kind, passes) in [(error, true), (echo, false)] {
                packet[header] = kind;
                assert_eq!(wanted(&filter, &packet, beside), passes, "{icmp} {kind}");
            }
        }
    }

    #[test]
    fn later_fragments_do_not_pass_and_extension_headers_do() {
        let filter = PacketFilter::default();
        let (mut packet, beside) = segment(ENDS[0].0, ENDS[0].1, SYN).packet();
        packet[6] = 0x20;
        assert!(wanted(&filter, &packet, beside), "the first of several");
        packet[7] = 1;
        assert!(!wanted(&filter, &packet, beside));
        let (mut packet, beside) = segment(ENDS[1].0, ENDS[1].1, SYN).packet();
        packet[6] = 44;
        assert!(wanted(&filter, &packet, beside));
    }

    #[test]
    fn ports_are_those_at_either_end() {
        let ports = |ports: &[u16]| PacketFilter {
            ports: Some(ports.iter().copied().collect()),
            ..PacketFilter::default()
        };
        for (from, to) in ENDS {
            for (filter, is_wanted) in [
                (ports(&[80]), true),
                (ports(&[40000]), true),
                (ports(&[79, 81]), false),
                (ports(&[78, 79, 80, 81]), true),
                (ports(&[]), false),
            ] {
                assert_eq!(passes(&filter, &segment(from, to, SYN)), is_wanted, "{filter:?}");
                assert_eq!(passes(&filter, &segment(to, from, ACK)), is_wanted, "{filter:?}");
            }
        }
        let odd: Vec<u16> = (1..1000).step_by(2).collect();
        assert!(passes(&ports(&odd), &segment(ENDS[0].0, ENDS[0].1, SYN)), "too many to compare");
    }

    #[test]
    fn networks_are_those_at_either_end() {
        let networks = |list: &[(&str, u8)]| {
            let network = |&(address, bits): &(&str, u8)| Network {
                address: address.parse().expect("an address"),
                bits,
            };
            PacketFilter {
                networks: Some(list.iter().map(network).collect()),
                ..PacketFilter::default()
            }
        };
        for (list, v4, v6) in [
            (&[("10.0.0.1", 32)][..], true, false),
            (&[("10.0.0.2", 32)], true, false),
            (&[("10.0.0.3", 32)], false, false),
            (&[("10.0.0.3", 30), ("fd00::3", 126)], true, true),
            (&[("10.1.2.3", 8)], true, false),
            (&[("0.0.0.0", 0)], true, false),
            (&[("fd00::2", 128)], false, true),
            (&[("fd00::4", 128)], false, false),
            (&[("fd00::ffff:0:0", 64)], false, true),
            (&[("fd00:1::", 32)], false, false),
            (&[], false, false),
        ] {
            for ((from, to), expected) in ENDS.iter().zip([v4, v6]) {
                for (from, to) in [(from, to), (to, from)] {
                    let passed = passes(&networks(list), &segment(from, to, ACK));
                    assert_eq!(passed, expected, "{from} {list:?}");
                }
            }
        }
    }

    #[test]
    fn of_busy_flows_only_their_beginning_and_end_pass() {
        let flow = |(one, other): (&str, &str)| Flow {
            one: one.parse().expect("an address"),
            other: other.parse().expect("an address"),
        };
        let others = (0..40).map(|n| flow((&format!("10.0.0.9:{n}"), "10.0.0.2:80")));
        let busy = ENDS.map(flow).into_iter().chain(others).collect();
        let filter = PacketFilter { busy, ..PacketFilter::default() };
        assert!(filter.program().len() < LONGEST);
        for (from, to) in ENDS {
            for (from, to) in [(from, to), (to, from)] {
                assert!(!passes(&filter, &segment(from, to, ACK)));
                for flags in [SYN, SYN | ACK, 1 | ACK, 4, 4 | ACK] {
                    assert!(passes(&filter, &segment(from, to, flags)));
                }
            }
        }
        for (from, to) in [
            ("10.0.0.1:40001", "10.0.0.2:80"),
            ("10.0.0.3:40000", "10.0.0.2:80"),
            ("10.0.0.2:40000", "10.0.0.1:80"),
            ("[fd00::3]:40000", "[fd00::2]:80"),
        ] {
            assert!(passes(&filter, &segment(from, to, ACK)), "{from} {to}");
        }
    }

    #[test]
    fn the_fullest_filter_fits_into_the_kernel() {
        let filter = PacketFilter {
            ports: Some((1..128).step_by(2).collect()),
            networks: Some(vec![
                Network {
                    address: "fd00::1".parse().expect("an address"),
                    bits: 128
                };
                LISTED
            ]),
            busy: vec![
                Flow {
                    one: "[fd00::1]:1".parse().expect("an address"),
                    other: "[fd00::2]:2".parse().expect("an address"),
                };
                BUSY_FLOWS
            ],
        };
        let length = filter.program().len();
        assert!(length <= LONGEST, "{length}");
    }
}
