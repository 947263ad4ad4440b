//! # What it sees
//!
//! A listener's SYN queue, which holds the handshakes that wait for the client's last ACK, is full,
//! and SYN cookies are off (`net.ipv4.tcp_syncookies = 0`). The kernel then drops every further SYN.
//! Clients see a connect() that hangs, is tried again after one, two, three seconds and in the end
//! times out. The accept queue is short or empty, `ss -lnt` shows nothing unusual for the listener,
//! and ListenOverflows does not move: TCPReqQFullDrop and ListenDrops do.
//!
//! # Why it happens
//!
//! Each SYN that is answered takes a place in the SYN queue until the client's ACK arrives, for 63
//! seconds at the most. Clients that never send that ACK fill it: a SYN flood with forged addresses,
//! a few machines whose firewall drops our SYN-ACKs, or a network that loses them. So does a burst of
//! honest clients that is larger than the queue.
//!
//! From Linux 4.4 on the queue has no limit of its own: it is the limit of the accept queue, the
//! smaller of the backlog given to listen() and `net.core.somaxconn`. A small backlog makes both
//! queues small. Older kernels size a table at the first listen(): the smallest of backlog,
//! somaxconn and `tcp_max_syn_backlog`, at least 8, rounded up to the next power of two.
//!
//! # How sure
//!
//! TCPReqQFullDrop counts nothing else, so a rise within the window is certain. Which listener it was
//! is told by the listener's own drop counter (Linux 4.7 and later) or by the number of its requests;
//! where neither tells, the finding names the namespace and the listeners that may be meant. With a
//! single look, a full queue with cookies off is probable: the next SYN would be dropped. It is certain
//! where the kernel's own count of each socket's requests can be read (by a BPF iterator); then a full
//! socket of an SO_REUSEPORT group is found too while others of the group have room.
//!
//! # What to do
//!
//! Turn SYN cookies on: `sysctl -w net.ipv4.tcp_syncookies=1`, in the network namespace of the
//! listener. It works at once, without a restart, and honest clients get through even under a flood.
//! For bursts of honest clients raise the backlog in the program and `net.core.somaxconn`, and restart
//! the program, or make it call listen() again. If a few addresses hold the queue, look at their way
//! back: their firewall, asymmetric routes, a NAT that forgot them.
//!
//! # What not to do
//!
//! Raising `tcp_max_syn_backlog` does nothing from Linux 4.4 on: it is not the limit. Raising
//! `net.core.somaxconn` alone changes no listener that already listens. More accept threads do not
//! help either: nothing waits in the accept queue.
//!
//! # Sources
//!
//! net/ipv4/tcp_input.c `tcp_conn_request`, include/net/inet_connection_sock.h
//! `inet_csk_reqsk_queue_is_full`; commits ef547f2ac16b (4.4: the table is gone) and 3479c7549fb1
//! (6.13: a backlog of 0 has room for one request); for older kernels net/core/request_sock.c
//! `reqsk_queue_alloc`.

use halfopen_evidence::{Netns, Reading};
use halfopen_model::{Counter, SynQueueFull};

use crate::analysis::attribution::{Owners, among_fact, owners};
use crate::analysis::rises::Rises;
use crate::analysis::syn_queues::{self, SynQueueView};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts, words};

const ID: FindingId = FindingId::SynQueueFull;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        let queues = syn_queues::of_netns(context, netns);
        let rises = Rises::new(context, netns.id);
        if rises.rose(Counter::TcpReqQFullDrop) {
            dropped(context, netns, queues, verdicts);
        } else {
            for queue in &queues {
                full(context, queue, verdicts);
            }
        }
    }
}

/// The counter rose: finds the listeners that it rose for.
fn dropped<'a>(
    context: &Context<'a>,
    netns: &'a Netns,
    queues: Vec<SynQueueView<'a>>,
    verdicts: &mut Verdicts,
) {
    let rises = Rises::new(context, netns.id);
    let counted = rises.risen(&[Counter::TcpReqQFullDrop, Counter::ListenDrops]);
    match owners(queues, SynQueueView::may_have_been_full) {
        Owners::Each(queues) => {
            for queue in queues.iter().filter(|queue| !queue.accept_queue_is_full()) {
                let evidence = counted.iter().cloned().chain(queue.facts()).collect();
                let certain = (Severity::Failure, Confidence::Certain);
                verdicts.find(at_queue(context, queue, certain, evidence));
                queue.want_holders(verdicts);
                queue.want_inside(verdicts);
            }
        }
        Owners::Among(queues) => {
            let evidence = counted.into_iter().chain([among_fact(&queues)]).collect();
            let subject = Subject::netns(netns);
            let severity = (Severity::Failure, Confidence::Certain);
            let headline = "a SYN queue is full and SYN cookies are off; SYNs are dropped".into();
            verdicts.find(finding(context, subject, severity, headline, evidence));
        }
    }
}

