//! # What it sees
//! Connections wait in a listener's accept queue and none was taken over the window (or, at a
//! single look, the oldest has waited for more than a second), and why is not established.
//!
//! # Why it happens
//! The kernel completes handshakes by itself; only the program's `accept()` takes connections out
//! of the queue. This finding is made when it does not and the reason could not be seen: the
//! processes that hold the listener could not be found or read, or a thread does wait for the
//! listener and takes nothing all the same. The latter is typical of edge-triggered event loops
//! (Go, Rust's tokio, Java's netty): the loop was told of the connections when they came and has
//! passed the news on, and the task or goroutine that should accept is stuck somewhere that no
//! thread shows.
//!
//! # How sure
//! That nothing is accepted is certain over a window: the queue is first in, first out, and the
//! connections that waited at the first look still wait at the second. At a single look it is a
//! suspicion: a server that is merely slow looks the same.
//!
//! # What to do
//! Give the tool the privilege that the finding names and look again, over a window. If the
//! program's event loop waits for the listener, take the dump that its runtime offers (goroutines,
//! tasks, a thread dump) and look for the code that accepts.
//!
//! # What not to do
//! A larger backlog only lets more clients wait.
//!
//! # Sources
//! - `include/net/request_sock.h reqsk_queue_remove`: first in, first out
//! - `net/ipv4/tcp_minisocks.c`: a connection that is reset while it waits keeps its place
//! - epoll(7): edge-triggered registrations report a change once

use halfopen_evidence::{HolderSearch, Holders, Reading};

use crate::analysis::accepting::Accepting;
use crate::analysis::cause::{StallCause, Unknown};
use crate::analysis::stall_report::{self, Told};
use crate::{Confidence, Context, Fact, FindingId, ListenerView, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for view in context.listeners() {
        let id = FindingId::AcceptStalled;
        match context.accepting(view) {
            Accepting::Unclear { why } => {
                let why = format!("the accept queue is full, and {why}");
                verdicts.undetermined(id, view.subject(), why);
            }
            Accepting::Stalled(stalled) => {
                if let StallCause::Unknown(unknown) = &stalled.cause {
                    let told = tell(view, unknown);
                    verdicts.find(stall_report::finding(id, context, view, stalled, told));
                }
            }
            Accepting::Unremarkable | Accepting::Taking => {}
        }
    }
}

fn tell(view: &ListenerView<'_>, unknown: &Unknown) -> Told {
    let (cause, fact, remedies) = match unknown {
        Unknown::NoHolder { why } => (
            format!(
                "nobody takes connections from the listener, and who should is not known: {why}"
            ),
            Fact::words("holders", why.clone()),
            see_more(view),
        ),
        Unknown::Unseen { why } => (
            format!("nobody takes connections from the listener, and why was not seen: {why}"),
            Fact::words("threads", why.clone()),
            see_more(view),
        ),
        Unknown::EdgeTriggered(doing) => (
            format!(
                "{} waits for the listener in an edge-triggered epoll set: it was told of these \
                 connections when they came, and the code that should accept them does not",
                doing.thread
            ),
            Fact::words("thread", format!("{} {doing}", doing.thread)),
            vec![
                "take the dump that the program's runtime offers (goroutines, async tasks, \
                 threads) and look for the code that accepts"
                    .to_owned(),
                "restart it, if that must wait".to_owned(),
            ],
        ),
        Unknown::AboutToWake(doing) => (
            format!(
                "{} waits for the listener and has not been woken for the connections that wait: \
                 it may have begun to wait this moment",
                doing.thread
            ),
            Fact::words("thread", format!("{} {doing}", doing.thread)),
            vec!["look again, over a longer window".to_owned()],
        ),
    };
    Told {
        cause,
        confidence: Confidence::Certain,
        evidence: vec![fact],
        refuted_by: "an accept in the next window".to_owned(),
        remedies,
        useless: Vec::new(),
    }
}

