//! Why a scenario could not be simulated.

use halfopen_model::{KernelNameError, SysctlError};
use thiserror::Error;

/// Why a scenario could not be simulated, or did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SimError {
    /// The scenario's `kernel` is none whose rules are known.
    #[error(transparent)]
    Kernel(#[from] KernelNameError),
    /// A setting that this kernel would not take.
    #[error("{name} = {value}: {problem}")]
    Sysctl {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// Why not.
        problem: SysctlError,
    },
    /// A socket could not be opened.
    #[error("{process} cannot listen on port {port}: address already in use")]
    Listen {
        /// The program.
        process: String,
        /// The port.
        port: u16,
    },
    /// A state did not come in time.
    #[error("{condition} did not come within {seconds} s; last seen: {seen}")]
    NotReached {
        /// The state that was waited for.
        condition: String,
        /// How long, in simulated seconds.
        seconds: u64,
        /// What there was instead.
        seen: u64,
    },
    /// So much happened that it was given up ([`crate::Options::most_events`]).
    #[error(
        "given up after {events} events, {seconds} s of simulated time: the scenario lets too much happen"
    )]
    TooLong {
        /// How much may happen.
        events: u64,
        /// Simulated seconds until then.
        seconds: u64,
    },
    /// A condition names a counter that the model does not have.
    #[error("the kernel has no counter {0}")]
    UnknownCounter(String),
}
