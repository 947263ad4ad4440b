//! What happens to a segment of a request: the third ACK above all (net/ipv4/tcp_minisocks.c
//! `tcp_check_req`), and to an ACK that brings back a SYN cookie (net/ipv4/syncookies.c).

use super::request::Request;
use super::slab::Index;
use super::socket::Marks;
use super::table::Entry;
use super::{
    Effects, Event, Flags, ListenerId, Segment, Seq, Socket, SocketId, Stack, Timestamps, cookie,
};
use crate::{Counter, DropReason, ResetOfRequest, Span, TcpState, Time};

/// The window that a request announces.
const WINDOW: u32 = 65_535;

impl Stack {
    pub(super) fn on_request_segment(
        &mut self,
        now: Time,
        index: u32,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let request = *self.requests.get(index)?;
        if self.listener(request.listener).is_none() && !self.migrate_request(index) {
            // The listener has closed: the segment looks for another one.
            self.remove_request(index);
            return self.on_unknown(now, segment, None, effects);
        }
        let flags = segment.flags;
        let pure_syn = segment.is_syn() && !flags.has(Flags::RST);
        if pure_syn && segment.seq == request.peer_isn {
            return self.on_repeated_syn(now, index, effects);
        }
        if flags.has(Flags::ACK) && segment.ack != request.isn + 1 {
            return self.on_wrong_ack(now, &request, segment, effects);
        }
        let expected = request.peer_isn + 1;
        if segment.end().is_before(expected) || !segment.seq.is_before(expected + WINDOW) {
            return self.answer_outside(now, index, segment, effects);
        }
        if flags.has(Flags::RST) {
            let exact = self.semantics.queues.reset_of_request == ResetOfRequest::ExactSequence;
            if exact && segment.seq != expected {
                return self.answer_outside(now, index, segment, effects);
            }
            self.remove_request(index);
            return Some(DropReason::RequestReset);
        }
        if flags.has(Flags::SYN) && segment.seq != request.peer_isn {
            self.refuse_with_reset(segment, effects);
            self.remove_request(index);
            return Some(DropReason::SynInsideRequest);
        }
        if !flags.has(Flags::ACK) {
            return Some(DropReason::OutsideWindow);
        }
        if self.echoes_what_was_never_sent(&request, segment) {
            return Some(DropReason::WrongTimestampEcho);
        }
        self.on_third_ack(now, index, segment, effects)
    }

    fn on_third_ack(
        &mut self,
        now: Time,
        index: u32,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let request = *self.requests.get(index)?;
        let listener = self.listener(request.listener)?;
        let bare = segment.end() == request.peer_isn + 1;
        if request.timeouts < listener.defer_accept && bare {
            self.requests.get_mut(index)?.acked = true;
            return Some(DropReason::Deferred);
        }
        if !listener.queue.is_full() {
            self.drop_request(index);
            let ends = (request.isn, request.peer_isn);
            let child = self.make_child(now, request.listener, segment, ends, request.timestamps);
            self.table.replace(Entry::Request(index), Entry::Socket(child.0));
            return self.start_child(now, child, request.listener, segment, effects);
        }
        if self.sysctls.abort_on_overflow {
            self.refuse_with_reset(segment, effects);
            self.remove_request(index);
            return Some(self.refused_at(request.listener, DropReason::ThirdAckAborted));
        }
        self.requests.get_mut(index)?.acked = true;
        Some(self.refused_at(request.listener, DropReason::ThirdAckQueueFull))
    }

    /// A repeated SYN is answered again, within the rate limit, and the timer starts anew.
    fn on_repeated_syn(
        &mut self,
        now: Time,
        index: u32,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        if self.is_limited(now, index) {
            return Some(DropReason::RepeatedSynLimited);
        }
        self.requests.get_mut(index)?.answered_at = Some(now);
        self.resend_syn_ack(now, index, effects);
        self.arm_request(now, index);
        None
    }

    /// The ACK of something that was never sent goes to the listener, where it could be a cookie.
    fn on_wrong_ack(
        &mut self,
        now: Time,
        request: &Request,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        match self.on_unasked_ack(now, request.listener, segment, effects)? {
            DropReason::CookieNotAsked => Some(DropReason::WrongAck),
            reason => Some(reason),
        }
    }

    fn answer_outside(
        &mut self,
        now: Time,
        index: u32,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        if self.is_limited(now, index) {
            return Some(DropReason::RepeatedSynLimited);
        }
        let request = self.requests.get_mut(index)?;
        request.answered_at = Some(now);
        let (seq, ack) = (request.isn + 1, request.peer_isn + 1);
        if !segment.flags.has(Flags::RST)
            || self.semantics.queues.reset_of_request == ResetOfRequest::ExactSequence
        {
            let (from, to) = (segment.to, segment.from);
            let flags = Flags::ACK;
            let answer = Segment { from, to, seq, ack, flags, payload: 0, timestamps: None };
            self.send(answer, effects);
        }
        Some(DropReason::OutsideWindow)
    }

    fn is_limited(&self, now: Time, index: u32) -> bool {
        let limit = Span::from_millis(u64::from(self.semantics.timers.repeated_syn_limit_ms));
        let answered = self.requests.get(index).and_then(|request| request.answered_at);
        answered.is_some_and(|at| now.since(at) < limit)
    }

