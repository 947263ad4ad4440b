//! Where segments of a handshake ended, between two points.
//!
//! A segment that one point saw and the other did not is called lost only if the other was capturing
//! then, is not known to lack packets, and is known to be on the way: other handshakes with that
//! listener passed both points, and none was answered past one of them, as behind a load balancer.

use std::net::SocketAddr;

use halfopen_evidence::{Crossing, Handshake, Located, Outcome, Passage};

use super::pairing::{Kind, pair};
use super::survey::{Relation, first_is_client_side};
use super::trace::{ACK, FIN, RST, SYN, Sighting, Trace};
use crate::SegmentOptions;

/// A server that takes so long for an answer has not answered that SYN.
const UNANSWERED_NS: i64 = 900_000_000;

/// How long after a point's first packet, and before its last one, a segment must be to be missed there:
/// so much beside what the clocks and the way leave open.
const MARGIN_NS: i64 = 20_000_000;

/// A handshake at one point.
#[derive(Clone, Debug)]
pub(super) struct Half {
    pub(super) handshake: Handshake,
    pub(super) scope: u32,
    pub(super) trace: Option<Trace>,
}

/// What is known of the two points.
#[derive(Clone, Debug)]
pub(super) struct Between {
    pub(super) relation: Relation,
}

impl Between {
    /// By how much times at the two points may be off.
    fn slack_ns(&self) -> u64 {
        let clock = self.relation.clock.and_then(|clock| clock.within_ns);
        clock.unwrap_or(1_000_000_000)
    }

    /// Whether a point would have captured what passed it at this time.
    fn is_watching(&self, point: usize, time_ns: i64) -> bool {
        let coverage = self.relation.coverage[point];
        let way_ns = self.relation.round_trip_ns.unwrap_or(0).saturating_mul(4);
        let open_ns = i64::try_from(way_ns.saturating_add(self.slack_ns())).unwrap_or(i64::MAX);
        let margin_ns = open_ns.saturating_add(MARGIN_NS);
        coverage.is_whole
            && time_ns >= coverage.first_ns.saturating_add(margin_ns)
            && time_ns <= coverage.last_ns.saturating_sub(margin_ns)
    }

    /// Whether whatever goes to a listener, as this point calls it, passes both points.
    fn is_on_the_way(&self, point: usize, server: SocketAddr) -> bool {
        let way = self.relation.ways[point].get(&server);
        way.is_some_and(|way| way.joined > 0 && way.past == 0)
    }

    /// Whether other listeners of that address are on the way, while the other point has nothing of this
    /// one.
    fn is_unseen(&self, point: usize, server: SocketAddr) -> bool {
        let port = |port| SocketAddr::new(server.ip(), port);
        let mut of_address = self.relation.ways[point].range(port(0)..=port(u16::MAX));
        of_address.any(|(other, _)| self.is_on_the_way(point, *other))
            && !self.relation.known[1 - point].contains(&server)
    }
}

/// What the halves of a handshake say together, the first point's first. None if too little is known to
/// say which point is whose side.
pub(super) fn of_both(first: &Half, second: &Half, between: &Between) -> Option<Crossing> {
    let (one, other) = (first.trace.as_ref()?, second.trace.as_ref()?);
    let by_times = first_is_client_side(one, other);
    let first_is_clients = by_times.or(between.relation.first_is_clients)?;
    let client_side = usize::from(!first_is_clients);
    let (client, server) = if first_is_clients { (one, other) } else { (other, one) };
    let at_server = if first_is_clients { &second.handshake } else { &first.handshake };
    let mut crossing = Crossing {
        client_side: u8::from(!first_is_clients),
        translated: translation(client, server),
        syn: Passage::default(),
        syn_ack: Passage::default(),
        ack: Passage::default(),
        located: Vec::new(),
    };
    if crossing.translated.is_some() {
        crossing.located.push(Located::Translated);
    }
    let servers = client.server_isn.zip(server.server_isn);
    if client.client_isn != server.client_isn || servers.is_some_and(|(one, other)| one != other) {
        crossing.located.push(Located::Renumbered);
        return Some(crossing);
    }
    let sides = Sides { client, server, client_side, between };
    sides.locate(&mut crossing, at_server);
    crossing.located.extend(changes(client, server));
    crossing.located.sort_unstable();
    crossing.located.dedup();
    Some(crossing)
}

