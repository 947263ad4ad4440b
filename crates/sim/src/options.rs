//! What a simulation is told besides its scenario.

use halfopen_model::{KernelVersion, Span};

/// How a scenario is simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The kernel of the servers' hosts, where the scenario names none.
    pub kernel: KernelVersion,
    /// Everything that is left to chance follows from it: the same seed gives the same run.
    pub seed: u64,
    /// How often the queues are sampled; at the most once in a millisecond.
    pub sample_every: Span,
    /// Segments that an [`halfopen_scenario::Account`] keeps; those beyond are counted.
    pub segments_kept: usize,
    /// Lines of the timeline that are kept.
    pub moments_kept: usize,
    /// What a state means that the scenario waits for.
    pub awaited: Awaited,
    /// How much may happen before the simulation is given up ([`crate::SimError::TooLong`]): a segment
    /// that arrives, a timer, a client that comes, a look at an awaited state. An hour of a busy
    /// server is some hundred millions.
    pub most_events: u64,
}

/// What a state means that a scenario waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// If it does not come in time, the scenario has not come about ([`crate::SimError::NotReached`]).
    Required,
    /// If it does not come in time, the next step is taken: of a scenario that was changed, nobody
    /// knows which of its states still come.
    IfItComes,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kernel: KernelVersion::vanilla(6, 18),
            seed: 1,
            sample_every: Span::from_millis(50),
            segments_kept: 200_000,
            moments_kept: 1_000,
            awaited: Awaited::Required,
            most_events: 2_000_000_000,
        }
    }
}
