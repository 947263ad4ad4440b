//! What a segment adds to the facts of its flow: the part that tells SYN, SYN-ACK, RST and the rest
//! apart, resends from copies, and the numbers of this attempt from those of another.

use crate::{FastOpen, TcpSegment};

use super::flow::{ACK, FIN, Fit, Flow, REORDER_NS, RST, SYN, is_after, mark, of_end, of_flow};
use super::key::End;
use super::lapse::Lapse;
use super::resends::Times;
use super::store::AllResends;

/// No TCP sends the same segment again so soon: it was captured twice.
const COPY_NS: u64 = 1_000_000;

/// A copy that was captured behind a router can come later; its TTL is lower.
const ROUTED_COPY_NS: u64 = 50_000_000;

/// Data that is seen again sooner than this is a copy or out of order, not sent again.
const DATA_AGAIN_NS: u64 = 100_000_000;

/// SYNs of both ends within this time cross; a later one begins another connection.
const CROSSING_NS: i64 = 10_000_000_000;

/// How far beyond what was seen of it an end's numbers can be: packets get lost in captures.
const UNSEEN_BYTES: u32 = 1 << 20;

impl Flow {
    /// Adds what a segment says. [`Fit::Another`] leaves the flow as it was.
    pub(super) fn take(
        &mut self,
        segment: &TcpSegment,
        end: End,
        silent_ns: i64,
        resends: &mut AllResends,
    ) -> Fit {
        let fit = if segment.flags & RST != 0 {
            self.on_rst(segment, end, resends)
        } else if segment.flags & (SYN | ACK) == SYN {
            self.on_syn(segment, end, resends)
        } else if segment.flags & SYN != 0 {
            self.on_syn_ack(segment, end, resends)
        } else {
            self.on_other(segment, end, resends)
        };
        match fit {
            Fit::Taken => {
                if self.has(of_end::RST, end) && segment.flags & RST == 0 {
                    self.note_disowned(segment, end, resends);
                }
                self.notice_silence(segment, end, silent_ns);
                self.extend(segment, end);
            }
            Fit::Duplicate => self.marks |= mark::CAPTURED_TWICE,
            Fit::Stray => self.last_ns = self.last_ns.max(segment.time_ns),
            Fit::Another => {}
        }
        fit
    }

    fn on_syn(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) -> Fit {
        let other = 1 - end;
        let is_first = !self.either(of_end::SEEN);
        let is_known = self.has(of_end::ISN, end) && self.isn[end] == segment.seq;
        if is_known && self.has(of_end::SYN, end) {
            return self.on_syn_again(segment, end, resends);
        }
        let completes = (is_known && self.has(of_end::SYN_ACK, other))
            || (!self.begun() && self.follows_syn(segment.seq, end, segment.time_ns));
        let crosses = self.has(of_end::SYN, other)
            && !self.either(of_end::SYN_ACK | of_end::RST)
            && !self.has(of_end::SYN, end)
            && !self.has(of_end::ACKED, other)
            && segment.time_ns.saturating_sub(self.last_ns) < CROSSING_NS;
        if !is_first && !completes && !crosses {
            return Fit::Another;
        }
        if !crosses {
            self.begin_with(end);
        }
        self.on_first_syn(segment, end, resends);
        Fit::Taken
    }

    fn on_first_syn(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) {
        let at = self.stamp(segment, resends);
        if at > Lapse::default() && end == self.client() {
            let known = self.resends(resends);
            known.syns = Times::one(at);
        }
        self.isn[end] = segment.seq;
        self.know(of_end::SYN | of_end::ISN, end);
        self.note_sender(segment, end);
        if segment.options.fast_open.is_some() || segment.payload > 0 {
            self.marks |= mark::FAST_OPEN;
        }
        if end == self.client() {
            let scale = segment.options.window_scale.map_or(15, |scale| u16::from(scale.min(14)));
            let offer = scale | u16::from(segment.options.sack_permitted) << 4;
            self.marks |= offer << mark::OFFER_SHIFT;
        }
    }

