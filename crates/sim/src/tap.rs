//! What crosses the interfaces of the servers' host, as a capture there would show it.

use halfopen_model::Time;
use halfopen_model::tcp::{Segment, Unreachable};
use halfopen_scenario::{Interface, SeenSegment};

/// A packet as it crossed an interface of the servers' host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When and where, and what an account has of a segment.
    pub seen: SeenSegment,
    /// The whole segment.
    pub segment: Segment,
    /// If so, the packet is an ICMP error that tells its sender that this segment did not arrive. No
    /// account has it.
    pub unreachable: Option<Unreachable>,
}

/// Packets that were seen, up to a bound.
#[derive(Debug)]
pub(crate) struct Tap {
    kept: usize,
    pub(crate) packets: Vec<Packet>,
    pub(crate) omitted: u64,
}

impl Tap {
    pub(crate) const fn new(kept: usize) -> Self {
        Self { kept, packets: Vec::new(), omitted: 0 }
    }

    pub(crate) fn see(
        &mut self,
        now: Time,
        interface: Interface,
        segment: &Segment,
        unreachable: Option<Unreachable>,
    ) {
        if self.packets.len() >= self.kept {
            self.omitted += 1;
            return;
        }
        let seen = seen(now.as_micros(), interface, segment);
        self.packets.push(Packet { seen, segment: *segment, unreachable });
    }
}

/// What a capture has of a segment.
pub(crate) fn seen(at_us: u64, interface: Interface, segment: &Segment) -> SeenSegment {
    SeenSegment {
        at_us,
        interface,
        from: segment.from.into(),
        to: segment.to.into(),
        flags: segment.flags.byte(),
        seq: segment.seq.0,
        ack: segment.ack.0,
        payload: segment.payload,
    }
}
