//! Which counters a kernel has, and what moves them where kernels differ.

use super::stable::{late_5_10, late_6_1};
use crate::{KernelVersion, Vendor};

/// What a kernel counts of a handshake that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountingRules {
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
    /// Whether TCPTimeouts counts the SYN-ACK timer. From 3.0 (absent in 2.6.32 and RHEL 6).
    pub syn_ack_timeouts_are_counted: bool,
    /// Whether TCPSynRetrans and TCPOrigDataSent exist. From 3.16 and in RHEL 7.
    pub syn_retransmissions_are_counted: bool,
    /// Whether TCPDeferAcceptDrop exists. From 3.0 (absent in 2.6.32 and RHEL 6).
    pub defer_accept_drops_are_counted: bool,
    /// Whether TCPBacklogDrop exists. From 3.0 and in RHEL 6.
    pub backlog_drops_are_counted: bool,
    /// Whether TCPTimeWaitOverflow exists. From 3.0 (67631510a318); UNCONFIRMED before 6.18.
    pub time_wait_overflows_are_counted: bool,
    /// Whether TCPDelivered exists. From 4.18 (feb5f2ec6464); UNCONFIRMED before 6.18.
    pub deliveries_are_counted: bool,
    /// Whether TcpTimeoutRehash exists. From 5.6 (32efcc06d2a1); UNCONFIRMED before 6.18. Until about
    /// 5.11 it counts the first time-outs only.
    pub timeout_rehashes_are_counted: bool,
    /// Whether a time-out counts the retransmission before it in TCPLostRetransmit. From 4.18;
    /// UNCONFIRMED before 6.18.
    pub timeouts_lose_retransmissions: bool,
    /// Whether tcp_tw_recycle refuses SYNs, which PAWSPassive counts. To 4.11.
    pub recycling_refuses_syns: bool,
    /// Whether CurrEstab counts connections in CLOSE_WAIT, as RFC 4022 has it. From 6.11, and in
    /// 5.10.262 and 6.1.192; before, only ESTABLISHED ones. UNCONFIRMED for other stable branches.
    pub close_wait_is_current: bool,
    /// The reason that a dropped third ACK carries in `skb:kfree_skb`: none before 5.17. A dropped SYN
    /// has none on any kernel, and no such event since 4.10.
    pub third_ack_drop_reason: Option<&'static str>,
}

/// Whether ListenDrops counts SYN cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenDropsPerCookie {
    /// No.
    None,
    /// One for each cookie sent, although nothing was dropped.
    One,
}

impl CountingRules {
    pub(super) const fn of(v: KernelVersion) -> Self {
        let rhel6 = matches!(v.vendor, Vendor::Rhel(6));
        let rhel7 = matches!(v.vendor, Vendor::Rhel(7));
        Self {
            syn_drops_are_counted: v.at_least(3, 10),
            syn_queue_full_is_counted: v.at_least(3, 1),
            listen_drops_per_cookie: if v.at_least(3, 10) && !v.at_least(4, 5) {
                ListenDropsPerCookie::One
            } else {
                ListenDropsPerCookie::None
            },
            listener_counts_its_drops: v.at_least(4, 7),
            syn_ack_timeouts_are_counted: v.at_least(3, 0),
            syn_retransmissions_are_counted: v.at_least(3, 16) || rhel7,
            defer_accept_drops_are_counted: v.at_least(3, 0),
            backlog_drops_are_counted: v.at_least(3, 0) || rhel6,
            time_wait_overflows_are_counted: v.at_least(3, 0),
            deliveries_are_counted: v.at_least(4, 18),
            timeout_rehashes_are_counted: v.at_least(5, 6),
            timeouts_lose_retransmissions: v.at_least(4, 18),
            recycling_refuses_syns: !v.at_least(4, 12),
            close_wait_is_current: v.at_least(6, 11) || late_5_10(v) || late_6_1(v),
            // e34100c2ecbb and a11a791ca81e (6.15); a reason as such exists from 5.17.
            third_ack_drop_reason: if v.at_least(6, 15) {
                Some("TCP_LISTEN_OVERFLOW")
            } else if v.at_least(5, 17) {
                Some("NOT_SPECIFIED")
            } else {
                None
            },
        }
    }
}
