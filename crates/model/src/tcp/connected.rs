//! A connection that both ends may use: data, its acknowledgement, and what disturbs it
//! (net/ipv4/tcp_input.c `tcp_rcv_established`, `tcp_validate_incoming`).

use super::socket::Marks;
use super::{Effects, Event, Flags, Segment, SocketId, Stack, Timestamps};
use crate::{ChallengeLimit, Counter, DropReason, Span, TcpState, Time};

/// A connection sends a challenge ACK at most once in this time (`tcp_invalid_ratelimit`).
const CHALLENGE_LIMIT: Span = Span::from_millis(500);

/// How long an ACK is put off at the least (`TCP_ATO_MIN`) once `ato` is set.
const LEAST_DELAY: Span = Span::from_millis(40);

/// Without `ato`, a put-off ACK is due at the next tick of the kernel's clock, which can be any moment
/// within one to ten milliseconds; here it comes soon, but leaves a program the time to close first.
const NEXT_TICK: Span = Span::from_micros(100);

/// The window that a connection announces.
const WINDOW: u32 = 65_535;

/// The most that can be unacknowledged: sequence numbers that are further apart cannot be compared
/// (the kernel's window ends there too, RFC 7323, 2.3).
const SEND_BUFFER: u32 = 1 << 30;

impl Stack {
    /// send(2): so many bytes at once. False if the connection takes none.
    pub fn write(&mut self, now: Time, id: SocketId, bytes: u32, effects: &mut Effects) -> bool {
        let Some(socket) = self.sockets.get_mut(id.0) else { return false };
        let fits = bytes <= SEND_BUFFER.saturating_sub(socket.in_flight());
        let open = matches!(socket.state, TcpState::Established | TcpState::CloseWait);
        if !open || !fits || bytes == 0 {
            return false;
        }
        let seq = socket.next;
        socket.next += bytes;
        socket.marks.set(Marks::ACK_DUE, false);
        self.counters.count(Counter::OutSegs);
        self.count_sent(id);
        self.push_segment(now, id, seq, Flags::PSH | Flags::ACK, bytes, effects);
        self.arm_retransmission(now, id);
        true
    }

    /// read(2) until there is nothing left: how many bytes came.
    pub fn read(&mut self, id: SocketId) -> u32 {
        self.sockets.get_mut(id.0).map_or(0, |socket| std::mem::take(&mut socket.unread))
    }

    /// The state of a socket; none if it is gone.
    #[must_use]
    pub fn state(&self, id: SocketId) -> Option<TcpState> {
        Some(self.sockets.get(id.0)?.state)
    }

    pub(super) fn on_socket_segment(
        &mut self,
        now: Time,
        id: SocketId,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        match self.sockets.get(id.0)?.state {
            TcpState::SynSent => return self.on_syn_sent_segment(now, id, segment, effects),
            TcpState::TimeWait => return self.on_time_wait_segment(now, id, segment, effects),
            _ => {}
        }
        if segment.flags.has(Flags::SYN) {
            return self.challenge(now, id, effects);
        }
        if segment.flags.has(Flags::RST) {
            return self.on_reset(now, id, segment, effects);
        }
        if !segment.flags.has(Flags::ACK) {
            return Some(DropReason::OutsideWindow);
        }
        self.on_acknowledgement(now, id, segment)?;
        self.on_contents(now, id, segment, effects)
    }

    fn on_reset(
        &mut self,
        now: Time,
        id: SocketId,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let expected = self.sockets.get(id.0)?.expected;
        if segment.seq == expected {
            self.break_connection(id, effects);
            return None;
        }
        let in_window =
            !segment.seq.is_before(expected) && segment.seq.is_before(expected + WINDOW);
        if in_window && self.semantics.client.challenge_limit != ChallengeLimit::NoChallenge {
            self.send_ack(now, id, effects);
            return Some(DropReason::ResetChallenged);
        }
        if in_window {
            self.break_connection(id, effects);
            return None;
        }
        Some(DropReason::OutsideWindow)
    }

    /// A SYN, or a SYN-ACK that was sent again because our ACK was not taken: the answer shows the
    /// peer that we are connected.
    fn challenge(&mut self, now: Time, id: SocketId, effects: &mut Effects) -> Option<DropReason> {
        let rules = self.semantics.client;
        if rules.challenge_limit == ChallengeLimit::NoChallenge {
            self.send_ack(now, id, effects);
            return Some(DropReason::AlreadyTaken);
        }
        let socket = self.sockets.get_mut(id.0)?;
        if rules.challenge_limit_per_socket && now < socket.challenges_from {
            return Some(DropReason::ChallengeLimited);
        }
        socket.challenges_from = now + CHALLENGE_LIMIT;
        if self.host_may_challenge(now) {
            self.send_ack(now, id, effects);
            return Some(DropReason::Challenged);
        }
        Some(DropReason::ChallengeLimited)
    }

    fn host_may_challenge(&mut self, now: Time) -> bool {
        let ChallengeLimit::PerSecond(limit) = self.semantics.client.challenge_limit else {
            return true;
        };
        let second = now.as_millis() / 1000;
        if self.challenges.0 != second {
            self.challenges = (second, 0);
        }
        self.challenges.1 += 1;
        self.challenges.1 <= limit
    }