    fn on_syn_again(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) -> Fit {
        let at = self.stamp(segment, resends);
        let last = resends.get(self.resends).map_or(Lapse::default(), |known| known.syns.last());
        if end == self.client() {
            if self.is_copy(segment, end, at, last) {
                return Fit::Duplicate;
            }
            self.resends(resends).syns.push(at);
        }
        self.note_sender(segment, end);
        Fit::Taken
    }

    fn on_syn_ack(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) -> Fit {
        let other = 1 - end;
        let acknowledged = segment.ack.wrapping_sub(1);
        if !self.either(of_end::SEEN) {
            self.begin_with(other);
        } else if !self.begun() {
            if !self.follows_syn(acknowledged, other, segment.time_ns) {
                return Fit::Another;
            }
            self.begin_with(other);
            self.isn[other] = acknowledged;
        } else if self.has(of_end::SYN, end) && end == self.client() {
            return self.on_syn_ack_of_client(segment, end, resends);
        } else if !self.acknowledges_syn(segment, other) {
            let is_over = self.complete() || self.closed();
            if !self.has(of_end::SYN, other) && is_over && self.isn[end] != segment.seq {
                return Fit::Another;
            }
            self.marks |= mark::WRONG_SYN_ACK;
            return Fit::Stray;
        }
        if !self.has(of_end::ISN, other) {
            self.isn[other] = acknowledged;
            self.know(of_end::ISN, other);
        }
        self.on_answer(segment, end, resends)
    }

    /// A SYN-ACK that acknowledges the client's SYN.
    fn on_answer(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) -> Fit {
        let at = self.stamp(segment, resends);
        let known = resends.get(self.resends);
        if self.has(of_end::SYN_ACK, end) {
            let last = known.map_or(self.syn_ack_at, |known| known.syn_acks.last());
            if self.is_copy(segment, end, at, last.max(self.syn_ack_at)) {
                return Fit::Duplicate;
            }
            let known = self.resends(resends);
            known.syn_acks.push(at);
            self.syn_ack_at = self.syn_ack_at.min(at);
        } else {
            let last_syn = known.filter(|known| known.syns.count() > 1).map(|k| k.syns.last());
            if let Some(known) = resends.at(self.resends) {
                known.syn_acks = Times::one(at);
                known.echo_of_earlier_syn = self.echoes_earlier(segment)
                    && last_syn.is_some_and(|syn| at.since(syn) > REORDER_NS.unsigned_abs());
            }
            self.syn_ack_at = at;
            if self.is_cookie_like(segment) {
                self.facts |= of_flow::COOKIE_OPTIONS;
            }
        }
        if self.has(of_end::RST, end) && self.isn[end] != segment.seq {
            self.facts &= !of_flow::RESET_IS_BARE;
        }
        self.isn[end] = segment.seq;
        self.know(of_end::SYN_ACK | of_end::ISN, end);
        self.note_sender(segment, end);
        Fit::Taken
    }

    /// The client answers a SYN of the server: simultaneous or split open.
    fn on_syn_ack_of_client(
        &mut self,
        segment: &TcpSegment,
        end: End,
        resends: &mut AllResends,
    ) -> Fit {
        let other = 1 - end;
        if segment.seq != self.isn[end] {
            return Fit::Another;
        }
        if self.has(of_end::SYN, other) && segment.ack != self.isn[other].wrapping_add(1) {
            return Fit::Stray;
        }
        let at = self.stamp(segment, resends);
        self.note_ack(end, at);
        self.know(of_end::SYN_ACK, end);
        Fit::Taken
    }

    fn on_rst(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) -> Fit {
        if !self.reset_fits(segment, end) {
            return Fit::Stray;
        }
        let at = self.stamp(segment, resends);
        self.guess(segment, end);
        if !self.either(of_end::RST) {
            self.reset_at = at;
            self.note_reset(segment, end);
        }
        self.know(of_end::RST, end);
        Fit::Taken
    }