/// What it says that the other point saw nothing of a handshake; none if that says nothing.
pub(super) fn of_one(half: &Half, point: usize, between: &Between) -> Option<Crossing> {
    let trace = half.trace.as_ref()?;
    let syns = Kind::Syn.of(trace);
    let other = 1 - point;
    let is_missed = |time_ns: i64| between.is_watching(other, time_ns);
    let is_client_side = between.relation.first_is_clients == Some(point == 0);
    if syns.is_empty() || !is_client_side || trace.server_isn.is_some() {
        return None;
    }
    let sent = count(syns.len());
    let lost = count(syns.iter().filter(|syn| is_missed(syn.time_ns)).count());
    let mut located = match () {
        () if lost == 0 => return None,
        () if between.is_on_the_way(point, trace.server) => vec![Located::SynLost],
        () if between.is_unseen(point, trace.server) => vec![Located::SynUnseen],
        () => return None,
    };
    let resets = Kind::ResetOfServer.of(trace);
    if located[0] == Located::SynLost && resets.iter().any(|reset| is_missed(reset.time_ns)) {
        located.push(Located::ResetNotByServer);
    }
    Some(Crossing {
        client_side: u8::from(point == 1),
        translated: None,
        syn: Passage { sent, arrived: 0, lost, took_ns: None },
        syn_ack: Passage::default(),
        ack: Passage::default(),
        located,
    })
}

/// The traces of a handshake by side.
struct Sides<'a> {
    client: &'a Trace,
    server: &'a Trace,
    client_side: usize,
    between: &'a Between,
}

/// Segments of a kind between their sender's side and the other.
struct Moved {
    passage: Passage,
    /// Seen at the other side alone, while the sender's side was watched.
    unsent: u32,
}

