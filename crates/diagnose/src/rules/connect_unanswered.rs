//! # What it sees
//!
//! Connections of this host are in SYN_SENT, and their SYN has been sent again without an answer: no
//! SYN-ACK, no reset, no ICMP error. The programs hang in connect() and time out in the end.
//!
//! In a capture: SYNs that got no answer, or got one only after they had been sent again. The client of
//! such a late connection waited whole seconds in connect(). Connections that came late because the
//! server answered for an older one with the same ports are told as `ports-reused`.
//!
//! # Why it happens
//!
//! The SYN, or every answer to it, is lost: a firewall that drops instead of refusing, a host that is
//! down or gone from its address, a missing or asymmetric route, a full connection-tracking table, or a
//! listener that drops SYNs because one of its queues is full. A firewall of this very host can do it
//! too: the kernel then counts TCPRetransFail. If the destination is a listener of this host, the
//! finding about that listener has the cause, and this one is left out.
//!
//! # How sure
//!
//! That nothing answers is certain. One lost SYN is everyday, so it takes a second retransmission, or
//! three seconds. The kernel's timetable turns the number of retransmissions into since when and until
//! when: by default SYNs go out again after 1, 3, 7, 15, 31, 63 seconds, from Linux 6.5 on after 1, 2, 3,
//! 4, 5, 7, 11, 19, 35, 67. A program can change its own timetable (TCP_SYNCNT, TCP_USER_TIMEOUT), and
//! then the times are off. Three connections, or seven seconds, make it a failure.
//!
//! From captures of two points on the way it is also certain where: SYNs that left the clients' side and
//! did not reach the server's, or that reached it and were not answered there.
//!
//! # What to do
//!
//! See whether the SYN leaves and whether anything comes back:
//! `tcpdump -ni any 'host DESTINATION and tcp port PORT'`. No SYN on the wire: this host's firewall or
//! route. A SYN and nothing else: look at the destination, run `halfopen check` there; its ListenDrops,
//! or its IpInReceives rising without TcpInSegs, tell a full queue from a firewall. A SYN-ACK that comes
//! back and changes nothing: a firewall or rp_filter on this host.
//!
//! # What not to do
//!
//! Longer time-outs or a larger `tcp_syn_retries` only make programs hang for longer. Settings of this
//! host's own listeners have nothing to do with it.
//!
//! # Sources
//!
//! net/ipv4/tcp_timer.c `tcp_retransmit_timer` and `tcp_write_timeout`; commit ccce324dabfe (6.5:
//! tcp_syn_linear_timeouts).

use std::net::SocketAddr;

use halfopen_evidence::{
    BurstKind, Connecting, Located, Missing, Netns, Outcome, Reading, Want, WatchedListener,
    WatchedSide,
};
use halfopen_model::Counter;
use halfopen_model::SynGiveUp;
use halfopen_model::retries::SynRetries;

use crate::analysis::rises::Rises;
use crate::analysis::served_here;
use crate::analysis::watched::{self, Share};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts, words};

const ID: FindingId = FindingId::ConnectUnanswered;

/// A SYN that has gone unanswered for so long, in milliseconds, is no everyday loss.
const LONG_MS: u64 = 3000;

/// For so long, in milliseconds, even a single connection is a failure.
const VERY_LONG_MS: u64 = 7000;

/// So many connections are a failure.
const MANY: u32 = 3;

/// Destinations that get a finding of their own; those with the most connections come first.
const DESTINATIONS: usize = 16;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        match &netns.connecting {
            Reading::Known(groups) => look_at(context, netns, groups, verdicts),
            Reading::Missing(Missing::NotCollected) => {}
            // A namespace of which nothing could be read is a gap of the whole look.
            Reading::Missing(_) if netns.endpoints.get().is_none() => {}
            Reading::Missing(why) => {
                let why = format!("the connections in SYN_SENT: {why}");
                verdicts.undetermined(ID, Subject::netns(netns), why);
            }
        }
    }
}

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    let never = listener.count(|it| it == Outcome::SynUnanswered);
    let late = listener
        .count(|it| matches!(it, Outcome::EstablishedLate { .. }))
        .saturating_sub(watched::challenged_and_late(listener));
    let Some(lost) = Share::counted(listener, never.saturating_add(late)) else { return };
    let never = Share::counted(listener, never);
    let late = Share::counted(listener, late);
    let mut evidence = Vec::new();
    evidence.extend(never.map(|share| share.fact("syn-unanswered", "without any answer")));
    evidence.extend(late.map(|share| {
        share.fact("syn-answered-late", "answered only after the SYN was sent again")
    }));
    evidence.extend(watched::facts(listener));
    let port = listener.server.port();
    let places = [Located::SynLost, Located::SynIgnored, Located::SynUnseen];
    let located = watched::most_located(listener, &places);
    verdicts.find(Finding {
        id: ID,
        severity: lost.severity(),
        subject: watched::subject(listener),
        headline: match never {
            Some(never) => format!("{} without an answer", never.words()),
            None => format!("{} late by whole seconds: SYNs were lost", lost.words()),
        },
        cause: located
            .map_or_else(
                || cause_of_loss(listener, never.is_some_and(Share::is_all)),
                cause_between,
            )
            .to_owned(),
        evidence,
        confidence: match located {
            Some(Located::SynLost | Located::SynIgnored) => Confidence::Certain,
            _ => Confidence::Probable,
        },
        refuted_by: "answers to these SYNs in a capture on the server".to_owned(),
        remedies: remedies_of_loss(located, port),
        useless: vec![
            "a larger tcp_syn_retries or longer time-outs: clients only hang for longer".to_owned(),
        ],
    });
}

