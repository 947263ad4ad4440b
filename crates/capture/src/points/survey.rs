//! A first look at the captures of two points: whether they saw the same handshakes, how their clocks
//! differ, and which way which server's packets go.
//!
//! A capture may hold more handshakes than memory, so a sample is kept: those whose client's initial
//! sequence number has a hash with so many zeros. NAT changes addresses and leaves that number alone, so
//! both points keep the same ones.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use halfopen_evidence::{HeavyKeys, Weight};

use super::clock::{Bounds, Clock};
use super::pairing::{Kind, sole_pair};
use super::trace::{ACK, RST, SYN, Trace, Traces};
use crate::{Observed, TcpSegment};

/// Handshakes that are kept of a capture at the most.
const SAMPLE: usize = 16_384;

/// Listeners that are known by name.
const LISTENERS: usize = 8192;

/// Handshakes whose offsets must agree where segments of one direction alone were seen at both points.
const ONE_WAY: usize = 3;

/// What one point's capture shows at a first look.
#[derive(Debug)]
pub struct Survey {
    traces: Traces,
    zeros: u32,
    listeners: HeavyKeys<SocketAddr, Segments>,
    span_ns: Option<(i64, i64)>,
    missing: u64,
}

/// From when until when a point captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Its first packet, in nanoseconds since 1970 by the first point's clock.
    pub first_ns: i64,
    /// Its last packet.
    pub last_ns: i64,
    /// Whether no packet is known to be missing.
    pub is_whole: bool,
}

/// What two points have to do with each other. The first and the second are as they were given.
#[derive(Clone, Debug)]
pub struct Relation {
    /// The second's clock; none if they saw no segment together.
    pub clock: Option<Clock>,
    /// Handshakes of the sample that both saw.
    pub shared: usize,
    /// Handshakes of the sample that each saw.
    pub seen: [usize; 2],
    /// Handshakes with the same addresses and other sequence numbers, of those that were not shared.
    pub renumbered: usize,
    /// Nanoseconds from one point to the other and back, at the least; none if not both directions were
    /// seen.
    pub round_trip_ns: Option<u64>,
    /// When each captured.
    pub coverage: [Coverage; 2],
    /// Whether the first point is the clients' side, for most handshakes.
    pub(super) first_is_clients: Option<bool>,
    /// What is known of the way to each listener, as each point calls it.
    pub(super) ways: [BTreeMap<SocketAddr, Way>; 2],
    /// The listeners of which each point saw anything.
    pub(super) known: [HashSet<SocketAddr>; 2],
}

/// What is known of the way to a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Handshakes that passed both points.
    pub(super) joined: u32,
    /// Handshakes that were answered past one point.
    pub(super) past: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Segments(u32);

impl Weight for Segments {
    fn weight(&self) -> u32 {
        self.0
    }
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            traces: Traces::new(usize::MAX),
            zeros: 0,
            listeners: HeavyKeys::new(LISTENERS),
            span_ns: None,
            missing: 0,
        }
    }
}

impl Survey {
    /// Takes in what a packet showed.
    pub fn add(&mut self, observed: &Observed) {
        if let Observed::Segment(segment) = observed {
            self.add_segment(segment);
        }
    }

    /// Of the capture as a whole: when its first and last packets of any kind came, and how many are
    /// known to be missing, because the capturing program dropped them or the file is damaged.
    pub const fn covers(&mut self, span_ns: Option<(i64, i64)>, missing: u64) {
        (self.span_ns, self.missing) = (span_ns, missing);
    }

    /// Handshakes of the sample.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.traces.len()
    }

    fn add_segment(&mut self, segment: &TcpSegment) {
        let isn = match segment.flags & (SYN | ACK | RST) {
            SYN => {
                self.listeners.entry(segment.to.into()).0 += 1;
                Some(segment.seq)
            }
            both if both == SYN | ACK => {
                self.listeners.entry(segment.from.into()).0 += 1;
                Some(segment.ack.wrapping_sub(1))
            }
            _ => None,
        };
        if isn.is_some_and(|isn| !is_of_sample(isn, self.zeros)) {
            return;
        }
        self.traces.add(segment);
        while self.traces.len() > SAMPLE {
            self.zeros += 1;
            let zeros = self.zeros;
            self.traces.retain(|isn| is_of_sample(isn, zeros));
        }
    }

    fn coverage(&self) -> Coverage {
        let (first_ns, last_ns) = self.span_ns.unwrap_or((i64::MAX, i64::MIN));
        Coverage { first_ns, last_ns, is_whole: self.missing == 0 }
    }
}

