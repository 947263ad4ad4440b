//! The rules, one file per finding id.
//!
//! A finding is made from a look at a host (`look`), from handshakes that were watched on their way
//! (`watched`), or from both: each is one pure function. Their file opens with the page that users read.
//! Add a finding by adding its file here and its id to `id.rs`: the headings of the page are tested there.

use halfopen_evidence::WatchedListener;

use crate::{Context, Verdicts};

/// What can make a finding.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Judges a look at a host.
    pub(crate) look: Option<fn(&Context<'_>, &mut Verdicts)>,
    /// Judges the handshakes with one listener.
    pub(crate) watched: Option<fn(&WatchedListener, &mut Verdicts)>,
}

impl Rules {
    /// Nothing does.
    pub(crate) const NONE: Self = Self { look: None, watched: None };
}

pub(crate) mod accept_blocked;
pub(crate) mod accept_deadlock;
pub(crate) mod accept_out_of_fds;
pub(crate) mod accept_process_stopped;
pub(crate) mod accept_stalled;
pub(crate) mod accept_starved;
pub(crate) mod accept_thread_missing;
pub(crate) mod accept_too_slow;
pub(crate) mod backlog_clamped;
pub(crate) mod backlog_truncated;
pub(crate) mod client_gives_up;
pub(crate) mod close_wait_leak;
pub(crate) mod connect_refused;
pub(crate) mod connect_unanswered;
pub(crate) mod conntrack_full;
pub(crate) mod half_open;
pub(crate) mod listen_drops_other;
pub(crate) mod never_accepted;
pub(crate) mod overflow_reset;
pub(crate) mod ports_exhausted;
pub(crate) mod ports_low;
pub(crate) mod ports_reused;
pub(crate) mod reuseport_skew;
pub(crate) mod somaxconn_not_applied;
pub(crate) mod syn_cookies_in_use;
pub(crate) mod syn_flood;
pub(crate) mod syn_queue_full;
pub(crate) mod syn_reserve;
pub(crate) mod third_ack_dropped;
pub(crate) mod third_ack_lost;