    /// What the segment acknowledges. None if the connection is gone by it.
    fn on_acknowledgement(&mut self, now: Time, id: SocketId, segment: &Segment) -> Option<()> {
        let socket = self.sockets.get_mut(id.0)?;
        let acknowledges =
            socket.unacknowledged.is_before(segment.ack) && !socket.next.is_before(segment.ack);
        if !acknowledges {
            // Whatever comes shows that the peer is there (`tcp_keepalive_timer`).
            let idle = socket.in_flight() == 0 && !socket.marks.has(Marks::ACK_DUE);
            if socket.keepalive_s > 0 && idle {
                socket.retransmits = 0;
                self.arm_keepalive(now, id);
            }
            return Some(());
        }
        socket.unacknowledged = segment.ack;
        socket.retransmits = 0;
        socket.marks.set(Marks::PROBED, false);
        let all = socket.in_flight() == 0;
        // Which of several segments ended where is not known.
        let delivered = if all { socket.segments_out } else { socket.segments_out.min(1) };
        socket.segments_out -= delivered;
        let state = socket.state;
        self.count_delivered(delivered);
        match (state, all) {
            (TcpState::FinWait1, true) => {
                self.enter_fin_wait2(now, id, segment.flags.has(Flags::FIN))?;
            }
            (TcpState::Closing, true) => self.enter_time_wait(now, id)?,
            (TcpState::LastAck, true) => {
                self.finish(id);
                return None;
            }
            (_, true) => {
                self.sockets.get_mut(id.0)?.timer = Time::NEVER;
                self.arm_keepalive(now, id);
            }
            (_, false) => self.arm_retransmission(now, id),
        }
        Some(())
    }

    /// The data and the FIN of the segment.
    fn on_contents(
        &mut self,
        now: Time,
        id: SocketId,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let socket = self.sockets.get_mut(id.0)?;
        let fin = segment.flags.has(Flags::FIN);
        if segment.payload == 0 && !fin {
            // A keep-alive probe is one behind; it is answered.
            if segment.seq.is_before(socket.expected) {
                self.send_ack(now, id, effects);
                return Some(DropReason::AlreadyTaken);
            }
            return None;
        }
        let open =
            matches!(socket.state, TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2);
        if segment.payload > 0 && socket.marks.has(Marks::ORPHAN) && open {
            // Nobody is left to read it (TCPAbortOnData).
            self.refuse_with_reset(segment, effects);
            self.finish(id);
            return None;
        }
        if segment.seq != socket.expected || !open {
            let before = segment.seq.is_before(socket.expected);
            self.send_ack(now, id, effects);
            return Some(if before { DropReason::AlreadyTaken } else { DropReason::OutsideWindow });
        }
        // A real window would not let so much in that the sum does not fit.
        socket.unread = socket.unread.saturating_add(segment.payload);
        socket.peer_clock = segment.timestamps.map_or(socket.peer_clock, |theirs| theirs.value);
        socket.expected = segment.end();
        let (tag, queued) = (socket.tag, socket.queued_at.get().is_some());
        if segment.payload > 0 {
            socket.marks.set(Marks::TIMED_ACKS, true);
        }
        if fin && socket.state == TcpState::Established && socket.in_flight() == 0 {
            self.put_off_ack(now, id);
        } else {
            self.send_ack(now, id, effects);
        }
        if fin {
            self.on_fin(now, id);
        }
        if !queued {
            effects.events.push(Event::Readable { socket: id, tag, closed: fin });
        }
        None
    }

    /// The ACK of a FIN may go with the FIN that answers it (`tcp_fin` enters the pingpong mode).
    fn put_off_ack(&mut self, now: Time, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        socket.marks.set(Marks::ACK_DUE, true);
        let timed = socket.marks.has(Marks::TIMED_ACKS);
        self.arm_socket(now, id, if timed { LEAST_DELAY } else { NEXT_TICK });
    }

    fn on_fin(&mut self, now: Time, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        socket.since = now;
        match socket.state {
            TcpState::Established => {
                socket.state = TcpState::CloseWait;
                if !self.semantics.counting.close_wait_is_current {
                    self.counters.uncount(Counter::CurrEstab);
                }
            }
            TcpState::FinWait1 => socket.state = TcpState::Closing,
            TcpState::FinWait2 => {
                // Without room for it, it is gone.
                let _ = self.enter_time_wait(now, id);
            }
            _ => {}
        }
    }

    /// An ACK of everything that came.
    pub(super) fn send_ack(&mut self, now: Time, id: SocketId, effects: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(id.0) else { return };
        socket.marks.set(Marks::ACK_DUE, false);
        let seq = socket.next;
        self.counters.count(Counter::OutSegs);
        self.push_segment(now, id, seq, Flags::ACK, 0, effects);
    }

    /// A segment of a connection, not counted.
    pub(super) fn push_segment(
        &mut self,
        now: Time,
        id: SocketId,
        seq: super::Seq,
        flags: Flags,
        payload: u32,
        effects: &mut Effects,
    ) {
        let Some(socket) = self.sockets.get(id.0) else { return };
        let timestamps = socket.marks.has(Marks::TIMESTAMPS);
        effects.segments.push(Segment {
            from: socket.local,
            to: socket.peer,
            seq,
            ack: socket.expected,
            flags,
            payload,
            timestamps: timestamps
                .then_some(Timestamps { value: Self::clock(now), echo: socket.peer_clock }),
        });
    }
}
