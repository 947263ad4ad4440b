//! A listening socket with its two queues.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::SocketId;
use super::poll_clock::PollClock;
use crate::{AcceptQueue, Semantics, SynQueue, SynQueueFull, Sysctls, Time, effective_backlog};

/// What a program asks for when it opens a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// The local address; 0.0.0.0 for any.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// The argument of listen(2).
    pub backlog: i32,
    /// SO_REUSEPORT.
    pub reuseport: bool,
    /// TCP_DEFER_ACCEPT in seconds; 0 for off.
    pub defer_accept_s: u32,
    /// TCP_SYNCNT, which is the number of SYN-ACK retransmissions of a listener; none for
    /// `tcp_synack_retries`.
    pub syn_retries: Option<u8>,
}

/// A listening socket as others may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerView {
    /// Its local address.
    pub local: SocketAddrV4,
    /// Its accept queue.
    pub accept_queue: AcceptQueue,
    /// Requests in its SYN queue.
    pub requests: u32,
    /// Those whose SYN-ACK timer has not fired yet.
    pub young: u32,
    /// Segments dropped at it (`sk_drops`), as the kernel counts them.
    pub drops: u32,
    /// Connections that were ever taken from its accept queue.
    pub accepted: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) local: SocketAddrV4,
    pub(super) reuseport: bool,
    pub(super) queue: AcceptQueue,
    pub(super) first: Option<SocketId>,
    pub(super) last: Option<SocketId>,
    /// Requests (`qlen`) and those that were never timed out (`young`).
    pub(super) requests: u32,
    pub(super) young: u32,
    /// The table of kernels to 4.3, sized at the first listen().
    table: SynQueue,
    /// `rskq_defer_accept`, in time-outs.
    pub(super) defer_accept: u8,
    syn_retries: Option<u8>,
    /// When a SYN cookie was sent last.
    pub(super) last_cookie: Option<Time>,
    pub(super) drops: u32,
    pub(super) accepted: u64,
    pub(super) clock: PollClock,
}

impl Listener {
    pub(super) fn new(options: &ListenOptions, sysctls: &Sysctls, semantics: &Semantics) -> Self {
        let limit = effective_backlog(options.backlog, sysctls.somaxconn, semantics).limit;
        let table = SynQueue::of_listener(limit, sysctls.max_syn_backlog, semantics);
        let rto_ms = semantics.timers.initial_rto_ms;
        Self {
            local: SocketAddrV4::new(options.address, options.port),
            reuseport: options.reuseport,
            queue: AcceptQueue { depth: 0, limit },
            first: None,
            last: None,
            requests: 0,
            young: 0,
            table,
            defer_accept: secs_to_timeouts(options.defer_accept_s, rto_ms),
            syn_retries: options.syn_retries,
            last_cookie: None,
            drops: 0,
            accepted: 0,
            clock: PollClock::new(table.capacity, rto_ms),
        }
    }

    /// listen(2) on a socket that listens already: only the limit changes; a table keeps its size.
    pub(super) fn listen_again(&mut self, backlog: i32, sysctls: &Sysctls, semantics: &Semantics) {
        self.queue.limit = effective_backlog(backlog, sysctls.somaxconn, semantics).limit;
    }

    pub(super) fn syn_queue(&self, semantics: &Semantics) -> SynQueue {
        match semantics.queues.syn_queue_full {
            SynQueueFull::PowerOfTwoTable => self.table,
            SynQueueFull::AtLimit | SynQueueFull::AboveLimit => {
                SynQueue::of_listener(self.queue.limit, 0, semantics)
            }
        }
    }

    /// Whether the SYN queue is so long that old requests give way to young ones
    /// (`reqsk_timer_handler`; to 4.3 `inet_csk_reqsk_queue_prune`).
    pub(super) fn is_crowded(&self, semantics: &Semantics) -> bool {
        match semantics.queues.syn_queue_full {
            SynQueueFull::PowerOfTwoTable => u64::from(self.requests) * 2 >= self.table.capacity,
            SynQueueFull::AtLimit | SynQueueFull::AboveLimit => {
                u64::from(self.requests) * 2 > u64::from(self.queue.limit.max(8))
            }
        }
    }

    /// SYN-ACK retransmissions before a request is given up.
    pub(super) fn syn_ack_retries(&self, sysctls: &Sysctls) -> u8 {
        self.syn_retries.unwrap_or(sysctls.synack_retries)
    }

    pub(super) const fn view(&self) -> ListenerView {
        ListenerView {
            local: self.local,
            accept_queue: self.queue,
            requests: self.requests,
            young: self.young,
            drops: self.drops,
            accepted: self.accepted,
        }
    }
}

/// Time-outs of the SYN-ACK that cover so many seconds (net/core `secs_to_retrans`).
#[must_use]
pub fn secs_to_timeouts(seconds: u32, initial_rto_ms: u32) -> u8 {
    if seconds == 0 {
        return 0;
    }
    let wanted = u64::from(seconds) * 1000;
    let mut timeouts = 1;
    let mut wait = u64::from(initial_rto_ms).max(1);
    let mut covered = wait;
    while wanted > covered && timeouts < u8::MAX {
        timeouts += 1;
        wait = (wait * 2).min(crate::retries::RTO_MAX_MS);
        covered += wait;
    }
    timeouts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_of_deferral_are_four_timeouts() {
        assert_eq!(secs_to_timeouts(10, 1000), 4);
        assert_eq!(secs_to_timeouts(0, 1000), 0);
        assert_eq!(secs_to_timeouts(1, 1000), 1);
        assert_eq!(secs_to_timeouts(30, 1000), 5);
    }
}
