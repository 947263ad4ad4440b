//! How kernel generations differ, as data: one [`Semantics`] value per kernel, each field with the
//! release or commit that changed it.
//!
//! The values were read in kernel source (releases from 2.6.32 to 6.19 and the RHEL 6, 7 and 8
//! kernels). Stable branches and distributions backport; where a backport is known to exist but its
//! exact release is not, the field's documentation says so.

use crate::{KernelVersion, Vendor};

/// The handshake rules of one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// Width of `sk_max_ack_backlog`. 32 bits from 4.1 (becb74f0acca).
    pub backlog_width: BacklogWidth,
    /// What may be written to `net.core.somaxconn`. 0..65535 from 3.12 and in RHEL 7
    /// (5f671d6b4ec3; also in 3.10.y from some release between .4 and .65, which the table leaves
    /// out), anything not negative from 4.1.
    pub somaxconn_check: SomaxconnCheck,
    /// Default of `net.core.somaxconn`: 128, and 4096 from 5.4 (19f92a030ca6).
    pub somaxconn_default: u32,
    /// When the SYN queue counts as full.
    pub syn_queue_full: SynQueueFull,
    /// What happens to a SYN while the accept queue is full.
    pub syn_on_full_accept_queue: SynOnFullAcceptQueue,
    /// Whether ListenOverflows and ListenDrops count dropped SYNs. From 3.10 (2aeef18d37aa); older
    /// kernels drop SYNs without a trace.
    pub syn_drops_are_counted: bool,
    /// Whether TCPReqQFullDrop and TCPReqQFullDoCookies exist. From 3.1 (946cedccbd73).
    pub syn_queue_full_is_counted: bool,
    /// Whether each SYN cookie also counts as a ListenDrop. 3.10 to 4.4.
    pub listen_drops_per_cookie: ListenDropsPerCookie,
    /// Whether a listener's own drop counter (`sk_drops`, `d` in `ss -m`) counts its ListenDrops.
    /// From 4.7 (9caad864151e).
    pub listener_counts_its_drops: bool,
    /// Whether requests are sockets in the connection table, and so in every dump of it. From 4.4
    /// (079096f103fa).
    pub requests_in_ehash: bool,
    /// First retransmission time-out of SYN and SYN-ACK in milliseconds: 3000, and 1000 from 3.1
    /// and in RHEL 6 (9ad7c049f0f7).
    pub initial_rto_ms: u32,
    /// Default of `tcp_syn_linear_timeouts`, 0 where the sysctl does not exist. 4 from 6.5
    /// (ccce324dabfe).
    pub syn_linear_timeouts_default: u8,
    /// Default of `tcp_syn_retries`: 5, and 6 from 3.10.
    pub syn_retries_default: u8,
    /// Order in which `connect()` looks for a local port.
    pub port_search: PortSearch,
    /// Default of `tcp_tw_reuse`: off, and loopback only from 4.18 (79e9fed46038).
    pub time_wait_reuse_default: TimeWaitReuse,
}

/// Width of the stored accept-queue limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogWidth {
    /// `unsigned short`: 65536 becomes 0.
    Bits16,
    /// `u32`.
    Bits32,
}

/// What the kernel lets an administrator write to `net.core.somaxconn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SomaxconnCheck {
    /// Any number; more than 65535 is cut when it is stored in the listener.
    Unchecked,
    /// 0 to 65535.
    SixteenBits,
    /// Any number that is not negative.
    NotNegative,
}

/// When `inet_csk_reqsk_queue_is_full` says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynQueueFull {
    /// To 4.3: a table of 2^n entries that is sized at the first `listen()`.
    PowerOfTwoTable,
    /// 4.4 (ef547f2ac16b) to 6.12: `qlen >= sk_max_ack_backlog`.
    AtLimit,
    /// 6.13 (3479c7549fb1): `qlen > sk_max_ack_backlog`. The stable branches took it early in 2025;
    /// of those only 6.1.192 and 6.12.117 were read, so below 6.13 the version alone cannot tell.
    AboveLimit,
}

/// What happens to a SYN that meets a full accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynOnFullAcceptQueue {
    /// To 4.9: dropped only while more than one young request waits. So a client can be told that
    /// it is connected, and its third ACK is dropped afterwards.
    DroppedIfYoungRequests,
    /// From 4.10 (5ea8ea2cb7f1): always dropped.
    Dropped,
}

/// Whether ListenDrops counts SYN cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenDropsPerCookie {
    /// No.
    None,
    /// One for each cookie sent, although nothing was dropped.
    One,
}

