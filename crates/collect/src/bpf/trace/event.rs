//! Reads `struct event` of bpf/trace/event.h.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use halfopen_evidence::{
    Inode, KernelEvent, KernelEventKind, NetnsId, Pid, ProcessName, SocketCall,
};
use halfopen_model::AcceptQueue;
use halfopen_model::tcp::Flags;

use crate::bpf::enums::Names;

/// Size of `struct event`.
pub(super) const EVENT: usize = 112;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const LISTEN: u8 = 10;

/// Names of reasons on the running kernel.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    pub(super) drops: Names,
    pub(super) resets: Names,
}

/// An event; none if it is no event of ours.
pub(super) fn decode(bytes: &[u8], reasons: &Reasons) -> Option<KernelEvent> {
    let event: &[u8; EVENT] = bytes.get(..EVENT)?.try_into().ok()?;
    let fields = Fields { event };
    let family = event[53];
    let pid = fields.u32(28);
    Some(KernelEvent {
        at_ns: fields.u64(0),
        netns: NetnsId(u64::from(fields.u32(24))),
        local: address(family, fields.bytes(60), fields.u16(48))?,
        peer: address(family, fields.bytes(76), fields.u16(50))?,
        inode: Some(fields.u64(16)).filter(|&inode| inode != 0).map(Inode),
        process: (pid != 0).then(|| ProcessName { pid: Pid(pid), comm: comm(fields.bytes(92)) }),
        what: what(&fields, reasons)?,
    })
}

fn what(fields: &Fields<'_>, reasons: &Reasons) -> Option<KernelEventKind> {
    let event = fields.event;
    let took_us = fields.u64(8);
    let value = fields.u32(32).cast_signed();
    let queue = AcceptQueue { depth: fields.u32(36), limit: fields.u32(40) };
    let repeats = fields.u32(44);
    let (kind, state, flags) = (event[52], event[54], Flags::from_byte(event[55]));
    let queue_of_listener = (state == LISTEN).then_some(queue);
    let name = |names: &Names, number: i32| match u32::try_from(number).ok() {
        Some(number) => names.get(&number).cloned().unwrap_or_else(|| number.to_string()),
        None => number.to_string(),
    };
    Some(match kind {
        1 => KernelEventKind::Connected { repeats, round_trip_us: took_us },
        2 => KernelEventKind::ConnectFailed { errno: value, repeats, age_us: took_us },
        3 => KernelEventKind::SynRepeated { repeats, age_us: took_us },
        4 => KernelEventKind::DataRepeated { repeats },
        5 => KernelEventKind::Queued { repeats, round_trip_us: took_us },
        6 => KernelEventKind::Accepted { waited_us: took_us },
        7 => KernelEventKind::SynAckRepeated {
            repeats,
            acked: event[56] != 0,
            defer_accept: event[57],
            timeouts: event[58],
            queue,
        },
        8 => KernelEventKind::SegmentDropped {
            flags,
            reason: name(&reasons.drops, value),
            queue: queue_of_listener,
        },
        9 => KernelEventKind::ResetSent {
            flags,
            reason: (value >= 0).then(|| name(&reasons.resets, value)),
            queue: queue_of_listener,
        },
        10 => KernelEventKind::ResetReceived { age_us: took_us },
        11 => KernelEventKind::Listening { backlog: value, limit: queue.limit },
        12 => KernelEventKind::SynDropped { queue },
        13 => KernelEventKind::ClosedUnaccepted {
            waited_us: took_us,
            reason: (value >= 0).then(|| name(&reasons.resets, value)),
        },
        14 => KernelEventKind::CallFailed { call: SocketCall::Bind, errno: value },
        15 => KernelEventKind::CallFailed { call: SocketCall::Connect, errno: value },
        _ => return None,
    })
}

/// Reads at offsets below [`EVENT`], which are all constants.
struct Fields<'a> {
    event: &'a [u8; EVENT],
}

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.event[at..at + N]);
        bytes
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(at))
    }
}

/// An IPv4 address, or an IPv6 address that stands for one, is IPv4.
pub(super) fn address(family: u8, bytes: [u8; 16], port: u16) -> Option<SocketAddr> {
    let [a, b, c, d, ..] = bytes;
    let ip: IpAddr = match family {
        AF_INET => Ipv4Addr::new(a, b, c, d).into(),
        AF_INET6 => Ipv6Addr::from(bytes).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn comm(bytes: [u8; 16]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_is_read_as_the_program_wrote_it() {
        let mut event = [0; EVENT];
        event[..8].copy_from_slice(&5_u64.to_ne_bytes());
        event[24..28].copy_from_slice(&7_u32.to_ne_bytes());
        event[32..36].copy_from_slice(&40_i32.to_ne_bytes());
        event[36..40].copy_from_slice(&6_u32.to_ne_bytes());
        event[40..44].copy_from_slice(&5_u32.to_ne_bytes());
        event[48..50].copy_from_slice(&80_u16.to_ne_bytes());
        event[52..56].copy_from_slice(&[8, AF_INET, LISTEN, 16]);
        event[60..64].copy_from_slice(&[10, 0, 0, 1]);
        let drops = Names::from([(40, "TCP_LISTEN_OVERFLOW".to_owned())]);
        let read = decode(&event, &Reasons { drops, resets: Names::new() }).expect("an event");
        assert_eq!((read.at_ns, read.netns), (5, NetnsId(7)));
        assert_eq!(read.local, SocketAddr::from(([10, 0, 0, 1], 80)));
        let what = KernelEventKind::SegmentDropped {
            flags: Flags::ACK,
            reason: "TCP_LISTEN_OVERFLOW".to_owned(),
            queue: Some(AcceptQueue { depth: 6, limit: 5 }),
        };
        assert_eq!(read.what, what);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..2 * EVENT)) {
            let event = decode(&bytes, &Reasons::default());
            prop_assert!(event.is_none() || bytes.len() >= EVENT);
        }
    }
}
