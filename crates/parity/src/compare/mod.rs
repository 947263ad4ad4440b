//! Where two accounts of one scenario disagree. Values in, disagreements out.
//!
//! Compared exactly: limit and depth of every listener, the number of requests, states and numbers of
//! all other sockets, and by how much every counter that the model has rose, at each look; and the
//! segments of every flow, in order, with flags, sequence and acknowledgement numbers, and length.
//!
//! Left to chance by the kernel, and so compared in another way or not at all:
//!
//! - ports of clients and initial sequence numbers: flows are matched by their order (`flows`), and
//!   numbers are relative to the first of their sender;
//! - the order of segments of different flows: timers that are due at one moment, and the sockets of a
//!   killed process, come in any order among themselves;
//! - times: the kernel's timers are late by up to a step of their wheel, and programs of the lab take
//!   their time (`times`).

mod counters;
mod flows;
mod looks;
mod times;
mod wheel;

#[cfg(test)]
mod tests;

use halfopen_scenario::Account;
use serde::Serialize;

pub use counters::NOT_COMPARED;
pub use wheel::TimerWheel;

/// What of two accounts is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Limit and depth of the accept queues.
    Listeners,
    /// How many requests there are (SYN_RECV).
    Requests,
    /// States and numbers of all other sockets.
    Sockets,
    /// By how much counters rose.
    Counters,
    /// Segments of each flow, in order.
    Segments,
    /// When they came.
    Times,
}

impl Aspect {
    /// Every aspect, in the order of the columns.
    pub const ALL: &[Self] = &[
        Self::Listeners,
        Self::Requests,
        Self::Sockets,
        Self::Counters,
        Self::Segments,
        Self::Times,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listeners => "listeners",
            Self::Requests => "requests",
            Self::Sockets => "sockets",
            Self::Counters => "counters",
            Self::Segments => "segments",
            Self::Times => "times",
        }
    }
}

/// A difference, with both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// What differs.
    pub aspect: Aspect,
    /// Where and when.
    pub place: String,
    /// What the kernel did.
    pub kernel: String,
    /// What the model did.
    pub model: String,
}

/// Where the model's account differs from the kernel's, in the order of the aspects.
#[must_use]
pub fn compare(kernel: &Account, model: &Account, wheel: TimerWheel) -> Vec<Disagreement> {
    let mut found = looks::compare(kernel, model);
    found.extend(flows::compare(kernel, model, wheel));
    found.sort_by_key(|disagreement| disagreement.aspect);
    found
}
