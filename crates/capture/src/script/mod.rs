//! Captures written by hand, for tests: one packet a line. Behind the feature `script`, so that it is in
//! no program.
//!
//! ```text
//! client 0.000 S            who, seconds, flags as tcpdump prints them
//! server 0.010 S.
//! client 0.020 P. +100      with 100 bytes of data
//! client 0.220 P. +100 seq 1    numbers count from the sender's, or the other's, SYN
//! icmp 0.300 host           quotes the client's SYN; also big, or older, which quotes another one
//! clock 9.000               another connection's packet: time goes on
//! ```
//!
//! Numbers that are not given are those that a TCP would send. More words: `ack N`, `isn N` (a new
//! attempt), `ttl N`, `id N`, `ts VALUE/ECHO`, `ws N`, `sack`, `tfo` (with a cookie), `tfo-request`,
//! `cut` (by the capture, before the options).
//!
//! `page` reads `docs/captures.md`, which has one in each of its blocks.

mod page;

use std::net::SocketAddr;

pub use page::{Picture, counted, pictures};

use crate::{FastOpen, IcmpError, IcmpKind, Observed, SegmentOptions, TcpSegment, TimestampOption};

/// A second of the scripts' time as nanoseconds since 1970.
const BEGAN_NS: i64 = 1_700_000_000_000_000_000;

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Who sends the SYN.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// The two ends of another connection.
    pub others: [SocketAddr; 2],
}

/// IPv4 with the client's address the lower one, and IPv6 with the server's.
#[must_use]
pub fn families() -> [Ends; 2] {
    let ends = |client: &str, server: &str, other: [&str; 2]| Ends {
        client: client.parse().expect("an address"),
        server: server.parse().expect("an address"),
        others: other.map(|other| other.parse().expect("an address")),
    };
    [
        ends("10.0.0.1:40000", "10.0.0.2:80", ["10.9.9.9:1000", "10.9.9.8:80"]),
        ends("[fd00::2]:40000", "[fd00::1]:80", ["[fd99::1]:1000", "[fd99::2]:80"]),
    ]
}

#[derive(Clone, Copy)]
struct Side {
    isn: u32,
    next: u32,
    id: u16,
}

/// The packets of a script.
///
/// # Panics
/// If a line cannot be read.
#[must_use]
pub fn packets(script: &str, ends: Ends) -> Vec<Observed> {
    let side = |isn| Side { isn, next: isn, id: 100 };
    let mut sides = [side(1_000_000), side(4_294_967_290)];
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.zip(1..).map(|(line, record)| packet(line, record, ends, &mut sides)).collect()
}

fn packet(line: &str, record: u64, ends: Ends, sides: &mut [Side; 2]) -> Observed {
    let mut words = line.split_whitespace();
    let who = words.next().expect("who");
    let time_ns = nanoseconds(words.next().expect("a time"));
    let (us, from, to) = match who {
        "client" => (0, ends.client, ends.server),
        "server" => (1, ends.server, ends.client),
        "icmp" => return icmp(time_ns, record, ends, sides, words.next()),
        _ => {
            let segment = blank(time_ns, record, ends.others[0], ends.others[1]);
            return Observed::Segment(TcpSegment { flags: 16, ..segment });
        }
    };
    let mut segment = blank(time_ns, record, from, to);
    segment.flags = flags(words.next().expect("flags"));
    segment.ttl = if us == 0 { 64 } else { 60 };
    segment.options.mss = (segment.flags & 2 != 0).then_some(1460);
    let (mut seq, mut ack) = (None, None);
    while let Some(word) = words.next() {
        if let Some(bytes) = word.strip_prefix('+') {
            segment.payload = bytes.parse().expect("bytes");
            continue;
        }
        let mut number = || words.next().expect("a number").parse::<u32>().expect("a number");
        match word {
            "seq" => seq = Some(number()),
            "ack" => ack = Some(number()),
            "isn" => sides[us] = Side { isn: number(), next: 0, ..sides[us] },
            "ttl" => segment.ttl = u8::try_from(number()).expect("a TTL"),
            "id" => segment.ip_id = u16::try_from(number()).expect("an IP ID"),
            "ws" => segment.options.window_scale = u8::try_from(number()).ok(),
            "sack" => segment.options.sack_permitted = true,
            "tfo" => segment.options.fast_open = Some(FastOpen::Cookie),
            "tfo-request" => segment.options.fast_open = Some(FastOpen::Request),
            "cut" => {
                segment.truncated = true;
                segment.options = SegmentOptions::default();
            }
            "ts" => segment.options.timestamps = Some(timestamps(words.next().expect("ts"))),
            _ => panic!("{word}?"),
        }
    }
    number(&mut segment, us, seq, ack, sides);
    Observed::Segment(segment)
}