/// Order in which `connect()` tries local ports (`__inet_hash_connect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSearch {
    /// One pass over all ports, step 1.
    OnePass,
    /// All ports of one parity first, then the other (1580ab63fc9a, between 4.5 and 4.9). So the
    /// search gets dear once half of the range is taken for a destination.
    TwoPasses,
}

/// When a port in TIME_WAIT may be taken again by `connect()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// Never.
    Off,
    /// For connections over loopback.
    LoopbackOnly,
}

impl Semantics {
    /// The rules of this kernel.
    #[must_use]
    pub const fn of(version: KernelVersion) -> Self {
        let v = version;
        let rhel6 = matches!(v.vendor, Vendor::Rhel(6));
        let rhel7 = matches!(v.vendor, Vendor::Rhel(7));
        Self {
            backlog_width: if v.at_least(4, 1) {
                BacklogWidth::Bits32
            } else {
                BacklogWidth::Bits16
            },
            somaxconn_check: if v.at_least(4, 1) {
                SomaxconnCheck::NotNegative
            } else if v.at_least(3, 12) || rhel7 {
                SomaxconnCheck::SixteenBits
            } else {
                SomaxconnCheck::Unchecked
            },
            somaxconn_default: if v.at_least(5, 4) { 4096 } else { 128 },
            syn_queue_full: if v.at_least(6, 13) || stable_has_above_limit(v) {
                SynQueueFull::AboveLimit
            } else if v.at_least(4, 4) {
                SynQueueFull::AtLimit
            } else {
                SynQueueFull::PowerOfTwoTable
            },
            syn_on_full_accept_queue: if v.at_least(4, 10) {
                SynOnFullAcceptQueue::Dropped
            } else {
                SynOnFullAcceptQueue::DroppedIfYoungRequests
            },
            syn_drops_are_counted: v.at_least(3, 10),
            syn_queue_full_is_counted: v.at_least(3, 1),
            listen_drops_per_cookie: if v.at_least(3, 10) && !v.at_least(4, 5) {
                ListenDropsPerCookie::One
            } else {
                ListenDropsPerCookie::None
            },
            listener_counts_its_drops: v.at_least(4, 7),
            requests_in_ehash: v.at_least(4, 4),
            initial_rto_ms: if v.at_least(3, 1) || rhel6 { 1000 } else { 3000 },
            syn_linear_timeouts_default: if v.at_least(6, 5) { 4 } else { 0 },
            syn_retries_default: if v.at_least(3, 10) { 6 } else { 5 },
            port_search: if v.at_least(4, 6) { PortSearch::TwoPasses } else { PortSearch::OnePass },
            time_wait_reuse_default: if v.at_least(4, 18) {
                TimeWaitReuse::LoopbackOnly
            } else {
                TimeWaitReuse::Off
            },
        }
    }
}

/// Stable releases that were read and carry 3479c7549fb1.
const fn stable_has_above_limit(v: KernelVersion) -> bool {
    matches!(v.vendor, Vendor::Vanilla)
        && ((v.major == 6 && v.minor == 1 && v.patch >= 192)
            || (v.major == 6 && v.minor == 12 && v.patch >= 117))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(release: &str) -> Semantics {
        Semantics::of(release.parse().expect("a release"))
    }

    #[test]
    fn backlog_is_sixteen_bits_wide_before_4_1() {
        assert_eq!(of("4.0.5").backlog_width, BacklogWidth::Bits16);
        assert_eq!(of("3.10.0-1160.el7").backlog_width, BacklogWidth::Bits16);
        assert_eq!(of("4.1.3").backlog_width, BacklogWidth::Bits32);
    }

    #[test]
    fn syn_queue_full_test_has_three_forms() {
        assert_eq!(of("4.3.0").syn_queue_full, SynQueueFull::PowerOfTwoTable);
        assert_eq!(of("4.18.0-147.el8").syn_queue_full, SynQueueFull::AtLimit);
        assert_eq!(of("6.11.11").syn_queue_full, SynQueueFull::AtLimit);
        assert_eq!(of("6.12.117").syn_queue_full, SynQueueFull::AboveLimit);
        assert_eq!(of("6.18.2").syn_queue_full, SynQueueFull::AboveLimit);
    }

    #[test]
    fn red_hat_backports_differ_from_their_base_version() {
        assert_eq!(of("2.6.32-642.el6").initial_rto_ms, 1000);
        assert_eq!(of("2.6.32.2").initial_rto_ms, 3000);
        assert_eq!(of("3.10.0-1160.el7").somaxconn_check, SomaxconnCheck::SixteenBits);
        assert_eq!(of("3.10.4").somaxconn_check, SomaxconnCheck::Unchecked);
    }
}