/// The counter did not rise or was read once: judges by the state of the queue.
///
/// Behind a full accept queue the requests are those that cannot leave, and that is another finding.
fn full(context: &Context<'_>, queue: &SynQueueView<'_>, verdicts: &mut Verdicts) {
    if queue.now() == 0 || queue.accept_queue_is_full() {
        return;
    }
    if queue.may_have_been_full() {
        queue.want_inside(verdicts);
    }
    let is_full_by_count = queue.counted.value().is_some_and(|counted| counted.one_is_full);
    let is_full = match queue.is_full() {
        _ if is_full_by_count => true,
        Reading::Known(is_full) => is_full,
        Reading::Missing(why) => {
            let largest = queue.sockets.iter().map(|view| view.listener.limit).max().unwrap_or(0);
            if queue.now() >= u64::from(largest).max(8) {
                let why = format!("the limit of the SYN queue is not known: kernel version {why}");
                verdicts.undetermined(ID, queue.subject(context), why);
            }
            return;
        }
    };
    if !is_full {
        return;
    }
    let severity = match Rises::new(context, queue.netns.id).by(Counter::TcpReqQFullDrop) {
        Reading::Known(_) => Severity::Warning,
        Reading::Missing(_) => Severity::Failure,
    };
    match &queue.netns.sysctls.tcp_syncookies {
        Reading::Known(0) => {
            // What the kernel compares with the limit is known then, and not only what comes close to it.
            let certain = is_full_by_count;
            let confidence = if certain { Confidence::Certain } else { Confidence::Probable };
            let severity = (severity, confidence);
            verdicts.find(at_queue(context, queue, severity, queue.facts()));
            queue.want_holders(verdicts);
        }
        Reading::Known(_) => {}
        Reading::Missing(why) => {
            let why = format!("the SYN queue is full; net.ipv4.tcp_syncookies {why}");
            verdicts.undetermined(ID, queue.subject(context), why);
        }
    }
}

fn at_queue(
    context: &Context<'_>,
    queue: &SynQueueView<'_>,
    severity: (Severity, Confidence),
    evidence: Vec<Fact>,
) -> Finding {
    let room = queue.capacity.value().map_or_else(String::new, |c| format!(", room for {}", c.all));
    let headline = format!(
        "SYN queue is full ({}{room}) and SYN cookies are off; SYNs are dropped",
        words::count(queue.now(), "request"),
    );
    let mut finding = finding(context, queue.subject(context), severity, headline, evidence);
    if queue.now() > 0 {
        finding.cause.push_str("; ");
        finding.cause.push_str(queue.pattern().sentence());
    }
    finding
}