/// Whether the hash of an initial sequence number ends in so many zeros.
const fn is_of_sample(isn: u32, zeros: u32) -> bool {
    let hash = (isn ^ isn >> 16).wrapping_mul(0x7feb_352d);
    let hash = (hash ^ hash >> 15).wrapping_mul(0x846c_a68b);
    (hash ^ hash >> 16).trailing_zeros() >= zeros
}

/// The trace at another point that is of the same attempt: the same number of the client, and the same
/// addresses or, behind NAT, the same number of the server.
pub(super) fn partner<'a>(of: &Trace, among: &'a Traces) -> Option<&'a Trace> {
    let same = || among.with_isn(of.client_isn);
    let by_addresses = same().find(|it| (it.client, it.server) == (of.client, of.server));
    by_addresses.or_else(|| {
        let mut translated = same().filter(|it| is_translation(of, it));
        // Two that fit are too many.
        translated.next().filter(|_| translated.next().is_none())
    })
}

/// Whether two traces with one number of the client can be of one attempt under other addresses.
pub(super) fn is_translation(one: &Trace, other: &Trace) -> bool {
    let servers = one.server_isn.zip(other.server_isn);
    servers.map_or_else(|| sole_pair(Kind::Syn, one, other).is_some(), |(one, other)| one == other)
}

impl Relation {
    /// Compares two surveys.
    #[must_use]
    pub fn of(first: &Survey, second: &Survey) -> Self {
        let zeros = first.zeros.max(second.zeros);
        let is_common = |trace: &&Trace| is_of_sample(trace.client_isn, zeros);
        let pairs: Vec<(&Trace, &Trace)> = first
            .traces
            .iter()
            .filter(is_common)
            .filter_map(|trace| Some((trace, partner(trace, &second.traces)?)))
            .filter(|(one, other)| shares_a_segment(one, other))
            .collect();
        let first_is_clients = majority(&pairs);
        let clock = clock(&pairs, first_is_clients);
        let coverage = [first.coverage(), in_first_clock(second.coverage(), clock.as_ref())];
        let seen = [first, second].map(|one| one.traces.iter().filter(is_common).count());
        let renumbered = first.traces.iter().filter(is_common).filter(|trace| {
            let other = second.traces.get(trace.ends());
            other.is_some_and(|other| other.client_isn != trace.client_isn)
        });
        let mut relation = Self {
            shared: pairs.len(),
            seen,
            renumbered: renumbered.count(),
            round_trip_ns: pairs.iter().filter_map(|(one, other)| round_trip_ns(one, other)).min(),
            clock,
            coverage,
            first_is_clients,
            ways: [BTreeMap::new(), BTreeMap::new()],
            known: [first, second].map(|one| one.listeners.keys().copied().collect()),
        };
        relation.note_ways([&first.traces, &second.traces], &pairs);
        relation
    }

    /// Whether they are two points that the same packets passed, rather than pieces of one capture.
    #[must_use]
    pub fn is_of_two_points(&self) -> bool {
        let Some(clock) = self.clock else { return false };
        let most_agree = clock.agreeing * 10 >= clock.of * 8;
        let [first, second] = self.coverage;
        let as_written = |ns: i64| ns.saturating_add(clock.offset_ns);
        let overlaps = first.first_ns <= as_written(second.last_ns)
            && as_written(second.first_ns) <= first.last_ns;
        match clock.within_ns {
            Some(_) => most_agree,
            // A SYN that was sent again can lie in two pieces, but they do not overlap.
            None => overlaps && most_agree && clock.agreeing >= ONE_WAY,
        }
    }

    /// Whether the first point is the clients' side, for most handshakes; none if that does not show.
    #[must_use]
    pub const fn first_is_clients(&self) -> Option<bool> {
        self.first_is_clients
    }

