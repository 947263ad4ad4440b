//! Follows handshakes at two points and tells each once, with what the two say together.
//!
//! Each point has a tracker of its own. What one tells waits for the other if that sees the attempt too,
//! and is told alone if it does not. Waiting handshakes and traces are bounded: what has to go early is
//! told alone and counted.

use std::collections::VecDeque;

use halfopen_evidence::{Crossing, Handshake, Outcome};

use super::crossing::{Between, Half, of_both, of_one};
use super::outcome::{alone, joined};
use super::survey::{Relation, is_translation, partner};
use super::trace::{Trace, Traces, ends};
use super::waiting::Waiting;
use crate::{Limits, Observed, Statistics, Tracker};

/// How far apart two sightings of one SYN lie at the most, beside what the clocks leave open.
const APART_NS: u64 = 500_000_000;

/// How long the other point's end of a connection whose beginning neither saw is awaited.
const MID_STREAM_NS: i64 = 10_000_000_000;

/// A handshake that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The handshake, as the client's side names it.
    pub handshake: Handshake,
    /// The number of its scope.
    pub scope: u32,
    /// What the two points say together; none if one alone saw it and that says nothing.
    pub crossing: Option<Box<Crossing>>,
}

/// Follows handshakes at two points. Times of all segments are by one clock.
#[derive(Debug)]
pub struct Joiner {
    points: [Point; 2],
    between: Between,
    /// Point, number and until when, of those that wait; some are gone already.
    order: VecDeque<(usize, u64, i64)>,
    next: u64,
    now_ns: i64,
    capacity: usize,
    joined: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Point {
    tracker: Option<Tracker>,
    traces: Traces,
    /// Handshakes that wait for the other point.
    waiting: Waiting,
    /// Flows that its tracker had to tell early.
    evicted: u64,
    statistics: Statistics,
}

impl Joiner {
    /// Of two points that have this to do with each other.
    #[must_use]
    pub fn new(limits: Limits, relation: Relation) -> Self {
        let point = || Point {
            tracker: Some(Tracker::new(limits)),
            traces: Traces::new(limits.max_flows),
            waiting: Waiting::default(),
            evicted: 0,
            statistics: Statistics::default(),
        };
        Self {
            points: [point(), point()],
            between: Between { relation },
            order: VecDeque::new(),
            next: 0,
            now_ns: i64::MIN,
            capacity: limits.max_flows.max(1),
            joined: 0,
            evicted: 0,
        }
    }

    /// Takes in what a packet of a point showed.
    pub fn on_observed(
        &mut self,
        point: usize,
        observed: &Observed,
        sink: &mut impl FnMut(Joined),
    ) {
        let mut told = Vec::new();
        let at = &mut self.points[point];
        let evicted = at.evicted;
        if let Some(tracker) = &mut at.tracker {
            tracker.on_observed(observed, &mut |handshake, scope| told.push((handshake, scope)));
            at.evicted = tracker.statistics().evicted;
        }
        let is_early = at.evicted > evicted;
        for (handshake, scope) in told {
            if is_early {
                // What is told before its end cannot be compared with the other's whole.
                self.forget(point, &handshake);
            }
            self.on_told(point, handshake, scope, sink);
        }
        if let Observed::Segment(segment) = observed {
            self.points[point].traces.add(segment);
            self.now_ns = self.now_ns.max(segment.time_ns);
        }
        self.tell_overdue(sink);
    }

    /// Ends the captures.
    pub fn finish(&mut self, sink: &mut impl FnMut(Joined)) {
        for point in 0..2 {
            let mut told = Vec::new();
            if let Some(tracker) = self.points[point].tracker.take() {
                let statistics =
                    tracker.finish(&mut |handshake, scope| told.push((handshake, scope)));
                self.points[point].statistics = statistics;
            }
            for (handshake, scope) in told {
                self.on_told(point, handshake, scope, sink);
            }
        }
        while let Some((point, number, _)) = self.order.pop_front() {
            self.tell_alone(point, number, sink);
        }
    }

    /// Handshakes that were told of both points together.
    #[must_use]
    pub const fn joined(&self) -> u64 {
        self.joined
    }

    /// Handshakes that could not be compared because there were too many at a time.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted + self.points[0].traces.evicted() + self.points[1].traces.evicted()
    }

