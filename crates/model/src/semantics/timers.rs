//! When a request's SYN-ACK is sent again, and when the request is given up.

use crate::{KernelVersion, Vendor};

/// The SYN-ACK timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerRules {
    /// First retransmission time-out of SYN and SYN-ACK in milliseconds: 3000, and 1000 from 3.1
    /// and in RHEL 6 (9ad7c049f0f7).
    pub initial_rto_ms: u32,
    /// How requests are timed.
    pub syn_ack_timer: SynAckTimer,
    /// A repeated SYN of a request is answered at most once in this many milliseconds; 0 for each
    /// time. 500 from 4.0 and in RHEL 7 (`tcp_invalid_ratelimit`).
    pub repeated_syn_limit_ms: u32,
    /// Whether the tail of unacknowledged data is probed before its time is over (TLP, which is no
    /// time-out and doubles nothing). From 3.10.
    pub probes_tail: bool,
    /// Whether `tcp_rto_max_ms` bounds the SYN-ACK's backoff too. From 6.19 (`tcp_reqsk_timeout`);
    /// in 6.15 to 6.18 the setting exists and does not.
    pub rto_max_bounds_syn_acks: bool,
    /// Whether of timers that are due at one moment the one that was set last fires first. From 4.8
    /// (500462a9de65): a step of the wheel is a list with new timers at its head, and none is moved to
    /// another. To 4.1 they were appended; from 4.2 to 4.7 each move from a coarser list to a finer
    /// one turned the order round, which for waits of a second or more comes to the same.
    pub last_set_fires_first: bool,
}

/// How requests are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynAckTimer {
    /// To 4.0: one timer per listener looks at a part of its table every 200 ms, so that each
    /// request is looked at about twice in the first time-out.
    Polled,
    /// From 4.1 (fa76ce7328b2): each request has its own.
    PerRequest,
}

impl TimerRules {
    pub(super) const fn of(v: KernelVersion) -> Self {
        let rhel6 = matches!(v.vendor, Vendor::Rhel(6));
        let rhel7 = matches!(v.vendor, Vendor::Rhel(7));
        Self {
            initial_rto_ms: if v.at_least(3, 1) || rhel6 { 1000 } else { 3000 },
            syn_ack_timer: if v.at_least(4, 1) {
                SynAckTimer::PerRequest
            } else {
                SynAckTimer::Polled
            },
            repeated_syn_limit_ms: if v.at_least(4, 0) || rhel7 { 500 } else { 0 },
            probes_tail: v.at_least(3, 10),
            rto_max_bounds_syn_acks: v.at_least(6, 19),
            last_set_fires_first: v.at_least(4, 8),
        }
    }
}