    fn reset_fits(&self, segment: &TcpSegment, end: End) -> bool {
        let other = 1 - end;
        if !self.begun() || self.both(of_end::ACKED) {
            return true;
        }
        let beyond = segment.seq.wrapping_sub(self.isn[end]);
        let seen = self.next[end].wrapping_sub(self.isn[end]);
        let unseen = if self.either(of_end::SYN_ACK) { UNSEEN_BYTES } else { 0 };
        let by_seq = beyond <= seen.saturating_add(unseen);
        let acknowledged = segment.ack.wrapping_sub(self.isn[other]).wrapping_sub(1);
        let sent = self.next[other].wrapping_sub(self.isn[other]).wrapping_sub(1);
        let by_ack = segment.flags & ACK != 0 && acknowledged <= sent;
        if self.has(of_end::SYN | of_end::SYN_ACK, end) {
            by_seq || (by_ack && end == self.server())
        } else {
            segment.flags & ACK == 0 || by_ack
        }
    }

    fn note_reset(&mut self, segment: &TcpSegment, end: End) {
        let other = 1 - end;
        let mut facts = if end == 1 { of_flow::RESET_BY_HIGHER } else { 0 };
        let is_bare = segment.flags & ACK == 0;
        if is_bare && self.has(of_end::ISN, end) && segment.seq == self.isn[end].wrapping_add(1) {
            facts |= of_flow::RESET_IS_BARE;
        }
        if self.has(of_end::DATA, self.server()) {
            facts |= of_flow::RESET_AFTER_DATA;
        }
        let answers_syn = !is_bare && segment.ack == self.next[other];
        if self.has(of_end::SEEN, end) && segment.seq == self.next[end]
            || !self.has(of_end::SEEN, end) && answers_syn
        {
            self.marks |= mark::RESET_IS_EXACT;
        }
        if !self.has(of_end::SEEN, end) {
            facts |= of_flow::TTL_OF_RESET;
            (self.ttl[end], self.ip_id[end]) = (segment.ttl, segment.ip_id);
        } else {
            if hops_apart(self.ttl[end], segment.ttl) >= 2 {
                facts |= of_flow::RESET_FROM_ELSEWHERE;
            }
            if ids_apart(self.ip_id[end], segment.ip_id) {
                facts |= of_flow::RESET_OF_OTHER_ID;
            }
        }
        let asked_by = usize::from(self.is(of_flow::ASKED_BY_HIGHER));
        let asked = self.is(of_flow::ASKED) && asked_by == other && !self.either(of_end::FIN);
        if asked && (is_bare || !self.is(of_flow::ASKED_BY_DATA)) {
            self.marks |= mark::HALF_OPEN_CLOSED;
        }
        self.facts |= facts;
    }

    /// A sender goes on after its RST. A host that has sent it has no connection to go on with, unless
    /// another SYN came: if the RST was one that its receiver has to obey, it was not the server's.
    fn note_disowned(&mut self, segment: &TcpSegment, end: End, resends: &AllResends) {
        let after = Lapse::between(self.began_ns, segment.time_ns).since(self.reset_at);
        if after > COPY_NS {
            self.facts |= of_flow::RESET_WAS_DISOWNED;
        }
        let is_of_server = end == self.server() && self.is(of_flow::RESET_BY_HIGHER) == (end == 1);
        let last_syn =
            resends.get(self.resends).map_or(Lapse::default(), |known| known.syns.last());
        let is_exact = self.marks & mark::RESET_IS_EXACT != 0;
        if is_of_server
            && is_exact
            && last_syn <= self.reset_at
            && after > REORDER_NS.unsigned_abs()
        {
            self.marks |= mark::RESET_WAS_IGNORED;
        }
    }

    /// An ACK, data or a FIN.
    fn on_other(&mut self, segment: &TcpSegment, end: End, resends: &mut AllResends) -> Fit {
        let other = 1 - end;
        let has_ack = segment.flags & ACK != 0;
        if self.begun() && !self.both(of_end::ACKED) {
            let beyond = segment.seq.wrapping_sub(self.isn[end]);
            let behind_syn = beyond.wrapping_add(self.slack(end)) < 0x4000_0000;
            if self.has(of_end::ISN, end) && !behind_syn {
                return self.on_older(segment, end);
            }
            if has_ack && self.has(of_end::ISN, other) && !self.acknowledges(segment, other) {
                return self.on_older(segment, end);
            }
        }
        let at = self.stamp(segment, resends);
        self.guess(segment, end);
        let is_probe = self.has(of_end::ACKED, end)
            && segment.payload <= 1
            && segment.seq == self.next[end].wrapping_sub(1);
        let has_data = segment.payload > 0 && !is_probe;
        if has_ack {
            self.note_ack(end, at);
        }
        if has_data {
            self.on_data(segment, end, at, resends);
        }
        if segment.flags & FIN != 0 {
            self.know(of_end::FIN, end);
        }
        if end == self.client() && segment.time_ns >= self.last_ns {
            self.facts &= !of_flow::CLIENT_SENT_DATA_LAST;
            self.facts |= if has_data { of_flow::CLIENT_SENT_DATA_LAST } else { 0 };
        }
        Fit::Taken
    }

