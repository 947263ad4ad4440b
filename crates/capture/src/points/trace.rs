//! What is kept of an attempt at one point, to be compared with what another point saw of it: the
//! segments of its beginning and those that end it, in bounded memory.
//!
//! Traces have no scope: a VLAN or tunnel at one point is none of the other's business. Where one point
//! sees each packet twice (a router, before and behind), the second sighting is left out.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use crate::{SegmentOptions, TcpSegment};

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// Plain segments, neither SYN nor RST nor FIN, that are kept of an attempt.
pub(super) const PLAIN: usize = 12;

/// Segments that are kept of an attempt.
pub(super) const ALL: usize = 28;

/// The same segment so soon again at one point was captured twice.
const COPY_NS: i64 = 1_000_000;

/// With the same timestamp it may be a copy for longer: a TCP that sends again has another.
const ROUTED_COPY_NS: i64 = 50_000_000;

/// The two ends of a flow, the lower first.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// A segment, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) time_ns: i64,
    pub(super) from_client: bool,
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) payload: u32,
    /// TSval, which NAT leaves alone and a TCP that sends again does not.
    pub(super) timestamp: Option<u32>,
}

/// An attempt at one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// The client's initial sequence number.
    pub(super) client_isn: u32,
    /// The server's, if its SYN-ACK was seen.
    pub(super) server_isn: Option<u32>,
    pub(super) syn_options: Option<SegmentOptions>,
    pub(super) syn_ack_options: Option<SegmentOptions>,
    pub(super) sightings: Vec<Sighting>,
}

/// The attempts that a point sees now. When there are too many the oldest one goes.
#[derive(Debug)]
pub(super) struct Traces {
    all: HashMap<Ends, Trace>,
    by_isn: HashMap<u32, Vec<Ends>>,
    /// In the order of their beginnings; some are gone already.
    oldest: VecDeque<(Ends, u32)>,
    capacity: usize,
    evicted: u64,
}

/// What names the flow of a segment.
pub(super) fn ends(a: SocketAddr, b: SocketAddr) -> Ends {
    if a <= b { (a, b) } else { (b, a) }
}

impl Trace {
    /// An attempt that begins with this segment; none if it can be no attempt's first.
    pub(super) fn begin(segment: &TcpSegment) -> Option<Self> {
        let (client, server, client_isn) = match segment.flags & (SYN | ACK | RST) {
            SYN => (segment.from, segment.to, segment.seq),
            both if both == SYN | ACK => (segment.to, segment.from, segment.ack.wrapping_sub(1)),
            _ => return None,
        };
        let mut trace = Self {
            client: client.into(),
            server: server.into(),
            client_isn,
            server_isn: None,
            syn_options: None,
            syn_ack_options: None,
            sightings: Vec::new(),
        };
        trace.add(segment);
        Some(trace)
    }

    /// Takes a segment of the flow in.
    pub(super) fn add(&mut self, segment: &TcpSegment) {
        let sighting = Sighting {
            time_ns: segment.time_ns,
            from_client: segment.from == self.client,
            flags: segment.flags & (FIN | SYN | RST | ACK),
            seq: segment.seq,
            ack: segment.ack,
            payload: segment.payload,
            timestamp: segment.options.timestamps.map(|timestamps| timestamps.value),
        };
        let is_plain = sighting.flags & (FIN | SYN | RST) == 0;
        if self.sightings.len() >= if is_plain { PLAIN } else { ALL } || self.is_copy(&sighting) {
            return;
        }
        // What the capture cut off would look like an option that was removed.
        let options = Some(segment.options).filter(|_| !segment.truncated);
        match sighting.flags & (SYN | ACK) {
            SYN if sighting.from_client => self.syn_options = self.syn_options.or(options),
            both if both == SYN | ACK && !sighting.from_client => {
                self.syn_ack_options = self.syn_ack_options.or(options);
                self.server_isn = self.server_isn.or(Some(segment.seq));
            }
            _ => {}
        }
        self.sightings.push(sighting);
    }

