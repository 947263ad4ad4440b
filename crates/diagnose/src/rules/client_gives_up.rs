//! # What it sees
//!
//! In a capture: clients that end their attempt before the answer came, or reset the connection when the
//! answer came at last.
//!
//! # Why it happens
//!
//! The program's time-out for connect() is shorter than the answer takes: the first SYN was lost or
//! dropped and the second goes out after a second, or the way is long. Its kernel then sends no more SYNs,
//! and answers a late SYN-ACK by a reset.
//!
//! # How sure
//!
//! Probable. A client whose reset follows the SYN-ACK within 200 ms is not counted: health checks and
//! scanners do that on purpose.
//!
//! # What to do
//!
//! See why the answer is late: `connect-unanswered` for the same listener names lost SYNs, and
//! `halfopen check` on the server a full queue. If one client alone gives up, look at its time-out.
//!
//! # What not to do
//!
//! A time-out below a second makes each lost SYN an error: the kernel sends it again after one second.
//!
//! # Sources
//!
//! RFC 9293 3.10.7.3; RFC 6298 (first time-out of one second); net/ipv4/tcp_timer.c.

use halfopen_evidence::WatchedListener;

use crate::analysis::watched::{self, Share};
use crate::{Confidence, Finding, FindingId, Verdicts};

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let Some(gave_up) = Share::counted(listener, listener.gave_up) else { return };
    let mut evidence = vec![gave_up.fact("gave-up", "ended by the client before an answer helped")];
    evidence.extend(watched::facts(listener));
    verdicts.find(Finding {
        id: FindingId::ClientGivesUp,
        severity: gave_up.severity(),
        subject: watched::subject(listener),
        headline: format!("{} given up by the client before the answer", gave_up.words()),
        cause: match listener.only {
            Some(_) => "this client waits for less time than the answer takes; other clients of the listener get theirs in time",
            None => "the clients wait for less time than the answer takes: SYNs are lost or dropped, or the time-out is too short for the way",
        }
        .to_owned(),
        evidence,
        confidence: Confidence::Probable,
        refuted_by: "a program that resets its connections on purpose, such as a health check".to_owned(),
        remedies: vec![
            "see why the answer is late: connect-unanswered for the same listener, halfopen check on the server".to_owned(),
            "give connect() more than the second after which a lost SYN is sent again".to_owned(),
        ],
        useless: vec!["more attempts with the same short time-out: each begins with a SYN of its own".to_owned()],
    });
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Outcome;

    use super::*;
    use crate::fixture::watched_listener;

    #[test]
    fn clients_that_give_up_are_told_and_health_checks_are_not() {
        let mut seen =
            watched_listener(&[(Outcome::AbortedByClient, 5), (Outcome::Established, 5)]);
        assert!(seen.is_silent_about(FindingId::ClientGivesUp), "five resets on purpose");
        seen.listener.gave_up = 3;
        let finding = seen.finding(FindingId::ClientGivesUp);
        assert_eq!(finding.headline, "3 of 10 handshakes given up by the client before the answer");
    }
}
