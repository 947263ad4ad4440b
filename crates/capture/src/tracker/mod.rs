//! From segments to handshakes: follows each attempt to make a connection to its outcome, within
//! bounds of memory and time.
//!
//! - `key`, `store`: the table of flows, which an [`Index`] finds.
//! - `flow`, `facts`: what is known of a flow, and what a segment adds. Facts do not depend on the
//!   order of segments that were recorded a few milliseconds too early or too late.
//! - `verdict`: what the facts mean. Its text lists what each outcome rests on.
//! - `clock`, `limits`: when a flow is told and forgotten.
//!
//! What is not done: sequence numbers are followed as far as handshakes need them, so loss and
//! reordering of data are not told. Segments of a connection after its handshake was told are not
//! told again.

use halfopen_evidence::{Handshake, Index};

use crate::{IcmpError, IcmpKind, Observed, TcpSegment};

use self::clock::Clock;
use self::flow::{ACK, Fit, Flow, RST, SYN, mark, of_end, of_flow};
use self::key::{End, Key};
use self::resends::Resends;
use self::store::{AllResends, Flows, NONE};
use self::verdict::Case;

pub use self::limits::Limits;
pub use self::statistics::Statistics;

mod clock;
mod facts;
mod flow;
mod key;
mod lapse;
mod limits;
mod resends;
mod statistics;
mod store;
#[cfg(test)]
mod tests;
mod verdict;

/// How long a flow that was closed waits for stragglers before it is told.
const STRAGGLERS_NS: i64 = 2_000_000_000;

/// The longest wait between two SYNs is 96 s, on kernels whose first one is 3 s.
const SYN_WAIT_NS: i64 = 130_000_000_000;

/// The longest wait after a SYN-ACK is as long.
const SYN_ACK_WAIT_NS: i64 = 100_000_000_000;

/// Out of so many flows the one is chosen that has to go when the table is full.
const CANDIDATES: usize = 8;

/// Packets whose memory is fetched together.
const TOGETHER: usize = 32;

/// Follows handshakes. What it finds goes to a sink, each handshake once, with the number of its scope:
/// who knows the scopes' names fills them in.
#[derive(Debug)]
pub struct Tracker {
    limits: Limits,
    index: Index,
    flows: Flows,
    resends: AllResends,
    clock: Clock,
    statistics: Statistics,
    /// Flows that were taken out of the table, over and over from 0.
    forgotten: u32,
    first_ns: Option<i64>,
    /// The latest packet's time.
    now_ns: i64,
    /// The latest time that was told without a packet.
    told_ns: i64,
}

/// Whose segment it is: one end of a flow.
#[derive(Clone, Copy, Default)]
struct Sender {
    key: Key,
    end: End,
    hash: u32,
    /// The flow with this hash when its memory was asked for, or [`NONE`], and how many had been
    /// forgotten then: it is still there while that has not changed.
    likely: u32,
    forgotten: u32,
}

/// What is to be done with a flow that was looked at.
enum Due {
    Nothing,
    Tell,
    Forget,
}