    /// What the points' trackers counted, together; complete after the end.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let [first, second] = self.points.each_ref().map(|point| point.statistics);
        first.with(second)
    }

    fn forget(&mut self, point: usize, handshake: &Handshake) {
        let trace = self.points[point].traces.take(ends(handshake.client, handshake.server));
        self.evicted += u64::from(trace.is_some());
    }

    fn on_told(
        &mut self,
        point: usize,
        handshake: Handshake,
        scope: u32,
        sink: &mut impl FnMut(Joined),
    ) {
        let ends = ends(handshake.client, handshake.server);
        let traces = &mut self.points[point].traces;
        let is_its = |trace: &Trace| {
            trace.began_ns().abs_diff(handshake.began_ns) <= APART_NS
                && handshake.outcome != Outcome::MidStream
        };
        let trace = traces.get(ends).is_some_and(is_its).then(|| traces.take(ends)).flatten();
        let half = Half { handshake, scope, trace };
        let waiting = &self.points[1 - point].waiting;
        let partner = waiting.find(&half, |other| self.are_one(&half, other));
        if let Some(other) = partner.and_then(|number| self.points[1 - point].waiting.take(number))
        {
            let halves = if point == 0 { (half, other) } else { (other, half) };
            return self.tell_both(halves.0, halves.1, sink);
        }
        let until_ns = match &half.trace {
            Some(trace) if self.is_seen(1 - point, trace) => i64::MAX,
            // Where flows had to be told early it may be the rest of one of them.
            None if half.handshake.outcome == Outcome::MidStream && self.evicted_flows() == 0 => {
                self.now_ns.saturating_add(MID_STREAM_NS)
            }
            _ => return self.tell_half(point, half, sink),
        };
        self.wait(point, half, until_ns, sink);
    }

    /// Flows that trackers had to tell early.
    const fn evicted_flows(&self) -> u64 {
        self.points[0].evicted + self.points[1].evicted
    }

    /// Whether a point sees an attempt that was told elsewhere.
    fn is_seen(&self, point: usize, trace: &Trace) -> bool {
        let traces = &self.points[point].traces;
        partner(trace, traces).is_some()
            || traces.get(trace.ends()).is_some_and(|other| self.is_renumbered(trace, other))
    }

    /// Whether traces with the same addresses and other numbers are of one attempt.
    fn is_renumbered(&self, one: &Trace, other: &Trace) -> bool {
        let clock = self.between.relation.clock.and_then(|clock| clock.within_ns);
        let apart_ns = one.began_ns().abs_diff(other.began_ns());
        (one.client, one.server) == (other.client, other.server)
            && apart_ns <= clock.unwrap_or(0).saturating_add(APART_NS)
    }

    fn are_one(&self, half: &Half, other: &Half) -> bool {
        let names = |it: &Half| (it.handshake.client, it.handshake.server);
        match (&half.trace, &other.trace) {
            (Some(one), Some(other)) if one.client_isn == other.client_isn => {
                (one.client, one.server) == (other.client, other.server)
                    || is_translation(one, other)
            }
            (Some(one), Some(other)) => self.is_renumbered(one, other),
            (None, None) => names(half) == names(other),
            _ => false,
        }
    }

    fn wait(&mut self, point: usize, half: Half, until_ns: i64, sink: &mut impl FnMut(Joined)) {
        let points = &self.points;
        if self.order.len() > 2 * (points[0].waiting.len() + points[1].waiting.len()) + 1024 {
            self.order.retain(|&(point, number, _)| points[point].waiting.has(number));
        }
        while self.order.len() >= self.capacity {
            let Some((point, number, _)) = self.order.pop_front() else { break };
            self.evicted += u64::from(self.tell_alone(point, number, sink));
        }
        let number = self.next;
        self.next += 1;
        self.order.push_back((point, number, until_ns));
        self.points[point].waiting.add(number, half);
    }

    /// Tells what has waited long enough.
    fn tell_overdue(&mut self, sink: &mut impl FnMut(Joined)) {
        while let Some(&(point, number, until_ns)) = self.order.front() {
            if until_ns >= self.now_ns && self.points[point].waiting.has(number) {
                return;
            }
            self.order.pop_front();
            self.tell_alone(point, number, sink);
        }
    }

    /// Tells a handshake that waits, if it still does.
    fn tell_alone(&mut self, point: usize, number: u64, sink: &mut impl FnMut(Joined)) -> bool {
        let half = self.points[point].waiting.take(number);
        half.map(|half| self.tell_half(point, half, sink)).is_some()
    }

    fn tell_half(&self, point: usize, half: Half, sink: &mut impl FnMut(Joined)) {
        // What the other point has forgotten is not what it did not see.
        let other = &self.points[1 - point];
        let is_complete = other.evicted == 0 && other.traces.evicted() == 0;
        let crossing = is_complete.then(|| of_one(&half, point, &self.between)).flatten();
        let handshake = alone(half.handshake, crossing.as_ref());
        sink(Joined { handshake, scope: half.scope, crossing: crossing.map(Box::new) });
    }

    fn tell_both(&mut self, first: Half, second: Half, sink: &mut impl FnMut(Joined)) {
        self.joined += 1;
        let crossing = of_both(&first, &second, &self.between);
        let first_is_clients = crossing.as_ref().map_or_else(
            || self.between.relation.first_is_clients.unwrap_or(true),
            |crossing| crossing.client_side == 0,
        );
        let (client, server) = if first_is_clients { (first, second) } else { (second, first) };
        let scope = client.scope;
        let handshake = match &crossing {
            Some(crossing) => joined(client.handshake, server.handshake, crossing),
            None => client.handshake,
        };
        sink(Joined { handshake, scope, crossing: crossing.map(Box::new) });
    }
}
