//! The SYN queue: requests that were answered by a SYN-ACK and wait for the third ACK.
//!
//! It has no limit of its own since Linux 4.4: the kernel compares its length with the limit of the
//! accept queue. `tcp_max_syn_backlog` then matters only through the last-quarter rule, and only
//! while SYN cookies are off.

use crate::{Semantics, SynQueueFull};

/// The limit of one listener's SYN queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SynQueue {
    /// Requests that fit before the kernel calls the queue full.
    pub capacity: u64,
}

impl SynQueue {
    /// The SYN queue of a listener with this accept-queue limit.
    ///
    /// Up to 4.3 the table is sized at the first `listen()` (`reqsk_queue_alloc`) and rounded up to
    /// a power of two; from 4.4 on (`inet_csk_reqsk_queue_is_full`) the accept-queue limit rules.
    #[must_use]
    pub fn of_listener(limit: u32, max_syn_backlog: i32, semantics: &Semantics) -> Self {
        let limit = u64::from(limit);
        let capacity = match semantics.queues.syn_queue_full {
            SynQueueFull::PowerOfTwoTable => {
                // Compared without sign.
                let most = u64::from(max_syn_backlog.cast_unsigned());
                (limit.min(most).max(8) + 1).next_power_of_two()
            }
            SynQueueFull::AtLimit => limit,
            SynQueueFull::AboveLimit => limit + 1,
        };
        Self { capacity }
    }

    /// Whether a listener with so many requests counts as full.
    #[must_use]
    pub const fn is_full(self, requests: u64) -> bool {
        requests >= self.capacity
    }
}

/// The number of requests in the SYN queue from which on a SYN of an unknown peer is dropped while
/// `tcp_syncookies` is 0: the last quarter of `tcp_max_syn_backlog` is kept for peers that the
/// kernel has metrics of (`tcp_conn_request`, test `max_syn_backlog - qlen < max_syn_backlog >> 2`,
/// with sign).
#[must_use]
pub fn last_quarter_threshold(max_syn_backlog: i32) -> u32 {
    let most = i64::from(max_syn_backlog);
    u32::try_from((most - (most >> 2) + 1).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelVersion;

    fn capacity(kernel: &str, limit: u32, max_syn_backlog: i32) -> u64 {
        let version: KernelVersion = kernel.parse().expect("a release");
        SynQueue::of_listener(limit, max_syn_backlog, &Semantics::of(version)).capacity
    }

    #[test]
    fn old_kernels_round_up_to_a_power_of_two_and_never_go_below_sixteen() {
        for (limit, expected) in
            [(0, 16), (8, 16), (127, 128), (128, 256), (511, 512), (1024, 2048)]
        {
            assert_eq!(capacity("3.10.0-1160.el7", limit, 4096), expected, "limit {limit}");
        }
        assert_eq!(capacity("3.10.0-1160.el7", 1024, 100), 128);
        assert_eq!(capacity("3.10.0-1160.el7", 1024, -1), 2048);
    }

    #[test]
    fn kernels_from_4_4_use_the_accept_queue_limit() {
        assert_eq!(capacity("5.4.195", 8, 1), 8);
        assert_eq!(capacity("5.4.195", 0, 1), 0);
        assert_eq!(capacity("6.18.2", 8, 1), 9);
        assert_eq!(capacity("6.18.2", 0, 1), 1);
    }

    #[test]
    fn last_quarter_begins_at_thirteen_of_sixteen() {
        assert_eq!(last_quarter_threshold(16), 13);
        assert_eq!(last_quarter_threshold(2048), 1537);
        assert_eq!(last_quarter_threshold(0), 1);
        assert_eq!(last_quarter_threshold(3), 4);
        assert_eq!(last_quarter_threshold(-1), 1);
        assert_eq!(last_quarter_threshold(-100), 0);
    }
}
