use halfopen_evidence::{Mark, Outcome, Vantage};

use super::{check, families, told};

#[test]
fn syn_syn_ack_and_ack_are_a_connection() {
    check(
        "client 0.000 S
         server 0.010 S.
         client 0.010 .
         client 0.011 P. +100
         server 0.021 .
         server 0.030 P. +500
         client 0.030 .
         client 0.040 F.
         server 0.050 F.
         client 0.050 .",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn a_syn_that_is_answered_when_sent_again_is_late() {
    check(
        "client 0.0 S
         client 1.0 S
         client 3.0 S
         server 3.01 S.
         client 3.01 .",
        &[(Outcome::EstablishedLate { answered_syn: 3 }, &[])],
    );
}

#[test]
fn an_echoed_timestamp_says_that_an_earlier_syn_was_answered() {
    check(
        "client 0.0 S ts 1000/0
         client 1.0 S ts 2000/0
         server 1.2 S. ts 77/1000
         client 1.2 .",
        &[(Outcome::Established, &[])],
    );
    check(
        "client 0.0 S ts 1000/0
         client 1.0 S ts 2000/0
         server 1.2 S. ts 77/2000
         client 1.2 .",
        &[(Outcome::EstablishedLate { answered_syn: 2 }, &[])],
    );
}

#[test]
fn syns_without_any_answer_are_unanswered() {
    check("client 0 S\nclient 1 S\nclient 3 S", &[(Outcome::SynUnanswered, &[])]);
    check("client 0 S\nclock 1.5", &[(Outcome::SynUnanswered, &[])]);
}

#[test]
fn a_syn_at_the_very_end_of_a_capture_is_undecided() {
    check("client 0 S\nclock 0.5", &[(Outcome::Undecided, &[])]);
    check("client 0 S\nserver 0.1 S.\nclock 0.5", &[(Outcome::Undecided, &[])]);
}

#[test]
fn an_rst_to_the_syn_is_a_refusal() {
    check("client 0 S\nserver 0.01 R. seq 6 ack 1", &[(Outcome::Refused, &[])]);
}

#[test]
fn an_rst_that_acknowledges_something_else_refuses_nothing() {
    check(
        "client 0 S\nserver 0.01 R. seq 6 ack 777\nclient 1 S\nclock 3",
        &[(Outcome::SynUnanswered, &[])],
    );
}

#[test]
fn a_server_that_refuses_at_first_can_be_connected_to() {
    check(
        "client 0 S
         server 0.01 R. seq 6 ack 1
         client 0.5 S
         server 0.51 S.
         client 0.51 .",
        &[(Outcome::EstablishedLate { answered_syn: 2 }, &[])],
    );
}

#[test]
fn an_rst_from_another_distance_is_not_the_servers() {
    check(
        "client 0.00 S
         server 0.05 S.
         client 0.05 .
         client 0.06 P. +200
         server 0.07 R. ttl 57",
        &[(Outcome::ResetByMiddlebox, &[])],
    );
    check(
        "client 0.00 S
         server 0.01 R. seq 0 ack 1 ttl 120
         server 0.05 S.",
        &[(Outcome::ResetByMiddlebox, &[])],
    );
}

#[test]
fn an_rst_from_the_servers_distance_or_with_nothing_to_compare_is_its_own() {
    // 255 - 4 hops, as 64 - 4.
    check(
        "client 0.00 S
         server 0.05 S.
         client 0.05 .
         client 0.06 P. +200
         server 0.08 R. ttl 251",
        &[(Outcome::Established, &[])],
    );
    check("client 0 S\nserver 0.01 R. seq 0 ack 1 ttl 30", &[(Outcome::Refused, &[])]);
}

#[test]
fn an_rst_whose_sender_goes_on_is_not_its_own_if_the_ip_id_or_the_time_says_so_too() {
    let script = |id: &str, later: &str| {
        format!(
            "client 0.00 S
             server 0.05 S.
             client 0.05 .
             client 0.06 P. +200
             server 0.07 R. {id}
             server {later} . ack 201"
        )
    };
    let ends = families()[0];
    let outcome = |id, later| told(&script(id, later), ends)[0].outcome;
    assert_eq!(outcome("id 40000", "0.072"), Outcome::ResetByMiddlebox);
    assert_eq!(outcome("id 105", "0.072"), Outcome::Established);
    assert_eq!(outcome("id 105", "0.110"), Outcome::ResetByMiddlebox);
    // The client does not obey such an RST (RFC 5961, 3).
    assert_eq!(outcome("id 105 seq 900", "0.110"), Outcome::Established);
}

#[test]
fn an_icmp_error_about_the_syn_makes_it_unreachable() {
    check("client 0 S\nicmp 0.01 host\nclient 1 S", &[(Outcome::Unreachable, &[Mark::IcmpError])]);
}

#[test]
fn an_icmp_error_about_something_else_or_before_an_answer_does_not() {
    check("client 0 S\nicmp 0.01 older\nclient 1 S", &[(Outcome::SynUnanswered, &[])]);
    check("client 0 S\nicmp 0.01 big\nclient 1 S", &[(Outcome::SynUnanswered, &[Mark::IcmpError])]);
    check(
        "client 0 S\nicmp 0.01 host\nclient 1 S\nserver 1.1 S.\nclient 1.1 .",
        &[(Outcome::EstablishedLate { answered_syn: 2 }, &[Mark::IcmpError])],
    );
}

#[test]
fn a_bare_rst_right_after_the_ack_is_an_overflow() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         server 0.02 R",
        &[(Outcome::ResetAfterAck, &[])],
    );
}

