//! # What it sees
//!
//! A listener has half-open requests (SYN_RECV) whose SYN-ACK had to be sent again, while its accept
//! queue has room and nothing overflows. Either the SYN-ACK does not reach the client, or the client's
//! ACK does not reach the server's TCP. In the second case the client believes that it is connected,
//! sends, and gets no answer.
//!
//! In a capture: SYN-ACKs that no ACK answers.
//!
//! # Why it happens
//!
//! Something takes the packets: a firewall on this host, on the client or in between, that lets SYNs
//! pass and not what follows them; a way back that differs from the way there, through a stateful
//! firewall that never saw the SYN; rp_filter; a NAT or load balancer that forgot the connection. Or
//! nobody ever meant to answer: a scanner, or a SYN with a forged address. On an address of the
//! internet some such requests are always there.
//!
//! # How sure
//!
//! Of each request the kernel knows whether its ACK has arrived (`acked`), which no dump shows but a BPF
//! iterator does: with it, that no ACK arrives is certain, also behind a full accept queue.
//!
//! Where the client's end is on this host its state decides: established means that the ACK is lost,
//! SYN_SENT that the SYN-ACK is. Without BPF it is certain if the listener never overflowed, or if the SYN-ACK was
//! sent again within the window although there was room. Remote clients are judged by numbers: at
//! least three requests, and at least a tenth of the handshakes of the last minute; probable without
//! BPF for private addresses. Addresses of the internet must be ten and the half of all handshakes, and then it
//! is possible only. A full or nearly full SYN queue is a finding of its own, and hides this one unless
//! clients are known to be connected.
//!
//! From captures of two points on the way it is certain, and certain which of the two is lost: it left
//! the one side and did not reach the other.
//!
//! From one capture it is possible only, since clients that never meant to answer look the same, and it
//! takes three handshakes and a tenth of the listener's to make it a failure. A SYN flood explains it.
//!
//! TCP_DEFER_ACCEPT looks similar (client established, server in SYN_RECV) and is normal: there the
//! SYN-ACK is not sent again and TCPDeferAcceptDrop rises.
//!
//! # What to do
//!
//! Look for the place where the packets end: capture on both hosts
//! (`tcpdump -ni any 'tcp port 80 and tcp[tcpflags] & (tcp-syn|tcp-ack) != 0'`). If the ACK is seen on
//! this host and the request stays, a local firewall takes it: `nft list ruleset`, `iptables -nvL`,
//! counters of the rules. If packets arrive that no protocol gets (Ip InReceives rises by more than
//! InDelivers) that speaks for the same. If the SYN-ACK leaves and no ACK comes, look at the client's
//! firewall and at the route back (`ip route get CLIENT`).
//!
//! # What not to do
//!
//! A larger backlog, `somaxconn` or `tcp_max_syn_backlog` changes nothing: there is room. Do not
//! raise `tcp_synack_retries`: that keeps dead requests for longer.
//!
//! # Sources
//!
//! net/ipv4/inet_connection_sock.c `reqsk_timer_handler`, net/ipv4/tcp_minisocks.c `tcp_check_req`;
//! `num_retrans` of a request is what sock_diag shows as its retransmits.

use std::net::IpAddr;

use halfopen_evidence::{
    BurstKind, Located, Outcome, Reading, RequestSample, WatchedListener, WatchedSide,
};
use halfopen_model::Counter;

use crate::analysis::client_ends::{self, ClientEnds};
use crate::analysis::rises::Rises;
use crate::analysis::syn_queues::{self, SynQueueView};
use crate::analysis::watched::{self, Share};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Verdicts, words};

const ID: FindingId = FindingId::ThirdAckLost;

/// Fewer repeated requests than this are everyday loss.
const FEW: u32 = 3;

/// Fewer repeated requests than this, of addresses of the internet, are scanners.
const FEW_STRANGERS: u32 = 10;

