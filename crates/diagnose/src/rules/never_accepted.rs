//! # What it sees
//! Connections whose handshake is complete wait in an accept queue, and no process has taken them:
//! in ESTABLISHED while the client waits, in CLOSE_WAIT once it has given up and closed. Neither
//! belongs to a process: `ss -p` shows none, `netstat -p` a dash, their inode is 0. A connection
//! that its client reset disappears from every list and keeps its place in the queue.
//!
//! # Why it happens
//! The kernel completes handshakes without the program, which takes the connections out of the
//! queue by `accept()`. This finding is a consequence: it accompanies the one that says why nothing
//! is accepted. The clients were told that they are connected; what they have sent lies unread.
//!
//! # How sure
//! Certain: only a connection that was never accepted is in one of these states without an inode.
//! Connections that were reset are counted as the difference between the queue's length and the
//! visible ones, and only if two looks agree.
//!
//! # What to do
//! Whatever the accompanying finding says. Once the program accepts again it gets all of these,
//! also those whose clients have gone: reading from them gives the request and then the end, or an
//! error. Where a request must not be carried out for a client that has given up, look at how old
//! it is.
//!
//! # What not to do
//! "Fix your close()" is the usual advice for CLOSE_WAIT, and wrong here: the program cannot close
//! what it never accepted. It is right for `close-wait-leak`, where the sockets belong to a
//! process. Kernel settings for keep-alive or TIME_WAIT change nothing either.
//!
//! # Sources
//! - `net/ipv4/inet_connection_sock.c inet_csk_accept`: the socket gets its inode here
//! - `net/ipv4/tcp_input.c tcp_reset`, `tcp_done`: a reset connection leaves the table, not the
//!   queue
//! - `net/ipv4/tcp_diag.c tcp_diag_get_info`: the queue's length of a listener

use halfopen_evidence::{Endpoint, Netns, Waiting};

use crate::analysis::accepting::Accepting;
use crate::words::{count, duration};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (netns, endpoint) in context.endpoints() {
        let sockets = context.sockets_of(netns, endpoint);
        let (mut stalled, mut taking) = (false, false);
        for accepting in sockets.iter().map(|view| context.accepting(view)) {
            stalled |= accepting.stalled().is_some();
            taking |= *accepting == Accepting::Taking;
        }
        let dead = dead_slots(context, netns, endpoint);
        let some = endpoint.never_accepted.total() > 0 || dead > 0;
        let left_behind = !taking && clients_gone_at_both_looks(context, netns, endpoint) > 0;
        if some && (stalled || left_behind) {
            verdicts.find(finding(netns, endpoint, dead, stalled));
        }
    }
}

/// The socket in whose queue they all wait, if it is one.
fn subject(netns: &Netns, endpoint: &Endpoint) -> Subject {
    let mut queued = endpoint.listeners.iter().filter(|listener| listener.depth > 0);
    match (queued.next(), queued.next()) {
        (Some(listener), None) => Subject::listener(netns, endpoint, listener),
        _ => Subject::endpoint(netns, endpoint),
    }
}

/// Places held by connections that were reset, as far as both looks agree.
fn dead_slots(context: &Context<'_>, netns: &Netns, endpoint: &Endpoint) -> u64 {
    let earlier =
        context.interval().and_then(|interval| interval.earlier_endpoint(netns.id, endpoint.key));
    earlier.map_or(0, |earlier| earlier.dead_slots().min(endpoint.dead_slots()))
}

/// Connections that their clients had closed by the first look and that still wait.
fn clients_gone_at_both_looks(context: &Context<'_>, netns: &Netns, endpoint: &Endpoint) -> usize {
    let earlier =
        context.interval().and_then(|interval| interval.earlier_endpoint(netns.id, endpoint.key));
    earlier.map_or(0, |earlier| {
        let closed = |waiting: &&Waiting| waiting.client_closed;
        let before = earlier.never_accepted.waiting.iter().filter(closed);
        let after = &endpoint.never_accepted.waiting;
        before.filter(|was| after.binary_search_by_key(&was.cookie, |is| is.cookie).is_ok()).count()
    })
}

