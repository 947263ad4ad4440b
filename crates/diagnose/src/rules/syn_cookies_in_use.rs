//! # What it sees
//!
//! The kernel answers SYNs with SYN cookies: a listener's SYN queue was full and
//! `net.ipv4.tcp_syncookies` is 1, or that setting is 2, which uses cookies for every SYN. The kernel
//! log says once per listener `possible SYN flooding on port … Sending cookies`.
//!
//! # Why it happens
//!
//! With a cookie the server keeps no request: all it needs is coded into the sequence number of the
//! SYN-ACK, and the client's ACK brings it back. So handshakes go on although the queue is full: of a
//! flood, or of a burst of honest clients at a listener with a small backlog.
//!
//! Connections made that way can lack window scaling and SACK (where the client sends no timestamps),
//! and a lost SYN-ACK is not sent again by the server.
//!
//! Cookies replace the SYN queue only. If the accept queue is full too, the ACK that returns the
//! cookie is dropped like any other, and since the server kept nothing, such a client believes that
//! it is connected to a connection that exists nowhere on the server: not in SYN_RECV, not in the
//! accept queue. It gets neither data nor a reset. SyncookiesRecv and ListenOverflows rising together
//! while no handshake completes (PassiveOpens) show it; where some complete, most clients get through.
//!
//! # How sure
//!
//! SyncookiesSent counts cookies and nothing else: certain; probable if the accept queue overflows
//! beside it and handshakes complete all the same, which a crowd at a small backlog does too. Cookies
//! that return to a full accept queue while nothing is accepted are a failure; anything else is a
//! warning. Cookies that only return were sent before the window.
//!
//! Cookies raise no listener's drop counter, so the listener is told by its requests, by being the
//! only one, or by the drops that a full accept queue beside the cookies leaves; else the namespace is
//! named. With a single look, a full SYN queue with cookies on is probable.
//!
//! # What to do
//!
//! Nothing urgent: this is the kernel's protection at work. Look at where the requests come from. A
//! burst of honest clients wants a larger backlog and `net.core.somaxconn`, and a restart of the
//! program. If the accept queue is full as well, that is the trouble: see the other findings of the
//! listener.
//!
//! # What not to do
//!
//! Do not turn cookies off to silence the kernel's message: SYNs would then be dropped. Do not raise
//! `tcp_max_syn_backlog` for it: while cookies are on it has no effect from Linux 4.4 on. Do not expect
//! cookies to help an accept queue that is full.
//!
//! # Sources
//!
//! net/ipv4/tcp_input.c `tcp_conn_request`, net/ipv4/syncookies.c `cookie_v4_check` and
//! `tcp_get_cookie_sock`, net/ipv4/tcp_ipv4.c `tcp_v4_syn_recv_sock`.

use halfopen_evidence::{Netns, Reading};
use halfopen_model::Counter;

use crate::analysis::attribution::among_fact;
use crate::analysis::rises::Rises;
use crate::analysis::syn_queues::{self, SynQueueView};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts};

const ID: FindingId = FindingId::SynCookiesInUse;

/// The value of tcp_syncookies that uses cookies for every SYN.
const ALWAYS: u32 = 2;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        let queues = syn_queues::of_netns(context, netns);
        let rises = Rises::new(context, netns.id);
        let trouble = Trouble::of(&rises);
        if rises.rose(Counter::SyncookiesSent) || trouble.nowhere {
            sent(context, netns, &queues, trouble, verdicts);
        } else if let Reading::Missing(why) = rises.by(Counter::SyncookiesSent) {
            for queue in &queues {
                state(context, queue, &why, verdicts);
            }
        }
    }
}

/// What happens at the accept queues while cookies are in use.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// An accept queue overflowed.
    overflows: bool,
    /// Cookies return, the accept queue is full, and no handshake completes.
    nowhere: bool,
}

impl Trouble {
    fn of(rises: &Rises<'_, '_>) -> Self {
        let overflows = rises.rose(Counter::ListenOverflows);
        let returned = rises.rose(Counter::SyncookiesRecv);
        let none_made = rises.by(Counter::PassiveOpens).value() == Some(0);
        Self { overflows, nowhere: overflows && returned && none_made }
    }

    const fn severity(self) -> Severity {
        if self.nowhere { Severity::Failure } else { Severity::Warning }
    }

    const fn confidence(self) -> Confidence {
        if self.overflows && !self.nowhere { Confidence::Probable } else { Confidence::Certain }
    }
}

