//! # What it sees
//! `net.ipv4.tcp_abort_on_overflow` is 1, an accept queue overflowed, and the kernel reset
//! requests: `ListenOverflows` and `EmbryonicRsts` rose.
//!
//! In a capture: the server's reset comes right after the client's ACK, before any data.
//!
//! # Why it happens
//! Without the setting, the kernel ignores a third ACK that meets a full accept queue, and takes
//! the connection when the client or the kernel tries again and there is room. With it, the kernel
//! answers by a reset: `connect()` has succeeded, and the first read or write fails with
//! ECONNRESET. It turns a short delay into an error. A SYN that meets a full queue is dropped in
//! silence with either setting, so clients that come one after another still time out.
//!
//! # How sure
//! Probable: clients that reset their own half-open connections raise `EmbryonicRsts` too. From a
//! capture also probable if there are three, possible otherwise: a program that accepts and closes with
//! unread data, or with SO_LINGER 0, resets as well, though seldom so soon.
//!
//! # What to do
//! Remedy the overflow: see the finding on the listener. Set `net.ipv4.tcp_abort_on_overflow=0`,
//! unless clients are better served by a fast error than by a late answer.
//!
//! # What not to do
//! The setting does not relieve the server: what overflows is the same. Searching the network for
//! who sends the resets leads nowhere: the server's own kernel does.
//!
//! # Sources
//! - `net/ipv4/tcp_minisocks.c tcp_check_req`, label `listen_overflow`:
//!   `sysctl_tcp_abort_on_overflow` leads to `embryonic_reset`, which counts EmbryonicRsts
//! - `net/ipv4/tcp_input.c tcp_conn_request`: a dropped SYN is not answered

use halfopen_evidence::{Netns, Outcome, WatchedListener};
use halfopen_model::Counter;

use crate::analysis::overflow::Overflow;
use crate::analysis::watched::{self, Share};
use crate::words::count;
use crate::{
    Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Subject, Verdicts,
};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for netns in &context.latest().netns {
        if netns.sysctls.tcp_abort_on_overflow.value().unwrap_or(0) == 0 {
            continue;
        }
        let rise = |counter| context.rise(netns.id, counter).known().unwrap_or(0);
        let (resets, overflows) = (rise(Counter::EmbryonicRsts), rise(Counter::ListenOverflows));
        if resets > 0 && overflows > 0 {
            verdicts.find(finding(subject(context, netns), resets, overflows));
        }
    }
}

pub(crate) fn watched(listener: &WatchedListener, verdicts: &mut Verdicts) {
    const SELDOM: u32 = 3;
    let Some(reset) = Share::of(listener, |it| it == Outcome::ResetAfterAck) else { return };
    let mut evidence =
        vec![reset.fact("reset-after-ack", "reset by the server right after the ACK")];
    evidence.extend(watched::facts(listener));
    let port = listener.server.port();
    verdicts.find(Finding {
        id: FindingId::OverflowReset,
        severity: reset.severity(),
        subject: watched::subject(listener),
        headline: format!("{} reset by the server as soon as acknowledged", reset.words()),
        cause: "the server resets connections that find no room in the accept queue, as with \
                tcp_abort_on_overflow: clients are told that they are connected, and then get \
                ECONNRESET"
            .to_owned(),
        evidence,
        confidence: if reset.count >= SELDOM { Confidence::Probable } else { Confidence::Possible },
        refuted_by:
            "net.ipv4.tcp_abort_on_overflow = 0 on the server: then its program resets them"
                .to_owned(),
        remedies: vec![
            format!(
                "on the server, while it lasts: halfopen check 'sport = :{port}' says why the \
                 queue is full"
            ),
            "without it: sysctl net.ipv4.tcp_abort_on_overflow; nstat -az TcpExtListenOverflows \
             TcpExtEmbryonicRsts"
                .to_owned(),
        ],
        useless: vec!["a larger client time-out: the reset comes at once".to_owned()],
    });
}