    fn note_ways(&mut self, traces: [&Traces; 2], pairs: &[(&Trace, &Trace)]) {
        for (one, other) in pairs {
            for (ways, server) in self.ways.iter_mut().zip([one.server, other.server]) {
                ways.entry(server).or_default().joined += 1;
            }
        }
        for (point, seen) in traces.into_iter().enumerate() {
            let other = traces[1 - point];
            let ways = &mut self.ways[point];
            for trace in seen.iter() {
                let is_answered = trace.server_isn.is_some();
                if let Some(way) = ways.get_mut(&trace.server)
                    && is_answered
                    && partner(trace, other).is_none()
                    && other.get(trace.ends()).is_none()
                {
                    way.past += 1;
                }
            }
        }
    }
}

/// Whether at least one segment was seen at both, so far as can be told without a clock.
fn shares_a_segment(one: &Trace, other: &Trace) -> bool {
    let is_shared = |kind| sole_pair(kind, one, other).is_some();
    is_shared(Kind::Syn) || is_shared(Kind::SynAck)
}

/// How much later segments of the client and of the server were seen in the second trace, at the least.
fn differences(one: &Trace, other: &Trace) -> [Option<i64>; 2] {
    let difference = |kind| {
        let (here, there) = sole_pair(kind, one, other)?;
        Some(there.time_ns.saturating_sub(here.time_ns))
    };
    [difference(Kind::Syn), difference(Kind::SynAck)]
}

fn round_trip_ns(one: &Trace, other: &Trace) -> Option<u64> {
    let [of_client, of_server] = differences(one, other);
    Some(of_client?.abs_diff(of_server?))
}

/// Whether the first point is the client's side of a handshake that both saw: what the client sent comes
/// later at the second by more than what the server sent, whatever the clocks; or one alone saw what an
/// end sent, and then it is that end's side.
pub(super) fn first_is_client_side(one: &Trace, other: &Trace) -> Option<bool> {
    if let [Some(of_client), Some(of_server)] = differences(one, other)
        && of_client != of_server
    {
        return Some(of_client > of_server);
    }
    let sees = |trace: &Trace, kind: Kind| !kind.of(trace).is_empty();
    match (sees(one, Kind::Syn), sees(other, Kind::Syn)) {
        (true, false) => return Some(true),
        (false, true) => return Some(false),
        _ => {}
    }
    match (sees(one, Kind::SynAck), sees(other, Kind::SynAck)) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        _ => None,
    }
}

fn majority(pairs: &[(&Trace, &Trace)]) -> Option<bool> {
    let votes = pairs.iter().filter_map(|(one, other)| first_is_client_side(one, other));
    let (yes, all) = votes.fold((0, 0), |(yes, all), vote| (yes + usize::from(vote), all + 1));
    (yes * 2 != all).then_some(yes * 2 > all)
}

fn clock(pairs: &[(&Trace, &Trace)], first_is_clients: Option<bool>) -> Option<Clock> {
    let bounds: Vec<Bounds> = pairs
        .iter()
        .filter_map(|(one, other)| {
            let [of_client, of_server] = differences(one, other);
            let (low_ns, high_ns) = (of_client?.min(of_server?), of_client?.max(of_server?));
            Some(Bounds { at_ns: one.began_ns(), low_ns, high_ns })
        })
        .collect();
    Clock::of(&bounds).or_else(|| {
        let at_ns = pairs.iter().map(|(one, _)| one.began_ns()).min()?;
        let of = |direction: usize| -> Vec<i64> {
            pairs.iter().filter_map(|(one, other)| differences(one, other)[direction]).collect()
        };
        let (of_clients, of_servers) = (of(0), of(1));
        let is_clients = first_is_clients.unwrap_or(true);
        let (all, behind) = if of_clients.is_empty() {
            (of_servers, !is_clients)
        } else {
            (of_clients, is_clients)
        };
        Clock::of_one_way(&all, at_ns, behind)
    })
}

fn in_first_clock(coverage: Coverage, clock: Option<&Clock>) -> Coverage {
    let corrected = |ns| clock.map_or(ns, |clock| clock.corrected(ns));
    Coverage {
        first_ns: corrected(coverage.first_ns),
        last_ns: corrected(coverage.last_ns),
        ..coverage
    }
}
