//! A handshake for tests.

use std::net::SocketAddr;

use halfopen_evidence::{Handshake, IgnoredEnd, Mark, Outcome, Sends, Stages, Vantage};

use super::found::{Found, Number};

/// An address, or a panic.
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A handshake with this outcome.
pub(crate) fn handshake(outcome: Outcome) -> Handshake {
    Handshake {
        client: address("10.77.0.2:40000"),
        server: address("10.77.0.1:8080"),
        scope: String::new(),
        began_ns: 1_767_225_600_000_000_000,
        lasted_ns: 2_000_000_000,
        vantage: Vantage::Both,
        outcome,
        marks: Vec::new(),
        syns: Sends::once(0),
        syn_acks: Sends::once(40),
        stages: Stages {
            syn_ack_ns: Some(40_000),
            ack_ns: Some(60_000),
            connect_ns: Some(100_000),
            request_ns: None,
            response_ns: None,
        },
        first_record: 1,
    }
}

/// One of several kinds, in the order of their beginnings.
pub(crate) fn some() -> Vec<Found> {
    let mut late = handshake(Outcome::EstablishedLate { answered_syn: 3 });
    late.syns = Sends { count: 3, at_us: vec![0, 1_010_000, 3_030_000].into() };
    late.stages.connect_ns = Some(3_030_100_000);
    let mut unanswered = handshake(Outcome::SynUnanswered);
    unanswered.syns = Sends { count: 4, at_us: vec![0, 1_010_000, 2_040_000, 3_060_000].into() };
    unanswered.syn_acks = Sends::default();
    unanswered.stages = Stages::default();
    let mut ignored = handshake(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open });
    ignored.syn_acks = Sends { count: 3, at_us: vec![40, 1_000_000, 3_000_000].into() };
    ignored.marks = vec![Mark::DataIgnored];
    ignored.scope = "vlan 7".to_owned();
    let mut v6 = handshake(Outcome::Refused);
    v6.client = address("[2001:db8::2]:40000");
    v6.server = address("[2001:db8::1]:443");
    [handshake(Outcome::Established), late, unanswered, ignored, v6]
        .into_iter()
        .zip(1..)
        .map(|(mut handshake, record)| {
            handshake.first_record = record;
            handshake.began_ns += i64::try_from(record).expect("small") * 1_000_000_000;
            Found { number: Number::new(0, record), handshake, crossing: None }
        })
        .collect()
}