/// The listener that overflowed, or the namespace if it was not exactly one.
fn subject(context: &Context<'_>, netns: &Netns) -> Subject {
    let overflowed = |view: &&ListenerView<'_>| {
        view.netns.id == netns.id && Overflow::of(context, view).is_some()
    };
    let mut overflowed = context.listeners().iter().filter(overflowed);
    match (overflowed.next(), overflowed.next()) {
        (Some(view), None) => view.subject(),
        _ => Subject::netns(netns),
    }
}

fn finding(subject: Subject, resets: u64, overflows: u64) -> Finding {
    Finding {
        id: FindingId::OverflowReset,
        severity: Severity::Failure,
        subject,
        headline: format!("{} reset because an accept queue was full", count(resets, "connection")),
        cause: "tcp_abort_on_overflow makes the kernel reset connections that find no room in the \
                accept queue: clients are told that they are connected, and then get ECONNRESET"
            .to_owned(),
        evidence: vec![
            Fact::number("tcp_abort_on_overflow", 1_u32, "net.ipv4.tcp_abort_on_overflow = 1"),
            Fact::number(
                "EmbryonicRsts",
                resets,
                format!("EmbryonicRsts +{resets} in the whole namespace"),
            ),
            Fact::number(
                "ListenOverflows",
                overflows,
                format!("ListenOverflows +{overflows} in the whole namespace"),
            ),
        ],
        confidence: Confidence::Probable,
        refuted_by: "resets that the clients sent themselves, seen in a capture".to_owned(),
        remedies: vec![
            "remedy the overflow: see the finding on the listener".to_owned(),
            "sysctl net.ipv4.tcp_abort_on_overflow=0, so that a short overflow costs a delay and \
             no error"
                .to_owned(),
        ],
        useless: vec![
            "looking for the sender of the resets in the network: it is this kernel".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, Reading};

    use super::*;
    use crate::SubjectKind;
    use crate::fixture::{Scene, endpoint, listener, watched_listener};

    fn scene(abort: u32, resets: u64, overflows: u64) -> Scene {
        let queue = |drops| {
            let mut queue = endpoint("0.0.0.0:8080", [listener(1, 6, 5)]);
            queue.listeners[0].drops = Reading::Known(drops);
            queue
        };
        Scene::window()
            .netns(|netns| netns.sysctls.tcp_abort_on_overflow = Reading::Known(abort))
            .endpoint_changing(queue(0), queue(u32::try_from(overflows).expect("few")))
            .rise(Counter::EmbryonicRsts, resets)
            .rise(Counter::ListenOverflows, overflows)
    }

    #[test]
    fn resets_on_overflow_are_laid_to_the_setting_and_the_listener() {
        let finding = scene(1, 4, 9).finding(FindingId::OverflowReset);
        assert!(matches!(finding.subject.kind, SubjectKind::Listener { .. }));
        assert_eq!(finding.headline, "4 connections reset because an accept queue was full");
    }

    #[test]
    fn the_setting_alone_resets_alone_and_overflow_alone_are_silent() {
        for quiet in [scene(1, 0, 9), scene(1, 4, 0), scene(0, 4, 9)] {
            assert!(quiet.is_silent_about(FindingId::OverflowReset));
        }
    }

    #[test]
    fn resets_in_a_capture_become_probable_with_their_number() {
        let confidence = |count| {
            let seen = watched_listener(&[(Outcome::ResetAfterAck, count)]);
            seen.finding(FindingId::OverflowReset).confidence
        };
        assert_eq!((confidence(1), confidence(3)), (Confidence::Possible, Confidence::Probable));
        let refused = watched_listener(&[(Outcome::Refused, 5)]);
        assert!(refused.is_silent_about(FindingId::OverflowReset));
    }

    #[test]
    fn an_unread_setting_gives_no_finding() {
        let unread = scene(1, 4, 9)
            .netns(|netns| netns.sysctls.tcp_abort_on_overflow = Missing::needs("root").into());
        assert!(unread.is_silent_about(FindingId::OverflowReset));
    }
}
