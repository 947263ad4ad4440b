//! What follows handshakes: a tracker for one capture, or a joiner for two points.

use halfopen_capture::{Joined, Joiner, Limits, Observed, Statistics, Tracker};
use halfopen_evidence::Handshake;

use super::points::Points;
use crate::handshakes::found::Number;

/// See the module's text.
pub(super) enum Following {
    /// One capture.
    One {
        /// Its tracker; none after the end.
        tracker: Option<Box<Tracker>>,
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
                statistics: Statistics::default(),
            },
            |points| Self::Two {
                joiner: Box::new(Joiner::new(limits, points.relation.clone())),
                of_file: points.of_file.clone(),
            },
        )
    }

    /// Takes in what packets showed; their records are packed [`Number`]s.
    pub(super) fn on_batch(&mut self, batch: &[Observed], sink: &mut impl FnMut(Joined)) {
        match self {
            Self::One { tracker, .. } => {
                if let Some(tracker) = tracker {
                    tracker.on_batch(batch, &mut |handshake, scope| sink(alone(handshake, scope)));
                }
            }
            Self::Two { joiner, of_file } => {
                for observed in batch {
                    let record = match observed {
                        Observed::Segment(segment) => segment.record,
                        Observed::IcmpError(error) => error.record,
                        Observed::Other => continue,
                    };
                    let file = Number::unpacked(record).file;
                    let point = of_file.get(file).copied().unwrap_or(0);
                    joiner.on_observed(point, observed, sink);
                }
            }
        }
    }

    /// Takes in that it is so late and no packet has come, in nanoseconds since 1970 by the capture's
    /// clock.
    pub(super) fn on_clock(&mut self, now_ns: i64, sink: &mut impl FnMut(Joined)) {
        if let Self::One { tracker: Some(tracker), .. } = self {
            tracker.on_clock(now_ns, &mut |handshake, scope| sink(alone(handshake, scope)));
        }
    }

    /// Ends it.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Joined)) {
        match self {
            Self::One { tracker, statistics, .. } => {
                if let Some(tracker) = tracker.take() {
                    *statistics =
                        tracker.finish(&mut |handshake, scope| sink(alone(handshake, scope)));
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

const fn alone(handshake: Handshake, scope: u32) -> Joined {
    Joined { handshake, scope, crossing: None }
}
