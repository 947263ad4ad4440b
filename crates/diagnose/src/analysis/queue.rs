//! Whether connections are taken from an accept queue.
//!
//! The queue is first in, first out (`reqsk_queue_remove`, include/net/request_sock.h), and a
//! connection that its client resets keeps its place until it is accepted. So if one of those that
//! waited at the first look is gone, or the queue was ever shorter than before, something was
//! accepted; and if all of them still wait, nothing was.

use halfopen_evidence::{Interval, Missing, Reading, Waiting, Want};

use super::accepting::StallProof;
use crate::{Context, ListenerView};

/// A connection that waits for so long, in milliseconds, does not wait for a momentary pause of the
/// program: a loop that serves other clients, a collection of garbage.
const LONG_WAIT_MS: u64 = 1000;

/// Connections by which [`Interval::accepted`] may be wrong, since counters and sockets are not
/// read at the same moment.
const ACCEPTED_SLACK: u64 = 2;

/// What a queue says by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueueState {
    /// Nothing waits, or not for long.
    Quiet,
    /// Connections were taken over the window.
    Taken,
    /// It is full, and whether connections are taken cannot be told.
    Unclear(String),
    /// Nothing is taken.
    Stands(StallProof),
}

/// Looks at one listener's queue; asks for ages where they would tell.
pub(super) fn state(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    wants: &mut Vec<Want>,
) -> QueueState {
    let Some(interval) = context.interval() else {
        return if view.listener.depth == 0 { QueueState::Quiet } else { by_age(view, wants) };
    };
    if was_taken_from(interval, view) {
        return QueueState::Taken;
    }
    if view.listener.depth == 0 {
        return QueueState::Quiet;
    }
    if let Some(followed) = stood_all_along(interval, view) {
        want_ages(view, wants);
        return QueueState::Stands(StallProof::Window { ms: interval.elapsed_ms(), followed });
    }
    let accepted = interval.accepted(view.netns.id);
    match by_age(view, wants) {
        // A full queue that is refilled as fast as it is emptied looks as if it stood.
        QueueState::Stands(_)
            if view.was_full() && accepted.value().is_some_and(|n| n > ACCEPTED_SLACK) =>
        {
            if view.is_alone() {
                QueueState::Taken
            } else {
                QueueState::Unclear(
                    "connections were accepted in its namespace, maybe at other listeners"
                        .to_owned(),
                )
            }
        }
        state => state,
    }
}

/// Whether the queue got shorter, or one of its connections left.
fn was_taken_from(interval: &Interval, view: &ListenerView<'_>) -> bool {
    let now = view.listener.depth;
    let before = view.earlier.map_or(0, |earlier| earlier.depth);
    let got_shorter = now < before
        || view.track.is_some_and(|track| {
            track.falls > 0 || track.max > now || (track.samples > 0 && track.min < before)
        });
    got_shorter
        || left(interval, view).is_some_and(|(left, _)| left > siblings_before(interval, view))
}

/// The number of connections that were followed, if nothing left the queue for long enough.
fn stood_all_along(interval: &Interval, view: &ListenerView<'_>) -> Option<u32> {
    let waited_before = view.earlier.is_some_and(|earlier| earlier.depth > 0);
    let long_enough = interval.elapsed_ms() >= LONG_WAIT_MS
        || oldest(&view.endpoint.never_accepted.waiting).is_some_and(|ms| ms >= LONG_WAIT_MS);
    if !waited_before || !long_enough {
        return None;
    }
    match left(interval, view) {
        Some((_, looked_at)) if looked_at > 0 => Some(looked_at),
        _ => nothing_accepted(interval, view).then_some(0),
    }
}

/// For queues whose connections cannot be told apart: too many, or all reset by their clients.
fn nothing_accepted(interval: &Interval, view: &ListenerView<'_>) -> bool {
    match interval.accepted(view.netns.id) {
        Reading::Known(accepted) if accepted <= ACCEPTED_SLACK => true,
        // A queue that never was full and never got shorter was not taken from either.
        _ => !view.was_full() && view.track.is_some_and(|track| track.samples > 2 && track.min > 0),
    }
}

fn left(interval: &Interval, view: &ListenerView<'_>) -> Option<(u32, u32)> {
    interval.left_the_queue(view.netns.id, view.endpoint)
}

/// Connections that waited at the first look at other sockets of the same address: those that left
/// may have been theirs, since the kernel does not tell which socket a connection waits at.
fn siblings_before(interval: &Interval, view: &ListenerView<'_>) -> u32 {
    let before = interval.earlier_endpoint(view.netns.id, view.endpoint.key);
    before.map_or(0, |endpoint| {
        endpoint
            .listeners
            .iter()
            .filter(|listener| listener.cookie != view.listener.cookie)
            .fold(0, |sum: u32, listener| sum.saturating_add(listener.depth))
    })
}

/// By how long the oldest connection has waited: all that one look can tell.
fn by_age(view: &ListenerView<'_>, wants: &mut Vec<Want>) -> QueueState {
    want_ages(view, wants);
    let waiting = &view.endpoint.never_accepted.waiting;
    match oldest(waiting) {
        Some(oldest_ms) if oldest_ms >= LONG_WAIT_MS => {
            QueueState::Stands(StallProof::Waited { oldest_ms })
        }
        Some(_) => QueueState::Quiet,
        None if view.listener.accept_queue().is_full() => {
            QueueState::Unclear(match waiting.first().and_then(|first| first.age_ms.missing()) {
                Some(why) => format!("the ages of its connections are {why}"),
                None => "all that wait in it were reset by their clients".to_owned(),
            })
        }
        None => QueueState::Quiet,
    }
}

