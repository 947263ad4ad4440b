//! What follows handshakes: a tracker for one capture, or a joiner for two points.

use halfopen_capture::{Joined, Joiner, Limits, Observed, Statistics, Tracker};

use super::found::Number;
use super::points::Points;

/// Packets that the tracker takes at a time, whose memory it then fetches together.
const BATCH: usize = 256;

/// See the module's text.
pub(super) enum Following {
    /// One capture.
    One {
        /// Its tracker; none after the end.
        tracker: Option<Box<Tracker>>,
        /// Packets that it has not taken yet.
        batch: Vec<Observed>,
        /// What it counted, after the end.
        statistics: Statistics,
    },
    /// Two points.
    Two {
        /// Follows both.
        joiner: Box<Joiner>,
        /// Which of them each file belongs to.
        of_file: Vec<usize>,
    },
}

/// What was counted of the following itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// By trackers.
    pub(super) statistics: Statistics,
    /// Handshakes of two points that were told together.
    pub(super) joined: u64,
    /// Handshakes of two points that could not be compared for want of room.
    pub(super) uncompared: u64,
}

impl Following {
    /// Of one capture, or of two points.
    pub(super) fn new(limits: Limits, points: Option<&Points>) -> Self {
        points.map_or_else(
            || Self::One {
                tracker: Some(Box::new(Tracker::new(limits))),
                batch: Vec::with_capacity(BATCH),
                statistics: Statistics::default(),
            },
            |points| Self::Two {
                joiner: Box::new(Joiner::new(limits, points.relation.clone())),
                of_file: points.of_file.clone(),
            },
        )
    }

    /// Takes in what a packet showed; its record is a packed [`Number`].
    #[inline]
    pub(super) fn on_observed(&mut self, observed: Observed, sink: &mut impl FnMut(Joined)) {
        match self {
            Self::One { batch, .. } => {
                batch.push(observed);
                if batch.len() >= BATCH {
                    self.take_batch(sink);
                }
            }
            Self::Two { joiner, of_file } => {
                let record = match &observed {
                    Observed::Segment(segment) => segment.record,
                    Observed::IcmpError(error) => error.record,
                    Observed::Other => return,
                };
                let point = of_file.get(Number::unpacked(record).file).copied().unwrap_or(0);
                joiner.on_observed(point, &observed, sink);
            }
        }
    }

    /// Takes in that it is so late and no packet has come, in nanoseconds since 1970 by the capture's
    /// clock.
    pub(super) fn on_clock(&mut self, now_ns: i64, sink: &mut impl FnMut(Joined)) {
        self.take_batch(sink);
        if let Self::One { tracker: Some(tracker), .. } = self {
            tracker.on_clock(now_ns, &mut |handshake, scope| {
                sink(Joined { handshake, scope, crossing: None });
            });
        }
    }

    /// Takes in what was put off.
    fn take_batch(&mut self, sink: &mut impl FnMut(Joined)) {
        if let Self::One { tracker: Some(tracker), batch, .. } = self {
            tracker.on_batch(batch, &mut |handshake, scope| {
                sink(Joined { handshake, scope, crossing: None });
            });
            batch.clear();
        }
    }

    /// Ends it.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Joined)) {
        self.take_batch(sink);
        match self {
            Self::One { tracker, statistics, .. } => {
                if let Some(tracker) = tracker.take() {
                    *statistics = tracker.finish(&mut |handshake, scope| {
                        sink(Joined { handshake, scope, crossing: None });
                    });
                }
            }
            Self::Two { joiner, .. } => joiner.finish(sink),
        }
    }

    /// What was counted.
    pub(super) fn counted(&self) -> Counted {
        match self {
            Self::One { statistics, .. } => {
                Counted { statistics: *statistics, ..Counted::default() }
            }
            Self::Two { joiner, .. } => Counted {
                statistics: joiner.statistics(),
                joined: joiner.joined(),
                uncompared: joiner.evicted(),
            },
        }
    }
}
