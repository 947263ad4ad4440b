//! The life of a request in the SYN queue: when its SYN-ACK is sent again, when it is forgotten.
//!
//! This is what happens in a SYN queue that is less than half full; in a fuller one old requests get
//! fewer retries.

use crate::Semantics;
use crate::retries::syn_ack_sent_after_ms;
use crate::tcp::{SynAckFate, SynAckTimeout, secs_to_timeouts};

/// What decides a request's timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynAckRetries {
    /// First time-out in milliseconds.
    pub initial_rto_ms: u32,
    /// `tcp_synack_retries`.
    pub retries: u8,
    /// Time-outs that TCP_DEFER_ACCEPT waits for data; 0 without it.
    pub defer_accept: u8,
}

/// A request from its first SYN-ACK to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynAckLife {
    /// When each SYN-ACK is sent, in milliseconds from the first one.
    pub sent_ms: Vec<u64>,
    /// When the request is forgotten.
    pub forgotten_ms: u64,
}

impl SynAckRetries {
    /// The timetable of a listener with these settings.
    #[must_use]
    pub fn new(retries: u8, defer_accept_s: u32, semantics: &Semantics) -> Self {
        let initial_rto_ms = semantics.timers.initial_rto_ms;
        let defer_accept = secs_to_timeouts(defer_accept_s, initial_rto_ms);
        Self { initial_rto_ms, retries, defer_accept }
    }

    /// The whole life of a request whose client sends no data, and has or has not acknowledged.
    #[must_use]
    pub fn life(self, acked: bool) -> SynAckLife {
        let mut sent_ms = vec![0];
        for timeouts in 0..u8::MAX {
            let at = syn_ack_sent_after_ms(self.initial_rto_ms, u16::from(timeouts) + 1);
            match self.timeout(timeouts, acked).fate() {
                SynAckFate::SendAgain => sent_ms.push(at),
                SynAckFate::Wait => {}
                SynAckFate::Forget => return SynAckLife { sent_ms, forgotten_ms: at },
            }
        }
        // No setting outlasts the last time-out that can be counted.
        let forgotten_ms = syn_ack_sent_after_ms(self.initial_rto_ms, u16::from(u8::MAX) + 1);
        SynAckLife { sent_ms, forgotten_ms }
    }

    /// How long TCP_DEFER_ACCEPT waits, in milliseconds: what getsockopt() gives back, and from when
    /// on a bare ACK makes a connection.
    #[must_use]
    pub fn deferred_ms(self) -> u64 {
        syn_ack_sent_after_ms(self.initial_rto_ms, u16::from(self.defer_accept))
    }

    const fn timeout(self, timeouts: u8, acked: bool) -> SynAckTimeout {
        let Self { retries, defer_accept, .. } = self;
        SynAckTimeout {
            timeouts,
            acked,
            retries,
            defer_accept,
            crowded: false,
            requests: 1,
            young: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(kernel: &str, retries: u8, defer: u32, acked: bool) -> (Vec<u64>, u64) {
        let semantics = Semantics::of(kernel.parse().expect("a release"));
        let life = SynAckRetries::new(retries, defer, &semantics).life(acked);
        (life.sent_ms.iter().map(|ms| ms / 1000).collect(), life.forgotten_ms / 1000)
    }

    #[test]
    fn a_silent_request_lives_for_63_seconds() {
        assert_eq!(life("6.18.0", 5, 0, false), (vec![0, 1, 3, 7, 15, 31], 63));
        assert_eq!(life("2.6.32", 5, 0, false), (vec![0, 3, 9, 21, 45, 93], 189));
        assert_eq!(life("6.18.0", 0, 0, true), (vec![0], 1));
    }

    #[test]
    fn a_deferred_request_is_answered_again_when_its_time_is_nearly_over() {
        assert_eq!(life("6.18.0", 5, 10, true), (vec![0, 15, 31], 63));
        assert_eq!(life("6.18.0", 5, 10, false), (vec![0, 1, 3, 7, 15, 31], 63));
        assert_eq!(life("6.18.0", 5, 100, true), (vec![0, 127], 247));
    }

    #[test]
    fn the_longest_settings_have_an_end() {
        assert_eq!(life("6.18.0", 255, u32::MAX, true).0.len(), 2);
        assert_eq!(life("6.18.0", 255, 0, false).0.len(), 256);
    }

    #[test]
    fn seconds_of_deferral_are_rounded_up_to_a_timeout() {
        let semantics = Semantics::of("6.18.0".parse().expect("a release"));
        let reads_back = |seconds| SynAckRetries::new(5, seconds, &semantics).deferred_ms();
        assert_eq!([0, 1, 2, 10, 16].map(reads_back), [0, 1000, 3000, 15_000, 31_000]);
    }
}
