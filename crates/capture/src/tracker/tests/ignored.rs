//! The third ACK that was ignored, and what looks like it.

use halfopen_evidence::{IgnoredEnd, Mark, Outcome};

use super::check;

const IGNORED: &str = "client 0.00 S
     server 0.01 S.
     client 0.01 .
     server 1.01 S.
     client 1.01 .
     server 3.01 S.
     client 3.01 .\n";

fn ends(rest: &str, ended: IgnoredEnd, marks: &[Mark]) {
    let script = format!("{IGNORED}{rest}");
    check(&script, &[(Outcome::ThirdAckIgnored { ended }, marks)]);
}

#[test]
fn a_syn_ack_sent_again_although_acknowledged_says_that_the_ack_was_ignored() {
    ends("", IgnoredEnd::Open, &[]);
    ends("server 3.02 P. +20", IgnoredEnd::Recovered, &[]);
    ends("client 70 P. +10\nserver 70.01 R", IgnoredEnd::ResetByData, &[Mark::HalfOpenClosed]);
    ends("client 70 .\nserver 70.01 R", IgnoredEnd::ResetByProbe, &[Mark::HalfOpenClosed]);
    ends("client 5 F.\nserver 70.01 R", IgnoredEnd::ClosedByClient, &[]);
}

#[test]
fn a_syn_ack_that_crosses_the_ack_ignores_nothing() {
    // A round trip of 1.2 s: the time-out came before the ACK did.
    check(
        "client 0.0 S
         server 1.2 S.
         client 1.2 .
         server 2.2 S.
         client 2.2 .
         server 2.4 P. +10",
        &[(Outcome::Established, &[])],
    );
    check(
        "client 0.0 S
         server 0.0001 S.
         server 1.0 S.
         client 1.2 .
         client 2.2 .",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn an_answer_to_a_syn_sent_again_ignores_nothing() {
    check(
        "client 0.0 S
         client 1.0 S
         server 1.4 S.
         client 1.4 .
         server 2.4 S.
         client 2.4 .
         server 2.9 P. +5",
        &[(Outcome::EstablishedLate { answered_syn: 2 }, &[])],
    );
}

#[test]
fn a_late_answer_and_an_ignored_ack_are_told_as_ignored() {
    check(
        "client 0.0 S
         client 1.0 S
         server 1.01 S.
         client 1.01 .
         server 2.01 S.
         client 2.01 .
         server 4.01 S.
         client 4.01 .",
        &[(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open }, &[])],
    );
}

#[test]
fn a_syn_ack_that_comes_again_after_the_server_went_on_ignores_nothing() {
    check(
        "client 0.0 S
         server 0.01 S.
         client 0.01 .
         client 0.02 P. +5
         server 0.03 .
         server 1.0 S. seq 0
         client 1.0 .",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn data_before_the_connection_was_taken_is_ignored() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         client 0.02 P. +10
         client 0.22 P. +10 seq 1
         client 0.62 P. +10 seq 1
         server 1.01 S.
         client 1.01 . seq 11
         client 1.50 P. +10 seq 1
         server 1.51 . ack 11",
        &[(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Recovered }, &[Mark::DataIgnored])],
    );
}

#[test]
fn data_that_is_ignored_without_a_syn_ack_again_leaves_a_mark_only() {
    // A full accept queue behind SYN cookies.
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         client 0.02 P. +10
         client 0.22 P. +10 seq 1
         client 0.62 P. +10 seq 1",
        &[(Outcome::Established, &[Mark::DataIgnored])],
    );
}

#[test]
fn data_that_is_lost_once_is_not_ignored() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         client 0.02 P. +10
         client 0.22 P. +10 seq 1
         server 0.23 . ack 11",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn deferred_accept_shows_nothing_if_data_comes_in_time() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         client 4.00 P. +10
         server 4.01 .
         server 4.02 P. +10",
        &[(Outcome::Established, &[])],
    );
}

#[test]
fn deferred_accept_sends_the_syn_ack_again_only_after_its_time() {
    let deferred = [(Outcome::Deferred, &[][..])];
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         server 15.4 S.
         client 15.4 .
         client 20.0 P. +10
         server 20.1 .",
        &deferred,
    );
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         server 3.1 S.
         client 3.1 .
         server 3.2 P. +10",
        &deferred,
    );
}

#[test]
fn kernels_that_wait_three_seconds_are_not_taken_for_deferral() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         server 3.01 S.
         client 3.01 .
         server 9.1 S.
         client 9.1 .",
        &[(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open }, &[])],
    );
}

#[test]
fn a_late_syn_ack_after_data_is_not_deferral() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         client 0.02 P. +10
         server 3.01 S.
         client 3.02 P. +10 seq 1
         server 3.03 . ack 11",
        &[(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Recovered }, &[Mark::DataIgnored])],
    );
}

#[test]
fn one_syn_ack_at_the_first_time_out_may_be_deferral_of_a_second() {
    check(
        "client 0.00 S
         server 0.01 S.
         client 0.01 .
         server 1.01 S.
         client 1.01 .
         client 1.50 P. +10
         server 1.51 .",
        &[(Outcome::ThirdAckIgnored { ended: IgnoredEnd::Recovered }, &[Mark::MaybeDeferred])],
    );
}
