//! Flows that send so much that the kernel had better leave them out.
//!
//! Of an established connection nothing but its end is of interest, and a few connections make most of
//! a host's segments. Those found here go into the filter of the socket (`halfopen_collect::packets`).
//! Counting is in one small table, in which flows push each other out: the heaviest stay.

use std::net::IpAddr;

use halfopen_capture::TcpSegment;
use halfopen_collect::packets::Flow;

/// Places in the table.
const PLACES: usize = 1024;

/// Segments within [`PERIOD_NS`] that make a flow busy. A tenth of a percent of a core each.
const SEGMENTS: u32 = 2_000;

/// How often flows are looked through.
const PERIOD_NS: i64 = 1_000_000_000;

/// After so long a flow is looked at again, in case its end was lost.
const AGAIN_NS: i64 = 60_000_000_000;

/// Busy flows at a time: as many as the kernel's filter takes.
const MOST: usize = 32;

const FIN_SYN_RST: u8 = 0x07;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Busy {
    table: Box<[Option<(Flow, u32)>]>,
    /// Those that are left out, with the time since when.
    busy: Vec<(Flow, i64)>,
    next_ns: i64,
    /// Whether `busy` was changed since it was asked for.
    changed: bool,
}

impl Busy {
    /// None yet.
    pub(super) fn new() -> Self {
        let table = vec![None; PLACES].into_boxed_slice();
        Self { table, busy: Vec::new(), next_ns: i64::MIN, changed: false }
    }

    /// Counts a segment.
    pub(super) fn on_segment(&mut self, segment: &TcpSegment) {
        let flow = flow(segment);
        if segment.flags & FIN_SYN_RST != 0 {
            self.end(flow);
            return;
        }
        let place = &mut self.table[place(flow)];
        match place {
            Some((known, count)) if *known == flow => *count = count.saturating_add(1),
            Some((_, count)) if *count > 0 => *count -= 1,
            _ => *place = Some((flow, 1)),
        }
        if segment.time_ns >= self.next_ns {
            self.look_through(segment.time_ns);
        }
    }

    /// The busy flows, if others are busy than when this was asked last.
    pub(super) fn changed(&mut self) -> Option<Vec<Flow>> {
        let changed = std::mem::take(&mut self.changed);
        changed.then(|| self.busy.iter().map(|&(flow, _)| flow).collect())
    }

    fn end(&mut self, flow: Flow) {
        let before = self.busy.len();
        self.busy.retain(|&(known, _)| known != flow);
        self.changed |= self.busy.len() < before;
    }

    fn look_through(&mut self, now_ns: i64) {
        self.next_ns = now_ns.saturating_add(PERIOD_NS);
        let before = self.busy.len();
        self.busy.retain(|&(_, since_ns)| now_ns.saturating_sub(since_ns) < AGAIN_NS);
        self.changed |= self.busy.len() < before;
        for place in &mut self.table {
            if let Some((flow, count)) = place.take()
                && count >= SEGMENTS
                && !self.busy.iter().any(|&(known, _)| known == flow)
            {
                if self.busy.len() >= MOST {
                    self.busy.remove(0);
                }
                self.busy.push((flow, now_ns));
                self.changed = true;
            }
        }
    }
}

/// The flow of a segment, the same for both directions.
fn flow(segment: &TcpSegment) -> Flow {
    let (one, other) = (segment.from.min(segment.to), segment.from.max(segment.to));
    Flow { one: one.into(), other: other.into() }
}

fn place(flow: Flow) -> usize {
    let low = |address: IpAddr| match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            u64::from(u32::from_be_bytes([a, b, c, d]))
        }
    };
    let ports = u64::from(flow.one.port()) << 16 | u64::from(flow.other.port());
    let mixed = (low(flow.one.ip()) ^ low(flow.other.ip()).rotate_left(21) ^ ports << 7)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> 54).unwrap_or(0) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshakes::fixture::address;

    fn segment(from: &str, to: &str, flags: u8, time_ns: i64) -> TcpSegment {
        TcpSegment {
            time_ns,
            record: 1,
            interface: 0,
            scope: 0,
            from: address(from).into(),
            to: address(to).into(),
            seq: 0,
            ack: 0,
            flags,
            window: 0,
            payload: 0,
            ttl: 64,
            ip_id: 0,
            options: Default::default(),
            truncated: false,
        }
    }

    const ENDS: (&str, &str) = ("10.0.0.1:40000", "10.0.0.2:80");

    /// So many segments in the second that begins then, both ways.
    fn send(busy: &mut Busy, count: i64, began_ns: i64) {
        for at in 0..count {
            let (from, to) = if at % 3 == 0 { (ENDS.1, ENDS.0) } else { ENDS };
            busy.on_segment(&segment(from, to, 16, began_ns + at * (PERIOD_NS / count)));
        }
    }

    #[test]
    fn a_flow_is_busy_until_its_end_or_a_minute_later() {
        let flow = Flow { one: address(ENDS.0), other: address(ENDS.1) };
        let mut busy = Busy::new();
        send(&mut busy, 1_000, 0);
        send(&mut busy, 1, 2 * PERIOD_NS);
        assert_eq!(busy.changed(), None, "a thousand a second are not many");
        send(&mut busy, 5_000, 3 * PERIOD_NS);
        send(&mut busy, 1, 4 * PERIOD_NS);
        assert_eq!(busy.changed(), Some(vec![flow]));
        assert_eq!(busy.changed(), None);
        busy.on_segment(&segment(ENDS.1, ENDS.0, 17, 5 * PERIOD_NS));
        assert_eq!(busy.changed(), Some(vec![]));
        send(&mut busy, 5_000, 6 * PERIOD_NS);
        send(&mut busy, 1, 7 * PERIOD_NS);
        assert_eq!(busy.changed(), Some(vec![flow]));
        send(&mut busy, 1, 6 * PERIOD_NS + AGAIN_NS + 2 * PERIOD_NS);
        assert_eq!(busy.changed(), Some(vec![]));
    }

    #[test]
    fn a_busy_flow_is_found_among_many_others_and_the_list_is_bounded() {
        let mut busy = Busy::new();
        for n in 0..200_000_i64 {
            let time_ns = n * (PERIOD_NS / 200_000);
            let port = n % 50_000;
            busy.on_segment(&segment(&format!("10.0.0.9:{port}"), ENDS.1, 16, time_ns));
            busy.on_segment(&segment(ENDS.0, ENDS.1, 16, time_ns));
        }
        send(&mut busy, 1, 2 * PERIOD_NS);
        let flow = Flow { one: address(ENDS.0), other: address(ENDS.1) };
        assert_eq!(busy.changed(), Some(vec![flow]));
        for second in 3..100 {
            for _ in 0..3_000 {
                let from = format!("10.0.0.9:{second}");
                busy.on_segment(&segment(&from, ENDS.1, 16, second * PERIOD_NS / 10));
            }
        }
        busy.on_segment(&segment(ENDS.0, ENDS.1, 16, 11 * PERIOD_NS));
        assert!(busy.changed().is_some_and(|flows| flows.len() == MOST));
    }
}
