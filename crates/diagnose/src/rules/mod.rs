//! The rules, one file per finding id.
//!
//! A rule is one pure function over a [`Context`]; its file opens with the page that users read. Add
//! a rule by adding its file here and its id to `id.rs`: the headings of the page are tested there.

use crate::{Context, Verdicts};

/// Looks at the evidence and says what it makes of it.
pub(crate) type Rule = fn(&Context<'_>, &mut Verdicts);

pub(crate) mod accept_blocked;
pub(crate) mod accept_out_of_fds;
pub(crate) mod accept_process_stopped;
pub(crate) mod accept_stalled;
pub(crate) mod accept_thread_missing;
pub(crate) mod accept_too_slow;
pub(crate) mod backlog_clamped;
pub(crate) mod backlog_truncated;
pub(crate) mod close_wait_leak;
pub(crate) mod connect_unanswered;
pub(crate) mod conntrack_full;
pub(crate) mod listen_drops_other;
pub(crate) mod never_accepted;
pub(crate) mod overflow_reset;
pub(crate) mod ports_exhausted;
pub(crate) mod ports_low;
pub(crate) mod reuseport_skew;
pub(crate) mod somaxconn_not_applied;
pub(crate) mod syn_cookies_in_use;
pub(crate) mod syn_queue_full;
pub(crate) mod syn_reserve;
pub(crate) mod third_ack_dropped;
pub(crate) mod third_ack_lost;
