//! # What it sees
//! Connections are being accepted, and the accept queue overflows all the same: the kernel refuses
//! SYNs or third ACKs at this listener while others are served.
//!
//! # Why it happens
//! For as long as connections arrive faster than `accept()` takes them, the queue grows, and it
//! holds one more than its limit. A burst overflows a short queue even where the program is fast
//! enough on average: a reconnect storm after a restart, a crowd at the full hour. Or the program
//! is too slow for good: it does long work between two accepts, has too few workers, or too little
//! CPU. Clients notice connect times of a whole second or more, since a refused SYN is sent again
//! after one second; with kernels before 4.10, or in a burst, they can also be told that they are
//! connected and then get no answer.
//!
//! # How sure
//! Certain where the queue was seen to fall and the listener's own drops rose. Where the kernel
//! does not count drops per listener, or accepts are known only for the whole namespace, it says so
//! and is less sure.
//!
//! # What to do
//! Accept faster: a loop that accepts until EAGAIN, a thread that does nothing else, work handed to
//! others, more processes with SO_REUSEPORT. For bursts, make the queue hold them: both the
//! argument of `listen()` and `net.core.somaxconn` must allow it, and the program must call
//! `listen()` again (restart). The finding gives the size that this burst needed.
//!
//! # What not to do
//! A larger queue is no help against a server that is too slow for good: it fills as well, and
//! those who wait in it wait longer, often longer than they are willing to. SYN cookies are no help
//! against a full accept queue.
//!
//! # Sources
//! - `net/ipv4/tcp_input.c tcp_conn_request`: a SYN is dropped if `sk_acceptq_is_full`
//! - `net/ipv4/tcp_ipv4.c tcp_v4_syn_recv_sock`: so is a third ACK
//! - `include/net/sock.h sk_acceptq_is_full`: the queue holds one more than its limit

use halfopen_evidence::Interval;
use halfopen_model::Counter;

use crate::analysis::accepting::Accepting;
use crate::analysis::overflow::{self, Overflow};
use crate::analysis::stall_report;
use crate::words::{bounds, count, duration, rate};
use crate::{
    Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Subject, Verdicts,
};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    let Some(interval) = context.interval() else { return };
    for view in context.listeners() {
        let Some(overflow) = Overflow::of(context, view) else {
            if overflow::is_untold(context, view) && context.accepting(view).stalled().is_none() {
                let why = "its accept queue was full, and kernels before 3.10 do not count the \
                           SYNs that they refuse";
                verdicts.undetermined(FindingId::AcceptTooSlow, view.subject(), why);
            }
            continue;
        };
        let accepted = interval.accepted(view.netns.id).value();
        let confidence = match context.accepting(view) {
            Accepting::Stalled(_) => continue,
            Accepting::Taking if view.drops(context).get().is_some() => Confidence::Certain,
            Accepting::Taking => Confidence::Probable,
            Accepting::Unremarkable | Accepting::Unclear { .. } => match accepted {
                Some(0) => continue,
                Some(_) if view.is_alone() => Confidence::Probable,
                Some(_) => Confidence::Possible,
                None => {
                    let why = "it overflowed, and whether it accepts could not be told";
                    verdicts.undetermined(FindingId::AcceptTooSlow, view.subject(), why);
                    continue;
                }
            },
        };
        verdicts.find(finding(context, view, interval, overflow, accepted, confidence));
    }
    for netns in &context.latest().netns {
        if overflow::is_nobodys(context, netns.id) {
            let why = "ListenOverflows rose, no accept queue was seen full, and this kernel does \
                       not count drops per listener";
            verdicts.undetermined(FindingId::AcceptTooSlow, Subject::netns(netns), why);
        }
    }
}

