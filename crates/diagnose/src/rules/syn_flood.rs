//! # What it sees
//!
//! In a capture: within a second many SYNs to one listener from many addresses, of which eight in ten
//! sent nothing else: no ACK to the SYN-ACK, no second SYN.
//!
//! # Why it happens
//!
//! The addresses are forged, or belong to a scanner that never meant to connect. Real clients behave
//! otherwise: they answer the SYN-ACK, and send their SYN again if none comes. Where many real clients
//! come at once, as after a restart of the server or of a load balancer, half of them or more connect
//! or try again; that is a reconnect storm, and no finding of this kind.
//!
//! # How sure
//!
//! Probable. A capture that holds only one direction, or a filter that leaves ACKs out, shows real
//! clients as if they were silent.
//!
//! # What to do
//!
//! Keep `net.ipv4.tcp_syncookies=1`: the server then answers without keeping anything, and real clients
//! get through. If its kernel does not keep up, drop the flood before it reaches the listener: nftables
//! `synproxy`, rate limits per source network, the provider's filters.
//!
//! # What not to do
//!
//! Do not block single source addresses: they are forged. A larger `somaxconn` or backlog does not help
//! against peers that never finish. `tcp_syncookies=2` costs real clients their TCP options all the time.
//!
//! # Sources
//!
//! RFC 4987; net/ipv4/tcp_input.c `tcp_syn_flood_action`, net/ipv4/syncookies.c.

use halfopen_evidence::{Burst, BurstKind, Mark, WatchedListener};

use crate::analysis::watched::{self, Share};
use crate::{Confidence, Fact, Finding, FindingId, Severity, Verdicts, words};

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let Some(burst) = listener.burst.filter(|burst| burst.kind == BurstKind::SynFlood) else {
        return;
    };
    let mut evidence = facts(&burst);
    let cookies = Share::of_all(listener, listener.mark(Mark::CookieLikely));
    evidence.extend(cookies.map(|it| it.fact("cookies-likely", "answered as by SYN cookies")));
    evidence.extend(watched::facts(listener));
    verdicts.find(Finding {
        id: FindingId::SynFlood,
        severity: if listener.connect.is_some() { Severity::Warning } else { Severity::Failure },
        subject: watched::subject(listener),
        headline: format!(
            "{} in one second, {}% without any further segment",
            words::count(burst.attempts, "SYN"),
            words::percent(burst.silent, burst.attempts),
        ),
        cause: "nobody waits for the answers: the source addresses are forged, or a scanner sends the SYNs".to_owned(),
        evidence,
        confidence: Confidence::Probable,
        refuted_by: "ACKs of these clients in a capture of both directions".to_owned(),
        remedies: vec![
            "keep net.ipv4.tcp_syncookies=1, so that real clients get through".to_owned(),
            "drop the flood before the listener: nftables synproxy, rate limits per source network".to_owned(),
        ],
        useless: vec![
            "blocking single source addresses: they are forged".to_owned(),
            "a larger backlog or net.core.somaxconn: these peers never finish".to_owned(),
        ],
    });
}

fn facts(burst: &Burst) -> Vec<Fact> {
    let of = words::count(burst.attempts, "SYN");
    vec![
        Fact::number("syns-in-a-second", burst.attempts, format!("{of} in the busiest second")),
        Fact::number("silent", burst.silent, format!("{} of them sent nothing else", burst.silent)),
        Fact::number(
            "connected",
            burst.connected,
            format!("{} became connections", burst.connected),
        ),
        Fact::number(
            "silent-clients",
            burst.silent_clients,
            format!("{} addresses never sent an ACK", burst.silent_clients),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Outcome;

    use super::*;
    use crate::fixture::watched_listener;

    fn burst(kind: BurstKind) -> Burst {
        Burst {
            kind,
            second_ns: 0,
            attempts: 1000,
            silent: 990,
            connected: 5,
            retried: 5,
            silent_clients: 980,
        }
    }

    #[test]
    fn a_flood_is_told_and_a_storm_of_real_clients_is_not() {
        let mut seen = watched_listener(&[(Outcome::ThirdAckMissing, 1000)]);
        seen.listener.burst = Some(burst(BurstKind::SynFlood));
        let finding = seen.finding(FindingId::SynFlood);
        assert_eq!(finding.headline, "1000 SYNs in one second, 99% without any further segment");
        assert!(seen.is_silent_about(FindingId::ThirdAckLost), "the flood explains it");
        seen.listener.burst = Some(burst(BurstKind::ReconnectStorm));
        assert!(seen.is_silent_about(FindingId::SynFlood));
    }
}
