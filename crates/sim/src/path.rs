//! The network between hosts: delay, jitter, loss, reordering. They wrap the stacks from outside; no
//! stack knows of them.

use halfopen_model::Span;
use halfopen_model::tcp::Segment;
use halfopen_scenario::{Loss, Lost, Network, Reject};

use crate::chance::Chance;

/// How long a segment takes over loopback.
pub(crate) const LOOPBACK: Span = Span::from_micros(10);

/// How long a segment takes from one end of the lab's wire to the other.
pub(crate) const HOP: Span = Span::from_micros(25);

/// How long a segment takes between two hosts of which the scenario says nothing.
const NEARBY: Span = Span::from_micros(100);

/// What becomes of a segment by the rules of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    Lost,
    /// Its sender is told that it is lost.
    Rejected(Reject),
}

/// What is between clients and servers.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// Kinds of segments that are lost, always.
    losses: Vec<Loss>,
    delay: Span,
    jitter: Span,
    lost_per_thousand: u32,
    late_per_thousand: u32,
}

impl Path {
    pub(crate) const fn new() -> Self {
        Self {
            losses: Vec::new(),
            delay: NEARBY,
            jitter: Span::ZERO,
            lost_per_thousand: 0,
            late_per_thousand: 0,
        }
    }

    /// How long a segment takes, but for what is left to chance.
    pub(crate) const fn delay(&self) -> Span {
        self.delay
    }

    pub(crate) fn lose(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    pub(crate) fn become_like(&mut self, network: Network) {
        self.delay = network.delay.into();
        self.jitter = network.jitter.into();
        self.lost_per_thousand = network.lost_per_thousand;
        self.late_per_thousand = network.late_per_thousand;
    }

    /// What becomes of a segment of its kind, always.
    pub(crate) fn fate(&self, segment: &Segment) -> Fate {
        let loss = self.losses.iter().find(|loss| match loss.lost {
            Lost::Syns => segment.is_syn() && segment.to.port() == loss.port,
            Lost::SynAcks => segment.is_syn_ack() && segment.from.port() == loss.port,
            Lost::ThirdAcks => {
                !segment.is_syn() && !segment.is_syn_ack() && segment.to.port() == loss.port
            }
        });
        match loss {
            None => Fate::Passes,
            Some(Loss { rejected: None, .. }) => Fate::Lost,
            Some(Loss { rejected: Some(with), .. }) => Fate::Rejected(*with),
        }
    }

    /// Whether each segment takes equally long.
    pub(crate) fn is_steady(&self) -> bool {
        self.jitter == Span::ZERO
    }

    /// How long a segment that passes takes over the network; none if it is lost by chance.
    pub(crate) fn carry(&self, chance: &mut Chance) -> Option<Span> {
        if chance.happens(self.lost_per_thousand) {
            return None;
        }
        let jitter = match self.jitter.as_micros() {
            0 => Span::ZERO,
            most => Span::from_micros(chance.below(most + 1)),
        };
        let late = if chance.happens(self.late_per_thousand) { self.delay } else { Span::ZERO };
        Some(self.delay + jitter + late)
    }
}