/// Cookies were sent, or came back to a full accept queue.
fn sent<'a>(
    context: &Context<'a>,
    netns: &'a Netns,
    queues: &[SynQueueView<'a>],
    trouble: Trouble,
    verdicts: &mut Verdicts,
) {
    let rises = Rises::new(context, netns.id);
    let mut evidence = rises.risen(&[
        Counter::SyncookiesSent,
        Counter::SyncookiesRecv,
        Counter::SyncookiesFailed,
        Counter::TcpReqQFullDoCookies,
    ]);
    if trouble.overflows {
        evidence.extend(rises.fact(Counter::ListenOverflows));
    }
    let nowhere = trouble.nowhere;
    let (severity, confidence) = (trouble.severity(), trouble.confidence());
    let suspects = suspects(queues, trouble);
    if suspects.is_empty() {
        evidence.push(among_fact(queues));
        let subject = Subject::netns(netns);
        verdicts.find(finding(netns, subject, severity, confidence, nowhere, evidence));
        return;
    }
    for queue in suspects {
        let evidence = evidence.iter().cloned().chain(queue.facts()).collect();
        let subject = queue.subject(context);
        let mut finding = finding(netns, subject, severity, confidence, nowhere, evidence);
        if queue.now() > 0 {
            finding.cause.push_str("; ");
            finding.cause.push_str(queue.pattern().sentence());
        }
        verdicts.find(finding);
        queue.want_holders(verdicts);
    }
}

/// The listeners that the cookies were for; none if that cannot be told.
fn suspects<'q, 'a>(queues: &'q [SynQueueView<'a>], trouble: Trouble) -> Vec<&'q SynQueueView<'a>> {
    let dropped = |queue: &&SynQueueView<'_>| queue.drops.value().is_some_and(|drops| drops > 0);
    let mut dropping = queues.iter().filter(dropped);
    let only_one = match (dropping.next(), dropping.next()) {
        (Some(only), None) if trouble.overflows => Some(only),
        _ => None,
    };
    let full = queues.iter().filter(|queue| {
        queue.may_have_been_full() || (trouble.overflows && queue.accept_queue_was_full())
    });
    let full: Vec<_> = full.collect();
    match (only_one, full.as_slice(), queues) {
        // Of several that may be meant, the one whose accept queue overflowed.
        (Some(only), [] | [_, _, ..], _) => vec![only],
        (None, [], [alone]) => vec![alone],
        _ => full,
    }
}

/// The counters are not known: judges by the state of the queue.
fn state(
    context: &Context<'_>,
    queue: &SynQueueView<'_>,
    why: &halfopen_evidence::Missing,
    verdicts: &mut Verdicts,
) {
    if queue.now() == 0 || queue.accept_queue_is_full() || queue.is_full().value() != Some(true) {
        return;
    }
    match &queue.netns.sysctls.tcp_syncookies {
        Reading::Known(0) => {}
        Reading::Known(_) if context.interval().is_some() => {
            let why = format!("the SYN queue is full; SyncookiesSent {why}");
            verdicts.undetermined(ID, queue.subject(context), why);
        }
        Reading::Known(_) => {
            let subject = queue.subject(context);
            let confidence = Confidence::Probable;
            let severity = Severity::Warning;
            verdicts.find(finding(
                queue.netns,
                subject,
                severity,
                confidence,
                false,
                queue.facts(),
            ));
            queue.want_holders(verdicts);
        }
        Reading::Missing(why) => {
            let why = format!("the SYN queue is full; net.ipv4.tcp_syncookies {why}");
            verdicts.undetermined(ID, queue.subject(context), why);
        }
    }
}

