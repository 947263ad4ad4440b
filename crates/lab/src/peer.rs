//! A raw peer as a value: what it sends next, given what it has got. See [`PeerSegment`] for the
//! rules; the module `peers` connects it with the wire.

use std::net::SocketAddr;

use halfopen_scenario::PeerSegment;

use crate::packet::{Segment, flag};

/// The sequence number of every peer's SYN.
const FIRST: u32 = 1;

/// How far a `bad-ack` is wrong.
const TOO_FAR: u32 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    address: SocketAddr,
    server: SocketAddr,
    /// Its next sequence number: raised by the server's acknowledgements.
    next: u32,
    /// What it acknowledges: the sequence number after that of the SYN-ACK.
    expects: Option<u32>,
    /// Whether it has sent its third ACK, also in a segment with data or a FIN.
    established: bool,
    /// Whether it then answers further SYN-ACKs.
    answers: bool,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, server: SocketAddr, answers: bool) -> Self {
        Self { address, server, next: FIRST + 1, expects: None, established: false, answers }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn has_syn_ack(&self) -> bool {
        self.expects.is_some()
    }

    pub(crate) fn syn(&self) -> Segment {
        self.segment(flag::SYN, FIRST, 0, 0)
    }

    /// What it sends when it is told to; nothing if it has nothing to acknowledge.
    pub(crate) fn send(&mut self, what: PeerSegment) -> Option<Segment> {
        let expects = match (what, self.expects) {
            (PeerSegment::Syn, _) => return Some(self.syn()),
            (PeerSegment::Rst, _) => return Some(self.segment(flag::RST, self.next, 0, 0)),
            (_, expects) => expects?,
        };
        let (flags, ack, payload) = match what {
            PeerSegment::BadAck => (flag::ACK, expects.wrapping_add(TOO_FAR), 0),
            PeerSegment::Data { bytes } => (flag::ACK | flag::PSH, expects, bytes),
            PeerSegment::Fin => (flag::ACK | flag::FIN, expects, 0),
            PeerSegment::Ack | PeerSegment::Syn | PeerSegment::Rst => (flag::ACK, expects, 0),
        };
        self.established |= what != PeerSegment::BadAck;
        Some(self.segment(flags, self.next, ack, payload))
    }

    /// Something came from the server; perhaps an answer goes back.
    pub(crate) fn receive(&mut self, segment: &Segment) -> Option<Segment> {
        let progress = segment.ack.wrapping_sub(self.next);
        // What was acknowledged twice, or never sent, is a difference beyond all that is sent here.
        if segment.has(flag::ACK) && progress < 1 << 30 {
            self.next = segment.ack;
        }
        if !segment.has(flag::SYN | flag::ACK) {
            return None;
        }
        match self.expects {
            Some(expects) if self.established => {
                self.answers.then(|| self.segment(flag::ACK, self.next, expects, 0))
            }
            _ => {
                self.expects = Some(segment.seq.wrapping_add(1));
                None
            }
        }
    }

    fn segment(&self, flags: u8, seq: u32, ack: u32, payload: u32) -> Segment {
        Segment { from: self.address, to: self.server, flags, seq, ack, payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip_version::IpVersion;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::new(IpVersion::V4.on_wire(16), port)
    }

    fn peer(answers: bool) -> Peer {
        Peer::new(address(1), address(2), answers)
    }

    fn from_server(flags: u8, seq: u32, ack: u32) -> Segment {
        Segment { from: address(2), to: address(1), flags, seq, ack, payload: 0 }
    }

    /// Sequence and acknowledgement number of what is sent.
    fn numbers(sent: Option<Segment>) -> Option<(u32, u32)> {
        sent.map(|segment| (segment.seq, segment.ack))
    }

    const SYN_ACK: u8 = flag::SYN | flag::ACK;
    const DATA: PeerSegment = PeerSegment::Data { bytes: 16 };

    #[test]
    fn without_a_syn_ack_only_syn_and_rst_are_sent() {
        let mut peer = peer(false);
        assert_eq!(numbers(Some(peer.syn())), Some((1, 0)));
        assert_eq!(numbers(peer.send(PeerSegment::Rst)), Some((2, 0)));
        for segment in [PeerSegment::Ack, PeerSegment::BadAck, DATA, PeerSegment::Fin] {
            assert_eq!(peer.send(segment), None, "{segment:?}");
        }
    }

    #[test]
    fn data_is_sent_again_until_it_is_acknowledged() {
        let mut peer = peer(false);
        peer.receive(&from_server(SYN_ACK, 100, 2));
        assert_eq!(numbers(peer.send(DATA)), Some((2, 101)));
        assert_eq!(numbers(peer.send(DATA)), Some((2, 101)));
        peer.receive(&from_server(flag::ACK, 101, 18));
        assert_eq!(numbers(peer.send(DATA)), Some((18, 101)));
    }

    #[test]
    fn the_newest_syn_ack_counts_until_one_was_acknowledged() {
        let mut peer = peer(false);
        peer.receive(&from_server(SYN_ACK, 100, 2));
        peer.receive(&from_server(SYN_ACK, 200, 2));
        assert_eq!(numbers(peer.send(PeerSegment::BadAck)), Some((2, 1201)));
        assert_eq!(numbers(peer.send(PeerSegment::Ack)), Some((2, 201)));
        assert_eq!(peer.receive(&from_server(SYN_ACK, 300, 2)), None);
        assert_eq!(numbers(peer.send(PeerSegment::Ack)), Some((2, 201)));
    }

    #[test]
    fn a_peer_that_answers_does_so_once_it_has_sent_its_third_ack() {
        let mut peer = peer(true);
        assert_eq!(peer.receive(&from_server(SYN_ACK, 100, 2)), None);
        assert_eq!(peer.receive(&from_server(SYN_ACK, 100, 2)), None);
        peer.send(PeerSegment::Ack);
        let answer = peer.receive(&from_server(SYN_ACK, 100, 2));
        assert_eq!(numbers(answer), Some((2, 101)));
    }
}