fn finding(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    interval: &Interval,
    overflow: Overflow,
    accepted: Option<u64>,
    confidence: Confidence,
) -> Finding {
    let (fewest, most) = backlog_needed(view, interval, overflow);
    let refused = overflow.segments;
    let size = format!("a backlog of {}", bounds(&fewest, &most));
    Finding {
        id: FindingId::AcceptTooSlow,
        // A refused SYN is sent again, so most clients of a small burst get in, only later.
        severity: if accepted.is_some_and(|accepted| accepted > refused) {
            Severity::Warning
        } else {
            Severity::Failure
        },
        subject: view.subject(),
        headline: format!(
            "accepts too slowly; {} refused in {}, room for {}",
            count(refused, "segment"),
            duration(interval.elapsed_ms()),
            view.listener.accept_queue().room()
        ),
        cause:
            "connections arrive faster than the program accepts them, so the accept queue fills \
                and the kernel refuses the rest; their clients try again after a second or more"
                .to_owned(),
        evidence: facts(context, view, interval, overflow),
        confidence,
        refuted_by: "no rise of ListenOverflows while the arrival rate stays the same".to_owned(),
        remedies: vec![
            "accept faster: accept until EAGAIN, give accepting a thread of its own, add workers"
                .to_owned(),
            format!(
                "if it comes in bursts, let the queue hold them: {size} in listen() and \
                 net.core.somaxconn at least as large, then restart the program"
            ),
        ],
        useless: vec![
            "a larger backlog, if connections arrive faster than they are accepted for good"
                .to_owned(),
            "SYN cookies: they replace the SYN queue, not the accept queue".to_owned(),
        ],
    }
}

/// The backlog that this burst would have needed, at least and at most: each refused client needs
/// one place, and the refused segments are SYNs that clients may have repeated.
fn backlog_needed(view: &ListenerView<'_>, interval: &Interval, overflow: Overflow) -> (u64, u64) {
    let limit = u64::from(view.listener.limit);
    let fewest = overflow.fewest_clients(interval.elapsed_ms());
    (limit.saturating_add(fewest), limit.saturating_add(overflow.segments))
}

