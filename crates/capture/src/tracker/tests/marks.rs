use halfopen_evidence::{Mark, Outcome};

use super::check;

const OPEN: &str = "client 0.00 S
    server 0.01 S.
    client 0.01 .
    client 0.02 P. +100
    server 0.03 P. +100
    client 0.03 .\n";

#[test]
fn a_cookies_syn_ack_is_not_sent_again_and_keeps_few_options() {
    let missing = Outcome::ThirdAckMissing;
    check("client 0 S ws 7 sack\nserver 0.01 S.\nclock 5", &[(missing, &[Mark::CookieLikely])]);
    // 23 = 16 for SACK and 7 for the window scale, in the timestamp's low bits.
    check(
        "client 0 S ws 7 sack ts 9/0\nserver 0.01 S. ws 7 sack ts 6423/9\nclock 5",
        &[(missing, &[Mark::CookieLikely])],
    );
}

#[test]
fn a_syn_ack_that_is_sent_again_or_keeps_more_or_is_young_is_no_cookies() {
    let missing = Outcome::ThirdAckMissing;
    check("client 0 S\nserver 0.01 S.\nserver 1.01 S.\nclock 5", &[(missing, &[])]);
    check("client 0 S ws 7 sack\nserver 0.01 S. ws 7 sack\nclock 5", &[(missing, &[])]);
    check(
        "client 0 S ws 7 sack ts 9/0\nserver 0.01 S. ws 7 sack ts 6424/9\nclock 5",
        &[(missing, &[])],
    );
    check("client 0 S\nserver 0.01 S.\nclock 2", &[(missing, &[])]);
    check("client 0 S\nserver 0.01 S.\nserver 0.02 P. +5\nclock 9", &[(Outcome::Established, &[])]);
}

#[test]
fn a_cookie_is_sent_for_each_syn_and_by_no_timer() {
    let missing = Outcome::ThirdAckMissing;
    let script = "client 0 S
        server 0.01 S.
        client 0.6 S
        server 0.61 S.";
    check(&format!("{script}\nclock 9"), &[(missing, &[Mark::CookieLikely])]);
    check(&format!("{script}\nclient 0.7 S\nserver 1.61 S.\nclock 9"), &[(missing, &[])]);
}

#[test]
fn both_ends_can_open_at_once() {
    check(
        "client 0.00 S
         server 0.001 S
         client 0.02 S.
         server 0.021 S.",
        &[(Outcome::Established, &[Mark::SimultaneousOpen])],
    );
}

#[test]
fn a_server_can_answer_by_a_syn_of_its_own() {
    check(
        "client 0.00 S
         server 0.01 S
         client 0.02 S.
         server 0.03 . ack 1",
        &[(Outcome::Established, &[Mark::SplitHandshake])],
    );
    check(
        "client 0.00 S
         server 0.01 . seq 0 ack 1
         server 0.02 S
         client 0.03 S.
         server 0.04 . ack 1",
        &[(Outcome::Established, &[Mark::SplitHandshake])],
    );
}

#[test]
fn fast_open_is_marked() {
    check(
        "client 0.00 S +100 tfo
         server 0.01 S. ack 101
         client 0.02 .",
        &[(Outcome::Established, &[Mark::FastOpen])],
    );
}

#[test]
fn a_syn_ack_with_another_number_is_no_answer() {
    check(
        "client 0.00 S
         server 0.01 S. ack 5000
         client 0.01 R seq 5000
         client 1.00 S",
        &[(Outcome::SynUnanswered, &[Mark::WrongSynAck])],
    );
    check(
        "client 0.00 S
         server 0.01 S. ack 5000
         client 0.01 R seq 5000000
         client 1.00 S
         server 1.01 S.
         client 1.01 .",
        &[(Outcome::EstablishedLate { answered_syn: 2 }, &[Mark::WrongSynAck])],
    );
}

