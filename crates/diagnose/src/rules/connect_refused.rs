//! # What it sees
//!
//! In a capture: SYNs that were answered by a reset, or by an ICMP error. connect() fails at once, with
//! ECONNREFUSED, EHOSTUNREACH or ENETUNREACH, or with EACCES where an ICMPv6 error says that it is
//! prohibited.
//!
//! # Why it happens
//!
//! A reset says that the packet reached a host where nothing listens on that address and port: the
//! program is not running, is being restarted, listens on another address (127.0.0.1 only), or the
//! port is wrong. A firewall that rejects (`REJECT --reject-with tcp-reset`) answers alike. An ICMP
//! error comes from the host's own firewall, or from a router that has no way to it.
//!
//! A full accept queue is not the cause: Linux drops what finds no room, and never refuses a SYN.
//!
//! # How sure
//!
//! Certain that it was refused. A reset that differs from the server's other packets in its TTL or its
//! timing was made by something in between, and is counted apart; captures of two points show for
//! certain that the server's side did not send it.
//!
//! # What to do
//!
//! On the server: `ss -ltn 'sport = :PORT'` shows whether anything listens, and on which address. If
//! refusals and connections to the same listener alternate, it was restarted, or one of several hosts
//! behind the address lacks the program.
//!
//! # What not to do
//!
//! A larger backlog changes nothing, since nothing listens.
//!
//! # Sources
//!
//! RFC 9293 3.10.7.1; net/ipv4/tcp_ipv4.c `tcp_v4_rcv` (label `no_tcp_socket`), `tcp_v4_err`;
//! net/ipv6/icmp.c `icmpv6_err_convert`.

use halfopen_evidence::{Located, Outcome, WatchedListener};

use crate::analysis::watched::{self, Share};
use crate::{Confidence, Finding, FindingId, Verdicts};

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let is_answer = |outcome| {
        matches!(outcome, Outcome::Refused | Outcome::Unreachable | Outcome::ResetByMiddlebox)
    };
    let Some(all) = Share::of(listener, is_answer) else { return };
    let by = |outcome| Share::of(listener, |it| it == outcome);
    let (reset, unreachable, between) =
        (by(Outcome::Refused), by(Outcome::Unreachable), by(Outcome::ResetByMiddlebox));
    let mut evidence = Vec::new();
    for (share, name, what) in [
        (reset, "syn-refused", "answered by the server's RST"),
        (unreachable, "syn-unreachable", "answered by an ICMP error"),
        (between, "syn-reset-by-middlebox", "reset by something that is not the server"),
    ] {
        evidence.extend(share.map(|share| share.fact(name, what)));
    }
    evidence.extend(watched::facts(listener));
    let port = listener.server.port();
    let foreign = [Located::ResetNotByServer, Located::ResetNotByClient];
    let is_forged = between.is_some() && watched::most_located(listener, &foreign).is_some();
    verdicts.find(Finding {
        id: FindingId::ConnectRefused,
        severity: all.severity(),
        subject: watched::subject(listener),
        headline: format!("{} refused", all.words()),
        cause: match listener.only {
            Some(_) => cause_for_one(reset.is_some(), unreachable.is_some()),
            None => cause(reset.is_some(), unreachable.is_some(), all.is_all()),
        }
        .to_owned(),
        evidence,
        confidence: if reset.is_some() || is_forged {
            Confidence::Certain
        } else {
            Confidence::Probable
        },
        refuted_by: "the same answers while the server's own capture shows that it sent none"
            .to_owned(),
        remedies: if is_forged && reset.is_none() {
            vec!["look at what is between the two points: a firewall, an intrusion-prevention system or a proxy resets connections there".to_owned()]
        } else {
            vec![
                format!("on the server, see whether anything listens, and on which address: ss -ltn 'sport = :{port}'"),
                "see whether a firewall rejects: nft list ruleset, iptables -nvL".to_owned(),
            ]
        },
        useless: vec![
            "a larger backlog: a full queue drops SYNs in silence and refuses none".to_owned(),
        ],
    });
}

/// What refuses one client while others connect.
const fn cause_for_one(reset: bool, unreachable: bool) -> &'static str {
    match (reset, unreachable) {
        (true, _) => {
            "other clients connect: a firewall refuses this client's address, or the address leads it to another host"
        }
        (false, true) => {
            "other clients connect: a router on this client's way, or a firewall, says that there is no way for it"
        }
        (false, false) => {
            "other clients connect: something on this client's way resets its connections in the server's name"
        }
    }
}

const fn cause(reset: bool, unreachable: bool, always: bool) -> &'static str {
    match (reset, unreachable, always) {
        (true, _, true) => {
            "the host is up and nothing listens there, or its firewall rejects with a reset"
        }
        (true, _, false) => {
            "nothing listened there for a part of the time, as during a restart, or one of several hosts behind the address lacks the program"
        }
        (false, true, _) => {
            "a host or router on the way says that there is no way to it, or a firewall rejects"
        }
        (false, false, _) => {
            "something between the client and the server resets connections in the server's name"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;
    use crate::fixture::watched_listener;

    #[test]
    fn refusals_are_certain_and_their_share_decides_how_bad() {
        let some = watched_listener(&[(Outcome::Established, 999), (Outcome::Refused, 1)]);
        let finding = some.finding(FindingId::ConnectRefused);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Warning, Confidence::Certain)
        );
        assert!(finding.cause.contains("a restart"));
        let all = watched_listener(&[(Outcome::Refused, 3)]).finding(FindingId::ConnectRefused);
        assert_eq!((all.severity, &*all.headline), (Severity::Failure, "3 handshakes refused"));
    }

    #[test]
    fn a_reset_that_the_servers_side_did_not_send_is_certain() {
        let seen = watched_listener(&[(Outcome::ResetByMiddlebox, 2)]);
        let finding = |seen: &crate::fixture::Seen| seen.finding(FindingId::ConnectRefused);
        assert_eq!(finding(&seen).confidence, Confidence::Probable);
        let forged = finding(&seen.located(Located::ResetNotByServer, 2));
        assert_eq!(forged.confidence, Confidence::Certain);
        assert!(forged.remedies[0].contains("between the two points"));
    }

    #[test]
    fn one_client_behind_a_middlebox_that_resets_is_told_apart() {
        let resets = [(Outcome::ResetByMiddlebox, 4)];
        let mut seen = watched_listener(&[(Outcome::Established, 50), resets[0]]);
        seen.listener.clients = 9;
        let finding = seen.clone().troubled(7, &resets).finding(FindingId::ConnectRefused);
        assert_eq!(finding.subject.kind.to_string(), "10.0.0.7 -> 10.0.0.1:8080");
        assert!(finding.cause.contains("on this client's way resets"), "{}", finding.cause);
        let of_all = seen.finding(FindingId::ConnectRefused);
        assert_eq!(of_all.subject.kind.to_string(), "10.0.0.1:8080");
    }

    #[test]
    fn silence_and_aborts_are_no_refusals() {
        let other = watched_listener(&[(Outcome::SynUnanswered, 5), (Outcome::AbortedByClient, 2)]);
        assert!(other.is_silent_about(FindingId::ConnectRefused));
    }
}
