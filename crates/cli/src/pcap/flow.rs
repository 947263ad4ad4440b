//! Which handshake `--sequence` means, and the segments of a handshake.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use halfopen_capture::{Observed, TcpSegment};
use halfopen_diagnose::words::harmless;

use super::input::Complaint;
use super::read::{self, Event, Plan};
use crate::handshakes::class::{self, Gravity};
use crate::handshakes::found::{Found, Number};

/// Segments that are kept of one handshake, from its beginning.
const SEGMENTS: usize = 512;

/// How far apart the two points' sightings of a handshake lie at the most.
const APART_NS: i64 = 500_000_000;

/// Which handshakes are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The one with this number.
    Number(Number),
    /// Those with this address at either end.
    Address(SocketAddr),
    /// Those between these addresses.
    Pair(SocketAddr, SocketAddr),
}

impl Flow {
    /// Reads `4711`, `10.0.0.9:40000` or `10.0.0.9:40000-10.0.0.1:80`.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let address = |text: &str| text.trim().parse::<SocketAddr>().ok();
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        if let Some(one) = address(text) {
            return Ok(Self::Address(one));
        }
        let pair = text.split_once(['-', '>']).and_then(|(a, b)| address(a).zip(address(b)));
        pair.map(|(a, b)| Self::Pair(a, b)).ok_or_else(|| {
            format!(
                "--sequence {}: neither a number, nor 10.0.0.9:40000, nor A:PORT-B:PORT",
                harmless(text)
            )
        })
    }

    fn matches(self, found: &Found) -> bool {
        let (client, server) = (found.handshake.client, found.handshake.server);
        match self {
            Self::Number(number) => number == found.number,
            Self::Address(one) => one == client || one == server,
            Self::Pair(a, b) => (a, b) == (client, server) || (b, a) == (client, server),
        }
    }
}

/// Chooses among the handshakes that are meant: the gravest, then the first.
#[derive(Debug)]
pub(super) struct Choice {
    flow: Flow,
    /// The chosen one.
    pub(super) chosen: Option<Found>,
    /// How many were meant.
    pub(super) count: u64,
}

impl Choice {
    /// Of these none was seen yet.
    pub(super) const fn new(flow: Flow) -> Self {
        Self { flow, chosen: None, count: 0 }
    }

    /// Looks at a handshake.
    pub(super) fn add(&mut self, found: &Found) {
        if !self.flow.matches(found) {
            return;
        }
        self.count += 1;
        let worth = |found: &Found| {
            let gravity: Gravity = class::gravity(found.handshake.outcome);
            (std::cmp::Reverse(gravity), found.number)
        };
        if self.chosen.as_ref().is_none_or(|chosen| worth(found) < worth(chosen)) {
            self.chosen = Some(found.clone());
        }
    }
}

/// A handshake and its segments.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    /// The handshake.
    pub(super) found: Found,
    /// Its segments, the first of them.
    pub(super) segments: Vec<TcpSegment>,
    /// Segments that were not kept.
    pub(super) more: u64,
}

/// Reads the captures again, for the segments of these handshakes.
///
/// # Errors
/// If an input cannot be opened.
pub(super) fn follow(plan: &Plan, found: Vec<Found>) -> Result<Vec<Followed>, Complaint> {
    let mut followed: Vec<Followed> =
        found.into_iter().map(|found| Followed { found, segments: Vec::new(), more: 0 }).collect();
    let mut places: HashMap<(SocketAddr, SocketAddr), Vec<usize>> = HashMap::new();
    for (place, one) in followed.iter().enumerate() {
        let (client, server) = (one.found.handshake.client, one.found.handshake.server);
        let translated = one.found.crossing.as_ref().and_then(|crossing| crossing.translated);
        for (client, server) in [(client, server)].into_iter().chain(translated) {
            places.entry((client, server)).or_default().push(place);
            places.entry((server, client)).or_default().push(place);
        }
    }
    read::read(plan, |event| {
        if let Event::Batch(batch, scopes) = event {
            for observed in batch {
                if let Observed::Segment(segment) = observed
                    && let Some(places) = places.get(&(segment.from.into(), segment.to.into()))
                {
                    let scope = scopes.name(segment.scope).unwrap_or_default();
                    places.iter().for_each(|&place| followed[place].add(segment, &scope));
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(followed)
}

impl Followed {
    fn add(&mut self, segment: &TcpSegment, scope: &str) {
        let handshake = &self.found.handshake;
        // At the other point it begins and ends a little earlier or later, in whatever VLAN.
        let is_one = self.found.crossing.is_none();
        let apart_ns = if is_one { 0 } else { APART_NS };
        let after_ns = segment.time_ns.saturating_sub(handshake.began_ns).saturating_add(apart_ns);
        let lasted_ns = handshake.lasted_ns.saturating_add(2 * apart_ns.unsigned_abs());
        let is_in_time = u64::try_from(after_ns).is_ok_and(|ns| ns <= lasted_ns);
        if !is_in_time || (is_one && scope != handshake.scope) {
            return;
        }
        if self.segments.len() < SEGMENTS {
            self.segments.push(*segment);
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Outcome;

    use super::*;
    use crate::handshakes::fixture::{address, handshake};

    #[test]
    fn flows_are_read_in_three_forms() {
        let (a, b) = (address("10.0.0.9:40000"), address("[::1]:80"));
        assert_eq!(Flow::parse("#12"), Ok(Flow::Number(Number::new(0, 12))));
        assert_eq!(Flow::parse("10.0.0.9:40000"), Ok(Flow::Address(a)));
        assert_eq!(Flow::parse("10.0.0.9:40000-[::1]:80"), Ok(Flow::Pair(a, b)));
        for text in ["", "10.0.0.9", "a-b", "10.0.0.9:70000"] {
            assert!(Flow::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_gravest_is_chosen_and_then_the_first() {
        let mut choice = Choice::new(Flow::Address(address("10.77.0.1:8080")));
        let outcomes =
            [Outcome::Established, Outcome::SynUnanswered, Outcome::Refused, Outcome::Deferred];
        for (record, outcome) in (1..).zip(outcomes) {
            let handshake = handshake(outcome);
            choice.add(&Found { number: Number::new(0, record), handshake, crossing: None });
        }
        assert_eq!(choice.count, 4);
        assert_eq!(choice.chosen.map(|found| found.number.record), Some(2));
    }
}