fn finding(netns: &Netns, endpoint: &Endpoint, dead: u64, stalled: bool) -> Finding {
    let never = &endpoint.never_accepted;
    let all = never.total().saturating_add(dead);
    let gone = u64::from(never.close_wait).saturating_add(dead);
    let headline = match gone {
        0 => format!("{} never accepted", count(all, "connection")),
        gone => {
            format!("{} never accepted; {gone} given up by their clients", count(all, "connection"))
        }
    };
    Finding {
        id: FindingId::NeverAccepted,
        severity: if stalled { Severity::Failure } else { Severity::Warning },
        subject: subject(netns, endpoint),
        headline,
        cause: "these clients were told that they are connected, but no process has taken their \
                connections out of the accept queue"
            .to_owned(),
        evidence: facts(endpoint, dead),
        confidence: Confidence::Certain,
        refuted_by: "an inode on any of these connections".to_owned(),
        remedies: vec![
            "make the program accept: the finding on this listener says what stops it".to_owned(),
        ],
        useless: vec![
            "\"fix your close()\", the usual advice for CLOSE_WAIT: the program cannot close what \
             it never accepted"
                .to_owned(),
            "keep-alive or TIME_WAIT settings: neither ends a connection that waits".to_owned(),
        ],
    }
}

fn facts(endpoint: &Endpoint, dead: u64) -> Vec<Fact> {
    let never = &endpoint.never_accepted;
    let (alive, closed) = (never.established, never.close_wait);
    let mut facts = vec![Fact::number(
        "never-accepted-established",
        alive,
        format!("{alive} ESTABLISHED without a process"),
    )];
    if closed > 0 {
        let text = format!("{closed} CLOSE_WAIT without a process: closed by the client");
        facts.push(Fact::number("never-accepted-close-wait", closed, text));
    }
    if dead > 0 {
        let text = format!("{} held by connections that were reset", count(dead, "place"));
        facts.push(Fact::number("dead-slots", dead, text));
    }
    let ages = || never.waiting.iter().filter_map(|waiting| waiting.age_ms.value());
    if let (Some(newest), Some(oldest)) = (ages().min(), ages().max()) {
        let text = match (duration(newest), duration(oldest)) {
            (newest, oldest) if newest == oldest => format!("they have waited for {oldest}"),
            (newest, oldest) => format!("they have waited for {newest} to {oldest}"),
        };
        facts.push(Fact::number("oldest-wait-ms", oldest, text));
    }
    let unread: u64 = never.waiting.iter().map(|waiting| u64::from(waiting.unread)).sum();
    if unread > 0 {
        facts.push(Fact::number(
            "unread-bytes",
            unread,
            format!("{} sent and unread", count(unread, "byte")),
        ));
    }
    facts
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, Reading};

    use super::*;
    use crate::fixture::{Scene, endpoint, listener, never_accepted, waiting};

    fn queue(depth: u32, closed: u32) -> Endpoint {
        let mut queue = endpoint("0.0.0.0:8080", [listener(1, depth, 5)]);
        for waiting in queue.never_accepted.waiting.iter_mut().take(closed as usize) {
            waiting.client_closed = true;
            waiting.unread = 16;
        }
        queue.never_accepted = never_accepted(queue.never_accepted.waiting);
        queue
    }

    #[test]
    fn connections_without_a_process_are_counted_by_who_gave_up() {
        let finding = Scene::window().endpoint(queue(6, 4)).finding(FindingId::NeverAccepted);
        assert_eq!(finding.headline, "6 connections never accepted; 4 given up by their clients");
        assert_eq!(finding.severity, Severity::Failure);
        let texts: Vec<&str> = finding.evidence.iter().map(|fact| fact.text.as_str()).collect();
        assert!(texts.contains(&"64 bytes sent and unread"), "{texts:?}");
    }

    #[test]
    fn places_of_connections_that_were_reset_are_the_difference() {
        let mut dead = queue(6, 0);
        dead.never_accepted = never_accepted([waiting(100, 9000)]);
        let finding = Scene::window().endpoint(dead).finding(FindingId::NeverAccepted);
        assert_eq!(finding.headline, "6 connections never accepted; 5 given up by their clients");
    }

    #[test]
    fn a_queue_that_drains_is_silent_though_clients_left_it() {
        let drains = Scene::window().endpoint_changing(queue(6, 2), queue(5, 1)).track(1, 3, 6, 3);
        assert!(drains.is_silent_about(FindingId::NeverAccepted));
        assert_eq!(Scene::window().endpoint(queue(0, 0)).ids(), []);
    }

    #[test]
    fn one_look_without_ages_says_nothing() {
        let mut young = queue(3, 1);
        for waiting in &mut young.never_accepted.waiting {
            waiting.age_ms = Missing::NotOnThisKernel.into();
        }
        assert!(Scene::now().endpoint(young).is_silent_about(FindingId::NeverAccepted));
        let mut known = queue(3, 1);
        known.never_accepted.waiting[0].age_ms = Reading::Known(4000);
        assert!(!Scene::now().endpoint(known).is_silent_about(FindingId::NeverAccepted));
    }
}
