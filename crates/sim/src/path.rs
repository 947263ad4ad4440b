//! The network between hosts: delay, jitter, loss, reordering. They wrap the stacks from outside; no
//! stack knows of them.

use halfopen_model::Span;

use crate::chance::Chance;

/// How long a segment takes over loopback.
pub(crate) const LOOPBACK: Span = Span::from_micros(10);

/// How long a segment takes from one end of the lab's wire to the other.
pub(crate) const HOP: Span = Span::from_micros(25);

/// The network between the clients' host and the servers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// One way.
    pub(crate) delay: Span,
    /// At most so much more, evenly spread; it reorders what follows closely.
    pub(crate) jitter: Span,
    /// How many of a million segments are lost.
    pub(crate) lost_per_million: u32,
    /// How many of a million segments are held back for one more delay.
    pub(crate) late_per_million: u32,
}

impl Path {
    pub(crate) const NEARBY: Self = Self {
        delay: Span::from_micros(100),
        jitter: Span::ZERO,
        lost_per_million: 0,
        late_per_million: 0,
    };

    pub(crate) fn loses(&self, chance: &mut Chance) -> bool {
        chance.happens(self.lost_per_million)
    }

    pub(crate) fn delay(&self, chance: &mut Chance) -> Span {
        let jitter = match self.jitter.as_micros() {
            0 => Span::ZERO,
            most => Span::from_micros(chance.below(most + 1)),
        };
        let late = if chance.happens(self.late_per_million) { self.delay } else { Span::ZERO };
        self.delay + jitter + late
    }
}