    fn on_data(&mut self, segment: &TcpSegment, end: End, at: Lapse, resends: &mut AllResends) {
        if !self.has(of_end::DATA, end) {
            self.data_at[end] = at;
            self.know(of_end::DATA, end);
            return;
        }
        let behind = segment.seq.wrapping_add(segment.payload);
        let unanswered = end == self.client() && !self.has(of_end::ACKED, 1 - end);
        if unanswered && !is_after(behind, self.next[end]) {
            let last = resends.get(self.resends).map_or(Lapse::default(), |known| known.data_last);
            if at.since(last.max(self.data_at[end])) > DATA_AGAIN_NS {
                let known = self.resends(resends);
                known.data_last = at;
                known.data_again = known.data_again.saturating_add(1);
            }
        }
        self.data_at[end] = self.data_at[end].min(at);
    }

    /// A segment with the numbers of another connection. If it answers a SYN, the server still has
    /// that connection (RFC 5961, 4).
    fn on_older(&mut self, segment: &TcpSegment, end: End) -> Fit {
        let answers_syn = self.has(of_end::SYN, 1 - end)
            && !self.has(of_end::SYN | of_end::SYN_ACK, end)
            && segment.payload == 0
            && segment.flags & (FIN | ACK) == ACK
            && segment.time_ns > self.began_ns;
        if answers_syn {
            self.marks |= mark::CHALLENGE_ACK;
        }
        Fit::Stray
    }

    fn note_ack(&mut self, end: End, at: Lapse) {
        let at = if self.has(of_end::ACKED, end) { self.acked_at[end].min(at) } else { at };
        self.acked_at[end] = at;
        self.know(of_end::ACKED, end);
    }

    /// What a segment implies about the SYNs that were not seen, or not yet.
    fn guess(&mut self, segment: &TcpSegment, end: End) {
        if !self.either(of_end::SEEN) {
            self.begin_with(self.key.higher_port());
        }
        if segment.flags & ACK != 0 {
            self.guess_isn(1 - end, segment.ack.wrapping_sub(1));
        }
        if segment.flags & (RST | ACK) != RST | ACK {
            self.guess_isn(end, segment.seq.wrapping_sub(1));
        }
    }

    /// The lowest guess is the best, while the beginning is near.
    fn guess_isn(&mut self, end: End, isn: u32) {
        let is_better = self.isn[end].wrapping_sub(isn) <= UNSEEN_BYTES;
        let is_open = !self.has(of_end::SYN | of_end::SYN_ACK, end);
        if !self.has(of_end::ISN, end) || (is_open && is_better) {
            self.isn[end] = isn;
            self.know(of_end::ISN, end);
        }
    }

    /// Whether what was seen so far was recorded too early, and follows a SYN with this number.
    fn follows_syn(&self, isn: u32, end: End, time_ns: i64) -> bool {
        let fits = if self.has(of_end::ISN, end) {
            self.isn[end].wrapping_sub(isn) <= UNSEEN_BYTES
        } else {
            time_ns <= self.began_ns
        };
        fits && self.is_near(time_ns)
    }

    fn begin_with(&mut self, client: End) {
        if self.client() != client {
            self.facts &= !of_flow::TIMESTAMP;
        }
        self.facts &= !of_flow::CLIENT_IS_HIGHER;
        self.facts |= if client == 1 { of_flow::CLIENT_IS_HIGHER } else { 0 };
    }