/// Where SYNs ended between two points.
const fn cause_between(located: Located) -> &'static str {
    match located {
        Located::SynIgnored => {
            "the SYNs reach the server's side and no answer leaves it: a queue of the listener is full, or a firewall of that host drops them"
        }
        Located::SynUnseen => {
            "the server's side has nothing of this listener, though other packets of that address come by: the SYNs do not reach it, or its capture left them out"
        }
        _ => {
            "the SYNs leave the clients' side and do not reach the server's side: they are lost on the way between the two"
        }
    }
}

fn remedies_of_loss(located: Option<Located>, port: u16) -> Vec<String> {
    let check = format!(
        "on the server: halfopen check 'sport = :{port}' tells a full queue from a firewall"
    );
    match located {
        Some(Located::SynLost) => vec![
            "look at what is between the two points: firewalls, security groups, routes; a capture half-way halves the search".to_owned(),
        ],
        Some(Located::SynIgnored) => vec![check],
        _ => vec![
            check,
            format!("capture there at the same time, tcpdump -ni any 'tcp port {port}', and give both files to halfopen pcap: SYNs that arrive and are not answered are the server's affair, others the network's"),
        ],
    }
}

/// Why SYNs go unanswered, by what else is seen of the listener.
fn cause_of_loss(listener: &WatchedListener, all: bool) -> &'static str {
    let flooded = listener.burst.is_some_and(|burst| burst.kind == BurstKind::SynFlood);
    match listener.side {
        _ if listener.only.is_some() => {
            "other clients of the listener are answered: something on this client's way, or a rule for its address, drops its SYNs or the answers to them"
        }
        _ if flooded => "the flood fills the SYN queue, and SYNs are dropped",
        _ if all => {
            "nothing answers there: a firewall drops the SYNs, the host is down or gone from its address, or the way back is missing"
        }
        WatchedSide::Server => {
            "the SYNs came to the server's end, where others were answered: one of the listener's queues was full, or a firewall of that host drops them"
        }
        WatchedSide::Clients | WatchedSide::Unknown => {
            "some SYNs are answered and others are not: a queue of the listener is full from time to time, or packets are lost on the way"
        }
    }
}

fn look_at(context: &Context<'_>, netns: &Netns, groups: &[Connecting], verdicts: &mut Verdicts) {
    let timetable = timetable(context, netns);
    let unanswered: Vec<Unanswered<'_>> = groups
        .iter()
        .filter_map(|group| Unanswered::of(group, timetable))
        .filter(|unanswered| {
            let listener = served_here::listener_of(context, netns, unanswered.group);
            let explained =
                |listener| served_here::is_explained(context, listener, verdicts.so_far());
            !listener.is_some_and(explained)
        })
        .collect();
    let others = unanswered.len().saturating_sub(DESTINATIONS);
    for unanswered in unanswered.iter().take(DESTINATIONS) {
        verdicts.find(finding(context, netns, unanswered, others));
        if unanswered.group.holder.missing() == Some(&Missing::NotCollected) {
            let inodes = vec![unanswered.group.example];
            verdicts.want(Want::Holders { netns: netns.id, inodes });
        }
    }
}

