//! How a listener's connections are being accepted.

use halfopen_evidence::Want;

use crate::{Context, ListenerView};

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// Nothing waits, or what waits is being taken.
    Unremarkable,
}

/// Judges one listener.
pub(crate) fn judge(_context: &Context<'_>, _view: &ListenerView<'_>) -> (Accepting, Vec<Want>) {
    (Accepting::Unremarkable, Vec::new())
}
