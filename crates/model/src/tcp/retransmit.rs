//! The timers of full sockets: retransmission, keep-alive, put-off ACKs, the end of TIME_WAIT
//! (net/ipv4/tcp_timer.c).

use super::socket::Marks;
use super::{Effects, Flags, SocketId, Stack, Timer};
use crate::retries::{RTO_MAX_MS, RTO_MIN_MS, SynRetries, SynTimeout};
use crate::{Counter, Span, SynGiveUp, TcpState, Time};

/// Time between keep-alive probes that are not answered (`tcp_keepalive_intvl`).
const KEEPALIVE_INTERVAL: Span = Span::from_secs(75);

/// Probes after which a connection is given up (`tcp_keepalive_probes`).
const KEEPALIVE_PROBES: u16 = 9;

impl Stack {
    /// Lets a socket's timer fire after so long, instead of whenever it was to fire.
    pub(super) fn arm_socket(&mut self, now: Time, id: SocketId, wait: Span) {
        if let Some(socket) = self.sockets.get_mut(id.0) {
            socket.timer = now + wait;
            self.timers.put(now, wait, Timer::Socket(id.0));
        }
    }

    /// New data went out, or some was acknowledged: its time runs from now.
    pub(super) fn arm_retransmission(&mut self, now: Time, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        socket.sent_at = now;
        socket.retransmits = 0;
        self.arm_socket(now, id, Span::from_millis(RTO_MIN_MS));
    }

    pub(super) fn arm_keepalive(&mut self, now: Time, id: SocketId) {
        let Some(socket) = self.sockets.get(id.0) else { return };
        if socket.keepalive_s > 0 && socket.state == TcpState::Established {
            let idle = Span::from_secs(u64::from(socket.keepalive_s));
            self.arm_socket(now, id, idle);
        }
    }

    pub(super) fn on_socket_timer(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(id.0).filter(|socket| socket.timer == now) else {
            return;
        };
        socket.timer = Time::NEVER;
        match socket.state {
            TcpState::SynSent => self.on_syn_timeout(now, id, effects),
            TcpState::TimeWait => self.remove_socket(id),
            TcpState::FinWait2 if socket.marks.has(Marks::ORPHAN) => self.finish(id),
            _ if socket.in_flight() > 0 => self.on_retransmission(now, id, effects),
            _ if socket.marks.has(Marks::ACK_DUE) => {
                self.counters.count(Counter::DelayedAcks);
                self.send_ack(now, id, effects);
                self.arm_keepalive(now, id);
            }
            TcpState::Established => self.on_keepalive(now, id, effects),
            _ => {}
        }
    }

    /// Data or a FIN was not acknowledged in time. The first time, the tail is probed (TLP, from
    /// 3.10), which neither counts as a time-out nor doubles the next wait.
    fn on_retransmission(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let probes = self.semantics.timers.probes_tail;
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        if probes && !socket.marks.has(Marks::PROBED) {
            socket.marks.set(Marks::PROBED, true);
            self.resend(now, id, effects);
            return self.arm_socket(now, id, Span::from_millis(RTO_MIN_MS));
        }
        self.counters.count(Counter::TcpTimeouts);
        let elapsed = now.since(socket.sent_at).as_millis();
        match data_retries(self.sysctls.retries2).on_timeout(socket.retransmits, elapsed) {
            SynTimeout::GiveUp => {
                self.counters.count(Counter::TcpAbortOnTimeout);
                self.break_connection(id, effects);
            }
            SynTimeout::SendAgain { next_ms } => {
                let again = socket.retransmits > 0;
                socket.retransmits += 1;
                self.count_timeout(again);
                self.resend(now, id, effects);
                self.arm_socket(now, id, Span::from_millis(next_ms.min(RTO_MAX_MS)));
            }
        }
    }

    /// What is counted of a time-out that ends nothing, beside TCPTimeouts: the flow's hash is chosen anew
    /// (`tcp_write_timeout`), and the retransmission before it is lost too (`tcp_mark_skb_lost`).
    pub(super) fn count_timeout(&mut self, again: bool) {
        if self.semantics.counting.timeout_rehashes_are_counted {
            self.counters.count(Counter::TcpTimeoutRehash);
        }
        if again && self.semantics.counting.timeouts_lose_retransmissions {
            self.counters.count(Counter::TcpLostRetransmit);
        }
    }

    /// Segments left this socket for the first time (`tcp_event_new_data_sent`): data or a FIN.
    pub(super) fn count_sent(&mut self, id: SocketId) {
        if self.semantics.counting.syn_retransmissions_are_counted {
            self.counters.count(Counter::TcpOrigDataSent);
        }
        if let Some(socket) = self.sockets.get_mut(id.0) {
            socket.segments_out = socket.segments_out.saturating_add(1);
        }
    }

    /// Segments of a socket were acknowledged (`tcp_newly_delivered`).
    pub(super) fn count_delivered(&mut self, segments: u8) {
        if self.semantics.counting.deliveries_are_counted {
            (0..segments).for_each(|_| self.counters.count(Counter::TcpDelivered));
        }
    }

    fn resend(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get(id.0) else { return };
        let has_fin =
            matches!(socket.state, TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck);
        let payload = socket.in_flight() - u32::from(has_fin);
        let push = if payload > 0 { Flags::PSH } else { Flags::default() };
        let fin = if has_fin { Flags::FIN } else { Flags::default() };
        let seq = socket.unacknowledged;
        self.counters.count(Counter::RetransSegs);
        self.push_segment(now, id, seq, Flags::ACK | push | fin, payload, effects);
    }

    fn on_keepalive(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        if socket.keepalive_s == 0 {
            return;
        }
        if socket.retransmits >= KEEPALIVE_PROBES {
            return self.break_connection(id, effects);
        }
        socket.retransmits += 1;
        let seq = super::Seq(socket.next.0.wrapping_sub(1));
        self.counters.count(Counter::OutSegs);
        self.push_segment(now, id, seq, Flags::ACK, 0, effects);
        self.arm_socket(now, id, KEEPALIVE_INTERVAL);
    }
}

/// The timetable of data that is not acknowledged, on a path without delay.
fn data_retries(retries2: u8) -> SynRetries {
    SynRetries {
        initial_rto_ms: u32::try_from(RTO_MIN_MS).unwrap_or(200),
        retries: retries2,
        linear: 0,
        give_up: SynGiveUp::Elapsed,
    }
}