    /// Keeps what tells later segments of this sender from forged ones and from copies.
    fn note_sender(&mut self, segment: &TcpSegment, end: End) {
        if segment.truncated {
            self.marks |= mark::TRUNCATED;
        }
        if self.is(of_flow::TTL_OF_RESET) && self.has(of_end::RST, end) {
            self.facts &= !of_flow::TTL_OF_RESET;
            if hops_apart(self.ttl[end], segment.ttl) >= 2 {
                self.facts |= of_flow::RESET_FROM_ELSEWHERE;
            }
        }
        (self.ttl[end], self.ip_id[end]) = (segment.ttl, segment.ip_id);
    }

    /// Whether a segment that is the same as the last of its kind is a copy of it.
    fn is_copy(&self, segment: &TcpSegment, end: End, at: Lapse, last: Lapse) -> bool {
        let apart = at.since(last).max(last.since(at));
        let same_id = segment.ip_id != 0 && segment.ip_id == self.ip_id[end];
        apart < COPY_NS || (apart < ROUTED_COPY_NS && same_id && segment.ttl != self.ttl[end])
    }

    /// Whether a SYN-ACK acknowledges the other end's SYN, and what data came in it.
    fn acknowledges_syn(&self, segment: &TcpSegment, other: End) -> bool {
        let data = segment.ack.wrapping_sub(self.isn[other]).wrapping_sub(1);
        let sent = self.next[other].wrapping_sub(self.isn[other]).wrapping_sub(1);
        data == 0 || (self.marks & mark::FAST_OPEN != 0 && data <= sent)
    }

    /// Whether an ACK's number can be of this attempt. Those of an older connection with the same
    /// addresses lie behind it: initial sequence numbers grow with time (RFC 6528).
    fn acknowledges(&self, segment: &TcpSegment, other: End) -> bool {
        let slack = self.slack(other);
        let data = segment.ack.wrapping_sub(self.isn[other]).wrapping_sub(1).wrapping_add(slack);
        let sent = self.next[other].wrapping_sub(self.isn[other]).wrapping_sub(1);
        let sent = if self.has(of_end::SEEN, other) { sent } else { 0x4000_0000 };
        data <= sent.saturating_add(UNSEEN_BYTES).saturating_add(slack)
    }

    /// How far before its initial sequence number an end's numbers can lie: not at all, unless that is
    /// a guess.
    const fn slack(&self, end: End) -> u32 {
        if self.has(of_end::SYN | of_end::SYN_ACK, end) { 0 } else { UNSEEN_BYTES }
    }

    /// Whether a SYN-ACK echoes another timestamp than that of the last SYN.
    fn echoes_earlier(&self, segment: &TcpSegment) -> bool {
        let echo = segment.options.timestamps.map(|timestamps| timestamps.echo);
        self.is(of_flow::TIMESTAMP) && echo.is_some_and(|echo| echo != self.timestamp)
    }

    /// Whether a SYN-ACK has no more options than a SYN cookie can keep: those that lie in the low bits
    /// of its timestamp, or else the MSS alone (net/ipv4/syncookies.c `cookie_init_timestamp`).
    fn is_cookie_like(&self, segment: &TcpSegment) -> bool {
        let options = &segment.options;
        if segment.truncated || self.marks & mark::TRUNCATED != 0 {
            return false;
        }
        let offer = u32::from(self.marks >> mark::OFFER_SHIFT & mark::OFFER);
        options.timestamps.map_or_else(
            || options.window_scale.is_none() && !options.sack_permitted,
            |timestamps| self.either(of_end::SYN) && timestamps.value & 0x1f == offer,
        ) && !matches!(options.fast_open, Some(FastOpen::Cookie))
    }
}

/// How many routers more lie between here and one sender than another, if both began with one of the
/// usual numbers.
fn hops_apart(ttl: u8, other: u8) -> u8 {
    let hops = |ttl: u8| match ttl {
        0..=64 => 64 - ttl,
        65..=128 => 128 - ttl,
        129.. => 255 - ttl,
    };
    hops(ttl).abs_diff(hops(other))
}

/// Whether two IP IDs of one sender can hardly follow each other.
fn ids_apart(id: u16, other: u16) -> bool {
    const NEAR: u16 = 1024;
    let ahead = other.wrapping_sub(id);
    id != 0 && ahead.min(ahead.wrapping_neg()) > NEAR
}