fn want_ages(view: &ListenerView<'_>, wants: &mut Vec<Want>) {
    let mut waiting = view.endpoint.never_accepted.waiting.iter();
    if waiting.any(|waiting| waiting.age_ms.missing() == Some(&Missing::NotCollected)) {
        wants.push(Want::Ages { netns: view.netns.id, endpoint: view.endpoint.key });
    }
}

/// How long the oldest of these has waited, in milliseconds, where that is known.
pub(super) fn oldest(waiting: &[Waiting]) -> Option<u64> {
    waiting.iter().filter_map(|waiting| waiting.age_ms.value()).max()
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Endpoint;
    use halfopen_model::Counter;

    use super::*;
    use crate::fixture::{NETNS, Scene, endpoint, key, listener, never_accepted, waiting};

    fn check(scene: Scene, expected: &QueueState) {
        let evidence = scene.evidence();
        let context = Context::new(&evidence);
        assert_eq!(state(&context, &context.listeners()[0], &mut Vec::new()), *expected);
    }

    fn queue(depth: u32) -> Endpoint {
        endpoint("0.0.0.0:8080", [listener(1, depth, 128)])
    }

    fn unaged(mut endpoint: Endpoint) -> Endpoint {
        for waiting in &mut endpoint.never_accepted.waiting {
            waiting.age_ms = Reading::not_collected();
        }
        endpoint
    }

    #[test]
    fn connections_that_wait_at_both_looks_were_not_taken() {
        let stands = QueueState::Stands(StallProof::Window { ms: 2000, followed: 6 });
        check(Scene::window().endpoint(queue(6)), &stands);
        check(Scene::window().endpoint(queue(6)).track(1, 6, 6, 0), &stands);
    }

    #[test]
    fn a_queue_that_fell_once_or_whose_connections_changed_was_taken_from() {
        check(Scene::window().endpoint(queue(6)).track(1, 4, 9, 1), &QueueState::Taken);
        check(Scene::window().endpoint(queue(6)).track(1, 6, 9, 0), &QueueState::Taken);
        check(Scene::window().endpoint_changing(queue(6), queue(5)), &QueueState::Taken);
        let mut others = queue(6);
        others.never_accepted = never_accepted((0..6).map(|n| waiting(500 + n, 10)));
        check(Scene::window().endpoint_changing(queue(6), others), &QueueState::Taken);
    }

    #[test]
    fn a_momentary_queue_at_the_second_look_is_quiet() {
        let mut young = queue(3);
        young.never_accepted = never_accepted((0..3).map(|n| waiting(500 + n, 12)));
        let scene = Scene::window().endpoint_changing(queue(0), young);
        check(scene.rise(Counter::PassiveOpens, 900), &QueueState::Quiet);
    }

    #[test]
    fn a_full_queue_that_is_refilled_at_once_is_not_called_standing() {
        let scene = Scene::window()
            .endpoint_changing(queue(0), queue(129))
            .track(1, 20, 129, 0)
            .rise(Counter::PassiveOpens, 400);
        check(scene.clone(), &QueueState::Taken);
        let evidence = scene.endpoint(endpoint("0.0.0.0:9090", [listener(2, 0, 128)])).evidence();
        let context = Context::new(&evidence);
        let state = state(&context, &context.listeners()[0], &mut Vec::new());
        assert!(matches!(state, QueueState::Unclear(_)), "{state:?}");
    }

    #[test]
    fn a_queue_of_connections_that_were_reset_stands_if_nothing_was_accepted() {
        let mut dead = queue(4);
        dead.never_accepted = never_accepted([]);
        let stands = QueueState::Stands(StallProof::Window { ms: 2000, followed: 0 });
        check(Scene::window().endpoint(dead.clone()), &stands);
        let busy = Scene::window().endpoint(dead).rise(Counter::PassiveOpens, 400);
        check(busy, &QueueState::Quiet);
    }

    #[test]
    fn one_look_asks_how_long_connections_have_waited() {
        let evidence = Scene::now().endpoint(unaged(queue(6))).evidence();
        let context = Context::new(&evidence);
        let mut wants = Vec::new();
        let state = state(&context, &context.listeners()[0], &mut wants);
        assert_eq!(state, QueueState::Quiet);
        assert_eq!(wants, [Want::Ages { netns: NETNS, endpoint: key("0.0.0.0:8080") }]);
        let waited = QueueState::Stands(StallProof::Waited { oldest_ms: 10_000 });
        check(Scene::now().endpoint(queue(6)), &waited);
    }

    #[test]
    fn connections_that_left_a_sibling_do_not_hide_a_stuck_socket() {
        let pair = |a, b| endpoint("0.0.0.0:80", [listener(1, a, 5), listener(2, b, 5)]);
        let after = {
            let mut after = pair(6, 0);
            after.never_accepted.waiting.truncate(6);
            after
        };
        let stands = QueueState::Stands(StallProof::Window { ms: 2000, followed: 8 });
        check(Scene::window().endpoint_changing(pair(6, 2), after), &stands);
    }
}
