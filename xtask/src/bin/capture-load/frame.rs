//! Packets as bytes: Ethernet, perhaps a VLAN, IPv4 or IPv6, TCP with the usual options.

use std::io::{self, Write};

use super::plot::{By, Plot, Sent, flag};

/// When the capture begins: 2026-01-01, in seconds since 1970.
const BEGINNING: u64 = 1_767_225_600;

/// The addresses of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    client: u32,
    client_port: u16,
    server: u32,
    server_port: u16,
    v6: bool,
    vlan: Option<u16>,
    isn: [u32; 2],
}

/// A frame under construction; its buffer is used again.
#[derive(Default)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
}

impl Ends {
    /// The ends of connection number `n`: some hundred servers, and clients that no two connections
    /// share a port of.
    pub(crate) fn of(n: u32, _: &Plot) -> Self {
        Self {
            client: 0x0a10_0000 + n / 50_000 * 997 + n % 97,
            client_port: 10_000 + u16::try_from(n % 50_000).unwrap_or(0),
            server: 0x0a00_0001 + n % 89,
            server_port: [80, 443, 8080, 5432][n as usize % 4],
            v6: n % 7 == 3,
            vlan: (n % 20 == 11).then_some(7),
            isn: [n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503).wrapping_add(77)],
        }
    }
}

impl Frame {
    /// Writes one packet with its record header.
    pub(crate) fn write(
        &mut self,
        out: &mut impl Write,
        at_us: u64,
        ends: &Ends,
        sent: &Sent,
    ) -> io::Result<()> {
        self.build(at_us, ends, sent);
        let seconds = u32::try_from(BEGINNING + at_us / 1_000_000).unwrap_or(u32::MAX);
        let micros = u32::try_from(at_us % 1_000_000).unwrap_or(0);
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for field in [seconds, micros, length, length] {
            out.write_all(&field.to_le_bytes())?;
        }
        out.write_all(&self.bytes)
    }

    fn build(&mut self, at_us: u64, ends: &Ends, sent: &Sent) {
        let frame = &mut self.bytes;
        frame.clear();
        frame.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        if let Some(vlan) = ends.vlan {
            frame.extend_from_slice(&[0x81, 0x00]);
            frame.extend_from_slice(&vlan.to_be_bytes());
        }
        let segment = segment(at_us, ends, sent);
        let (from, to) = match sent.by {
            By::Client => (ends.client, ends.server),
            By::Server => (ends.server, ends.client),
        };
        if ends.v6 {
            ipv6(frame, from, to, segment);
        } else {
            ipv4(frame, at_us, from, to, segment);
        }
    }
}

/// The TCP header with its data; the checksum is left out.
fn segment(at_us: u64, ends: &Ends, sent: &Sent) -> Vec<u8> {
    let (ports, isn) = match sent.by {
        By::Client => ([ends.client_port, ends.server_port], [ends.isn[0], ends.isn[1]]),
        By::Server => ([ends.server_port, ends.client_port], [ends.isn[1], ends.isn[0]]),
    };
    let clock = u32::try_from(at_us / 1000).unwrap_or(0);
    let mut options = Vec::with_capacity(20);
    if sent.flags & flag::SYN != 0 {
        options.extend_from_slice(&[2, 4, 0x05, 0xb4, 4, 2, 8, 10]);
        options.extend_from_slice(&clock.to_be_bytes());
        options.extend_from_slice(&[0, 0, 0, 0, 1, 3, 3, 7]);
    } else if sent.flags & flag::RST == 0 {
        options.extend_from_slice(&[1, 1, 8, 10]);
        options.extend_from_slice(&clock.to_be_bytes());
        options.extend_from_slice(&clock.to_be_bytes());
    }
    let mut tcp = Vec::with_capacity(40 + usize::from(sent.payload));
    ports.iter().for_each(|port| tcp.extend_from_slice(&port.to_be_bytes()));
    tcp.extend_from_slice(&isn[0].wrapping_add(sent.seq).to_be_bytes());
    let acknowledges = sent.flags & flag::ACK != 0;
    let ack = if acknowledges { isn[1].wrapping_add(sent.ack) } else { 0 };
    tcp.extend_from_slice(&ack.to_be_bytes());
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(5);
    tcp.extend_from_slice(&[words << 4, sent.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    tcp.extend_from_slice(&options);
    tcp.resize(tcp.len() + usize::from(sent.payload), b'x');
    tcp
}

fn ipv4(frame: &mut Vec<u8>, at_us: u64, from: u32, to: u32, mut segment: Vec<u8>) {
    let total = u16::try_from(20 + segment.len()).unwrap_or(u16::MAX);
    let [_, _, _, _, _, _, a, b] = (at_us ^ u64::from(from)).to_be_bytes();
    let mut ip = vec![0x45, 0, 0, 0, a, b, 0x40, 0, 64, 6, 0, 0];
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip.extend_from_slice(&from.to_be_bytes());
    ip.extend_from_slice(&to.to_be_bytes());
    let sum = checksum(&ip, 0);
    ip[10..12].copy_from_slice(&sum);
    let addresses = word_sum(&ip[12..20]);
    finish(&mut segment, addresses);
    frame.extend_from_slice(&[0x08, 0x00]);
    frame.extend_from_slice(&ip);
    frame.extend_from_slice(&segment);
}

fn ipv6(frame: &mut Vec<u8>, from: u32, to: u32, mut segment: Vec<u8>) {
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let mut ip = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
    ip[4..6].copy_from_slice(&length.to_be_bytes());
    for address in [from, to] {
        ip.extend_from_slice(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        ip.extend_from_slice(&address.to_be_bytes());
    }
    let addresses = word_sum(&ip[8..40]);
    finish(&mut segment, addresses);
    frame.extend_from_slice(&[0x86, 0xdd]);
    frame.extend_from_slice(&ip);
    frame.extend_from_slice(&segment);
}

/// Fills in the TCP checksum, given the sum of both addresses.
fn finish(segment: &mut [u8], addresses: u32) {
    let length = u32::try_from(segment.len()).unwrap_or(0);
    let sum = checksum(segment, addresses + 6 + length);
    segment[16..18].copy_from_slice(&sum);
}

fn word_sum(bytes: &[u8]) -> u32 {
    let word =
        |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    bytes.chunks(2).map(word).sum()
}

/// The Internet checksum (RFC 1071) on top of a sum.
fn checksum(bytes: &[u8], on_top_of: u32) -> [u8; 2] {
    let mut sum = on_top_of + word_sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}
