//! The TCP header: its first 14 bytes are needed, the rest is read as far as it was captured.

use super::Malformed;
use super::ip::Ip;
use super::layer::Stop;
use crate::Packet;
use crate::observed::{Address, FastOpen, SegmentOptions, TcpSegment, TimestampOption};

const FIXED: usize = 20;

/// Ports, numbers, data offset and flags.
const NEEDED: usize = 14;

pub(super) fn segment(packet: &Packet<'_>, scope: u32, ip: &Ip<'_>) -> Result<TcpSegment, Stop> {
    let tcp = ip.body;
    let Ok(head) = tcp.array::<NEEDED>(0) else {
        return Err(if ip.fragment { Stop::Fragment } else { tcp.lacks(NEEDED) });
    };
    let header = usize::from(head[12] >> 4) * 4;
    if header < FIXED || header > tcp.wire && !ip.fragment {
        return Err(Stop::Malformed(Malformed::TcpHeader));
    }
    let there = header.min(tcp.bytes.len());
    Ok(TcpSegment {
        time_ns: packet.time_ns,
        record: packet.record,
        interface: packet.interface,
        scope,
        from: Address::new(ip.from, u16::from_be_bytes([head[0], head[1]])),
        to: Address::new(ip.to, u16::from_be_bytes([head[2], head[3]])),
        seq: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ack: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        flags: head[13],
        window: tcp.u16(14).unwrap_or(0),
        payload: u32::try_from(tcp.wire.saturating_sub(header)).unwrap_or(u32::MAX),
        ttl: ip.ttl,
        ip_id: ip.id,
        options: options(tcp.bytes.get(FIXED..there).unwrap_or_default()),
        truncated: there < header,
    })
}

/// The one option that nearly every segment has but the first two of a connection, or else all options,
/// to be read.
#[inline(always)]
pub(super) fn timestamps_alone(bytes: &[u8]) -> (Option<TimestampOption>, &[u8]) {
    let &[1, 1, 8, 10, a, b, c, d, e, f, g, h] = bytes else { return (None, bytes) };
    let (value, echo) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    (Some(TimestampOption { value, echo }), &[])
}

/// Reads options as far as they make sense.
#[inline(never)]
pub(super) fn options(mut bytes: &[u8]) -> SegmentOptions {
    let mut found = SegmentOptions::default();
    loop {
        let (kind, length) = match *bytes {
            [] | [0, ..] | [_] => return found,
            [1, ..] => {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            [kind, length, ..] => (kind, usize::from(length)),
        };
        let Some(value) = bytes.get(2..length) else { return found };
        match (kind, value) {
            (2, &[a, b]) => found.mss = Some(u16::from_be_bytes([a, b])),
            (3, &[shift]) => found.window_scale = Some(shift),
            (4, []) => found.sack_permitted = true,
            (8, &[a, b, c, d, e, f, g, h]) => {
                let value = u32::from_be_bytes([a, b, c, d]);
                let echo = u32::from_be_bytes([e, f, g, h]);
                found.timestamps = Some(TimestampOption { value, echo });
            }
            // 254 with this number is how Fast Open began (RFC 6994); old kernels send it so.
            (34, cookie) | (254, [0xf9, 0x89, cookie @ ..]) => {
                let asks = cookie.is_empty();
                found.fast_open = Some(if asks { FastOpen::Request } else { FastOpen::Cookie });
            }
            _ => {}
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
}
