//! # What it sees
//!
//! In a capture: after an idle time one end probed the connection or sent data, and the other end
//! answered with a reset, because it did not know the connection any more.
//!
//! # Why it happens
//!
//! The end that answers has lost its half: its host or container was restarted, its address moved to
//! another host, or the connection never existed there. The last is how an overflowed accept queue
//! ends: the client's ACK was dropped, the server forgot the request after about a minute, and the
//! client's first keep-alive probe or request meets a port that has no such connection.
//!
//! # How sure
//!
//! Probable. A middlebox that forgot the connection and resets it in the peer's name looks alike, unless
//! its TTL gives it away.
//!
//! # What to do
//!
//! If `third-ack-dropped` is found for the same listener, remedy that. Otherwise look for a restart of
//! the end that reset, or a fail-over of its address, at the time of the first such reset.
//!
//! # What not to do
//!
//! Shorter keep-alive times (`net.ipv4.tcp_keepalive_time`) let the other end notice sooner; they do
//! not keep the connection.
//!
//! # Sources
//!
//! RFC 9293 3.5.1 (half-open connections); net/ipv4/tcp_ipv4.c `tcp_v4_rcv` (label `no_tcp_socket`).

use halfopen_evidence::{Mark, WatchedListener};

use crate::analysis::watched::{self, Share};
use crate::{Confidence, Finding, FindingId, Severity, Verdicts};

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let count = listener.mark(Mark::HalfOpenClosed);
    let Some(closed) = Share::of_all(listener, count) else { return };
    let mut evidence = vec![closed.fact("half-open-closed", "answered by RST after an idle time")];
    evidence.extend(watched::facts(listener));
    verdicts.find(Finding {
        id: FindingId::HalfOpen,
        severity: Severity::Warning,
        subject: watched::subject(listener),
        headline: format!("{} known to one end only", closed.words()),
        cause: "one end went on with a connection that the other had lost or never had: its host was restarted, its address moved, or its accept queue was full when the connection was made".to_owned(),
        evidence,
        confidence: Confidence::Probable,
        refuted_by: "a capture at the end that reset in which no reset leaves".to_owned(),
        remedies: vec![
            "see whether third-ack-dropped is found for this listener: then that is the cause".to_owned(),
            "look for a restart or a fail-over of the end that reset, shortly before".to_owned(),
        ],
        useless: vec!["shorter keep-alive times: they only show the loss sooner".to_owned()],
    });
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Outcome;

    use super::*;
    use crate::fixture::watched_listener;

    #[test]
    fn a_connection_that_one_end_forgot_is_told() {
        let lost = watched_listener(&[(Outcome::Established, 4)]).mark(Mark::HalfOpenClosed, 1);
        assert_eq!(
            lost.finding(FindingId::HalfOpen).headline,
            "1 of 4 handshakes known to one end only"
        );
        let whole = watched_listener(&[(Outcome::Established, 4)]);
        assert!(whole.is_silent_about(FindingId::HalfOpen));
    }
}