fn finding(
    netns: &Netns,
    subject: Subject,
    severity: Severity,
    confidence: Confidence,
    nowhere: bool,
    evidence: Vec<Fact>,
) -> Finding {
    let always = netns.sysctls.tcp_syncookies.value() == Some(ALWAYS);
    let (headline, cause) = match (nowhere, always) {
        (true, _) => (
            "SYN cookies return to a full accept queue: clients are connected to nothing",
            "the SYN queue was full, so handshakes were answered with cookies; the accept queue is full too, so the clients' ACKs are dropped: such a client believes that it is connected, and the server keeps nothing of it",
        ),
        (false, true) => (
            "every SYN is answered with a cookie: tcp_syncookies is 2",
            "net.ipv4.tcp_syncookies is 2, a setting for tests that uses cookies although the SYN queue has room",
        ),
        (false, false) => (
            "SYN queue is full; SYNs are answered with SYN cookies",
            "more handshakes are under way than the SYN queue has room for, so the kernel answers without keeping a request; clients still get through",
        ),
    };
    let mut remedies = Vec::new();
    if nowhere {
        remedies.push(
            "make the program accept: see the findings about this listener's accept queue"
                .to_owned(),
        );
    }
    if always {
        remedies
            .push("set net.ipv4.tcp_syncookies to 1: cookies only when they are needed".to_owned());
    } else {
        remedies.push("look at the addresses in SYN_RECV: ss -nt state syn-recv".to_owned());
        remedies.push(
            "if they are real clients, raise the backlog and net.core.somaxconn and restart the program"
                .to_owned(),
        );
    }
    let mut useless = vec![
        "turning cookies off: SYNs that do not fit would be dropped".to_owned(),
        "raising net.ipv4.tcp_max_syn_backlog: it has no effect while cookies are on (Linux 4.4 and later)".to_owned(),
    ];
    if nowhere {
        useless.insert(0, "SYN cookies: they do not help a full accept queue".to_owned());
    }
    Finding {
        id: ID,
        severity,
        subject,
        headline: headline.to_owned(),
        cause: cause.to_owned(),
        evidence,
        confidence,
        refuted_by: "a window under the same load in which SyncookiesSent stays the same"
            .to_owned(),
        remedies,
        useless,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing};

    use super::*;
    use crate::SubjectKind;
    use crate::fixture::{Scene, endpoint, listener, requests};

    fn half_open(port: u16, count: u32) -> Endpoint {
        let socket = listener(u64::from(port), 0, 5);
        let mut endpoint = endpoint(&format!("0.0.0.0:{port}"), [socket]);
        endpoint.syn_recv = requests(&[0, count], 1);
        endpoint
    }

    #[test]
    fn cookies_are_a_warning_about_the_listener_whose_queue_is_full() {
        let scene = Scene::window()
            .endpoint(half_open(80, 6))
            .endpoint(half_open(81, 0))
            .rise(Counter::TcpReqQFullDoCookies, 40)
            .rise(Counter::SyncookiesSent, 40)
            .rise(Counter::SyncookiesRecv, 3);
        assert_eq!(scene.clone().ids(), [ID]);
        let finding = scene.finding(ID);
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.subject.kind.to_string(), "*:80");
    }

    #[test]
    fn cookies_that_return_to_a_full_accept_queue_are_connections_to_nothing() {
        let mut endpoint = half_open(80, 1);
        endpoint.listeners[0].depth = 6;
        let finding = Scene::window()
            .endpoint(endpoint)
            .rise(Counter::SyncookiesRecv, 4)
            .rise(Counter::ListenOverflows, 4)
            .rise(Counter::ListenDrops, 4)
            .finding(ID);
        assert_eq!(finding.severity, Severity::Failure);
        assert!(finding.useless[0].contains("do not help a full accept queue"));
    }

    #[test]
    fn a_busy_server_whose_small_queue_overflows_has_a_warning_at_the_most() {
        let crowd = |sent| {
            let before = half_open(80, 0);
            let mut after = before.clone();
            after.listeners[0].drops = Reading::Known(9);
            (81..93)
                .fold(Scene::window().endpoint_changing(before, after), |scene, port| {
                    scene.endpoint(half_open(port, 0))
                })
                .rise(Counter::SyncookiesSent, sent)
                .rise(Counter::SyncookiesRecv, 40)
                .rise(Counter::ListenOverflows, 9)
                .rise(Counter::PassiveOpens, 400)
        };
        assert!(crowd(0).is_silent_about(ID));
        let finding = crowd(30).finding(ID);
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.confidence, Confidence::Probable);
        assert_eq!(finding.subject.kind.to_string(), "*:80");
    }

    #[test]
    fn cookies_for_every_syn_are_a_setting() {
        let finding = Scene::window()
            .netns(|netns| netns.sysctls.tcp_syncookies = Reading::Known(ALWAYS))
            .endpoint(half_open(80, 0))
            .endpoint(half_open(81, 0))
            .rise(Counter::SyncookiesSent, 4)
            .finding(ID);
        assert!(finding.headline.contains("tcp_syncookies is 2"));
        assert_eq!(finding.subject.kind, SubjectKind::Netns);
    }

    #[test]
    fn cookies_that_were_sent_before_the_window_are_silent() {
        let scene = Scene::window().endpoint(half_open(80, 3)).rise(Counter::SyncookiesRecv, 1);
        assert!(scene.is_silent_about(ID));
        assert!(Scene::now().endpoint(half_open(80, 5)).is_silent_about(ID));
    }

    #[test]
    fn a_full_queue_without_counters_is_undetermined() {
        let diagnosis = Scene::window()
            .netns(|netns| netns.counters = Missing::needs("root").into())
            .endpoint(half_open(80, 6))
            .diagnose();
        assert!(diagnosis.undetermined.iter().any(|undetermined| undetermined.id == ID));
        assert!(diagnosis.findings.is_empty());
    }
}