    fn echoes_what_was_never_sent(&self, request: &Request, segment: &Segment) -> bool {
        let (first, last) = request.clock_sent;
        self.semantics.queues.checks_echoed_timestamp
            && request.timestamps
            && segment
                .timestamps
                .is_some_and(|theirs| theirs.echo.wrapping_sub(first) > last.wrapping_sub(first))
    }

    /// An ACK for a listener that knows of no request: good if it brings back a cookie.
    pub(super) fn on_unasked_ack(
        &mut self,
        now: Time,
        listener: u32,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        if segment.flags.has(Flags::RST) {
            return Some(DropReason::ResetNoSocket);
        }
        let rules = self.semantics.cookies;
        let believed = self.believes_cookies(now, listener);
        if self.sysctls.syncookies == 0 || !(believed || rules.counts_unasked_failures) {
            self.refuse_with_reset(segment, effects);
            return Some(DropReason::CookieNotAsked);
        }
        let valid = cookie::is_valid(self.secret, segment, now, rules.max_age_minutes);
        if !believed || !valid {
            self.refuse_with_reset(segment, effects);
            return Some(DropReason::CookieInvalid);
        }
        if self.listener(listener)?.queue.is_full() {
            return Some(self.refused_at(listener, DropReason::CookieAckQueueFull));
        }
        self.counters.count(Counter::SyncookiesRecv);
        let ends = (Seq(segment.ack.0.wrapping_sub(1)), Seq(segment.seq.0.wrapping_sub(1)));
        let timestamps = segment.timestamps.is_some();
        let child = self.make_child(now, listener, segment, ends, timestamps);
        self.table.insert(segment.to, segment.from, Entry::Socket(child.0));
        self.start_child(now, child, listener, segment, effects)
    }

    /// Whether the listener, or its group, sent a cookie lately (`tcp_synq_no_recent_overflow`).
    fn believes_cookies(&self, now: Time, listener: u32) -> bool {
        let rules = self.semantics.cookies;
        let valid = Span::from_millis(u64::from(rules.believed_for_ms));
        let recent = |index: u32| {
            let sent = self.listener(index).and_then(|listener| listener.last_cookie);
            sent.is_some_and(|sent| now.since(sent) <= valid)
        };
        if recent(listener) {
            return true;
        }
        let shares = self.listener(listener).is_some_and(|own| own.reuseport);
        rules.shared_by_group && shares && self.group_of(listener).into_iter().any(recent)
    }

    /// `tcp_create_openreq_child`; it is in no table yet. `ends` are our and the peer's initial sequence numbers.
    fn make_child(
        &mut self,
        now: Time,
        listener: u32,
        segment: &Segment,
        (isn, peer_isn): (Seq, Seq),
        timestamps: bool,
    ) -> SocketId {
        self.counters.count(Counter::PassiveOpens);
        self.counters.count(Counter::CurrEstab);
        let serial = self.next_serial();
        let index = self.sockets.insert(Socket {
            local: segment.to,
            peer: segment.from,
            state: TcpState::Established,
            marks: Marks::PASSIVE.with(Marks::TIMESTAMPS, timestamps),
            tag: 0,
            serial,
            retransmits: 0,
            segments_out: 0,
            unacknowledged: isn + 1,
            next: isn + 1,
            expected: peer_isn + 1,
            peer_clock: segment.timestamps.map_or(0, |theirs| theirs.value),
            unread: 0,
            timer: Time::NEVER,
            sent_at: now,
            since: now,
            challenges_from: Time::ZERO,
            behind: Index::NONE,
            queued_at: Index::of(listener),
            keepalive_s: 0,
        });
        SocketId(index)
    }

    /// Puts a child into the accept queue, then lets it have what came with its ACK.
    fn start_child(
        &mut self,
        now: Time,
        child: SocketId,
        listener: u32,
        segment: &Segment,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        self.put_in_accept_queue(child, listener);
        effects.events.push(Event::Acceptable(ListenerId(listener)));
        if segment.payload > 0 || segment.flags.has(Flags::FIN) {
            return self.on_socket_segment(now, child, segment, effects);
        }
        None
    }

    /// Sends a request's SYN-ACK once more (`inet_rtx_syn_ack`).
    pub(super) fn resend_syn_ack(&mut self, now: Time, index: u32, effects: &mut Effects) {
        let clock = Self::clock(now);
        let Some(request) = self.requests.get_mut(index) else { return };
        request.resends = request.resends.saturating_add(1);
        request.clock_sent.1 = clock;
        let request = *request;
        self.counters.count(Counter::RetransSegs);
        if self.semantics.counting.syn_retransmissions_are_counted {
            self.counters.count(Counter::TcpSynRetrans);
        }
        let syn_ack = Segment {
            from: request.local,
            to: request.peer,
            seq: request.isn,
            ack: request.peer_isn + 1,
            flags: Flags::SYN | Flags::ACK,
            payload: 0,
            timestamps: request
                .timestamps
                .then_some(Timestamps { value: clock, echo: request.peer_clock }),
        };
        self.send(syn_ack, effects);
    }

    /// Takes a request out of its SYN queue and the table.
    pub(super) fn remove_request(&mut self, index: u32) {
        if self.drop_request(index).is_some() {
            self.table.remove(Entry::Request(index));
        }
    }

    /// Takes a request out of its SYN queue only.
    fn drop_request(&mut self, index: u32) -> Option<Request> {
        let request = self.requests.remove(index)?;
        if let Some(listener) = self.listener_mut(request.listener) {
            listener.requests -= 1;
            listener.young -= u32::from(request.timeouts == 0);
        }
        Some(request)
    }
}