#[test]
fn a_service_that_closes_or_resets_later_does_not_reset_the_ack() {
    // close() with SO_LINGER 0, or of a listener whose queue held the connection: RST with ACK.
    check(
        "client 0 S\nserver 0.01 S.\nclient 0.01 .\nserver 0.02 R.",
        &[(Outcome::Established, &[])],
    );
    check(
        "client 0 S\nserver 0.01 S.\nclient 0.01 .\nserver 0.02 F.\nclient 0.02 .\nserver 0.03 R",
        &[(Outcome::Established, &[])],
    );
    check(
        "client 0 S\nserver 0.01 S.\nclient 0.01 .\nclient 2 P. +10\nserver 2.01 R",
        &[(Outcome::Established, &[])],
    );
    check(
        "client 0 S
         server 0.01 S.
         client 0.01 .
         client 0.01 P. +10
         server 0.02 P. +10
         server 0.03 R seq 1",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn a_syn_ack_without_ack_is_missing_one() {
    check(
        "client 0 S\nserver 0.01 S.\nserver 1.01 S.\nserver 3.01 S.",
        &[(Outcome::ThirdAckMissing, &[])],
    );
}

#[test]
fn an_ack_that_comes_after_a_repeated_syn_ack_is_in_time() {
    check(
        "client 0 S\nserver 0.01 S.\nserver 1.01 S.\nclient 1.02 .\nserver 1.1 P. +5",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn an_rst_of_the_client_before_its_ack_aborts() {
    let aborted = [(Outcome::AbortedByClient, &[][..])];
    check("client 0 S\nserver 0.01 S.\nclient 0.01 R seq 1", &aborted);
    check("client 0 S\nserver 0.01 S.\nclient 0.02 R seq 1\nclient 0.4 .\nserver 0.4 R", &aborted);
}

#[test]
fn an_rst_of_the_client_after_its_ack_closes() {
    check(
        "client 0 S\nserver 0.01 S.\nclient 0.01 .\nclient 0.02 R.",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn an_ack_with_other_numbers_challenges_the_syn() {
    check(
        "client 0 S
         server 0.01 . seq 900000 ack 2000000000
         client 0.01 R seq 2000000000",
        &[(Outcome::Challenged, &[Mark::ChallengeAck])],
    );
}

#[test]
fn a_challenge_that_clears_the_way_ends_in_a_late_connection() {
    check(
        "client 0 S
         server 0.01 . seq 900000 ack 2000000000
         client 0.01 R seq 2000000000
         client 1 S
         server 1.01 S.
         client 1.01 .",
        &[(Outcome::EstablishedLate { answered_syn: 2 }, &[Mark::ChallengeAck])],
    );
}

#[test]
fn a_connection_whose_beginning_was_not_seen_is_midstream() {
    check(
        "client 0 P. +10\nserver 0.01 . \nserver 0.02 P. +10\nclient 1 F.",
        &[(Outcome::MidStream, &[])],
    );
}

#[test]
fn another_sequence_number_is_another_attempt() {
    check(
        "client 0 S
         client 1 S
         client 5 S isn 77
         server 5.01 S.
         client 5.01 .",
        &[(Outcome::SynUnanswered, &[]), (Outcome::Established, &[])],
    );
    check(
        "client 0 P. +10
         client 5 S isn 77
         server 5.01 S.
         client 5.01 .",
        &[(Outcome::MidStream, &[]), (Outcome::Established, &[])],
    );
}

#[test]
fn one_end_alone_tells_what_it_can() {
    let ends = families()[0];
    let told_as = |script: &str| {
        let told = told(script, ends);
        (told[0].outcome, told[0].vantage, told.len())
    };
    let client =
        "client 0 S\nclient 0.1 . ack 1\nclient 0.2 P. +100 ack 1\nclient 0.6 P. +100 seq 1
                  client 1.6 P. +100 seq 1\nclient 3 . ack 500";
    assert_eq!(told_as(client), (Outcome::Established, Vantage::ClientOnly, 1));
    let server = "server 0 S. ack 1\nserver 0.1 P. +100 ack 1";
    assert_eq!(told_as(server), (Outcome::Established, Vantage::ServerOnly, 1));
    let server = "server 0 S. ack 1\nserver 1 S. ack 1";
    assert_eq!(told_as(server), (Outcome::ThirdAckMissing, Vantage::ServerOnly, 1));
}

#[test]
fn a_reuse_seen_from_the_servers_end_alone_is_another_attempt() {
    check(
        "server 0 S. ack 1
         server 0.1 P. +5 ack 1
         server 0.2 F. ack 2
         server 9 S. isn 4000 ack 900000
         server 9.1 P. +5 ack 900000",
        &[(Outcome::Established, &[]), (Outcome::Established, &[])],
    );
}
