//! What happens to a SYN that reaches a listener (net/ipv4/tcp_input.c `tcp_conn_request`).

use super::table::Entry;
use super::{Effects, Flags, Request, Segment, Seq, Stack, Timer, Timestamps, cookie, hash};
use crate::drop_reason::counters_of_cookie;
use crate::{
    Counter, DropReason, Semantics, SynAckTimer, SynOnFullAcceptQueue, Time, last_quarter_threshold,
};

/// What the decision about a SYN depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynArrival {
    /// Whether the SYN queue is full.
    pub syn_queue_full: bool,
    /// Whether the accept queue is full.
    pub accept_queue_full: bool,
    /// Requests whose SYN-ACK timer has not fired yet.
    pub young: u32,
    /// `tcp_syncookies`.
    pub syncookies: u8,
    /// Whether the SYN queue reaches into the last quarter of `tcp_max_syn_backlog`.
    pub in_reserve: bool,
    /// Whether the kernel knows the peer's round trip.
    pub peer_is_proven: bool,
    /// Whether the SYN follows a connection in TIME_WAIT.
    pub from_time_wait: bool,
    /// Whether there is a route back.
    pub routable: bool,
}

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is kept as a request and answered.
    Request,
    /// It is answered with a cookie and forgotten.
    Cookie,
    /// It is dropped without an answer.
    Refused(DropReason),
}

impl SynArrival {
    /// The decision, in the kernel's order of tests.
    #[must_use]
    pub fn admission(self, semantics: &Semantics) -> Admission {
        let crowded = self.syn_queue_full || self.syncookies == 2;
        let want_cookie = crowded && !self.from_time_wait && self.syncookies > 0;
        if crowded && !self.from_time_wait && !want_cookie {
            return Admission::Refused(DropReason::SynQueueFull);
        }
        let no_room = match semantics.queues.syn_on_full_accept_queue {
            SynOnFullAcceptQueue::Dropped => self.accept_queue_full,
            SynOnFullAcceptQueue::DroppedIfYoungRequests => {
                self.accept_queue_full && self.young > 1
            }
        };
        if no_room && want_cookie {
            return Admission::Refused(DropReason::CookieSynAcceptQueueFull);
        }
        if no_room {
            return Admission::Refused(DropReason::SynAcceptQueueFull);
        }
        if !self.routable {
            return Admission::Refused(DropReason::SynNoRoute);
        }
        let reserve = self.syncookies == 0 && self.in_reserve && !self.peer_is_proven;
        if reserve && !want_cookie && !self.from_time_wait {
            return Admission::Refused(DropReason::SynReserve);
        }
        if want_cookie { Admission::Cookie } else { Admission::Request }
    }
}

impl Stack {
    pub(super) fn on_syn(
        &mut self,
        now: Time,
        listener: u32,
        syn: &Segment,
        isn: Option<Seq>,
        effects: &mut Effects,
    ) -> Option<DropReason> {
        let arrival = self.arrival(listener, syn, isn)?;
        match arrival.admission(&self.semantics) {
            Admission::Refused(reason) => Some(self.refused_at(listener, reason)),
            Admission::Cookie => {
                self.answer_with_cookie(now, listener, syn, effects);
                None
            }
            Admission::Request => {
                self.add_request(now, listener, syn, isn, effects);
                None
            }
        }
    }

    /// A segment was refused at a listener: its own counter moves with ListenDrops.
    pub(super) fn refused_at(&mut self, listener: u32, reason: DropReason) -> DropReason {
        let counted = self.semantics.counting.listener_counts_its_drops
            && reason.counters(&self.semantics).any(|counter| counter == Counter::ListenDrops);
        if counted && let Some(listener) = self.listener_mut(listener) {
            listener.drops = listener.drops.saturating_add(1);
        }
        reason
    }

    fn arrival(&self, listener: u32, syn: &Segment, isn: Option<Seq>) -> Option<SynArrival> {
        let listener = self.listener(listener)?;
        let reserve_from = last_quarter_threshold(self.sysctls.max_syn_backlog);
        let requests = u64::from(listener.requests);
        Some(SynArrival {
            syn_queue_full: listener.syn_queue(&self.semantics).is_full(requests),
            accept_queue_full: listener.queue.is_full(),
            young: listener.young,
            syncookies: self.sysctls.syncookies,
            in_reserve: listener.requests >= reserve_from,
            peer_is_proven: self.proven.contains(syn.from.ip()),
            from_time_wait: isn.is_some(),
            routable: !self.unroutable.contains(syn.from.ip()),
        })
    }

    fn answer_with_cookie(
        &mut self,
        now: Time,
        listener: u32,
        syn: &Segment,
        effects: &mut Effects,
    ) {
        for counter in counters_of_cookie(&self.semantics) {
            self.counters.count(counter);
        }
        if let Some(listener) = self.listener_mut(listener) {
            listener.last_cookie = Some(now);
        }
        let isn = cookie::cookie(self.secret, syn, now);
        let timestamps = self.syn_ack_timestamps(now, syn);
        let answer = syn_ack(syn, isn, timestamps);
        self.send(answer, effects);
    }

