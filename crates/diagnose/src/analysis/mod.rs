//! Judgements that several rules share, each made once.
//!
//! [`accepting`] says how a listener's connections are being taken: it asks [`queue`] whether they
//! are, and [`cause`] why not; [`serving`] looks through the threads that should take them and
//! [`lock_chain`] follows their locks. [`stall_report`] puts the answer into words for the
//! `accept-*` rules. [`overflow`] says whether a listener refused connections.

pub(crate) mod accepting;
pub(crate) mod attribution;
pub(crate) mod cause;
pub(crate) mod client_ends;
pub(crate) mod lock_chain;
pub(crate) mod overflow;
pub(crate) mod queue;
pub(crate) mod rises;
pub(crate) mod serving;
pub(crate) mod stall_report;
pub(crate) mod syn_queues;
pub(crate) mod port_space;
pub(crate) mod served_here;