/// When this namespace's SYNs are sent again.
fn timetable(context: &Context<'_>, netns: &Netns) -> SynRetries {
    let default = match context.semantics() {
        Reading::Known(semantics) => SynRetries::defaults(semantics),
        Reading::Missing(_) => SynRetries {
            initial_rto_ms: 1000,
            retries: 6,
            linear: 0,
            give_up: SynGiveUp::CountOrElapsed,
        },
    };
    let set = |sysctl: &Reading<u32>, default: u8| {
        sysctl.value().map_or(default, |value| u8::try_from(value).unwrap_or(u8::MAX))
    };
    SynRetries {
        retries: set(&netns.sysctls.tcp_syn_retries, default.retries),
        linear: set(&netns.sysctls.tcp_syn_linear_timeouts, default.linear),
        ..default
    }
}

/// Connections to one destination that have gone unanswered for long.
#[derive(Clone, Copy, Debug)]
struct Unanswered<'a> {
    group: &'a Connecting,
    /// How many.
    count: u32,
    /// The oldest has waited for at least so many milliseconds …
    since_ms: u64,
    /// … and for less than so many, where the number of retransmissions is known.
    before_ms: Option<u64>,
    /// Milliseconds from its first SYN to the end of the attempt.
    gives_up_ms: u64,
}

impl<'a> Unanswered<'a> {
    fn of(group: &'a Connecting, timetable: SynRetries) -> Option<Self> {
        let is_long =
            |n: u8| n >= 2 || (n == 1 && timetable.sent_after_ms(u16::from(n)) >= LONG_MS);
        let from = if is_long(1) { 1 } else { 2 };
        let count = group.retransmitted(from);
        let most = group.most_retransmits();
        let last = u8::try_from(group.by_retransmits.len() - 1).unwrap_or(u8::MAX);
        (count > 0).then(|| Self {
            group,
            count,
            since_ms: timetable.sent_after_ms(u16::from(most)),
            before_ms: (most < last).then(|| timetable.sent_after_ms(u16::from(most) + 1)),
            gives_up_ms: timetable.gives_up_after_ms(),
        })
    }

    fn severity(&self) -> Severity {
        if self.count >= MANY || self.since_ms >= VERY_LONG_MS {
            Severity::Failure
        } else {
            Severity::Warning
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let since = words::duration(self.since_ms);
        let waited = match self.before_ms {
            Some(before) => format!("{since} to {}", words::duration(before)),
            None => format!("more than {since}"),
        };
        let left = self.gives_up_ms.saturating_sub(self.since_ms);
        let most = self.group.most_retransmits();
        let all = words::count(self.group.count, "connection");
        vec![
            Fact::number(
                "connections-unanswered",
                self.count,
                format!("{} of {all} in SYN_SENT unanswered", self.count),
            ),
            Fact::number("unanswered-ms", self.since_ms, format!("the oldest for {waited}")),
            Fact::number(
                "syn-retransmits",
                most,
                format!("its SYN was sent again {}", words::count(most, "time")),
            ),
            Fact::number(
                "gives-up-in-ms",
                left,
                format!("the kernel gives up within {} (ETIMEDOUT)", words::duration(left)),
            ),
        ]
    }
}

/// Where the SYNs or their answers are lost, as far as it shows.
#[derive(Clone, Copy)]
enum Place {
    WayOut,
    ThisHost,
    Unknown,
}

impl Place {
    const fn cause(self) -> &'static str {
        match self {
            Self::WayOut => {
                "no answer comes to the SYNs, and this host's kernel could not send some of them again: a firewall of this host, or its route, stops them"
            }
            Self::ThisHost => {
                "no answer comes to the SYNs although the listener is on this host and its queues have room: a firewall of this host stops them"
            }
            Self::Unknown => {
                "no answer comes to the SYNs: they or their answers are dropped by a firewall, a missing route, a host that is down, or a listener whose queue is full"
            }
        }
    }

    fn remedy(self, destination: SocketAddr) -> String {
        let (ip, port) = (destination.ip().to_canonical(), destination.port());
        match self {
            Self::WayOut => format!(
                "look at this host's own way out: nft list ruleset, iptables -nvL OUTPUT, ip route get {ip}"
            ),
            Self::ThisHost => {
                "look at this host's own firewall: nft list ruleset, iptables -nvL".to_owned()
            }
            Self::Unknown => format!(
                "see whether the SYN leaves and whether anything comes back: tcpdump -ni any 'host {ip} and tcp port {port}'"
            ),
        }
    }
}

