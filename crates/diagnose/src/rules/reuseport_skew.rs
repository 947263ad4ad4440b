//! # What it sees
//! Several sockets listen on one address and port (SO_REUSEPORT). The accept queue of one is full
//! or stands still, while others are empty.
//!
//! # Why it happens
//! The kernel picks the socket of a group by a hash of the connection's addresses and ports, not by
//! which queue has room, and never moves a connection that met a full one. So one stuck or slow
//! worker turns away its share of the clients, one in four if there are four, while the others are
//! idle; and a client that tries again from the same port meets the same worker. Seen from outside,
//! some clients fail and others are served at once. Totals per port look healthy.
//!
//! # How sure
//! Certain where the socket stands; the figures are those of each socket, read at the same time.
//! Probable where it merely overflows, since a burst of long-lived clients can fall unevenly.
//!
//! # What to do
//! See to the worker that is stuck: another finding names it. Closing its socket spreads new
//! clients over the rest; with `net.ipv4.tcp_migrate_req=1` (5.14 and later) those that wait move
//! over too.
//!
//! # What not to do
//! More workers shrink the failing share and keep the fault. A larger backlog lets more clients
//! wait at the worker that does not serve them.
//!
//! # Sources
//! - `net/core/sock_reuseport.c reuseport_select_sock`: by hash, whatever the queues
//! - `net/ipv4/tcp_input.c tcp_conn_request`: the chosen socket's queue alone counts

use halfopen_evidence::{Endpoint, Netns};

use crate::analysis::overflow::Overflow;
use crate::words::{count, process_name};
use crate::{
    Confidence, Context, Fact, Finding, FindingId, ListenerView, Severity, Subject, Verdicts,
};

/// Sockets of a group that a finding lists.
const LISTED: usize = 8;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (netns, endpoint) in context.endpoints().filter(|(_, e)| e.listeners.len() >= 2) {
        let group = context.sockets_of(netns, endpoint);
        let (stuck, others): (Vec<&ListenerView<'_>>, Vec<&ListenerView<'_>>) =
            group.iter().partition(|view| is_stuck(context, view));
        if !stuck.is_empty() && others.iter().any(|view| is_idle(view)) {
            verdicts.find(finding(context, netns, endpoint, &stuck, &others));
        }
    }
}

fn is_stuck(context: &Context<'_>, view: &ListenerView<'_>) -> bool {
    let full_twice = view.listener.accept_queue().is_full()
        && view.earlier.is_some_and(|earlier| earlier.accept_queue().is_full());
    context.accepting(view).stalled().is_some()
        || full_twice
        || (view.was_full() && Overflow::of(context, view).is_some())
}

/// Whether the queue has been as good as empty.
fn is_idle(view: &ListenerView<'_>) -> bool {
    view.listener.depth == 0 && view.longest() <= view.listener.limit / 4
}

fn finding(
    context: &Context<'_>,
    netns: &Netns,
    endpoint: &Endpoint,
    stuck: &[&ListenerView<'_>],
    others: &[&ListenerView<'_>],
) -> Finding {
    let of = endpoint.listeners.len();
    let stands = stuck.iter().any(|view| context.accepting(view).stalled().is_some());
    let what = match (stands, stuck.len()) {
        (true, 1) => "stands still",
        (true, _) => "stand still",
        (false, 1) => "overflows",
        (false, _) => "overflow",
    };
    Finding {
        id: FindingId::ReuseportSkew,
        severity: Severity::Failure,
        subject: Subject::endpoint(netns, endpoint),
        headline: format!("{} of {of} sockets {what} while others are idle", stuck.len()),
        cause: format!(
            "each client is bound to one of the {of} sockets that share the port, whatever their \
             queues: about {} in {of} of the clients meets one that does not serve it",
            stuck.len()
        ),
        evidence: stuck
            .iter()
            .chain(others)
            .take(LISTED)
            .map(|view| Fact::number("accept-queue-depth", view.listener.depth, line(view)))
            .collect(),
        confidence: if stands { Confidence::Certain } else { Confidence::Probable },
        refuted_by: "queues of the same length at the next looks".to_owned(),
        remedies: vec![
            "see to the worker behind the full queue: the finding on that socket names it"
                .to_owned(),
            "close its socket, or restart the worker: new clients then go to the others".to_owned(),
        ],
        useless: vec![
            "more workers: they shrink the failing share and keep the fault".to_owned(),
            "a larger backlog: more clients then wait at the worker that does not serve them"
                .to_owned(),
        ],
    }
}

fn line(view: &ListenerView<'_>) -> String {
    let queue = view.listener.accept_queue();
    let holder = view.listener.holders.get().and_then(|holders| holders.found.first());
    let who = holder.map_or_else(
        || format!("socket {}", view.listener.inode),
        |holder| process_name(&holder.comm, holder.pid),
    );
    format!("{who}: {} in a queue of {}", count(queue.depth, "connection"), queue.room())
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Reading;
    use halfopen_model::Counter;

    use super::*;
    use crate::fixture::{Scene, endpoint, listener};

    fn group(depths: [u32; 4]) -> Endpoint {
        let listeners = (1..).zip(depths).map(|(cookie, depth)| listener(cookie, depth, 5));
        endpoint("0.0.0.0:8080", listeners)
    }

    #[test]
    fn one_stuck_socket_among_idle_ones_is_called_out() {
        let finding =
            Scene::window().endpoint(group([0, 6, 0, 0])).finding(FindingId::ReuseportSkew);
        assert_eq!(finding.headline, "1 of 4 sockets stands still while others are idle");
        assert_eq!(finding.evidence.len(), 4);
        assert_eq!(finding.evidence[0].text, "socket 70002: 6 connections in a queue of 6");
    }

    #[test]
    fn overflow_at_one_socket_while_it_accepts_counts_too() {
        let (before, mut after) = (group([0, 6, 0, 0]), group([0, 6, 0, 0]));
        after.listeners[1].drops = Reading::Known(5);
        let finding = Scene::window()
            .endpoint_changing(before, after)
            .track(2, 3, 6, 9)
            .rise(Counter::ListenOverflows, 5)
            .finding(FindingId::ReuseportSkew);
        assert_eq!(finding.confidence, Confidence::Probable);
    }

    #[test]
    fn groups_that_share_their_fate_and_single_sockets_are_silent() {
        for scene in [
            Scene::window().endpoint(group([6, 6, 6, 6])),
            Scene::window().endpoint_changing(group([0, 6, 0, 0]), group([0, 2, 0, 0])),
            Scene::window().endpoint(endpoint("0.0.0.0:80", [listener(1, 6, 5)])),
        ] {
            assert!(scene.is_silent_about(FindingId::ReuseportSkew));
        }
    }

    #[test]
    fn one_look_without_ages_says_nothing() {
        let mut unaged = group([0, 6, 0, 0]);
        for waiting in &mut unaged.never_accepted.waiting {
            waiting.age_ms = Reading::not_collected();
        }
        assert!(Scene::now().endpoint(unaged).is_silent_about(FindingId::ReuseportSkew));
    }
}
