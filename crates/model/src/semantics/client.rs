//! The side that connects: how often a SYN is sent, and how an established client answers what a
//! server sends that does not know of the connection.

use crate::{KernelVersion, Vendor};

/// The connecting side of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRules {
    /// Default of `tcp_syn_linear_timeouts`, 0 where the sysctl does not exist. 4 from 6.5
    /// (ccce324dabfe).
    pub syn_linear_timeouts_default: u8,
    /// Default of `tcp_syn_retries`: 5, and 6 from 3.10.
    pub syn_retries_default: u8,
    /// When `connect()` gives up.
    pub syn_give_up: SynGiveUp,
    /// Whether TCP_USER_TIMEOUT bounds the handshake too. From 4.15.
    pub user_timeout_bounds_syn: bool,
    /// How many challenge ACKs the host sends in a second: none as such before 3.6, 100, 1000 in
    /// RHEL 7 and from 4.4, unlimited in 6.1 (5.18 is UNCONFIRMED and taken so).
    pub challenge_limit: ChallengeLimit,
    /// Whether a connection sends at most one challenge ACK in 500 ms. From 4.0.
    pub challenge_limit_per_socket: bool,
}

/// When a connection attempt ends with ETIMEDOUT (`tcp_write_timeout`, `retransmits_timed_out`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynGiveUp {
    /// 2.6.32.2: when as much time has passed as the retries would take from 200 ms on, a mistake
    /// repaired in 2.6.32.y (UNCONFIRMED in which).
    ElapsedOfShortestRto,
    /// To 4.12: when as much time has passed as the retries take.
    Elapsed,
    /// From 4.15: that, or when all retries were sent.
    CountOrElapsed,
}

/// How many challenge ACKs a host sends (`tcp_challenge_ack_limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeLimit {
    /// There are none: a SYN-ACK for an established connection is answered by a duplicate ACK, and
    /// counts as no challenge.
    NoChallenge,
    /// So many a second.
    PerSecond(u32),
    /// Any number.
    Unlimited,
}

impl ClientRules {
    pub(super) const fn of(v: KernelVersion) -> Self {
        let rhel7 = matches!(v.vendor, Vendor::Rhel(7));
        Self {
            syn_linear_timeouts_default: if v.at_least(6, 5) { 4 } else { 0 },
            syn_retries_default: if v.at_least(3, 10) { 6 } else { 5 },
            syn_give_up: if v.at_least(4, 15) {
                SynGiveUp::CountOrElapsed
            } else if v.at_least(3, 0) || matches!(v.vendor, Vendor::Rhel(6)) {
                SynGiveUp::Elapsed
            } else {
                SynGiveUp::ElapsedOfShortestRto
            },
            user_timeout_bounds_syn: v.at_least(4, 15),
            challenge_limit: if v.at_least(5, 18) {
                ChallengeLimit::Unlimited
            } else if v.at_least(4, 4) || rhel7 {
                ChallengeLimit::PerSecond(1000)
            } else if v.at_least(3, 6) {
                ChallengeLimit::PerSecond(100)
            } else {
                ChallengeLimit::NoChallenge
            },
            challenge_limit_per_socket: v.at_least(4, 0),
        }
    }
}