fn finding(
    context: &Context<'_>,
    netns: &Netns,
    unanswered: &Unanswered<'_>,
    others: usize,
) -> Finding {
    let group = unanswered.group;
    let rises = Rises::new(context, netns.id);
    let mut evidence = unanswered.facts();
    evidence.extend(rises.risen(&[
        Counter::TcpRetransFail,
        Counter::IpOutNoRoutes,
        Counter::IpReversePathFilter,
        Counter::IpOutDiscards,
    ]));
    if others > 0 {
        let text = format!(
            "{} without an answer are not shown",
            words::count(others as u64, "more destination")
        );
        evidence.push(Fact::number("other-destinations", others as u64, text));
    }
    let local = served_here::listener_of(context, netns, group).is_some();
    let place = if rises.rose(Counter::TcpRetransFail) {
        Place::WayOut
    } else if local {
        Place::ThisHost
    } else {
        Place::Unknown
    };
    Finding {
        id: ID,
        severity: unanswered.severity(),
        subject: Subject::destination(netns, group.source, group.destination, &group.holder),
        headline: format!(
            "no answer to {}, for {} or more",
            words::count(unanswered.count, "connection attempt"),
            words::duration(unanswered.since_ms),
        ),
        cause: place.cause().to_owned(),
        evidence,
        confidence: Confidence::Certain,
        refuted_by: "a connection to this destination that is established, or refused".to_owned(),
        remedies: vec![
            place.remedy(group.destination),
            "run halfopen check at the destination: it tells a full queue from a firewall"
                .to_owned(),
        ],
        useless: vec![
            "longer time-outs or a larger net.ipv4.tcp_syn_retries: the programs hang for longer"
                .to_owned(),
            "settings of this host's own listeners (backlog, somaxconn)".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Mark;

    use super::*;
    use crate::fixture::{
        Scene, address, connecting, endpoint, listener, requests, watched_listener,
    };

    fn scene(groups: &[Connecting]) -> Scene {
        Scene::now().netns(|netns| netns.connecting = Reading::Known(groups.to_vec()))
    }

    fn loopback(port: u16, retransmitted: &[u32]) -> Connecting {
        let mut group = connecting(&format!("127.0.0.1:{port}"), retransmitted);
        group.source = address("127.0.0.1:1").ip();
        group
    }

    #[test]
    fn in_a_capture_silence_to_all_is_another_matter_than_silence_to_some() {
        let cause = |outcomes: &[(Outcome, u32)]| {
            let finding = watched_listener(outcomes).finding(ID);
            (finding.severity, finding.cause.split(':').next().unwrap_or_default().to_owned())
        };
        let none = cause(&[(Outcome::SynUnanswered, 2)]);
        assert_eq!(none, (Severity::Failure, "nothing answers there".to_owned()));
        let some = cause(&[(Outcome::Established, 500), (Outcome::SynUnanswered, 2)]);
        assert_eq!(some.0, Severity::Warning);
        assert!(some.1.starts_with("the SYNs came to the server's end"), "{}", some.1);
        let late = Outcome::EstablishedLate { answered_syn: 2 };
        let late = watched_listener(&[(late, 1), (Outcome::Established, 9)]).finding(ID);
        assert_eq!(late.headline, "1 of 10 handshakes late by whole seconds: SYNs were lost");
    }

    #[test]
    fn connections_that_were_challenged_first_lost_no_syn() {
        let late = |count| {
            let late = Outcome::EstablishedLate { answered_syn: 2 };
            watched_listener(&[(late, count), (Outcome::Established, 10 - count)])
                .mark(Mark::ChallengeAck, 2)
        };
        assert!(late(2).is_silent_about(ID));
        let finding = late(3).finding(ID);
        assert_eq!(finding.headline, "1 of 10 handshakes late by whole seconds: SYNs were lost");
    }

    #[test]
    fn one_client_that_gets_no_answer_is_told_apart_from_those_that_do() {
        let mut seen = watched_listener(&[(Outcome::SynUnanswered, 5), (Outcome::Established, 90)]);
        seen.listener.clients = 10;
        let finding = seen.troubled(9, &[(Outcome::SynUnanswered, 5)]).finding(ID);
        assert_eq!(finding.subject.kind.to_string(), "10.0.0.9 -> 10.0.0.1:8080");
        assert_eq!(finding.headline, "5 handshakes without an answer");
        assert!(finding.cause.contains("other clients of the listener"), "{}", finding.cause);
        assert!(finding.evidence.iter().any(|fact| fact.name == "other-clients"));
        let all = watched_listener(&[(Outcome::SynUnanswered, 5), (Outcome::Established, 90)]);
        let finding = all.finding(ID);
        assert_eq!(finding.subject.kind.to_string(), "10.0.0.1:8080");
    }

    #[test]
    fn two_points_tell_where_syns_are_lost() {
        let seen = watched_listener(&[(Outcome::SynUnanswered, 3), (Outcome::Established, 9)]);
        let found = |located| {
            let finding = seen.clone().located(located, 3).finding(ID);
            (finding.confidence, finding.cause)
        };
        let (confidence, cause) = found(Located::SynLost);
        assert_eq!(confidence, Confidence::Certain);
        assert!(cause.contains("do not reach the server's side"), "{cause}");
        let (confidence, cause) = found(Located::SynIgnored);
        assert_eq!(confidence, Confidence::Certain);
        assert!(cause.contains("no answer leaves it"), "{cause}");
        assert_eq!(found(Located::SynUnseen).0, Confidence::Probable);
        assert_eq!(found(Located::MssChanged).0, Confidence::Probable);
    }

    #[test]
    fn the_timetable_tells_since_when_and_until_when() {
        let finding = scene(&[connecting("10.0.0.9:443", &[1, 0, 0, 0, 0, 0, 1])]).finding(ID);
        let texts: Vec<&str> = finding.evidence.iter().map(|fact| fact.text.as_str()).collect();
        assert_eq!(
            texts[..3],
            [
                "1 of 2 connections in SYN_SENT unanswered",
                "the oldest for 7.0 s to 11.0 s",
                "its SYN was sent again 6 times",
            ]
        );
        assert_eq!(finding.severity, Severity::Failure);
        assert!(texts[3].contains("2m04s"), "{}", texts[3]);
    }

    #[test]
    fn the_timetable_is_that_of_the_namespace() {
        let mut old = scene(&[connecting("10.0.0.9:443", &[0, 0, 0, 1])]);
        old.second.netns[0].sysctls.tcp_syn_linear_timeouts = Reading::Known(0);
        let finding = old.finding(ID);
        assert!(finding.headline.contains("7.0 s"), "{}", finding.headline);
    }

    #[test]
    fn two_retransmissions_are_a_warning_and_three_connections_a_failure() {
        let few = scene(&[connecting("10.0.0.9:443", &[0, 0, 2])]);
        assert_eq!(few.finding(ID).severity, Severity::Warning);
        let many = scene(&[connecting("10.0.0.9:443", &[0, 0, 3])]);
        assert_eq!(many.finding(ID).severity, Severity::Failure);
    }

    #[test]
    fn one_lost_syn_is_no_finding() {
        assert_eq!(scene(&[connecting("10.0.0.9:443", &[40, 9])]).ids(), []);
    }

    #[test]
    fn a_full_queue_of_a_local_listener_is_the_listeners_finding() {
        let clients = [loopback(80, &[0, 0, 5])];
        let full = scene(&clients).endpoint(endpoint("0.0.0.0:80", [listener(1, 6, 5)]));
        assert!(full.is_silent_about(ID));
        let mut half_open = endpoint("0.0.0.0:80", [listener(1, 0, 5)]);
        half_open.syn_recv = requests(&[0, 6], 1);
        let cookies_off = scene(&clients)
            .netns(|netns| netns.sysctls.tcp_syncookies = Reading::Known(0))
            .endpoint(half_open);
        assert_eq!(cookies_off.ids(), [FindingId::SynQueueFull]);
    }

    #[test]
    fn a_listener_on_the_same_port_of_another_host_explains_nothing() {
        let full = scene(&[connecting("10.0.0.9:80", &[0, 0, 5])])
            .endpoint(endpoint("0.0.0.0:80", [listener(1, 6, 5)]));
        assert!(!full.is_silent_about(ID));
    }

    #[test]
    fn an_idle_listener_on_this_host_leaves_the_firewall() {
        let finding = scene(&[loopback(80, &[0, 0, 5])])
            .endpoint(endpoint("0.0.0.0:80", [listener(1, 0, 5)]))
            .finding(ID);
        assert!(finding.cause.contains("firewall of this host"), "{}", finding.cause);
    }

    #[test]
    fn many_destinations_are_cut_short() {
        let groups: Vec<Connecting> =
            (1..40).map(|n| connecting(&format!("10.0.1.{n}:443"), &[0, 0, 5])).collect();
        let findings = scene(&groups).diagnose().findings;
        assert_eq!(findings.len(), DESTINATIONS);
        assert!(findings[0].evidence.iter().any(|fact| fact.name == "other-destinations"));
    }

    #[test]
    fn connections_that_could_not_be_listed_are_undetermined() {
        let diagnosis =
            Scene::now().netns(|netns| netns.connecting = Missing::needs("root").into()).diagnose();
        assert_eq!(diagnosis.undetermined[0].id, ID);
        assert!(diagnosis.findings.is_empty());
    }
}
