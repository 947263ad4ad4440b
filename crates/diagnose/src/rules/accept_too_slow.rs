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

use crate::analysis::overflow;
use crate::analysis::too_slow::{self, TooSlow};
use crate::words::bounds;
use crate::{Context, Fact, Finding, FindingId, ListenerView, Subject, Verdicts};

const ID: FindingId = FindingId::AcceptTooSlow;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for view in context.listeners() {
        match too_slow::judge(context, view) {
            Ok(Some(slow)) if slow.starved.is_none() => {
                verdicts.find(finding(context, view, &slow));
            }
            Ok(_) => {}
            Err(why) => verdicts.undetermined(ID, view.subject(), why),
        }
    }
    for netns in &context.latest().netns {
        if overflow::is_nobodys(context, netns.id) {
            let why = "ListenOverflows rose, no accept queue was seen full, and this kernel does \
                       not count drops per listener";
            verdicts.undetermined(ID, Subject::netns(netns), why);
        }
    }
}

fn finding(context: &Context<'_>, view: &ListenerView<'_>, slow: &TooSlow) -> Finding {
    let (fewest, most) = slow.backlog_needed(context, view);
    let size = format!("a backlog of {}", bounds(&fewest, &most));
    let mut evidence = slow.facts(context, view);
    evidence.push(Fact::number("backlog-needed", most, format!("this burst needed {size}")));
    Finding {
        id: ID,
        severity: slow.severity(),
        subject: view.subject(),
        headline: slow.headline(context, view),
        cause:
            "connections arrive faster than the program accepts them, so the accept queue fills \
                and the kernel refuses the rest; their clients try again after a second or more"
                .to_owned(),
        evidence,
        confidence: slow.confidence,
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

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing, Reading};
    use halfopen_model::Counter;

    use super::*;
    use crate::fixture::{Scene, endpoint, listener};
    use crate::{Confidence, Severity};

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
