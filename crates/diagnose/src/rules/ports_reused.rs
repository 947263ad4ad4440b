//! # What it sees
//!
//! In a capture: SYNs from a port whose earlier connection the server has not forgotten. It answers for
//! the old connection (a challenge ACK), or does not answer a SYN whose timestamp is older than what it
//! has seen from that address and port.
//!
//! # Why it happens
//!
//! The client uses a port again too soon: it crashed or was restarted and begins with the same ports, it
//! binds to one port, or several hosts behind one NAT address take turns at it, each with timestamps of
//! its own. The server still has the old connection, in TIME_WAIT or even established, and RFC 5961 has it
//! ask whether the SYN is meant. A client that answers the challenge by a reset gets its connection with
//! the next SYN, a second later; where a firewall drops that reset or the challenge, never.
//!
//! # How sure
//!
//! Certain where the server answered for another connection. Probable where a SYN with an older timestamp
//! was not answered: tcp_tw_recycle, gone since Linux 4.12, and some middleboxes drop such SYNs.
//!
//! # What to do
//!
//! Let the client's kernel choose its ports (no bind() to a fixed one), and widen
//! `net.ipv4.ip_local_port_range` where few are left. Behind NAT give the address more ports, or the pool
//! more addresses. On old servers: `sysctl net.ipv4.tcp_tw_recycle=0`.
//!
//! # What not to do
//!
//! `net.ipv4.tcp_tw_reuse` concerns connections that this host makes itself; on the server it changes
//! nothing.
//!
//! # Sources
//!
//! RFC 5961 4.2, RFC 7323 5; net/ipv4/tcp_input.c `tcp_send_challenge_ack`, net/ipv4/tcp_minisocks.c
//! `tcp_timewait_state_process`; commit 4396e46187ca (4.12: tcp_tw_recycle removed).

use halfopen_evidence::{Mark, Outcome, WatchedListener};

use crate::analysis::watched::{self, Share};
use crate::{Confidence, Finding, FindingId, Verdicts};

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let challenged = listener.count(|it| it == Outcome::Challenged);
    // Who answers the challenge gets through with the next SYN.
    let late = watched::challenged_and_late(listener);
    let unanswered = listener.count(|it| it == Outcome::SynUnanswered);
    let older = listener.mark(Mark::OlderTimestamp).min(unanswered);
    let answered = challenged.saturating_add(late);
    let Some(all) = Share::counted(listener, answered.saturating_add(older)) else { return };
    let mut evidence = Vec::new();
    for (count, name, what) in [
        (challenged, "challenged", "answered for another connection"),
        (late, "challenged-and-late", "answered so at first, and connected later"),
        (older, "older-timestamp", "with an older timestamp and without an answer"),
    ] {
        evidence.extend(Share::counted(listener, count).map(|share| share.fact(name, what)));
    }
    evidence.extend(watched::facts(listener));
    verdicts.find(Finding {
        id: FindingId::PortsReused,
        severity: all.severity(),
        subject: watched::subject(listener),
        headline: format!("{} from ports that the server still knows", all.words()),
        cause: match listener.only {
            Some(_) => "this client uses ports again whose connections the server has not forgotten; other clients do not",
            None => "clients use ports again whose connections the server has not forgotten: after a crash, from a fixed port, or as several hosts behind one address",
        }
        .to_owned(),
        evidence,
        confidence: if answered > 0 { Confidence::Certain } else { Confidence::Probable },
        refuted_by: "no earlier connection with the same ports on the server: ss -tan at that time".to_owned(),
        remedies: vec![
            "let the client's kernel choose ports, and widen net.ipv4.ip_local_port_range where few are left".to_owned(),
            "behind NAT, more ports or addresses for it; on a server older than Linux 4.12, sysctl net.ipv4.tcp_tw_recycle=0".to_owned(),
        ],
        useless: vec!["net.ipv4.tcp_tw_reuse on the server: it concerns connections that it makes itself".to_owned()],
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::watched_listener;

    const ID: FindingId = FindingId::PortsReused;

    #[test]
    fn ports_that_the_server_still_knows_are_told() {
        let challenged = watched_listener(&[(Outcome::Challenged, 2), (Outcome::Established, 8)]);
        let finding = challenged.mark(Mark::ChallengeAck, 2).finding(ID);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert_eq!(finding.headline, "2 of 10 handshakes from ports that the server still knows");
        let older = watched_listener(&[(Outcome::SynUnanswered, 1), (Outcome::Established, 1)]);
        let finding = older.mark(Mark::OlderTimestamp, 1).finding(ID);
        assert_eq!(finding.confidence, Confidence::Probable);
    }

    #[test]
    fn ports_that_are_used_again_without_trouble_are_not() {
        let healthy = watched_listener(&[(Outcome::Established, 9)])
            .mark(Mark::ReusedTimeWait, 9)
            .mark(Mark::OlderTimestamp, 1)
            .mark(Mark::ChallengeAck, 1);
        assert!(healthy.is_silent_about(ID));
        let lost = watched_listener(&[(Outcome::SynUnanswered, 9)]);
        assert!(lost.is_silent_about(ID));
    }
}
