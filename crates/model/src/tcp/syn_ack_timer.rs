//! The SYN-ACK timer of a request (`reqsk_timer_handler`; to 4.0 `inet_csk_reqsk_queue_prune`).

use super::request::{SynAckFate, SynAckTimeout};
use super::{Effects, Stack};
use crate::retries::syn_ack_wait_ms;
use crate::{Counter, Span, Time};

impl Stack {
    pub(super) fn on_request_timer(&mut self, now: Time, index: u32, effects: &mut Effects) {
        let Some(request) = self.requests.get(index).filter(|request| request.timer == now) else {
            return;
        };
        let request = *request;
        if self.listener(request.listener).is_none() && !self.migrate_request(index) {
            self.remove_request(index);
            return;
        }
        if self.semantics.counting.syn_ack_timeouts_are_counted {
            self.counters.count(Counter::TcpTimeouts);
        }
        let Some(timeout) = self.syn_ack_timeout(index) else { return };
        match timeout.fate() {
            SynAckFate::Forget => return self.remove_request(index),
            SynAckFate::SendAgain => self.resend_syn_ack(now, index, effects),
            SynAckFate::Wait => {}
        }
        if request.timeouts == 0
            && let Some(listener) = self.requests.get(index).map(|request| request.listener)
            && let Some(listener) = self.listener_mut(listener)
        {
            listener.young -= 1;
        }
        if let Some(request) = self.requests.get_mut(index) {
            request.timeouts = request.timeouts.saturating_add(1);
        }
        self.arm_request(now, index);
    }

    /// How long a request waits for its third ACK now.
    pub(super) fn request_timeout(&self, index: u32) -> Span {
        let timeouts = self.requests.get(index).map_or(0, |request| u16::from(request.timeouts));
        Span::from_millis(syn_ack_wait_ms(self.semantics.timers.initial_rto_ms, timeouts))
    }

    fn syn_ack_timeout(&self, index: u32) -> Option<SynAckTimeout> {
        let request = self.requests.get(index)?;
        let listener = self.listener(request.listener)?;
        Some(SynAckTimeout {
            timeouts: request.timeouts,
            acked: request.acked,
            retries: listener.syn_ack_retries(&self.sysctls),
            defer_accept: listener.defer_accept,
            crowded: listener.is_crowded(&self.semantics),
            requests: listener.requests,
            young: listener.young,
        })
    }
}