/// How long a request whose client is silent stays, in milliseconds (tcp_synack_retries = 5).
const REQUEST_LIFE_MS: u64 = 63_000;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for queue in syn_queues::all(context) {
        let repeated = queue.endpoint.syn_recv.retransmitted(1);
        if repeated == 0 {
            continue;
        }
        queue.want_inside(verdicts);
        if queue.accept_queue_was_full() && queue.third_acks().is_none() {
            continue;
        }
        client_ends::want(&queue, verdicts);
        let ends = client_ends::of(&queue);
        match judge(context, &queue, &ends) {
            Verdict::Lost(what, severity, confidence) => {
                let severity = (severity, confidence);
                verdicts.find(finding(context, &queue, &ends, what, severity));
                queue.want_holders(verdicts);
            }
            Verdict::Unclear(why) => verdicts.undetermined(ID, queue.subject(context), why),
            Verdict::Not => {}
        }
    }
}

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    const SELDOM: u32 = 3;
    const TENTH: u64 = 10;
    let flood = listener.burst.is_some_and(|burst| burst.kind == BurstKind::SynFlood);
    let Some(missing) = Share::of(listener, |it| it == Outcome::ThirdAckMissing) else { return };
    if flood {
        return;
    }
    let is_often = missing.count >= SELDOM && missing.is_at_least_one_in(TENTH);
    let mut evidence = vec![missing.fact("third-ack-missing", "with a SYN-ACK and no ACK")];
    evidence.extend(watched::facts(listener));
    let located = watched::most_located(listener, &[Located::AckLost, Located::SynAckLost]);
    let cause = match (located, listener.side) {
        (Some(Located::AckLost), _) => {
            "the ACKs leave the clients' side and do not reach the server's side: the clients believe that they are connected, and what they send is lost like the ACK"
        }
        (Some(_), _) => {
            "the SYN-ACKs leave the server's side and do not reach the clients' side, who still wait for an answer to their SYN"
        }
        (None, _) if listener.only.is_some() => {
            "other clients complete their handshakes: what goes to this client or comes from it is lost on its way, or it never meant to connect"
        }
        (None, WatchedSide::Clients) => {
            "the SYN-ACKs came to the clients' end and were not answered: a firewall there takes them, or the clients never meant to connect"
        }
        (None, WatchedSide::Server | WatchedSide::Unknown) => {
            "SYN-ACKs or the ACKs that answer them are lost on the way, or the clients never meant to connect"
        }
    };
    verdicts.find(Finding {
        id: ID,
        severity: if is_often { Severity::Failure } else { Severity::Warning },
        subject: watched::subject(listener),
        headline: format!("{} with a SYN-ACK that no ACK answers", missing.words()),
        cause: cause.to_owned(),
        evidence,
        confidence: if located.is_some() { Confidence::Certain } else { Confidence::Possible },
        refuted_by: "the ACKs in a capture at the other end".to_owned(),
        remedies: vec![
            if located.is_some() {
                "look at what is between the two points, above all at firewalls that see one direction only"
            } else {
                "capture at the other end at the same time, and give both files to halfopen pcap: it says which of the two packets is lost"
            }.to_owned(),
            "check the route back (ip route get CLIENT, on the server) and firewalls that see only one direction".to_owned(),
        ],
        useless: vec![
            "a larger backlog, net.core.somaxconn or net.ipv4.tcp_max_syn_backlog: the server answers".to_owned(),
        ],
    });
}

enum Verdict {
    Lost(Lost, Severity, Confidence),
    Unclear(String),
    Not,
}

/// Which packet does not arrive.
#[derive(Clone, Copy)]
enum Lost {
    Ack,
    SynAck,
    Either,
}

