//! The two queues of a listener: how long they may get, and what happens when they are.

use super::stable::{late_5_10, late_6_1, late_6_12};
use crate::{KernelVersion, Vendor};

/// Limits of the accept queue and the SYN queue, and what is done at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRules {
    /// Width of `sk_max_ack_backlog` and `sk_ack_backlog`. 32 bits from 4.1 (becb74f0acca).
    pub backlog_width: BacklogWidth,
    /// What may be written to `net.core.somaxconn`. 0..65535 from 3.12 and in RHEL 7
    /// (5f671d6b4ec3; also in 3.10.y from some release between .4 and .65), anything not negative
    /// from 4.1.
    pub somaxconn_check: SomaxconnCheck,
    /// Default of `net.core.somaxconn`: 128, and 4096 from 5.4 (19f92a030ca6).
    pub somaxconn_default: u32,
    /// When the SYN queue counts as full.
    pub syn_queue_full: SynQueueFull,
    /// What happens to a SYN while the accept queue is full.
    pub syn_on_full_accept_queue: SynOnFullAcceptQueue,
    /// Whether requests are sockets in the connection table, and so in every dump of it. From 4.4
    /// (079096f103fa).
    pub requests_in_ehash: bool,
    /// What `tcp_migrate_req` does.
    pub migrate_req: MigrateReq,
    /// Whether `tcp_max_syn_backlog` is a setting of each network namespace. From 4.12 (global in
    /// 4.10).
    pub max_syn_backlog_per_netns: bool,
    /// Whether `tcp_abort_on_overflow` is a setting of each network namespace. From 4.15 (global in
    /// 4.12).
    pub abort_on_overflow_per_netns: bool,
    /// What an RST does to a request.
    pub reset_of_request: ResetOfRequest,
    /// What an ICMP error about its SYN-ACK does to a request.
    pub icmp_error_of_request: IcmpErrorOfRequest,
    /// Whether a third ACK is refused if it echoes a timestamp that was never sent. In 6.18.2, not
    /// in 6.14; the release in between is UNCONFIRMED, 6.15 is taken.
    pub checks_echoed_timestamp: bool,
}

/// What an ICMP error does to a request (`tcp_req_err`; to 4.3 `tcp_v4_err`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrorOfRequest {
    /// To 4.4: whatever it says, the request is given up.
    AnyEndsIt,
    /// From 4.5 (9cf7490360bf; UNCONFIRMED which stable branches have it): only if it says that there is
    /// no way to the host or its network.
    NoWayEndsIt,
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
    /// of those only 5.10.262, 6.1.192 and 6.12.117 were read, so below 6.13 the version alone cannot
    /// tell.
    AboveLimit,
}

/// What happens to a SYN that meets a full accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynOnFullAcceptQueue {
    /// To 4.9: dropped only while more than one young request waits. So a client can be told that
    /// it is connected, and its third ACK is dropped afterwards. Late 4.9.y is UNCONFIRMED.
    DroppedIfYoungRequests,
    /// From 4.10 (5ea8ea2cb7f1; 4.4.y after 4.4.176 too): always dropped.
    Dropped,
}

/// What `net.ipv4.tcp_migrate_req` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrateReq {
    /// To 5.13: there is no such setting.
    Absent,
    /// 5.10.262: the setting is there, and no code reads it.
    DoesNothing,
    /// From 5.14: children and requests of a listener that closes move to a sibling of its
    /// SO_REUSEPORT group.
    Moves,
}

/// What `tcp_check_req` makes of an RST in the window of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetOfRequest {
    /// The request is removed.
    InWindow,
    /// Only with the very next sequence number; otherwise a challenge ACK answers. Read in 6.1.192
    /// and 6.12.117, and not in 5.10.262, 6.14 and 6.18.2.
    ExactSequence,
}

impl QueueRules {
    pub(super) const fn of(v: KernelVersion) -> Self {
        Self {
            backlog_width: if v.at_least(4, 1) {
                BacklogWidth::Bits32
            } else {
                BacklogWidth::Bits16
            },
            somaxconn_check: somaxconn_check(v),
            somaxconn_default: if v.at_least(5, 4) { 4096 } else { 128 },
            syn_queue_full: if v.at_least(6, 13) || admits_one_more(v) {
                SynQueueFull::AboveLimit
            } else if v.at_least(4, 4) {
                SynQueueFull::AtLimit
            } else {
                SynQueueFull::PowerOfTwoTable
            },
            syn_on_full_accept_queue: if v.at_least(4, 10) || stable_drops_syns(v) {
                SynOnFullAcceptQueue::Dropped
            } else {
                SynOnFullAcceptQueue::DroppedIfYoungRequests
            },
            requests_in_ehash: v.at_least(4, 4),
            migrate_req: if v.at_least(5, 14) {
                MigrateReq::Moves
            } else if late_5_10(v) {
                MigrateReq::DoesNothing
            } else {
                MigrateReq::Absent
            },
            max_syn_backlog_per_netns: v.at_least(4, 12),
            abort_on_overflow_per_netns: v.at_least(4, 15),
            reset_of_request: if late_6_1(v) || late_6_12(v) {
                ResetOfRequest::ExactSequence
            } else {
                ResetOfRequest::InWindow
            },
            icmp_error_of_request: if v.at_least(4, 5) {
                IcmpErrorOfRequest::NoWayEndsIt
            } else {
                IcmpErrorOfRequest::AnyEndsIt
            },
            checks_echoed_timestamp: v.at_least(6, 15),
        }
    }
}

const fn somaxconn_check(v: KernelVersion) -> SomaxconnCheck {
    let late_3_10 = v.major == 3 && v.minor == 10 && v.patch >= 65;
    if v.at_least(4, 1) {
        SomaxconnCheck::NotNegative
    } else if v.at_least(3, 12) || late_3_10 || matches!(v.vendor, Vendor::Rhel(7)) {
        SomaxconnCheck::SixteenBits
    } else {
        SomaxconnCheck::Unchecked
    }
}

/// Stable releases that were read and carry 3479c7549fb1.
const fn admits_one_more(v: KernelVersion) -> bool {
    late_5_10(v) || late_6_1(v) || late_6_12(v)
}

/// Stable branches that took 5ea8ea2cb7f1.
const fn stable_drops_syns(v: KernelVersion) -> bool {
    matches!(v.vendor, Vendor::Vanilla)
        && ((v.major == 4 && v.minor == 4 && v.patch > 176)
            || (v.major == 3 && v.minor == 16 && v.patch >= 81))
}
