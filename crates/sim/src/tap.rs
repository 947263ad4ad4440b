//! What crosses the interfaces of the servers' host, as a capture there would show it.

use halfopen_model::Time;
use halfopen_model::tcp::Segment;
use halfopen_scenario::{Interface, SeenSegment};

/// Segments that were seen, up to a bound.
#[derive(Debug)]
pub(crate) struct Tap {
    kept: usize,
    pub(crate) segments: Vec<(SeenSegment, Segment)>,
    pub(crate) omitted: u64,
}

impl Tap {
    pub(crate) const fn new(kept: usize) -> Self {
        Self { kept, segments: Vec::new(), omitted: 0 }
    }

    pub(crate) fn see(&mut self, now: Time, interface: Interface, segment: &Segment) {
        if self.segments.len() >= self.kept {
            self.omitted += 1;
            return;
        }
        self.segments.push((seen(now.as_micros(), interface, segment), *segment));
    }
}

/// What a capture has of a segment.
pub(crate) fn seen(at_us: u64, interface: Interface, segment: &Segment) -> SeenSegment {
    SeenSegment {
        at_us,
        interface,
        from: segment.from,
        to: segment.to,
        flags: segment.flags.byte(),
        seq: segment.seq.0,
        ack: segment.ack.0,
        payload: segment.payload,
    }
}
