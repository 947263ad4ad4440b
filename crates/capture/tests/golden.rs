//! Packets of a real kernel (6.18), captured in the lab while it played a scenario, and what is seen in
//! them. The scenarios are those of `scenarios/`, whose outcome is the same each time;
//! `halfopen lab run NAME --pcap FILE` makes the files anew. Most captures end with the scenario's last
//! step, a moment after what it is about: an ACK that was dropped shows only when the SYN-ACK comes again.

use std::collections::BTreeMap;

use halfopen_capture::{Decoder, Limits, Reader, Tracker};
use halfopen_evidence::{Handshake, IgnoredEnd, Outcome};

use IgnoredEnd::Open;
use Outcome::{
    AbortedByClient, Deferred, Established, EstablishedLate, Refused, ResetAfterAck, SynUnanswered,
    ThirdAckIgnored, ThirdAckMissing, Undecided,
};

fn handshakes(capture: &[u8]) -> Vec<Handshake> {
    let mut reader = Reader::new(capture).expect("a capture");
    let mut decoder = Decoder::new();
    let mut tracker = Tracker::new(Limits::default());
    let mut found = Vec::new();
    while let Some(packet) = reader.next_packet().expect("it can be read") {
        let observed = decoder.decode(&packet).expect("whole headers");
        tracker.on_observed(&observed, &mut |handshake, _| found.push(handshake));
    }
    tracker.finish(&mut |handshake, _| found.push(handshake));
    found
}

fn check(name: &str, capture: &[u8], expected: &[(Outcome, u32)]) {
    let mut counts: BTreeMap<Outcome, u32> = BTreeMap::new();
    for handshake in handshakes(capture) {
        *counts.entry(handshake.outcome).or_default() += 1;
    }
    assert_eq!(counts, expected.iter().copied().collect(), "{name}");
}

macro_rules! captures {
    ($($test:ident: $name:literal = [$($outcome:expr => $count:literal),*];)*) => {
        $(
            #[test]
            fn $test() {
                let capture = include_bytes!(concat!("../../../bundles/captures/", $name, ".pcap"));
                check($name, capture, &[$(($outcome, $count)),*]);
            }
        )*
    };
}

captures! {
    a_resend_that_is_answered_once_there_is_room: "answer-to-resend-promotes" =
        [Established => 4, ThirdAckIgnored { ended: Open } => 1];
    resends_that_are_answered_in_vain: "answers-to-resends" =
        [Established => 4, ThirdAckIgnored { ended: Open } => 1];
    syns_that_are_lost_on_a_kernel_with_linear_timeouts: "client-gives-up-linear" =
        [SynUnanswered => 1];
    syns_that_are_lost: "client-gives-up" = [SynUnanswered => 1];
    handshakes_that_overlap: "clients-overlapping" = [Established => 6];
    cookies_that_are_acknowledged: "cookie-acks-overflow" = [Established => 4];
    cookies_that_are_not_acknowledged: "cookies-always" = [Undecided => 20];
    // Both ends of the wire: each handshake that passes it is there twice.
    a_path_that_loses_each_kind_of_segment: "path-loses-each" = [
        Established => 16, SynUnanswered => 2, ThirdAckIgnored { ended: Open } => 1,
        ThirdAckMissing => 2
    ];
    data_before_accept: "data-before-accept" = [Established => 2];
    data_instead_of_the_third_ack: "data-is-third-ack" = [Established => 1];
    data_after_a_dropped_ack: "data-promotes" = [Established => 6];
    a_deferred_connection_whose_client_is_silent: "defer-accept-resend" = [Deferred => 1];
    deferred_connections_at_first: "defer-accept-silent" = [Established => 2];
    a_deferred_connection_with_data: "defer-accept-talking" = [Established => 2];
    nobody_listens: "no-listener" = [Refused => 3];
    overflow_that_is_answered_by_resets: "overflow-resets" =
        [Established => 4, ResetAfterAck => 2];
    a_client_that_closes_before_accept: "queued-fin" = [Established => 3];
    a_client_that_resets_before_accept: "queued-rst" = [Established => 3];
    a_peer_that_never_answers: "request-life" = [ThirdAckMissing => 1];
    a_peer_that_resets_its_request: "rst-to-request" = [AbortedByClient => 1, Undecided => 1];
    a_syn_that_is_served_late: "syn-retry-served" =
        [Established => 1, EstablishedLate { answered_syn: 2 } => 1];
    // Both ends of the wire: the one that sent the ACK, and the one that it did not reach.
    an_ack_that_is_lost_on_the_wire: "third-ack-lost-idle" =
        [ThirdAckIgnored { ended: Open } => 1, ThirdAckMissing => 1];
    a_wrong_ack_before_the_right_one: "wrong-ack-to-request" = [Established => 1];
}

#[test]
fn resends_of_syns_come_at_the_times_of_the_kernel() {
    let capture = include_bytes!("../../../bundles/captures/client-gives-up-linear.pcap");
    let found = handshakes(capture);
    let seconds: Vec<u64> = found[0].syns.at_us.iter().map(|at| at / 950_000).collect();
    assert_eq!(seconds, [0, 1, 2, 3, 4, 5]);
}
