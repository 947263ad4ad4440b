//! How kernel generations differ, as data: one [`Semantics`] value per kernel, each field with the
//! release or commit that changed it.
//!
//! The values were read in kernel source (releases from 2.6.32 to 6.19 and the RHEL 6, 7 and 8
//! kernels) and measured on 6.18. Stable branches and distributions backport; where a backport is
//! known to exist but its exact release is not, the field's documentation says so. What is only
//! inferred says UNCONFIRMED.
//!
//! One file per topic: [`QueueRules`], [`CountingRules`], [`TimerRules`], [`CookieRules`],
//! [`ClientRules`], [`PortRules`]. [`GENERATIONS`] lists the kernels that differ.

mod client;
mod cookies;
mod counting;
mod generations;
mod ports;
mod queues;
mod stable;
mod timers;

pub use client::{ChallengeLimit, ClientRules, SynGiveUp};
pub use cookies::CookieRules;
pub use counting::{CountingRules, ListenDropsPerCookie};
pub use generations::{GENERATIONS, Generation};
pub use ports::{FirstPort, PortRules, PortSearch, TimeWaitReuse};
pub use queues::{
    BacklogWidth, IcmpErrorOfRequest, MigrateReq, QueueRules, ResetOfRequest, SomaxconnCheck,
    SynOnFullAcceptQueue, SynQueueFull,
};
pub use timers::{SynAckTimer, TimerRules};

use crate::KernelVersion;

/// The handshake rules of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// The two queues of a listener: limits, and what happens at them.
    pub queues: QueueRules,
    /// Which counters a kernel has, and what moves them.
    pub counting: CountingRules,
    /// When a request's SYN-ACK is sent again.
    pub timers: TimerRules,
    /// SYN cookies.
    pub cookies: CookieRules,
    /// The side that connects: SYN retries, challenge ACKs.
    pub client: ClientRules,
    /// Local ports: order of the search, reuse of TIME_WAIT.
    pub ports: PortRules,
}

impl Semantics {
    /// The rules of this kernel.
    #[must_use]
    pub const fn of(version: KernelVersion) -> Self {
        Self {
            queues: QueueRules::of(version),
            counting: CountingRules::of(version),
            timers: TimerRules::of(version),
            cookies: CookieRules::of(version),
            client: ClientRules::of(version),
            ports: PortRules::of(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(release: &str) -> Semantics {
        Semantics::of(release.parse().expect("a release"))
    }

    #[test]
    fn backlog_is_sixteen_bits_wide_before_4_1() {
        assert_eq!(of("4.0.5").queues.backlog_width, BacklogWidth::Bits16);
        assert_eq!(of("3.10.0-1160.el7").queues.backlog_width, BacklogWidth::Bits16);
        assert_eq!(of("4.1.3").queues.backlog_width, BacklogWidth::Bits32);
    }

    #[test]
    fn syn_queue_full_test_has_three_forms() {
        assert_eq!(of("4.3.0").queues.syn_queue_full, SynQueueFull::PowerOfTwoTable);
        assert_eq!(of("4.18.0-147.el8").queues.syn_queue_full, SynQueueFull::AtLimit);
        assert_eq!(of("6.11.11").queues.syn_queue_full, SynQueueFull::AtLimit);
        assert_eq!(of("6.12.117").queues.syn_queue_full, SynQueueFull::AboveLimit);
        assert_eq!(of("6.18.2").queues.syn_queue_full, SynQueueFull::AboveLimit);
    }

    #[test]
    fn red_hat_backports_differ_from_their_base_version() {
        assert_eq!(of("2.6.32-642.el6").timers.initial_rto_ms, 1000);
        assert_eq!(of("2.6.32.2").timers.initial_rto_ms, 3000);
        assert_eq!(of("3.10.0-1160.el7").queues.somaxconn_check, SomaxconnCheck::SixteenBits);
        assert_eq!(of("3.10.4").queues.somaxconn_check, SomaxconnCheck::Unchecked);
        assert_eq!(of("3.10.65").queues.somaxconn_check, SomaxconnCheck::SixteenBits);
    }

    #[test]
    fn mainline_kernels_built_for_red_hat_follow_mainline() {
        assert_eq!(of("6.9.3-1.el7.elrepo.x86_64"), of("6.9.3"));
    }
}
