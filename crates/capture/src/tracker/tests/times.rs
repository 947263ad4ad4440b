//! Times, and the order of packets.

use halfopen_evidence::{Outcome, Sends, Stages};

use super::{check, families, told};
use crate::script::packets;
use crate::{Limits, Tracker};

#[test]
fn stages_are_measured_from_the_syn_that_was_answered() {
    let script = "client 0.000 S
        client 1.000 S
        server 1.010 S.
        client 1.030 .
        client 1.100 P. +5
        server 1.300 P. +5";
    for ends in families() {
        let told = told(script, ends);
        let expected = Stages {
            syn_ack_ns: Some(10_000_000),
            ack_ns: Some(20_000_000),
            connect_ns: Some(1_030_000_000),
            request_ns: Some(70_000_000),
            response_ns: Some(200_000_000),
        };
        assert_eq!(told[0].stages, expected);
        assert_eq!(told[0].syns, Sends { count: 2, at_us: vec![0, 1_000_000].into() });
        assert_eq!(told[0].lasted_ns, 1_300_000_000);
    }
}

#[test]
fn an_ack_recorded_before_its_syn_ack_is_put_right() {
    let established = [(Outcome::Established, &[][..])];
    check("client 0.000 S\nclient 0.0101 .  ack 1\nserver 0.0100 S.", &established);
    check("client 0.0101 . seq 1 ack 1\nserver 0.0100 S. ack 1\nclient 0.0090 S", &established);
    check("server 0.0010 S. ack 1\nclient 0.0000 S\nclient 0.0011 .", &established);
}

#[test]
fn an_rst_recorded_before_its_syn_is_a_refusal() {
    check("server 0.0010 R. seq 0 ack 1\nclient 0.0000 S", &[(Outcome::Refused, &[])]);
}

#[test]
fn a_late_packet_of_the_connection_before_does_not_belong_to_the_new_one() {
    check(
        "client 0.000 S
         server 0.010 S.
         client 0.010 .
         client 1.000 R.
         client 2.000 S isn 500000000
         server 2.007 . seq 99 ack 3000000
         server 2.010 S. isn 99
         client 2.010 .",
        &[
            (Outcome::Established, &[]),
            (Outcome::Established, &[halfopen_evidence::Mark::ChallengeAck]),
        ],
    );
}

/// What is said of a script's handshake after each of its packets, before its end.
fn in_trouble(script: &str) -> Vec<Option<Outcome>> {
    let [v4, v6] = families().map(|ends| {
        let mut tracker = Tracker::new(Limits::default());
        let packets = packets(script, ends);
        let after = packets.iter().map(|packet| {
            tracker.on_observed(packet, &mut |_, _| {});
            tracker.in_trouble(packet).map(|(handshake, _)| handshake.outcome)
        });
        after.collect::<Vec<_>>()
    });
    assert_eq!(v4, v6);
    v4
}

#[test]
fn trouble_is_known_before_the_end_and_nothing_is_said_of_what_goes_well() {
    use halfopen_evidence::IgnoredEnd;
    assert_eq!(
        in_trouble("client 0.0 S\nclient 1.0 S\nserver 1.1 S.\nclient 1.2 ."),
        [None, Some(Outcome::SynUnanswered), None, None]
    );
    let ignored = Some(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open });
    assert_eq!(
        in_trouble("client 0.0 S\nserver 0.1 S.\nclient 0.2 .\nserver 1.1 S.\nserver 3.1 S."),
        [None, None, None, ignored, ignored]
    );
    assert_eq!(in_trouble("client 0.0 S\nserver 0.1 R."), [None, Some(Outcome::Refused)]);
    assert_eq!(
        in_trouble("client 0.0 S\nserver 0.1 S.\nclient 0.2 .\nclient 0.3 P. +5\nserver 0.4 ."),
        [None; 5]
    );
}