    fn add_request(
        &mut self,
        now: Time,
        listener: u32,
        syn: &Segment,
        isn: Option<Seq>,
        effects: &mut Effects,
    ) {
        let isn = isn.unwrap_or_else(|| self.initial_sequence(now, syn.to, syn.from));
        let timestamps = self.syn_ack_timestamps(now, syn);
        let clock = Self::clock(now);
        let index = self.requests.insert(Request {
            local: syn.to,
            peer: syn.from,
            listener,
            peer_isn: syn.seq,
            isn,
            timeouts: 0,
            resends: 0,
            acked: false,
            timestamps: timestamps.is_some(),
            peer_clock: timestamps.map_or(0, |ours| ours.echo),
            timer: Time::NEVER,
            answered_at: None,
            clock_sent: (clock, clock),
        });
        self.table.insert(syn.to, syn.from, Entry::Request(index));
        let polled = self.semantics.timers.syn_ack_timer == SynAckTimer::Polled;
        if let Some(listener) = self.listener_mut(listener) {
            if polled && listener.requests == 0 {
                listener.clock.start(now);
            }
            listener.requests += 1;
            listener.young += 1;
        }
        self.arm_request(now, index);
        self.send(syn_ack(syn, isn, timestamps), effects);
    }

    /// Sets a request's timer to its present time-out.
    pub(super) fn arm_request(&mut self, now: Time, index: u32) {
        let wait = self.request_timeout(index);
        let Some(request) = self.requests.get(index) else { return };
        let at = match self.semantics.timers.syn_ack_timer {
            SynAckTimer::PerRequest => now + wait,
            SynAckTimer::Polled => {
                let hash = hash::of_pair(self.secret, request.local, request.peer);
                let clock = self.listener(request.listener).map(|listener| listener.clock);
                clock.map_or(now + wait, |clock| clock.looked_at(hash, now + wait))
            }
        };
        if let Some(request) = self.requests.get_mut(index) {
            request.timer = at;
        }
        self.timers.put(now, at.since(now), Timer::Request(index));
    }

    /// An initial sequence number (`secure_tcp_seq`): a hash of the ends and a clock.
    pub(super) fn initial_sequence(
        &self,
        now: Time,
        local: std::net::SocketAddrV4,
        peer: std::net::SocketAddrV4,
    ) -> Seq {
        // The kernel's clock ticks every 64 ns.
        let ticks = now.as_micros().wrapping_mul(1000) >> 6;
        Seq(hash::low(hash::of_pair(self.secret, local, peer)).wrapping_add(hash::low(ticks)))
    }

    fn syn_ack_timestamps(&self, now: Time, syn: &Segment) -> Option<Timestamps> {
        let theirs = syn.timestamps.filter(|_| self.sysctls.timestamps)?;
        Some(Timestamps { value: Self::clock(now), echo: theirs.value })
    }
}

fn syn_ack(syn: &Segment, isn: Seq, timestamps: Option<Timestamps>) -> Segment {
    Segment {
        from: syn.to,
        to: syn.from,
        seq: isn,
        ack: syn.seq + 1,
        flags: Flags::SYN | Flags::ACK,
        payload: 0,
        timestamps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: SynArrival = SynArrival {
        syn_queue_full: false,
        accept_queue_full: false,
        young: 0,
        syncookies: 1,
        in_reserve: false,
        peer_is_proven: false,
        from_time_wait: false,
        routable: true,
    };

    fn check(kernel: &str, arrival: SynArrival, expected: Admission) {
        let semantics = Semantics::of(kernel.parse().expect("a release"));
        assert_eq!(arrival.admission(&semantics), expected, "{kernel} {arrival:?}");
    }

    #[test]
    fn a_full_syn_queue_drops_or_sends_cookies() {
        let full = SynArrival { syn_queue_full: true, ..QUIET };
        check("6.18.0", QUIET, Admission::Request);
        check("6.18.0", full, Admission::Cookie);
        let off = SynArrival { syncookies: 0, ..full };
        check("6.18.0", off, Admission::Refused(DropReason::SynQueueFull));
        check("6.18.0", SynArrival { syncookies: 2, ..QUIET }, Admission::Cookie);
    }

    #[test]
    fn a_full_accept_queue_lets_two_young_requests_in_before_4_10() {
        let full = SynArrival { accept_queue_full: true, young: 1, ..QUIET };
        let dropped = Admission::Refused(DropReason::SynAcceptQueueFull);
        check("4.9.0", full, Admission::Request);
        check("4.9.0", SynArrival { young: 2, ..full }, dropped);
        check("4.10.0", full, dropped);
    }

    #[test]
    fn cookies_do_not_help_a_full_accept_queue() {
        let full = SynArrival { accept_queue_full: true, syncookies: 2, ..QUIET };
        check("6.18.0", full, Admission::Refused(DropReason::CookieSynAcceptQueueFull));
    }

    #[test]
    fn the_last_quarter_is_kept_for_known_peers_while_cookies_are_off() {
        let reserve = SynArrival { in_reserve: true, syncookies: 0, ..QUIET };
        check("6.18.0", reserve, Admission::Refused(DropReason::SynReserve));
        check("6.18.0", SynArrival { peer_is_proven: true, ..reserve }, Admission::Request);
        check("6.18.0", SynArrival { syncookies: 1, ..reserve }, Admission::Request);
    }

    #[test]
    fn a_syn_after_time_wait_skips_the_syn_queue_but_not_the_accept_queue() {
        let again = SynArrival { from_time_wait: true, syn_queue_full: true, ..QUIET };
        check("6.18.0", again, Admission::Request);
        let full = SynArrival { accept_queue_full: true, ..again };
        check("6.18.0", full, Admission::Refused(DropReason::SynAcceptQueueFull));
    }
}