impl Sides<'_> {
    fn locate(&self, crossing: &mut Crossing, at_server: &Handshake) {
        let [syn, syn_ack, ack] =
            [Kind::Syn, Kind::SynAck, Kind::ThirdAck].map(|it| self.moved(it));
        let [by_client, by_server] =
            [Kind::ResetOfClient, Kind::ResetOfServer].map(|kind| self.moved(kind));
        (crossing.syn, crossing.syn_ack, crossing.ack) =
            (syn.passage, syn_ack.passage, ack.passage);
        let arrived = acknowledges(self.server);
        let is_ignored = matches!(at_server.outcome, Outcome::ThirdAckIgnored { .. });
        let all = [
            (Located::SynLost, syn.passage.lost > 0),
            (Located::SynIgnored, self.is_ignored()),
            (Located::SynAckLost, syn_ack.passage.lost > 0),
            (Located::AckLost, self.loses_ack(ack.passage)),
            (Located::AckIgnored, is_ignored && arrived),
            (Located::RequestLost, self.loses_request()),
            (Located::ResetNotByServer, by_server.unsent > 0),
            (Located::ResetNotByClient, by_client.unsent > 0),
            (Located::ResetLost, by_server.passage.lost > 0),
            (Located::AnsweredBetween, syn_ack.unsent > 0),
        ];
        crossing.located.extend(all.into_iter().filter_map(|(located, is)| is.then_some(located)));
    }

    /// Where segments of a kind got to.
    fn moved(&self, kind: Kind) -> Moved {
        let (near, far) = if kind.is_of_client() {
            (self.client, self.server)
        } else {
            (self.server, self.client)
        };
        let (sent, seen) = (kind.of(near), kind.of(far));
        let pairs = pair(&sent, &seen, self.between.slack_ns());
        let far_point = self.point(!kind.is_of_client());
        let is_lost = |sighting: &Sighting| {
            self.between.is_watching(far_point, sighting.time_ns) && !far.is_full()
        };
        let unpaired = sent.iter().zip(&pairs).filter(|(_, pair)| pair.is_none());
        let lost = unpaired.filter(|(sighting, _)| is_lost(sighting)).count();
        let arrived = pairs.iter().flatten().count();
        let unsent =
            (0..seen.len()).filter(|place| !pairs.contains(&Some(*place))).filter(|&place| {
                self.between.is_watching(1 - far_point, seen[place].time_ns) && !near.is_full()
            });
        let took_ns = sent.iter().zip(&pairs).find_map(|(sighting, pair)| {
            Some(seen.get((*pair)?)?.time_ns.saturating_sub(sighting.time_ns))
        });
        let (sent, arrived, lost) = (count(sent.len()), count(arrived), count(lost));
        Moved { passage: Passage { sent, arrived, lost, took_ns }, unsent: count(unsent.count()) }
    }

    /// The point of the client's or the server's side.
    const fn point(&self, of_client: bool) -> usize {
        if of_client { self.client_side } else { 1 - self.client_side }
    }

    /// Whether a SYN reached the server's side and nothing left it for a second.
    fn is_ignored(&self) -> bool {
        let Some(syn) = Kind::Syn.of(self.server).first().copied() else { return false };
        let answers = self.server.sightings.iter().filter(|sighting| !sighting.from_client);
        let answered_ns = answers.map(|sighting| sighting.time_ns).min();
        let waited_until = syn.time_ns.saturating_add(UNANSWERED_NS);
        answered_ns.map_or_else(
            || self.between.is_watching(self.point(false), waited_until),
            |answered_ns| answered_ns >= waited_until,
        )
    }

    /// Whether whatever acknowledges the SYN-ACK was lost.
    fn loses_ack(&self, acks: Passage) -> bool {
        acks.lost > 0 && acks.arrived == 0 && !acknowledges(self.server)
    }

    /// Whether the first data of the client was lost behind an ACK that was not.
    fn loses_request(&self) -> bool {
        let first = self.client.isn_of_client_data();
        let is_first = |it: &&Sighting| it.from_client && it.payload > 0 && it.seq == first;
        let Some(sent) = self.client.sightings.iter().find(is_first) else { return false };
        acknowledges(self.server)
            && self.between.is_watching(self.point(false), sent.time_ns)
            && !self.server.is_full()
            && !self.server.sightings.iter().any(|it| it.from_client && it.payload > 0)
    }
}

/// Whether an ACK of the client that acknowledges the SYN-ACK was seen there.
fn acknowledges(trace: &Trace) -> bool {
    trace.sightings.iter().any(|it| it.from_client && it.flags & (SYN | RST | ACK) == ACK)
}

impl Trace {
    /// Whether there may have been more than was kept.
    fn is_full(&self) -> bool {
        let is_plain = |it: &&Sighting| it.flags & (FIN | SYN | RST) == 0;
        self.sightings.iter().filter(is_plain).count() >= super::trace::PLAIN
            || self.sightings.len() >= super::trace::ALL
    }

    /// The number of the client's first byte of data.
    const fn isn_of_client_data(&self) -> u32 {
        self.client_isn.wrapping_add(1)
    }
}

fn translation(client: &Trace, server: &Trace) -> Option<(SocketAddr, SocketAddr)> {
    let names = (server.client, server.server);
    ((client.client, client.server) != names).then_some(names)
}

/// What was changed in the options of the SYN or the SYN-ACK.
fn changes(client: &Trace, server: &Trace) -> Vec<Located> {
    let of_syn = client.syn_options.zip(server.syn_options);
    let of_syn_ack = server.syn_ack_options.zip(client.syn_ack_options);
    of_syn.into_iter().chain(of_syn_ack).flat_map(|(sent, seen)| changed(sent, seen)).collect()
}

fn changed(sent: SegmentOptions, seen: SegmentOptions) -> Vec<Located> {
    let all = [
        (Located::MssChanged, sent.mss != seen.mss),
        (Located::WindowScaleChanged, sent.window_scale != seen.window_scale),
        (Located::SackRemoved, sent.sack_permitted && !seen.sack_permitted),
        (Located::TimestampsRemoved, sent.timestamps.is_some() && seen.timestamps.is_none()),
    ];
    all.into_iter().filter_map(|(located, is)| is.then_some(located)).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