    /// When it was seen first.
    pub(super) fn began_ns(&self) -> i64 {
        self.sightings.iter().map(|sighting| sighting.time_ns).min().unwrap_or(i64::MAX)
    }

    /// Whether both ends had closed by then.
    pub(super) fn is_closed_before(&self, time_ns: i64) -> bool {
        let earlier = self.sightings.iter().filter(|it| it.time_ns <= time_ns);
        let closes = |by_client: bool| {
            earlier.clone().any(|it| it.flags & FIN != 0 && it.from_client == by_client)
        };
        closes(true) && closes(false)
    }

    pub(super) fn ends(&self) -> Ends {
        ends(self.client, self.server)
    }

    /// Whether a SYN with another number than the client's begins another attempt.
    fn is_over_with(&self, segment: &TcpSegment) -> bool {
        segment.flags & (SYN | ACK) == SYN
            && (segment.from != self.client || segment.seq != self.client_isn)
    }

    fn is_copy(&self, sighting: &Sighting) -> bool {
        let same = |old: &&Sighting| {
            let later = sighting.time_ns.saturating_sub(old.time_ns).saturating_abs();
            let soon = if old.timestamp.is_some() { ROUTED_COPY_NS } else { COPY_NS };
            later < soon && **old == Sighting { time_ns: old.time_ns, ..*sighting }
        };
        self.sightings.iter().rev().any(|old| same(&old))
    }
}

impl Traces {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            all: HashMap::new(),
            by_isn: HashMap::new(),
            oldest: VecDeque::new(),
            capacity: capacity.max(1),
            evicted: 0,
        }
    }

    /// Takes a segment in.
    pub(super) fn add(&mut self, segment: &TcpSegment) {
        let ends = ends(segment.from.into(), segment.to.into());
        match self.all.get_mut(&ends) {
            Some(trace) if !trace.is_over_with(segment) => return trace.add(segment),
            Some(_) => drop(self.take(ends)),
            None => {}
        }
        let Some(trace) = Trace::begin(segment) else { return };
        self.make_room();
        self.by_isn.entry(trace.client_isn).or_default().push(ends);
        self.oldest.push_back((ends, trace.client_isn));
        self.all.insert(ends, trace);
    }

    /// The attempt between these ends.
    pub(super) fn get(&self, ends: Ends) -> Option<&Trace> {
        self.all.get(&ends)
    }

    /// The attempts whose client began with this number.
    pub(super) fn with_isn(&self, isn: u32) -> impl Iterator<Item = &Trace> {
        let ends = self.by_isn.get(&isn).into_iter().flatten();
        ends.filter_map(|ends| self.all.get(ends))
    }

    /// Every attempt.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Trace> {
        self.all.values()
    }

    /// The attempt between these ends, which is then forgotten.
    pub(super) fn take(&mut self, ends: Ends) -> Option<Trace> {
        let trace = self.all.remove(&ends)?;
        if let Some(same) = self.by_isn.get_mut(&trace.client_isn) {
            same.retain(|it| *it != ends);
            if same.is_empty() {
                self.by_isn.remove(&trace.client_isn);
            }
        }
        Some(trace)
    }

    /// Forgets those whose client's number is not wanted.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(u32) -> bool) {
        self.all.retain(|_, trace| is_wanted(trace.client_isn));
        self.by_isn.retain(|&isn, _| is_wanted(isn));
        self.oldest.retain(|&(_, isn)| is_wanted(isn));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// How many had to go although they were not done with.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn make_room(&mut self) {
        let is_there = |all: &HashMap<Ends, Trace>, &(ends, isn): &(Ends, u32)| {
            all.get(&ends).is_some_and(|trace| trace.client_isn == isn)
        };
        if self.oldest.len() > 2 * self.all.len() + 1024 {
            let all = &self.all;
            self.oldest.retain(|one| is_there(all, one));
        }
        while self.all.len() >= self.capacity {
            let Some(one) = self.oldest.pop_front() else { return };
            if is_there(&self.all, &one) {
                self.take(one.0);
                self.evicted += 1;
            }
        }
    }
}
