//! Judgements that several rules share, each made once.
//!
//! [`accepting`] says how a listener's connections are being taken: it asks [`queue`] whether they
//! are, and [`cause`] why not. For that, [`holders`] tells which
//! processes serve it, [`stops`] sees what keeps a process from running,
//! [`serving`] looks through the threads that should take them with
//! [`event_loops`] for those whose loop should, and [`lock_chain`] follows their
//! locks, while [`starvation`] sees that one could go on and gets no CPU, and [`sampled`] where one
//! that runs was met; [`goroutines`] does for Go what they do for threads. [`nobody`] accounts for the threads where none waits. [`stall_report`] and
//! [`blocked_report`] put the answer into words for the `accept-*` rules. [`overflow`] says whether a
//! listener refused connections, and [`too_slow`] whether it did so although it accepts.
//!
//! [`syn_queues`] holds each SYN queue against its limits, [`rises`] says what a namespace's counters
//! did over the window and [`attribution`] whose doing it was; [`client_ends`] tells what clients on
//! this host believe. [`port_space`] counts local ports, and [`served_here`] joins clients with a
//! listener of the same host. [`watched`] is for handshakes that were seen on their way, and
//! [`clients_apart`] says whose they are.

pub(crate) mod accepting;
pub(crate) mod attribution;
pub(crate) mod blocked_report;
pub(crate) mod cause;
pub(crate) mod client_ends;
pub(crate) mod clients_apart;
pub(crate) mod event_loops;
pub(crate) mod goroutine_report;
pub(crate) mod goroutines;
pub(crate) mod holders;
pub(crate) mod lock_chain;
pub(crate) mod nobody;
pub(crate) mod overflow;
pub(crate) mod port_space;
pub(crate) mod queue;
pub(crate) mod rises;
pub(crate) mod sampled;
pub(crate) mod served_here;
pub(crate) mod serving;
pub(crate) mod stall_report;
pub(crate) mod starvation;
pub(crate) mod stops;
pub(crate) mod syn_queues;
pub(crate) mod too_slow;
pub(crate) mod watched;