/// Gives a segment its numbers.
fn number(
    segment: &mut TcpSegment,
    us: usize,
    seq: Option<u32>,
    ack: Option<u32>,
    sides: &mut [Side; 2],
) {
    let them = sides[1 - us];
    let is_syn = segment.flags & 2 != 0;
    let ours = &mut sides[us];
    let usual = if is_syn { ours.isn } else { ours.next };
    segment.seq = seq.map_or(usual, |seq| ours.isn.wrapping_add(seq));
    let usual = if is_syn { them.isn.wrapping_add(1) } else { them.next };
    if segment.flags & 16 != 0 {
        segment.ack = ack.map_or(usual, |ack| them.isn.wrapping_add(ack));
    }
    let control = u32::from(is_syn) + u32::from(segment.flags & 1 != 0);
    let behind = segment.seq.wrapping_add(segment.payload).wrapping_add(control);
    if segment.flags & 4 == 0 && behind.wrapping_sub(ours.next) < 0x8000_0000 || is_syn {
        ours.next = behind;
    }
    if segment.ip_id == 0 {
        ours.id += 1;
        segment.ip_id = ours.id;
    }
    if !segment.from.is_ipv4() {
        segment.ip_id = 0;
    }
}

fn blank(time_ns: i64, record: u64, from: SocketAddr, to: SocketAddr) -> TcpSegment {
    TcpSegment {
        time_ns,
        record,
        interface: 0,
        scope: 0,
        from: from.into(),
        to: to.into(),
        seq: 0,
        ack: 0,
        flags: 0,
        window: 1000,
        payload: 0,
        ttl: 64,
        ip_id: 0,
        options: SegmentOptions::default(),
        truncated: false,
    }
}

fn icmp(time_ns: i64, record: u64, ends: Ends, sides: &[Side; 2], kind: Option<&str>) -> Observed {
    Observed::IcmpError(IcmpError {
        time_ns,
        record,
        scope: 0,
        reporter: ends.others[0].ip(),
        kind: match kind {
            Some("big") => IcmpKind::TooBig,
            _ => IcmpKind::HostUnreachable,
        },
        from: ends.client.into(),
        to: ends.server.into(),
        seq: if kind == Some("older") { sides[0].isn ^ 0x8000_0000 } else { sides[0].isn },
    })
}

fn flags(word: &str) -> u8 {
    let bits = [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('.', 16)];
    bits.into_iter().filter(|&(letter, _)| word.contains(letter)).map(|(_, bit)| bit).sum()
}

fn timestamps(word: &str) -> TimestampOption {
    let (value, echo) = word.split_once('/').expect("VALUE/ECHO");
    TimestampOption { value: value.parse().expect("TSval"), echo: echo.parse().expect("TSecr") }
}

/// Exact, unlike a float.
fn nanoseconds(seconds: &str) -> i64 {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let part = format!("{part:0<9}");
    let parsed = |digits: &str| digits.parse::<i64>().expect("seconds");
    BEGAN_NS + parsed(whole) * 1_000_000_000 + parsed(&part)
}