fn see_more(view: &ListenerView<'_>) -> Vec<String> {
    let restricted = !matches!(
        &view.listener.holders,
        Reading::Known(Holders { found, search: HolderSearch::Everywhere }) if !found.is_empty()
    );
    let port = view.endpoint.key.local.port();
    let look = if restricted {
        format!("look again as root in the host's pid namespace: halfopen check :{port}")
    } else {
        format!("look again as root: halfopen check :{port}")
    };
    vec![
        look,
        "see whether the program that should listen there runs, and what its log says".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, Pid, Via, Want};

    use super::*;
    use crate::fixture::{
        NETNS, Scene, endpoint, held, in_epoll, in_futex, inode, listener, process, thread,
        waiting_for,
    };

    fn queue(depth: u32) -> halfopen_evidence::Endpoint {
        endpoint("0.0.0.0:8080", [held(listener(1, depth, 4096), &[812])])
    }

    fn go(via: Via) -> Scene {
        let polls = waiting_for(thread(813, "app", in_epoll()), inode(1), via);
        Scene::window()
            .endpoint(queue(9))
            .process(process(812, [thread(812, "app", in_futex()), polls]))
    }

    #[test]
    fn an_edge_triggered_waiter_over_a_standing_queue_is_explained() {
        let finding = go(Via::EpollEdge).finding(FindingId::AcceptStalled);
        assert!(finding.cause.contains("edge-triggered"), "{}", finding.cause);
        assert_eq!(finding.headline, "accepts nothing; 9 connections wait, room for 4097");
    }

    #[test]
    fn a_level_triggered_waiter_is_left_open() {
        let finding = go(Via::EpollLevel).finding(FindingId::AcceptStalled);
        assert!(finding.cause.contains("this moment"), "{}", finding.cause);
    }

    #[test]
    fn an_edge_triggered_server_that_accepts_is_silent() {
        assert_eq!(go(Via::EpollEdge).track(1, 0, 9, 4).ids(), []);
    }

    #[test]
    fn a_suspect_is_asked_about_step_by_step() {
        let unknown = Scene::window().endpoint(endpoint("0.0.0.0:8080", [listener(1, 9, 128)]));
        let wants = unknown.diagnose().wants;
        let holders = Want::Holders { netns: NETNS, inodes: vec![inode(1)] };
        assert_eq!(wants.into_iter().collect::<Vec<_>>(), [holders]);
        let wants = Scene::window().endpoint(queue(9)).diagnose().wants;
        assert_eq!(wants.into_iter().collect::<Vec<_>>(), [Want::Process { pid: Pid(812) }]);
    }

    #[test]
    fn what_may_not_be_read_is_said_and_not_asked_for_again() {
        let mut hidden = endpoint("0.0.0.0:8080", [listener(1, 9, 128)]);
        hidden.listeners[0].holders = Missing::needs("root").into();
        let diagnosis = Scene::window().endpoint(hidden).diagnose();
        assert_eq!(diagnosis.wants.len(), 0);
        let cause = &diagnosis.findings[0].cause;
        assert!(cause.contains("not permitted (needs root)"), "{cause}");
    }

    #[test]
    fn one_look_only_suspects() {
        let scene = Scene::now().endpoint(queue(9));
        let finding = scene.finding(FindingId::AcceptStalled);
        assert_eq!(finding.confidence, Confidence::Probable);
        assert!(finding.headline.starts_with("seems to"), "{}", finding.headline);
    }

    #[test]
    fn a_full_queue_of_unknown_age_is_undetermined() {
        let mut full = endpoint("0.0.0.0:8080", [listener(1, 6, 5)]);
        for waiting in &mut full.never_accepted.waiting {
            waiting.age_ms = Missing::NotOnThisKernel.into();
        }
        let diagnosis = Scene::now().endpoint(full).diagnose();
        assert_eq!(diagnosis.findings, []);
        assert_eq!(diagnosis.undetermined[0].id, FindingId::AcceptStalled);
    }
}
