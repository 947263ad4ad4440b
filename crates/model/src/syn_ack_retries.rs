//! The life of a request in the SYN queue: when its SYN-ACK is sent again, and when it is forgotten.
//!
//! This is what happens in a SYN queue that is less than half full; in a fuller one old requests get
//! fewer retries.

use crate::Semantics;
use crate::retries::{secs_to_retrans, syn_ack_sent_after_ms};

/// What decides a request's timetable (`reqsk_timer_handler`, `syn_ack_recalc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynAckRetries {
    /// First time-out in milliseconds.
    pub initial_rto_ms: u32,
    /// `tcp_synack_retries`.
    pub retries: u8,
    /// Time-outs that TCP_DEFER_ACCEPT waits for data; 0 without it.
    pub defer: u8,
}

/// What a request's timer does when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynAckTimeout {
    /// The SYN-ACK is sent again.
    SendAgain,
    /// Nothing is sent: the client has acknowledged, and data is awaited.
    Wait,
    /// The request is removed, silently.
    Forget,
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
    /// The timetable of a listener with these settings; `defer_seconds` is TCP_DEFER_ACCEPT's.
    #[must_use]
    pub fn new(retries: u8, defer_seconds: u32, semantics: &Semantics) -> Self {
        let initial_rto_ms = semantics.timers.initial_rto_ms;
        Self { initial_rto_ms, retries, defer: secs_to_retrans(defer_seconds, initial_rto_ms) }
    }

    /// What happens at the next time-out after so many.
    #[must_use]
    pub const fn on_timeout(self, timeouts: u16, acked: bool) -> SynAckTimeout {
        let waits_for_data = acked && self.defer > 0;
        let over = timeouts >= self.retries as u16;
        if over && (!waits_for_data || timeouts >= self.defer as u16) {
            SynAckTimeout::Forget
        } else if waits_for_data && timeouts + 1 < self.defer as u16 {
            SynAckTimeout::Wait
        } else {
            SynAckTimeout::SendAgain
        }
    }

    /// The whole life of a request whose client sends no data, and has or has not acknowledged.
    #[must_use]
    pub fn life(self, acked: bool) -> SynAckLife {
        let mut sent_ms = vec![0];
        let mut timeouts = 0;
        loop {
            let at = syn_ack_sent_after_ms(self.initial_rto_ms, timeouts + 1);
            match self.on_timeout(timeouts, acked) {
                SynAckTimeout::SendAgain => sent_ms.push(at),
                SynAckTimeout::Wait => {}
                SynAckTimeout::Forget => return SynAckLife { sent_ms, forgotten_ms: at },
            }
            // Ends: both retries and defer are at most 255.
            timeouts += 1;
        }
    }

    /// From when on a bare ACK makes a connection although TCP_DEFER_ACCEPT waits for data, in
    /// milliseconds from the first SYN-ACK.
    #[must_use]
    pub fn bare_ack_taken_after_ms(self) -> u64 {
        syn_ack_sent_after_ms(self.initial_rto_ms, u16::from(self.defer))
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
}
