//! The kernel's words and rules for a TCP handshake, as values and pure functions.
//!
//! This crate depends on nothing and touches nothing: no clock, no file, no socket. Where kernels
//! differ, the difference is a field of [`Semantics`], never a version test in a rule.
//!
//! - [`KernelVersion`] reads `uname -r`; [`Semantics::of`] says which rules that kernel follows.
//! - [`AcceptQueue`] and [`SynQueue`] hold the limits of the two queues of a listener.
//! - [`retries`] is the timetable of SYN and SYN-ACK retransmissions, [`SynAckRetries`] the life of a
//!   request.
//! - [`tcp::Stack`] puts them together: TCP of one namespace as a state machine.
//! - [`ConntrackTable`] stands before TCP where a firewall or NAT keeps state.
//! - [`PortRange`] is what `connect()` may choose a local port from.
//! - [`Sysctls`] are the settings of a namespace, with what a kernel refuses.
//! - [`Counter`] names the SNMP counters that a handshake moves, [`DropReason`] why they move,
//!   [`KernelReason`] what the kernel itself says of a dropped segment.
//! - [`rules`] says all this in words, with its sources; [`by_generation`] how kernels differ.

mod accept_queue;
mod by_generation;
mod conntrack;
mod counter;
mod counter_page;
mod counter_set;
mod doubts;
mod drop_reason;
mod kernel_name;
mod kernel_reason;
mod kernel_version;
mod ports;
pub mod retries;
pub mod rules;
mod semantics;
mod syn_ack_retries;
mod syn_queue;
mod sysctls;
pub mod tcp;
mod tcp_state;
mod time;
pub mod words;

pub use accept_queue::{AcceptQueue, BacklogCut, EffectiveBacklog, effective_backlog};
pub use by_generation::{Alike, by_generation};
pub use conntrack::{ConntrackCounts, ConntrackTable};
pub use counter::{Counter, CounterTable};
pub use counter_page::{CounterPage, Unit};
pub use counter_set::CounterSet;
pub use doubts::Doubt;
pub use drop_reason::{DropReason, counters_of_cookie};
pub use kernel_name::KernelNameError;
pub use kernel_reason::{KernelReason, ReasonKind};
pub use kernel_version::{KernelVersion, ParseKernelVersionError, Vendor};
pub use ports::{ParsePortRangeError, PortRange};
pub use semantics::{
    BacklogWidth, ChallengeLimit, ClientRules, CookieRules, CountingRules, FirstPort, GENERATIONS,
    Generation, IcmpErrorOfRequest, ListenDropsPerCookie, MigrateReq, PortRules, PortSearch,
    QueueRules, ResetOfRequest, Semantics, SomaxconnCheck, SynAckTimer, SynGiveUp,
    SynOnFullAcceptQueue, SynQueueFull, TimeWaitReuse, TimerRules,
};
pub use syn_ack_retries::{SynAckLife, SynAckRetries};
pub use syn_queue::{SynQueue, last_quarter_threshold};
pub use sysctls::{SysctlError, Sysctls};
pub use tcp_state::TcpState;
pub use time::{Span, Time};