fn judge(context: &Context<'_>, queue: &SynQueueView<'_>, ends: &ClientEnds) -> Verdict {
    let requests = &queue.endpoint.syn_recv;
    let acks = queue.third_acks();
    let have_arrived = acks.is_some_and(|acks| acks.dropped > 0 || acks.deferred > 0);
    if acks.is_some_and(|acks| acks.overdue == 0) || (acks.is_none() && overflowed(context, queue))
    {
        return Verdict::Not;
    }
    let enough = |clients: u32| clients >= FEW || (clients > 0 && ends.seen_twice > 0);
    if enough(ends.connected) && !have_arrived {
        let is_known = acks.is_some();
        return if is_known || ends.repeated_in_window > 0 || never_overflowed(queue) {
            Verdict::Lost(Lost::Ack, Severity::Failure, Confidence::Certain)
        } else if context.interval().is_some() {
            // The accept queue may have been full until just before the window.
            Verdict::Lost(Lost::Ack, Severity::Warning, Confidence::Possible)
        } else {
            Verdict::Unclear("clients are connected and the server is half open; one look cannot tell whether the accept queue was full until now".to_owned())
        };
    }
    if is_tight(context, queue) {
        return Verdict::Not;
    }
    if enough(ends.waiting) {
        return Verdict::Lost(Lost::SynAck, Severity::Failure, Confidence::Certain);
    }
    let may_be_deferred =
        || acks.is_none() && Rises::new(context, queue.netns.id).rose(Counter::TcpDeferAcceptDrop);
    if ends.local() > 0 || may_be_deferred() {
        return Verdict::Not;
    }
    let repeated = acks.map_or_else(|| requests.retransmitted(1), |acks| acks.overdue);
    let strangers = requests.sample.iter().filter(|request| is_stranger(request)).count();
    let of_strangers = strangers * 2 > requests.sample.len();
    if repeated < if of_strangers { FEW_STRANGERS } else { FEW } {
        return Verdict::Not;
    }
    by_numbers(context, queue, repeated, of_strangers)
}

/// Remote clients: the share of the handshakes of the last minute that fail.
fn by_numbers(
    context: &Context<'_>,
    queue: &SynQueueView<'_>,
    repeated: u32,
    of_strangers: bool,
) -> Verdict {
    let rises = Rises::new(context, queue.netns.id);
    let Some(interval) = context.interval() else {
        return Verdict::Unclear(
            "SYN-ACKs were sent again; one look cannot tell whether other clients connect"
                .to_owned(),
        );
    };
    let made = match rises.by(Counter::PassiveOpens).zip(rises.by(Counter::ListenOverflows)) {
        Reading::Known((made, _)) => made,
        Reading::Missing(why) => {
            return Verdict::Unclear(format!(
                "SYN-ACKs were sent again; PassiveOpens and ListenOverflows {why}"
            ));
        }
    };
    let made = made.saturating_mul(REQUEST_LIFE_MS) / interval.elapsed_ms().max(1);
    let share = words::percent(repeated, made.saturating_add(u64::from(repeated)));
    match (of_strangers, share) {
        (true, 50..) | (false, 10..50) => {
            Verdict::Lost(Lost::Either, Severity::Warning, Confidence::Possible)
        }
        (false, 50..) => {
            let is_known = queue.third_acks().is_some();
            let confidence = if is_known { Confidence::Certain } else { Confidence::Probable };
            Verdict::Lost(Lost::Either, Severity::Failure, confidence)
        }
        (true | false, _) => Verdict::Not,
    }
}

/// Whether the accept queue overflowed within the window, as far as the counters tell.
fn overflowed(context: &Context<'_>, queue: &SynQueueView<'_>) -> bool {
    Rises::new(context, queue.netns.id).rose(Counter::ListenOverflows)
        && queue.drops.value() != Some(0)
}

/// Whether nothing was ever dropped at the listener, or no accept queue of the namespace ever
/// overflowed.
fn never_overflowed(queue: &SynQueueView<'_>) -> bool {
    let overflows = queue.netns.counters.get().map(|all| all.reading(Counter::ListenOverflows));
    overflows.and_then(Reading::known) == Some(0)
        || queue.sockets.iter().all(|view| view.listener.drops == Reading::Known(0))
}