#[test]
fn addresses_used_again_soon_after_a_close_were_in_time_wait() {
    let closed = format!("{OPEN}client 1 F.\nserver 1.01 F.\nclient 1.01 .\n");
    let established = Outcome::Established;
    check(
        &format!("{closed}client 30 S isn 9\nserver 30.01 S. isn 8\nclient 30.01 ."),
        &[(established, &[]), (established, &[Mark::ReusedTimeWait])],
    );
    check(
        &format!("{closed}client 90 S isn 9\nserver 90.01 S. isn 8\nclient 90.01 ."),
        &[(established, &[]), (established, &[])],
    );
    check(
        &format!("{OPEN}client 1 R.\nclient 30 S isn 9\nserver 30.01 S. isn 8\nclient 30.01 ."),
        &[(established, &[]), (established, &[])],
    );
}

#[test]
fn a_syn_with_an_older_timestamp_than_the_last_connections_is_marked() {
    let before = "client 0.00 S ts 5000/0
        server 0.01 S. ts 1/5000
        client 0.01 . ts 5010/1
        client 1.00 F. ts 6000/1
        server 1.01 F. ts 2/6000
        client 1.01 . ts 6010/2\n";
    let (established, reused) = (Outcome::Established, Mark::ReusedTimeWait);
    check(
        &format!("{before}client 2 S isn 9 ts 300/0\nclient 3 S ts 1300/0\nclient 5 S"),
        &[(established, &[]), (Outcome::SynUnanswered, &[reused, Mark::OlderTimestamp])],
    );
    check(
        &format!("{before}client 2 S isn 9 ts 7000/0\nclient 3 S ts 8000/0\nclient 5 S"),
        &[(established, &[]), (Outcome::SynUnanswered, &[reused])],
    );
}

#[test]
fn a_probe_after_a_silence_that_is_answered_by_rst_found_a_half_open_connection() {
    let half_open = [(Outcome::Established, &[Mark::HalfOpenClosed][..])];
    check(&format!("{OPEN}client 60 . seq 100\nserver 60.01 R"), &half_open);
    check(&format!("{OPEN}client 7260 . seq 100\nserver 7260.01 R"), &half_open);
    check(&format!("{OPEN}server 60 . seq 100\nclient 60.01 R"), &half_open);
    check(&format!("{OPEN}client 60 P. +10\nserver 60.01 R"), &half_open);
    check(
        "clock 0\nclient 60 . \nserver 60.01 R",
        &[(Outcome::MidStream, &[Mark::HalfOpenClosed])],
    );
}

#[test]
fn an_rst_after_an_answer_or_without_silence_found_none() {
    let plain = [(Outcome::Established, &[][..])];
    check(&format!("{OPEN}client 60 . seq 100\nserver 60.01 .\nserver 60.5 R"), &plain);
    check(&format!("{OPEN}client 1 . seq 100\nserver 1.01 R"), &plain);
    check(&format!("{OPEN}client 60 P. +10\nserver 60.01 R."), &plain);
    check(&format!("{OPEN}server 1 F.\nclient 60 P. +10\nserver 60.01 R"), &plain);
    check("client 60 . \nserver 60.01 R", &[(Outcome::MidStream, &[])]);
}

#[test]
fn packets_captured_twice_count_once() {
    check(
        "client 0.000000 S id 7
         client 0.000015 S id 7 ttl 63
         server 0.010000 S. id 9
         server 0.010015 S. id 9 ttl 59
         client 0.020000 .
         client 0.020015 . ttl 63",
        &[(Outcome::Established, &[Mark::CapturedTwice])],
    );
}

#[test]
fn a_syn_that_is_sent_again_after_milliseconds_is_no_copy() {
    check("client 0.0000 S id 7\nclient 0.0012 S id 7\nclock 3", &[(Outcome::SynUnanswered, &[])]);
}

#[test]
fn a_cut_syn_is_marked() {
    check("client 0 S cut\nclient 1 S", &[(Outcome::SynUnanswered, &[Mark::Truncated])]);
    check("client 0 S\nserver 0.1 S.\nclient 0.1 . cut", &[(Outcome::Established, &[])]);
}
