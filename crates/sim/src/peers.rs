//! Raw peers beyond the wire: they send what a step says and remember three numbers, like those of
//! the lab (see [`halfopen_scenario::Peers`]).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use halfopen_model::Span;
use halfopen_model::tcp::{Flags, Segment, Seq};
use halfopen_scenario::{Arrivals, PeerSegment, Peers};

use crate::host::NEAR;

/// The first address of the peers, in the last byte; the last is 250.
const FIRST_PEER: u8 = 16;
const LAST_PEER: u8 = 250;

/// An address to which there is no route: the network of the documentation (RFC 5737).
pub(crate) const UNROUTABLE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

#[derive(Debug, Default)]
pub(crate) struct RawPeers {
    used: u32,
    arrivals: Vec<(Span, u32, Arriving)>,
    groups: BTreeMap<String, Vec<SocketAddrV4>>,
    peers: BTreeMap<SocketAddrV4, Peer>,
}

/// Silent peers that come together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arriving {
    pub(crate) port: u16,
    pub(crate) count: u32,
    pub(crate) unroutable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddrV4,
    server: SocketAddrV4,
    answers: bool,
    isn: Seq,
    /// The next byte that the server expects, as far as it has acknowledged.
    next: Seq,
    /// What the SYN-ACK said that it acknowledges.
    syn_ack: Option<Seq>,
    acknowledged: bool,
}

impl RawPeers {
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        let [a, b, c, host] = address.octets();
        [a, b, c] == [10, 77, 0] && host >= FIRST_PEER || address == UNROUTABLE
    }

    /// New peers; each one's SYN.
    pub(crate) fn start(&mut self, group: &Peers) -> Vec<Segment> {
        let mut syns = Vec::new();
        for _ in 0..group.count {
            let peer = self.add(group.port, group.answers, false);
            self.groups.entry(group.name.clone()).or_default().push(peer.address);
            self.peers.insert(peer.address, peer);
            syns.push(peer.segment(Flags::SYN, peer.isn, Seq(0), 0));
        }
        syns
    }

    /// The SYN of a peer that is never heard of again.
    pub(crate) fn lone_syn(&mut self, port: u16, unroutable: bool) -> Segment {
        let peer = self.add(port, false, unroutable);
        peer.segment(Flags::SYN, peer.isn, Seq(0), 0)
    }

    /// Silent peers will arrive; the number of this arrival process.
    pub(crate) fn expect(&mut self, arrivals: &Arrivals, unroutable: bool) -> u32 {
        let (port, count) = (arrivals.clients.port, arrivals.clients.count);
        let arriving = Arriving { port, count, unroutable };
        self.arrivals.push((Span::from(arrivals.every), arrivals.at_most, arriving));
        u32::try_from(self.arrivals.len() - 1).unwrap_or(u32::MAX)
    }

    /// Those that come now, and the time until the next ones do; none if no more come.
    pub(crate) fn next_arrival(&mut self, number: u32) -> Option<(Span, Arriving)> {
        let (every, left, arriving) = self.arrivals.get_mut(number as usize)?;
        let count = arriving.count.min(*left);
        *left -= count;
        (count > 0).then_some((*every, Arriving { count, ..*arriving }))
    }

    /// Whether each of the first peers of a group has its SYN-ACK.
    pub(crate) fn are_answered(&self, group: &str, count: u32) -> bool {
        self.members(group, count)
            .iter()
            .all(|peer| self.peers.get(peer).is_some_and(|peer| peer.syn_ack.is_some()))
    }

    /// What the first peers of a group send.
    pub(crate) fn send(&mut self, group: &str, count: u32, segment: PeerSegment) -> Vec<Segment> {
        let members = self.members(group, count);
        members.iter().filter_map(|peer| self.peers.get_mut(peer)?.send(segment)).collect()
    }

    /// A segment has come for a peer; its answer, if it answers.
    pub(crate) fn receive(&mut self, segment: &Segment) -> Option<Segment> {
        self.peers.get_mut(&segment.to)?.receive(segment)
    }

    fn members(&self, group: &str, count: u32) -> Vec<SocketAddrV4> {
        let all = self.groups.get(group).map(Vec::as_slice).unwrap_or_default();
        all.iter().copied().take(count as usize).collect()
    }

    fn add(&mut self, port: u16, answers: bool, unroutable: bool) -> Peer {
        let number = self.used;
        self.used += 1;
        let host = FIRST_PEER + number.to_le_bytes()[0] % (LAST_PEER - FIRST_PEER);
        let address = if unroutable { UNROUTABLE } else { Ipv4Addr::new(10, 77, 0, host) };
        let source_port = u16::try_from(20_000 + number % 40_000).unwrap_or(20_000);
        let isn = Seq(1);
        Peer {
            address: SocketAddrV4::new(address, source_port),
            server: SocketAddrV4::new(NEAR, port),
            answers,
            isn,
            next: isn + 1,
            syn_ack: None,
            acknowledged: false,
        }
    }
}

impl Peer {
    fn send(&mut self, segment: PeerSegment) -> Option<Segment> {
        if segment == PeerSegment::Syn {
            return Some(self.segment(Flags::SYN, self.isn, Seq(0), 0));
        }
        if segment == PeerSegment::Rst {
            return Some(self.segment(Flags::RST, self.next, Seq(0), 0));
        }
        let ack = self.syn_ack? + 1;
        self.acknowledged |= segment != PeerSegment::BadAck;
        Some(match segment {
            PeerSegment::BadAck => self.segment(Flags::ACK, self.next, ack + 1000, 0),
            PeerSegment::Data { bytes } => {
                self.segment(Flags::PSH | Flags::ACK, self.next, ack, bytes)
            }
            PeerSegment::Fin => self.segment(Flags::FIN | Flags::ACK, self.next, ack, 0),
            _ => self.segment(Flags::ACK, self.next, ack, 0),
        })
    }

    fn receive(&mut self, segment: &Segment) -> Option<Segment> {
        if segment.flags.has(Flags::ACK) && self.next.is_before(segment.ack) {
            self.next = segment.ack;
        }
        if !segment.is_syn_ack() {
            return None;
        }
        if !self.acknowledged {
            self.syn_ack = Some(segment.seq);
            return None;
        }
        let ack = self.syn_ack? + 1;
        self.answers.then(|| self.segment(Flags::ACK, self.next, ack, 0))
    }

    const fn segment(&self, flags: Flags, seq: Seq, ack: Seq, payload: u32) -> Segment {
        let (from, to) = (self.address, self.server);
        Segment { from, to, seq, ack, flags, payload, timestamps: None }
    }
}
