//! A request: a SYN that was answered and waits for its third ACK (`struct request_sock`).

use std::net::SocketAddrV4;

use super::Seq;
use crate::Time;

/// A request in a SYN queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) local: SocketAddrV4,
    pub(super) peer: SocketAddrV4,
    /// The listener that it belongs to. It may have closed since.
    pub(super) listener: u32,
    /// `rcv_isn` and `snt_isn`.
    pub(super) peer_isn: Seq,
    pub(super) isn: Seq,
    /// `num_timeout`: how often its timer has fired.
    pub(super) timeouts: u8,
    /// `num_retrans`: how often its SYN-ACK was sent again.
    pub(super) resends: u8,
    /// Whether a third ACK came that could not be taken.
    pub(super) acked: bool,
    pub(super) timestamps: bool,
    /// The peer's clock, to be echoed.
    pub(super) peer_clock: u32,
    /// When its timer fires.
    pub(super) timer: Time,
    /// When a repeated SYN was answered last.
    pub(super) answered_at: Option<Time>,
    /// The clocks of its first and last SYN-ACK, for the check of the echoed timestamp.
    pub(super) clock_sent: (u32, u32),
}

/// What the SYN-ACK timer is told of a request and its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynAckTimeout {
    /// How often the timer has fired before (`num_timeout`).
    pub timeouts: u8,
    /// Whether a third ACK came that could not be taken.
    pub acked: bool,
    /// `tcp_synack_retries`, or TCP_SYNCNT of the listener.
    pub retries: u8,
    /// TCP_DEFER_ACCEPT, in time-outs.
    pub defer_accept: u8,
    /// Whether the SYN queue is at least half full.
    pub crowded: bool,
    /// Requests in the queue.
    pub requests: u32,
    /// Those whose timer has never fired.
    pub young: u32,
}

/// What the SYN-ACK timer does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynAckFate {
    /// The SYN-ACK is sent again, and the request waits on.
    SendAgain,
    /// It waits on, and nothing is sent: the client has acknowledged, and TCP_DEFER_ACCEPT waits for
    /// data.
    Wait,
    /// The request is forgotten. Nothing is sent to the client.
    Forget,
}

/// Whether TCP_DEFER_ACCEPT may be why the bare ACK of a request was not taken, after so many time-outs
/// of its SYN-ACK; `defer_accept` is the number of those that it waits, 0 if it is off.
///
/// Bare ACKs are dropped until the SYN-ACK has timed out so often. Then it is sent again and its ACK is
/// taken, or dropped like any other: which of the two shows once another time-out is over
/// (net/ipv4/tcp_minisocks.c `tcp_check_req`, net/ipv4/inet_connection_sock.c `syn_ack_recalc`).
#[must_use]
pub const fn may_be_deferred(defer_accept: u8, timeouts: u8) -> bool {
    defer_accept > 0 && timeouts <= defer_accept
}

impl SynAckTimeout {
    /// The decision of `reqsk_timer_handler` and `syn_ack_recalc`
    /// (net/ipv4/inet_connection_sock.c).
    ///
    /// A queue that is half full gives up old requests early, the more of them are old.
    #[must_use]
    pub const fn fate(self) -> SynAckFate {
        let retries = self.retries_left_by_crowd();
        let Self { timeouts, acked, defer_accept, .. } = self;
        let spent = timeouts >= retries;
        let (expired, resend) = if defer_accept == 0 {
            (spent, true)
        } else {
            let overdue = timeouts >= defer_accept;
            (spent && (!acked || overdue), !acked || timeouts >= defer_accept - 1)
        };
        match (expired, resend) {
            (true, _) => SynAckFate::Forget,
            (false, true) => SynAckFate::SendAgain,
            (false, false) => SynAckFate::Wait,
        }
    }

    const fn retries_left_by_crowd(self) -> u8 {
        let mut retries = self.retries;
        if !self.crowded {
            return retries;
        }
        let mut young = self.young as u64 * 2;
        while retries > 2 {
            if (self.requests as u64) < young {
                break;
            }
            retries -= 1;
            young *= 2;
        }
        retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: SynAckTimeout = SynAckTimeout {
        timeouts: 0,
        acked: false,
        retries: 5,
        defer_accept: 0,
        crowded: false,
        requests: 1,
        young: 1,
    };

    fn fates(timeout: SynAckTimeout) -> Vec<SynAckFate> {
        (0..=7).map(|timeouts| SynAckTimeout { timeouts, ..timeout }.fate()).collect()
    }

    #[test]
    fn a_request_is_sent_five_times_more_and_then_forgotten() {
        let expected = [[SynAckFate::SendAgain; 5].as_slice(), &[SynAckFate::Forget; 3]].concat();
        assert_eq!(fates(ALONE), expected);
        assert_eq!(fates(SynAckTimeout { acked: true, ..ALONE }), expected);
    }

    #[test]
    fn a_deferred_request_is_left_alone_until_its_time_is_nearly_over() {
        use SynAckFate::{Forget, SendAgain, Wait};
        let deferred = SynAckTimeout { acked: true, defer_accept: 4, ..ALONE };
        let expected = [Wait, Wait, Wait, SendAgain, SendAgain, Forget, Forget, Forget];
        assert_eq!(fates(deferred), expected);
    }

    #[test]
    fn a_crowded_queue_forgets_old_requests_at_their_third_timeout() {
        let crowded = SynAckTimeout { crowded: true, requests: 9, young: 0, timeouts: 2, ..ALONE };
        assert_eq!(crowded.fate(), SynAckFate::Forget);
        let young = SynAckTimeout { young: 9, ..crowded };
        assert_eq!(young.fate(), SynAckFate::SendAgain);
    }
}