fn finding(
    context: &Context<'_>,
    subject: Subject,
    (severity, confidence): (Severity, Confidence),
    headline: String,
    evidence: Vec<Fact>,
) -> Finding {
    let table = context
        .semantics()
        .get()
        .is_some_and(|semantics| semantics.queues.syn_queue_full == SynQueueFull::PowerOfTwoTable);
    let mut useless = vec![
        "raising net.core.somaxconn alone: a listener keeps the limit that it got at listen()"
            .to_owned(),
        "more accept threads: these connections have not reached the accept queue".to_owned(),
    ];
    let larger = if table {
        "for bursts of real clients raise the backlog, net.core.somaxconn and net.ipv4.tcp_max_syn_backlog, then restart the program: the table is sized at the first listen()"
    } else {
        useless.insert(
            0,
            "raising net.ipv4.tcp_max_syn_backlog: on this kernel the SYN queue is limited by the listener's backlog".to_owned(),
        );
        "for bursts of real clients raise the backlog and net.core.somaxconn, then restart the program: the same number limits both queues"
    };
    Finding {
        id: ID,
        severity,
        subject,
        headline,
        cause: "handshakes that wait for the client's last ACK fill every place, and without SYN cookies the kernel has no answer for further clients: it drops their SYNs".to_owned(),
        evidence,
        confidence,
        refuted_by: "a window in which TCPReqQFullDrop stays the same while new clients connect".to_owned(),
        remedies: vec![
            "turn SYN cookies on in this namespace: sysctl -w net.ipv4.tcp_syncookies=1 (works at once)".to_owned(),
            larger.to_owned(),
            "look at the addresses in SYN_RECV: ss -nt state syn-recv".to_owned(),
        ],
        useless,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing, SynQueueState};

    use super::*;
    use crate::SubjectKind;
    use crate::fixture::{Scene, endpoint, listener, requests};

    fn half_open(port: u16, count: u32, drops: u32) -> Endpoint {
        let mut socket = listener(u64::from(port), 0, 5);
        socket.drops = Reading::Known(drops);
        let mut endpoint = endpoint(&format!("0.0.0.0:{port}"), [socket]);
        endpoint.syn_recv = requests(&[0, count], 1);
        endpoint
    }

    fn cookies_off(scene: Scene) -> Scene {
        scene.netns(|netns| netns.sysctls.tcp_syncookies = Reading::Known(0))
    }

    #[test]
    fn syns_dropped_at_a_full_syn_queue_name_the_listener_by_its_own_drops() {
        let finding = cookies_off(Scene::window())
            .endpoint(half_open(81, 6, 0))
            .endpoint_changing(half_open(80, 6, 0), half_open(80, 6, 3))
            .rise(Counter::TcpReqQFullDrop, 3)
            .rise(Counter::ListenDrops, 3)
            .finding(ID);
        assert_eq!(finding.subject.kind.to_string(), "*:80");
        assert_eq!(
            (finding.severity, finding.confidence),
            (Severity::Failure, Confidence::Certain)
        );
        assert!(finding.cause.contains("few addresses"), "{}", finding.cause);
        assert!(finding.useless[0].contains("tcp_max_syn_backlog"));
    }

    #[test]
    fn nothing_else_is_found_beside_it() {
        let scene = cookies_off(Scene::window())
            .endpoint_changing(half_open(80, 6, 0), half_open(80, 6, 3))
            .rise(Counter::TcpReqQFullDrop, 3)
            .rise(Counter::ListenDrops, 3);
        assert_eq!(scene.ids(), [ID]);
    }

    #[test]
    fn listeners_that_cannot_be_told_apart_are_named_together() {
        let finding = cookies_off(Scene::window())
            .endpoint_changing(half_open(80, 2, 0), half_open(80, 2, 1))
            .endpoint_changing(half_open(81, 2, 0), half_open(81, 2, 1))
            .rise(Counter::TcpReqQFullDrop, 2)
            .rise(Counter::ListenDrops, 2)
            .finding(ID);
        assert_eq!(finding.subject.kind, SubjectKind::Netns);
        assert!(finding.evidence.iter().any(|fact| fact.text.contains("*:80, *:81")));
    }

    #[test]
    fn one_look_at_a_full_queue_without_cookies_is_probable() {
        let finding = cookies_off(Scene::now()).endpoint(half_open(80, 6, 0)).finding(ID);
        assert_eq!(finding.confidence, Confidence::Probable);
    }

    #[test]
    fn the_kernels_own_count_makes_one_look_certain() {
        let with = |length| {
            let mut endpoint = half_open(80, 6, 0);
            let queue = SynQueueState { length, young: 2, defer_accept: 0 };
            endpoint.listeners[0].syn_queue = Reading::Known(queue);
            cookies_off(Scene::now()).endpoint(endpoint).finding(ID)
        };
        assert_eq!(with(6).confidence, Confidence::Certain);
        assert!(with(6).evidence.iter().any(|fact| fact.text.contains("2 of them young")));
        // One has left the queue between the two readings.
        assert_eq!(with(5).confidence, Confidence::Probable);
    }

    #[test]
    fn one_full_socket_of_a_group_is_found_by_its_own_count() {
        let with = |lengths: [Reading<u32>; 2]| {
            let mut endpoint = half_open(80, 8, 0);
            endpoint.listeners.push(listener(81, 0, 5));
            for (listener, length) in endpoint.listeners.iter_mut().zip(lengths) {
                listener.syn_queue =
                    length.map(|length| SynQueueState { length, young: 0, defer_accept: 0 });
            }
            cookies_off(Scene::now()).endpoint(endpoint).is_silent_about(ID)
        };
        assert!(with([Reading::not_collected(), Reading::not_collected()]));
        assert!(with([Reading::Known(4), Reading::Known(4)]));
        assert!(!with([Reading::Known(6), Reading::Known(2)]));
    }

    #[test]
    fn a_queue_with_one_place_left_or_with_cookies_is_silent() {
        assert!(cookies_off(Scene::now()).endpoint(half_open(80, 5, 0)).is_silent_about(ID));
        assert!(Scene::now().endpoint(half_open(80, 6, 0)).is_silent_about(ID));
    }

    #[test]
    fn requests_held_up_by_a_full_accept_queue_are_another_finding() {
        let mut endpoint = half_open(80, 6, 0);
        endpoint.listeners[0].depth = 6;
        assert!(cookies_off(Scene::now()).endpoint(endpoint).is_silent_about(ID));
    }

    #[test]
    fn a_full_queue_is_undetermined_while_the_cookie_setting_is_unknown() {
        let diagnosis = Scene::now()
            .netns(|netns| netns.sysctls.tcp_syncookies = Missing::needs("root").into())
            .endpoint(half_open(80, 6, 0))
            .diagnose();
        let ids: Vec<FindingId> = diagnosis.undetermined.iter().map(|u| u.id).collect();
        assert!(ids.contains(&ID), "{ids:?}");
        assert!(diagnosis.findings.is_empty());
    }
}
