//! How a listener's connections are being accepted.
//!
//! A queue that is not empty is no trouble: only one that nobody takes from is. See
//! [`super::queue`] for how that is told and [`super::cause`] for why it is so.

use halfopen_evidence::Want;

use super::cause::{self, StallCause};
use super::queue::{self, QueueState};
use crate::{Context, ListenerView};

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// Nothing waits, or not for long.
    Unremarkable,
    /// Connections wait, and some were taken over the window.
    Taking,
    /// The accept queue is full, and one look does not tell whether anything is taken from it.
    Unclear {
        /// What was missing.
        why: String,
    },
    /// Connections wait and none is taken.
    Stalled(Box<Stalled>),
}

/// Connections wait and none is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// How that is known.
    pub proof: StallProof,
    /// Why it is so.
    pub cause: StallCause,
}

/// How it is known that nothing is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallProof {
    /// Nothing left the queue between two looks.
    Window {
        /// Milliseconds between them.
        ms: u64,
        /// Connections that waited at the first look and were found waiting again. 0 where they
        /// could not be told apart; then the queue's length and the counters say it.
        followed: u32,
    },
    /// The oldest connection has waited for long. A server that is merely slow looks the same.
    Waited {
        /// Milliseconds.
        oldest_ms: u64,
    },
}

impl Accepting {
    /// The stall, if it is one.
    #[must_use]
    pub fn stalled(&self) -> Option<&Stalled> {
        match self {
            Self::Stalled(stalled) => Some(stalled),
            Self::Unremarkable | Self::Taking | Self::Unclear { .. } => None,
        }
    }
}

/// Judges one listener, and says what would let it be judged better.
pub(crate) fn judge(context: &Context<'_>, view: &ListenerView<'_>) -> (Accepting, Vec<Want>) {
    let mut wants = Vec::new();
    let judgement = match queue::state(context, view, &mut wants) {
        QueueState::Quiet => Accepting::Unremarkable,
        QueueState::Taken => Accepting::Taking,
        QueueState::Unclear(why) => Accepting::Unclear { why },
        QueueState::Stands(proof) => {
            let cause = cause::find(context, view, &mut wants);
            Accepting::Stalled(Box::new(Stalled { proof, cause }))
        }
    };
    (judgement, wants)
}