/// Whether the SYN queue itself has a finding, or would with the next SYN.
fn is_tight(context: &Context<'_>, queue: &SynQueueView<'_>) -> bool {
    let rises = Rises::new(context, queue.netns.id);
    let counted = rises.rose(Counter::TcpReqQFullDrop) && queue.drops.value() != Some(0);
    counted
        || queue.may_have_been_full()
        || queue.reached_the_reserve()
        || rises.rose(Counter::SyncookiesSent)
}

/// Whether a client comes from the internet.
fn is_stranger(request: &RequestSample) -> bool {
    match request.peer.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

fn finding(
    context: &Context<'_>,
    queue: &SynQueueView<'_>,
    ends: &ClientEnds,
    lost: Lost,
    (severity, confidence): (Severity, Confidence),
) -> Finding {
    let repeated = words::count(queue.endpoint.syn_recv.retransmitted(1), "half-open connection");
    let (headline, cause, look) = match lost {
        Lost::Ack => (
            format!("{repeated}: the clients are connected, their ACKs do not arrive"),
            "the clients got the SYN-ACK and believe that they are connected; their ACKs are lost on the way back, before the server's TCP sees them",
            "look at the firewall on the server's way in: nft list ruleset, iptables -nvL; capture on the server to see whether the ACK arrives",
        ),
        Lost::SynAck => (
            format!("{repeated}: the SYN-ACKs do not reach the clients"),
            "the server answers and goes on answering, but its SYN-ACKs are lost on the way to the clients, who still wait for an answer to their SYN",
            "look at the firewall on the clients' way in and the server's way out: nft list ruleset, iptables -nvL; check the route back: ip route get CLIENT",
        ),
        Lost::Either => (
            format!("{repeated}: SYN-ACKs are sent again and no ACK arrives"),
            "the server answers SYNs and gets no ACK: SYN-ACKs or ACKs are lost on the way, or the clients never meant to answer",
            "capture on both ends to see which of the two packets is lost; check the route back (ip route get CLIENT) and firewalls that see only one direction",
        ),
    };
    Finding {
        id: ID,
        severity,
        subject: queue.subject(context),
        headline,
        cause: cause.to_owned(),
        evidence: evidence(context, queue, ends),
        confidence,
        refuted_by: "the same requests being completed at the next SYN-ACK that is sent again".to_owned(),
        remedies: vec![
            look.to_owned(),
            "look at the addresses: ss -nto state syn-recv".to_owned(),
        ],
        useless: vec![
            "a larger backlog, net.core.somaxconn or net.ipv4.tcp_max_syn_backlog: no full queue keeps these requests waiting".to_owned(),
            "raising net.ipv4.tcp_synack_retries: it keeps dead requests for longer".to_owned(),
        ],
    }
}

fn evidence(context: &Context<'_>, queue: &SynQueueView<'_>, ends: &ClientEnds) -> Vec<Fact> {
    let rises = Rises::new(context, queue.netns.id);
    let mut evidence = ends.facts();
    evidence.extend(queue.third_acks().map(syn_queues::third_ack_facts).unwrap_or_default());
    evidence.extend(queue.facts());
    evidence.extend(queue.accept_queue_facts());
    evidence.extend(rises.fact(Counter::ListenOverflows));
    evidence.extend(rises.fact(Counter::PassiveOpens));
    evidence.extend(rises.risen(&[
        Counter::TcpSynRetrans,
        Counter::TcpSynChallenge,
        Counter::IpReversePathFilter,
    ]));
    if let Reading::Known(packets @ 1..) = rises.undelivered_packets() {
        let text = format!(
            "{} reached this namespace and no protocol of it{}: firewall, rp_filter or forwarded",
            words::count(packets, "IPv4 packet"),
            rises.span(),
        );
        evidence.push(Fact::number("undelivered-packets", packets, text));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing, ThirdAcks};
    use halfopen_model::TcpState;

    use super::*;
    use crate::fixture::{Scene, endpoint, listener, requests, watched_listener};

    fn half_open(by_retransmits: &[u32], client: &Reading<TcpState>) -> Endpoint {
        let mut endpoint = endpoint("0.0.0.0:80", [listener(1, 0, 128)]);
        endpoint.syn_recv = requests(by_retransmits, 3);
        for request in &mut endpoint.syn_recv.sample {
            request.client = client.clone();
        }
        endpoint
    }

    fn remote() -> Reading<TcpState> {
        Reading::Missing(Missing::Vanished)
    }

    fn lost(scene: Scene) -> (Severity, Confidence, String) {
        let finding = scene.finding(ID);
        (finding.severity, finding.confidence, finding.headline)
    }

    #[test]
    fn clients_that_are_connected_prove_that_their_ack_is_lost() {
        let endpoint = half_open(&[0, 1], &Reading::Known(TcpState::Established));
        let scene = Scene::window().endpoint(endpoint);
        assert_eq!(scene.clone().ids(), [ID]);
        let (severity, confidence, headline) = lost(scene);
        assert_eq!((severity, confidence), (Severity::Failure, Confidence::Certain));
        assert!(headline.contains("ACKs do not arrive"), "{headline}");
    }

    #[test]
    fn clients_in_syn_sent_prove_that_the_syn_ack_is_lost() {
        let endpoint = half_open(&[0, 3], &Reading::Known(TcpState::SynSent));
        let (_, confidence, headline) = lost(Scene::window().endpoint(endpoint));
        assert_eq!(confidence, Confidence::Certain);
        assert!(headline.contains("SYN-ACKs do not reach"), "{headline}");
    }

    #[test]
    fn an_overflow_before_the_window_leaves_it_possible() {
        let mut endpoint = half_open(&[0, 3], &Reading::Known(TcpState::Established));
        endpoint.listeners[0].drops = Reading::Known(9);
        let (severity, confidence, _) = lost(Scene::window().endpoint(endpoint));
        assert_eq!((severity, confidence), (Severity::Warning, Confidence::Possible));
    }

    #[test]
    fn remote_clients_of_a_private_network_are_judged_by_their_number() {
        let (severity, confidence, _) =
            lost(Scene::window().endpoint(half_open(&[0, 3], &remote())));
        assert_eq!((severity, confidence), (Severity::Failure, Confidence::Probable));
        let two = Scene::window().endpoint(half_open(&[5, 2], &remote()));
        assert!(two.is_silent_about(ID));
        let busy = Scene::window()
            .endpoint(half_open(&[5, 9], &remote()))
            .rise(Counter::PassiveOpens, 400);
        assert!(busy.is_silent_about(ID));
    }

    #[test]
    fn what_the_kernel_knows_of_the_acks_decides() {
        let with = |acks| {
            let mut endpoint = half_open(&[0, 3], &remote());
            endpoint.syn_recv.third_acks = Reading::Known(acks);
            endpoint
        };
        let overdue = ThirdAcks { overdue: 3, ..ThirdAcks::default() };
        let (severity, confidence, _) = lost(Scene::window().endpoint(with(overdue)));
        assert_eq!((severity, confidence), (Severity::Failure, Confidence::Certain));
        let mut full = with(overdue);
        full.listeners[0].depth = 129;
        let scene = Scene::window().endpoint(full).rise(Counter::ListenOverflows, 4);
        assert_eq!(scene.finding(ID).confidence, Confidence::Certain);
        for arrived in [
            ThirdAcks { dropped: 3, ..ThirdAcks::default() },
            ThirdAcks { deferred: 3, ..ThirdAcks::default() },
        ] {
            assert!(Scene::window().endpoint(with(arrived)).is_silent_about(ID));
        }
    }

    #[test]
    fn an_ack_that_has_not_arrived_was_not_dropped_before_the_window() {
        let mut endpoint = half_open(&[0, 3], &Reading::Known(TcpState::Established));
        endpoint.listeners[0].drops = Reading::Known(9);
        endpoint.syn_recv.third_acks =
            Reading::Known(ThirdAcks { overdue: 3, ..ThirdAcks::default() });
        let (severity, confidence, _) = lost(Scene::window().endpoint(endpoint));
        assert_eq!((severity, confidence), (Severity::Failure, Confidence::Certain));
    }

    #[test]
    fn a_handful_of_strangers_is_silent() {
        let with_strangers = |count| {
            let mut endpoint = half_open(&[0, count], &remote());
            for request in &mut endpoint.syn_recv.sample {
                request.peer.set_ip("93.184.216.34".parse().expect("an address"));
            }
            Scene::window().endpoint(endpoint)
        };
        assert!(with_strangers(9).is_silent_about(ID));
        assert_eq!(lost(with_strangers(10)).1, Confidence::Possible);
    }

    #[test]
    fn defer_accept_and_overflow_are_silent() {
        let established = Reading::Known(TcpState::Established);
        let deferred = Scene::window()
            .endpoint(half_open(&[6], &established))
            .rise(Counter::TcpDeferAcceptDrop, 3);
        assert_eq!(deferred.ids(), []);
        let mut overflowed = half_open(&[0, 3], &established);
        overflowed.listeners[0].drops = Reading::Known(4);
        let scene = Scene::window()
            .endpoint_changing(half_open(&[0, 3], &established), overflowed)
            .rise(Counter::ListenOverflows, 4)
            .rise(Counter::ListenDrops, 4);
        assert!(scene.is_silent_about(ID));
    }

    #[test]
    fn a_full_syn_queue_hides_deaf_clients_but_not_connected_ones() {
        let full = |client| {
            let mut endpoint = half_open(&[0, 6], &Reading::Known(client));
            endpoint.listeners[0].limit = 5;
            Scene::window()
                .netns(|netns| netns.sysctls.tcp_syncookies = Reading::Known(0))
                .endpoint(endpoint)
        };
        assert_eq!(full(TcpState::SynSent).ids(), [FindingId::SynQueueFull]);
        assert!(full(TcpState::Established).ids().contains(&ID));
    }

    #[test]
    fn one_look_at_remote_clients_is_undetermined() {
        let diagnosis = Scene::now().endpoint(half_open(&[0, 5], &remote())).diagnose();
        assert!(diagnosis.findings.is_empty());
        assert!(diagnosis.undetermined.iter().any(|undetermined| undetermined.id == ID));
    }

    #[test]
    fn two_points_tell_which_of_the_two_is_lost() {
        let seen = watched_listener(&[(Outcome::ThirdAckMissing, 4)]);
        let ack = seen.clone().located(Located::AckLost, 4).finding(ID);
        assert_eq!(ack.confidence, Confidence::Certain);
        assert!(ack.cause.starts_with("the ACKs leave"), "{}", ack.cause);
        let syn_ack = seen.clone().located(Located::SynAckLost, 4).finding(ID);
        assert_eq!(syn_ack.confidence, Confidence::Certain);
        assert!(syn_ack.cause.starts_with("the SYN-ACKs leave"), "{}", syn_ack.cause);
        let silent = seen.located(Located::MssChanged, 4).finding(ID);
        assert_eq!(silent.confidence, Confidence::Possible);
    }

    #[test]
    fn in_a_capture_three_and_a_tenth_make_it_a_failure() {
        let seen = |missing, established| {
            watched_listener(&[
                (Outcome::ThirdAckMissing, missing),
                (Outcome::Established, established),
            ])
        };
        let finding = seen(3, 27).from(WatchedSide::Clients).finding(ID);
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Possible)
        );
        assert!(finding.cause.starts_with("the SYN-ACKs came to the clients' end"));
        assert_eq!(seen(2, 0).finding(ID).severity, Severity::Warning);
        assert_eq!(seen(3, 28).finding(ID).severity, Severity::Warning);
    }
}