fn facts(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    interval: &Interval,
    overflow: Overflow,
) -> Vec<Fact> {
    let ms = interval.elapsed_ms();
    let limit = view.listener.limit;
    let longest = view.longest();
    let whose = if view.is_alone() { "" } else { " in the whole namespace" };
    let longest_text = format!("accept queue up to {longest}/{limit} in {}", duration(ms));
    let mut facts = vec![Fact::number("accept-queue-depth", longest, longest_text)];
    if let Some(track) = view.track
        && track.full > 0
    {
        let text = format!("full in {} of {}", track.full, count(track.samples, "sample"));
        facts.push(Fact::number("samples-full", track.full, text));
    }
    if let Some(made) = context.rise(view.netns.id, Counter::PassiveOpens).known() {
        let least = made.saturating_add(overflow.fewest_clients(ms));
        let most = made.saturating_add(overflow.segments);
        let per_second = bounds(&rate(least, ms), &rate(most, ms));
        let text = format!("{per_second} connections/s arrived{whose}");
        facts.push(Fact::number("arrived", least, text));
    }
    if let Some(accepted) = interval.accepted(view.netns.id).known() {
        let text = format!("{} accepted/s{whose}", rate(accepted, ms));
        facts.push(Fact::number("accepted", accepted, text));
    }
    facts.extend(stall_report::refusals(context, view));
    let gone = view.endpoint.never_accepted.close_wait;
    if gone > 0 {
        let text = format!("{gone} of those that wait have been closed by their clients");
        facts.push(Fact::number("given-up", gone, text));
    }
    let (fewest, most) = backlog_needed(view, interval, overflow);
    let needed = format!("this burst needed a backlog of {}", bounds(&fewest, &most));
    facts.push(Fact::number("backlog-needed", most, needed));
    facts
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing, Reading};

    use super::*;
    use crate::fixture::{Scene, endpoint, listener};

    fn queue(depth: u32, drops: u32) -> Endpoint {
        let mut queue = endpoint("0.0.0.0:8080", [listener(1, depth, 5)]);
        queue.listeners[0].drops = Reading::Known(drops);
        queue
    }

    fn overflowing() -> Scene {
        Scene::window()
            .endpoint_changing(queue(2, 0), queue(2, 12))
            .track(1, 1, 6, 7)
            .rise(Counter::ListenOverflows, 12)
    }

    #[test]
    fn overflow_while_connections_are_taken_is_too_slow() {
        let finding =
            overflowing().rise(Counter::PassiveOpens, 40).finding(FindingId::AcceptTooSlow);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.remedies[1].contains("a backlog of 9 to 17"), "{:?}", finding.remedies);
        let texts: Vec<&str> = finding.evidence.iter().map(|fact| fact.text.as_str()).collect();
        assert!(texts.contains(&"20 accepted/s"), "{texts:?}");
    }

    #[test]
    fn more_refused_than_accepted_is_a_failure() {
        let finding =
            overflowing().rise(Counter::PassiveOpens, 4).finding(FindingId::AcceptTooSlow);
        assert_eq!(finding.severity, Severity::Failure);
    }

    #[test]
    fn a_queue_that_fills_and_drains_without_overflow_is_healthy() {
        let busy = Scene::window()
            .endpoint_changing(queue(2, 0), queue(0, 0))
            .track(1, 0, 6, 7)
            .rise(Counter::PassiveOpens, 400);
        assert_eq!(busy.ids(), []);
    }

    #[test]
    fn without_accepts_it_is_another_finding() {
        let stands = Scene::window()
            .endpoint_changing(queue(6, 0), queue(6, 12))
            .rise(Counter::ListenOverflows, 12);
        assert!(stands.is_silent_about(FindingId::AcceptTooSlow));
    }

    #[test]
    fn before_linux_3_10_a_queue_that_was_full_may_have_refused_syns() {
        let of = |release: &str, full| {
            let mut scene =
                Scene::window().endpoint(queue(2, 0)).track(1, 1, if full { 6 } else { 5 }, 7);
            for look in [&mut scene.first, &mut scene.second] {
                look.host.kernel_release = release.to_owned();
            }
            let undetermined = scene.diagnose().undetermined;
            undetermined.iter().any(|entry| entry.id == FindingId::AcceptTooSlow)
        };
        assert!(of("3.2.0", true));
        assert!(!of("3.2.0", false));
        assert!(!of("3.16.0", true));
    }

    #[test]
    fn before_linux_4_7_an_overflow_that_is_nobodys_is_not_passed_over() {
        let uncounted = |at: &str, cookie| {
            let mut queue = endpoint(at, [listener(cookie, 2, 5)]);
            queue.listeners[0].drops = Missing::NotOnThisKernel.into();
            queue
        };
        let of = |overflows| {
            let scene = Scene::window()
                .endpoint(uncounted("0.0.0.0:8080", 1))
                .endpoint(uncounted("0.0.0.0:9090", 2))
                .rise(Counter::ListenOverflows, overflows)
                .rise(Counter::PassiveOpens, 40);
            let undetermined = scene.diagnose().undetermined;
            undetermined.iter().any(|entry| entry.id == FindingId::AcceptTooSlow)
        };
        assert!(of(3));
        assert!(!of(0));
    }

    #[test]
    fn made_up_figures_overflow_nothing() {
        let huge = overflowing()
            .netns(|netns| {
                for counter in [Counter::PassiveOpens, Counter::ListenOverflows] {
                    netns.counters.get_mut().expect("counters").set(counter, 0);
                }
            })
            .rise(Counter::PassiveOpens, u64::MAX)
            .rise(Counter::ListenOverflows, u64::MAX)
            .netns(|netns| {
                for endpoint in netns.endpoints.get_mut().into_iter().flatten() {
                    let socket = &mut endpoint.listeners[0];
                    (socket.limit, socket.drops) = (u32::MAX - 1, Missing::NotOnThisKernel.into());
                }
            })
            .track(1, 1, u32::MAX, 7);
        assert!(!huge.is_silent_about(FindingId::AcceptTooSlow));
    }

    #[test]
    fn without_counters_nothing_is_said() {
        let blind = overflowing().netns(|netns| netns.counters = Missing::needs("root").into());
        assert!(blind.is_silent_about(FindingId::AcceptTooSlow));
    }
}
