//! The kernel's words and rules for a TCP handshake, as values and pure functions.
//!
//! This crate depends on nothing and touches nothing: no clock, no file, no socket. Where kernels
//! differ, the difference is a field of [`Semantics`], never a version test in a rule.
//!
//! - [`KernelVersion`] reads `uname -r`; [`Semantics::of`] says which rules that kernel follows.
//! - [`AcceptQueue`] and [`SynQueue`] hold the limits of the two queues of a listener.
//! - [`retries`] is the timetable of SYN and SYN-ACK retransmissions.
//! - [`tcp::Stack`] puts them together: TCP of one namespace as a state machine.
//! - [`PortRange`] is what `connect()` may choose a local port from.
//! - [`Sysctls`] are the settings of a namespace, with what a kernel refuses.
//! - [`Counter`] names the SNMP counters that a handshake moves, [`DropReason`] why they move.

mod accept_queue;
mod counter;
mod counter_set;
mod drop_reason;
mod kernel_version;
mod ports;
pub mod retries;
mod semantics;
mod syn_queue;
mod sysctls;
pub mod tcp;
mod tcp_state;
mod time;

pub use accept_queue::{AcceptQueue, BacklogCut, EffectiveBacklog, effective_backlog};
pub use counter::{Counter, CounterTable};
pub use counter_set::CounterSet;
pub use drop_reason::{DropReason, counters_of_cookie};
pub use kernel_version::{KernelVersion, ParseKernelVersionError, Vendor};
pub use ports::{ParsePortRangeError, PortRange};
pub use semantics::{
    BacklogWidth, ChallengeLimit, ClientRules, CookieRules, CountingRules, FirstPort, GENERATIONS,
    Generation, ListenDropsPerCookie, PortRules, PortSearch, QueueRules, ResetOfRequest, Semantics,
    SomaxconnCheck, SynAckTimer, SynGiveUp, SynOnFullAcceptQueue, SynQueueFull, TimeWaitReuse,
    TimerRules,
};
pub use syn_queue::{SynQueue, last_quarter_threshold};
pub use sysctls::{SysctlError, Sysctls};
pub use tcp_state::TcpState;
pub use time::{Span, Time};