impl Tracker {
    /// A tracker that has seen nothing.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            index: Index::default(),
            flows: Flows::default(),
            resends: AllResends::default(),
            clock: Clock::new(),
            statistics: Statistics::default(),
            forgotten: 0,
            first_ns: None,
            now_ns: i64::MIN,
            told_ns: i64::MIN,
        }
    }

    /// Takes in what a packet showed.
    pub fn on_observed(&mut self, observed: &Observed, sink: &mut impl FnMut(Handshake, u32)) {
        self.on_observed_of(&self.sender_of(observed), observed, sink);
    }

    /// Takes in what some packets showed: the same as one after the other, and twice as fast when
    /// hundreds of thousands of connections are open at once. Then each packet has to wait for memory,
    /// and here they wait together: while some are taken in, the flows of the next are on their way, and
    /// of those behind them the places in the index.
    pub fn on_batch(&mut self, batch: &[Observed], sink: &mut impl FnMut(Handshake, u32)) {
        let mut senders = [[Sender::default(); TOGETHER]; 3];
        let together = |step: usize| batch.chunks(TOGETHER).nth(step).unwrap_or_default();
        for step in 0..batch.len().div_ceil(TOGETHER) + 2 {
            self.ask(together(step), &mut senders[step % 3]);
            if let Some(next) = step.checked_sub(1) {
                self.fetch(&mut senders[next % 3][..together(next).len()]);
            }
            if let Some(now) = step.checked_sub(2) {
                for (sender, observed) in senders[now % 3].iter().zip(together(now)) {
                    self.on_observed_of(sender, observed, sink);
                }
            }
        }
    }

    /// Who sent what some packets showed. Asks for their places in the index.
    fn ask(&self, some: &[Observed], senders: &mut [Sender; TOGETHER]) {
        for (sender, observed) in senders.iter_mut().zip(some) {
            *sender = self.sender_of(observed);
            self.index.fetch(sender.hash);
        }
    }

    /// Asks for the flows of segments.
    fn fetch(&self, senders: &mut [Sender]) {
        for sender in senders {
            if let Some(number) = self.index.find(sender.hash, |_| true) {
                (sender.likely, sender.forgotten) = (number, self.forgotten);
                self.flows.fetch(number);
            }
        }
    }

    /// The flow of a segment.
    #[inline]
    fn find(&self, sender: &Sender) -> Option<u32> {
        let is_it = |number: u32| self.flows.get(number).key == sender.key;
        let is_there = sender.likely != NONE && sender.forgotten == self.forgotten;
        if is_there && is_it(sender.likely) {
            return Some(sender.likely);
        }
        self.index.find(sender.hash, is_it)
    }

    #[inline]
    fn on_observed_of(
        &mut self,
        sender: &Sender,
        observed: &Observed,
        sink: &mut impl FnMut(Handshake, u32),
    ) {
        match observed {
            Observed::Segment(segment) => self.on_segment_of(sender, segment, sink),
            Observed::IcmpError(error) => self.on_icmp(error, sink),
            Observed::Other => {}
        }
    }

    #[inline]
    fn sender_of(&self, observed: &Observed) -> Sender {
        match observed {
            Observed::Segment(segment) => self.sender(segment),
            Observed::IcmpError(_) | Observed::Other => Sender::default(),
        }
    }

    #[inline]
    fn sender(&self, segment: &TcpSegment) -> Sender {
        let (key, end) = Key::of(segment.from, segment.to, segment.scope);
        Sender { key, end, hash: key.hash(self.limits.hash_seed), likely: NONE, forgotten: 0 }
    }

    /// Takes in a segment.
    pub fn on_segment(&mut self, segment: &TcpSegment, sink: &mut impl FnMut(Handshake, u32)) {
        self.on_segment_of(&self.sender(segment), segment, sink);
    }

    #[inline]
    fn on_segment_of(
        &mut self,
        sender: &Sender,
        segment: &TcpSegment,
        sink: &mut impl FnMut(Handshake, u32),
    ) {
        self.statistics.segments += 1;
        self.on_time(segment.time_ns, sink);
        let Some(number) = self.find(sender) else {
            self.add(sender, segment, sink);
            return;
        };
        if !self.flows.at(number).carry_on(segment, sender.end) {
            self.on_closer_look(number, segment, sender.end, sink);
        }
    }

    /// Takes in an ICMP error.
    pub fn on_icmp(&mut self, error: &IcmpError, sink: &mut impl FnMut(Handshake, u32)) {
        self.on_time(error.time_ns, sink);
        let (key, end) = Key::of(error.from, error.to, error.scope);
        let flows = &self.flows;
        let hash = key.hash(self.limits.hash_seed);
        let number = self.index.find(hash, |flow| flows.get(flow).key == key);
        let flow = number.map(|number| self.flows.at(number));
        let Some(flow) = flow.filter(|flow| flow.sent(error.seq, end)) else {
            self.statistics.icmp_strays += 1;
            return;
        };
        self.statistics.icmp_errors += 1;
        flow.marks |= mark::ICMP_ERROR;
        let quotes_syn = flow.has(of_end::SYN, end) && error.seq == flow.isn[end];
        if quotes_syn && error.kind != IcmpKind::TooBig {
            flow.facts |= of_flow::UNREACHABLE;
        }
    }

    /// Takes in that time has gone on although no packet came, on the clock of the packets: what waits for
    /// an answer is told when its time is over. Packets may still come with earlier times.
    pub fn on_clock(&mut self, now_ns: i64, sink: &mut impl FnMut(Handshake, u32)) {
        if self.first_ns.is_none() {
            return;
        }
        self.told_ns = self.told_ns.max(now_ns);
        if self.clock.is_due(now_ns) {
            self.look_again(now_ns, sink);
        }
    }

    /// What would be told now of a handshake that a packet shows to be in trouble: a SYN or SYN-ACK that
    /// was sent again, an RST, an ICMP error. Who watches live need not wait for its end; none if that
    /// has been told. The number is that of its scope.
    #[must_use]
    pub fn in_trouble(&self, observed: &Observed) -> Option<(Handshake, u32)> {
        let (key, shows) = match observed {
            Observed::Segment(segment) => {
                (Key::of(segment.from, segment.to, segment.scope).0, segment.flags)
            }
            Observed::IcmpError(error) => (Key::of(error.from, error.to, error.scope).0, RST),
            Observed::Other => return None,
        };
        if shows & (SYN | RST) == 0 {
            return None;
        }
        let hash = key.hash(self.limits.hash_seed);
        let number = self.index.find(hash, |flow| self.flows.get(flow).key == key)?;
        let flow = self.flows.get(number);
        let resends = self.resends.get(flow.resends);
        let is_trouble = if shows & RST != 0 {
            flow.either(of_end::RST) || flow.is(of_flow::UNREACHABLE)
        } else {
            let again = |resends: &Resends| {
                let times = if shows & ACK == 0 { &resends.syns } else { &resends.syn_acks };
                times.count() > 1
            };
            resends.is_some_and(again)
        };
        (is_trouble && !flow.is(of_flow::TOLD)).then(|| {
            let handshake = Case { flow, resends, now_ns: self.clock_ns() }.handshake();
            (handshake, key.scope())
        })
    }

    /// Ends the capture: tells every handshake that was not told yet, in the order in which they
    /// began.
    pub fn finish(mut self, sink: &mut impl FnMut(Handshake, u32)) -> Statistics {
        let flows = &self.flows;
        let mut left: Vec<(u64, u32)> =
            self.index.numbers().map(|number| (flows.get(number).first_record, number)).collect();
        left.sort_unstable();
        for (_, number) in left {
            self.tell(number, sink);
        }
        self.statistics
    }

    /// What was counted so far.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Flows in the table.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Bytes of memory that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.index.bytes() + self.flows.bytes() + self.resends.bytes() + self.clock.bytes()
    }

    fn add(
        &mut self,
        &Sender { key, end, hash, .. }: &Sender,
        segment: &TcpSegment,
        sink: &mut impl FnMut(Handshake, u32),
    ) {
        if self.flows.len() >= self.limits.max_flows.max(1) {
            self.evict(sink);
        }
        let mut flow = Flow::new(key, segment);
        let silent_ns = segment.time_ns.saturating_sub(self.first_ns.unwrap_or(segment.time_ns));
        flow.take(segment, end, silent_ns, &mut self.resends);
        let number = self.flows.add(flow);
        self.index.insert(hash, number);
        self.clock.add(number);
        self.statistics.handshakes += 1;
        self.statistics.most_flows = self.statistics.most_flows.max(self.flows.len());
    }

    fn on_closer_look(
        &mut self,
        number: u32,
        segment: &TcpSegment,
        end: End,
        sink: &mut impl FnMut(Handshake, u32),
    ) {
        let flow = self.flows.at(number);
        let silent_ns = segment.time_ns.saturating_sub(flow.last_ns);
        match flow.take(segment, end, silent_ns, &mut self.resends) {
            Fit::Taken => {}
            Fit::Duplicate => self.statistics.duplicates += 1,
            Fit::Stray => self.statistics.strays += 1,
            Fit::Another => self.begin_again(number, segment, end, sink),
        }
    }

    /// The addresses of a flow are used for another attempt.
    fn begin_again(
        &mut self,
        number: u32,
        segment: &TcpSegment,
        end: End,
        sink: &mut impl FnMut(Handshake, u32),
    ) {
        self.tell(number, sink);
        let flow = self.flows.at(number);
        let marks = flow.bequeaths(segment, end);
        self.resends.free(flow.resends);
        *flow = Flow { marks, ..Flow::new(flow.key, segment) };
        flow.take(segment, end, 0, &mut self.resends);
        self.statistics.handshakes += 1;
        self.statistics.superseded += 1;
    }

    #[inline]
    fn on_time(&mut self, time_ns: i64, sink: &mut impl FnMut(Handshake, u32)) {
        if time_ns < self.now_ns {
            self.statistics.out_of_order += 1;
            return;
        }
        self.now_ns = time_ns;
        if self.clock.is_due(time_ns) {
            self.look_again(time_ns, sink);
        }
    }

    #[cold]
    fn look_again(&mut self, time_ns: i64, sink: &mut impl FnMut(Handshake, u32)) {
        self.first_ns.get_or_insert(time_ns);
        for list in self.clock.advance(time_ns) {
            for some in list.chunks(TOGETHER) {
                some.iter().for_each(|&number| self.flows.fetch(number));
                some.iter().for_each(|&number| self.fetch_place(number));
                some.iter().for_each(|&number| self.look_at(number, sink));
            }
        }
    }

    /// Asks for the memory that forgetting a flow will need, if that is near.
    fn fetch_place(&self, number: u32) {
        let flow = self.flows.get(number);
        if flow.closed() {
            self.index.fetch(flow.key.hash(self.limits.hash_seed));
        }
    }

    fn look_at(&mut self, number: u32, sink: &mut impl FnMut(Handshake, u32)) {
        match self.due(self.flows.get(number)) {
            Due::Nothing => {}
            Due::Tell => self.tell(number, sink),
            Due::Forget => {
                self.tell(number, sink);
                self.statistics.timed_out += 1;
                return self.forget(number);
            }
        }
        self.clock.add(number);
    }

    fn due(&self, flow: &Flow) -> Due {
        let now_ns = self.clock_ns();
        let silent_ns = now_ns.saturating_sub(flow.last_ns);
        let (tell_ns, forget_ns) = if flow.closed() {
            (STRAGGLERS_NS, self.limits.closed_ns)
        } else if !flow.begun() || flow.either(of_end::ACKED) {
            let age_ns = now_ns.saturating_sub(flow.began_ns);
            let is_early = self.limits.established_ns.is_some_and(|established_ns| {
                let is_settled = flow.both(of_end::ACKED) || silent_ns > SYN_ACK_WAIT_NS;
                flow.begun() && is_settled && age_ns > established_ns
            });
            (if is_early { 0 } else { self.limits.idle_ns }, self.limits.idle_ns)
        } else if flow.either(of_end::SYN_ACK) {
            (SYN_ACK_WAIT_NS, SYN_ACK_WAIT_NS)
        } else {
            (SYN_WAIT_NS, SYN_WAIT_NS)
        };
        if silent_ns > forget_ns {
            Due::Forget
        } else if silent_ns >= tell_ns {
            Due::Tell
        } else {
            Due::Nothing
        }
    }

    /// Makes room for a flow: of some that come up next, the one goes that has been told, or was
    /// silent longest.
    fn evict(&mut self, sink: &mut impl FnMut(Handshake, u32)) {
        let some = self.clock.take_some(CANDIDATES);
        let worth = |&number: &u32| {
            let flow = self.flows.get(number);
            (!flow.is(of_flow::TOLD), !flow.closed(), flow.last_ns)
        };
        let Some(out) = some.iter().copied().min_by_key(worth) else {
            return;
        };
        for number in some {
            if number != out {
                self.clock.add(number);
            }
        }
        self.tell(out, sink);
        self.forget(out);
        self.statistics.evicted += 1;
    }

    /// How late it is, by packets or by what was told without.
    fn clock_ns(&self) -> i64 {
        self.now_ns.max(self.told_ns)
    }

    fn tell(&mut self, number: u32, sink: &mut impl FnMut(Handshake, u32)) {
        let now_ns = self.clock_ns();
        let flow = self.flows.at(number);
        if flow.is(of_flow::TOLD) {
            return;
        }
        flow.facts |= of_flow::TOLD;
        let resends = self.resends.get(flow.resends);
        let handshake = Case { flow, resends, now_ns }.handshake();
        sink(handshake, flow.key.scope());
    }

    fn forget(&mut self, number: u32) {
        let flow = self.flows.get(number);
        self.index.remove(flow.key.hash(self.limits.hash_seed), number);
        self.resends.free(flow.resends);
        self.flows.free(number);
        self.forgotten = self.forgotten.wrapping_add(1);
    }
}
