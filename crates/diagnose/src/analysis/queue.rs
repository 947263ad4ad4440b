//! Whether connections are taken from an accept queue.
//!
//! The queue is first in, first out (`reqsk_queue_remove`, include/net/request_sock.h), and a
//! connection that its client resets keeps its place until it is accepted, though it can no longer
//! be seen. So if more of those that waited at the first look are gone than such places came, or the
//! queue was ever shorter than before, something was accepted; and if all of them still wait, nothing
//! was.

use std::cmp::Reverse;

use halfopen_evidence::{Interval, Missing, Waiting, Want};

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
    /// It is full or connections wait for long, and whether they are taken cannot be told.
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
    if view.longest() == 0 {
        return QueueState::Quiet;
    }
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
        // So does one whose connections leave while others are reset.
        QueueState::Stands(_)
            if (view.was_full() || some_left(interval, view))
                && accepted.value().is_some_and(|n| n > ACCEPTED_SLACK) =>
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

fn some_left(interval: &Interval, view: &ListenerView<'_>) -> bool {
    Followed::of(interval, view).is_some_and(|all| all.left > 0)
}

/// Whether the queue got shorter, or more of its connections left than were reset.
fn was_taken_from(interval: &Interval, view: &ListenerView<'_>) -> bool {
    let now = view.listener.depth;
    let before = view.earlier.map_or(0, |earlier| earlier.depth);
    let got_shorter = now < before
        || view.track.is_some_and(|track| {
            track.falls > 0 || track.max > now || (track.samples > 0 && track.min < before)
        });
    // Those that left may have waited at a sibling: the kernel does not tell at which socket.
    let siblings_before = || siblings(interval, view).map(|(before, _)| before).sum::<u64>();
    got_shorter
        || Followed::of(interval, view).is_some_and(|all| all.accepted() > siblings_before())
}

/// The number of connections that were followed, if nothing was taken from the queue for long
/// enough.
fn stood_all_along(interval: &Interval, view: &ListenerView<'_>) -> Option<u32> {
    let waited_before = view.earlier.is_some_and(|earlier| earlier.depth > 0);
    let long_enough = interval.elapsed_ms() >= LONG_WAIT_MS
        || oldest_here(view).is_some_and(|ms| ms >= LONG_WAIT_MS);
    if !waited_before || !long_enough {
        return None;
    }
    match Followed::of(interval, view) {
        Some(all) if all.looked_at > 0 => {
            let from_siblings = taken_from_siblings(interval, view);
            // A connection that came and was reset in the window looks like a reset one of those
            // that were followed, and so would hide one that was accepted.
            let sure = all.reset == 0
                || accepted_at_most(interval, view, from_siblings.saturating_add(ACCEPTED_SLACK));
            (all.accepted() <= from_siblings && sure).then(|| all.still_waiting())
        }
        _ => nothing_accepted(interval, view).then_some(0),
    }
}

/// For queues whose connections cannot be told apart: too many, or all reset by their clients.
fn nothing_accepted(interval: &Interval, view: &ListenerView<'_>) -> bool {
    // A queue that never was full and never got shorter was not taken from either.
    accepted_at_most(interval, view, ACCEPTED_SLACK)
        || (!view.was_full() && view.track.is_some_and(|track| track.samples > 2 && track.min > 0))
}

/// Whether the namespace is known to have accepted no more than so many connections.
fn accepted_at_most(interval: &Interval, view: &ListenerView<'_>, most: u64) -> bool {
    interval.accepted(view.netns.id).value().is_some_and(|accepted| accepted <= most)
}

/// What became of the connections that waited at an endpoint at the first look.
#[derive(Clone, Copy, Debug)]
struct Followed {
    looked_at: u32,
    left: u32,
    /// By how much the places grew that a connection holds after it was reset.
    reset: u64,
}

impl Followed {
    /// `None` where they cannot be told apart.
    fn of(interval: &Interval, view: &ListenerView<'_>) -> Option<Self> {
        let before = interval.earlier_endpoint(view.netns.id, view.endpoint.key)?;
        let (left, looked_at) = interval.left_the_queue(view.netns.id, view.endpoint)?;
        let reset = view.endpoint.dead_slots().saturating_sub(before.dead_slots());
        Some(Self { looked_at, left, reset })
    }

    /// The fewest that left by being accepted.
    fn accepted(self) -> u64 {
        u64::from(self.left).saturating_sub(self.reset)
    }

    const fn still_waiting(self) -> u32 {
        self.looked_at.saturating_sub(self.left)
    }
}

/// The lengths of the queues of other sockets of the same address, at the first look and now.
fn siblings(interval: &Interval, view: &ListenerView<'_>) -> impl Iterator<Item = (u64, u64)> {
    let before = interval.earlier_endpoint(view.netns.id, view.endpoint.key);
    let own = view.listener.cookie;
    let now = &view.endpoint.listeners;
    before
        .into_iter()
        .flat_map(|endpoint| &endpoint.listeners)
        .filter(move |before| before.cookie != own)
        .map(move |before| {
            let at = now.binary_search_by_key(&before.cookie, |listener| listener.cookie);
            let now = at.ok().and_then(|at| now.get(at)).map_or(0, |listener| listener.depth);
            (u64::from(before.depth), u64::from(now))
        })
}

/// Connections that surely left the queues of other sockets of the same address: by so many they
/// got shorter. First in, first out, so they are of those that waited at the first look.
fn taken_from_siblings(interval: &Interval, view: &ListenerView<'_>) -> u64 {
    siblings(interval, view).map(|(before, now)| before.saturating_sub(now)).sum()
}

/// By how long the oldest connection has waited: all that one look can tell.
fn by_age(view: &ListenerView<'_>, wants: &mut Vec<Want>) -> QueueState {
    want_ages(view, wants);
    let waiting = &view.endpoint.never_accepted.waiting;
    if let Some(oldest_ms) = oldest_here(view).filter(|&ms| ms >= LONG_WAIT_MS) {
        return QueueState::Stands(StallProof::Waited { oldest_ms });
    }
    match oldest(waiting) {
        Some(oldest_ms) if oldest_ms >= LONG_WAIT_MS => QueueState::Unclear(
            "connections wait for long at its address, maybe at another of its sockets".to_owned(),
        ),
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

/// How long a connection has waited at this very socket, at least, in milliseconds. Its siblings
/// may hold the oldest of the address, but no more of them than their queues are long.
fn oldest_here(view: &ListenerView<'_>) -> Option<u64> {
    let elsewhere = view.endpoint.depth().saturating_sub(u64::from(view.listener.depth));
    let waiting = view.endpoint.never_accepted.waiting.iter();
    let mut ages: Vec<u64> = waiting.filter_map(|waiting| waiting.age_ms.value()).collect();
    ages.sort_unstable_by_key(|&age| Reverse(age));
    ages.get(usize::try_from(elsewhere).ok()?).copied()
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
    use halfopen_evidence::{Endpoint, Reading};
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
        let stands = QueueState::Stands(StallProof::Window { ms: 2000, followed: 6 });
        check(Scene::window().endpoint_changing(pair(6, 2), after), &stands);
    }

    /// A queue of 20 of which the five that came first were reset since.
    fn partly_reset() -> Endpoint {
        let mut after = queue(20);
        after.never_accepted = never_accepted((5..20).map(|n| waiting(100 + n, 9000)));
        after
    }

    #[test]
    fn connections_that_clients_reset_were_not_taken() {
        let scene = Scene::window().endpoint_changing(queue(20), partly_reset());
        let stands = QueueState::Stands(StallProof::Window { ms: 2000, followed: 15 });
        check(scene.clone(), &stands);
        // Accepted ones hide behind others that came and were reset; only the counter tells.
        check(scene.clone().rise(Counter::PassiveOpens, 40), &QueueState::Taken);
        let shared = scene.rise(Counter::PassiveOpens, 40);
        let shared = shared.endpoint(endpoint("0.0.0.0:9090", [listener(2, 0, 128)])).evidence();
        let context = Context::new(&shared);
        let state = state(&context, &context.listeners()[0], &mut Vec::new());
        assert!(matches!(state, QueueState::Unclear(_)), "{state:?}");
    }

    #[test]
    fn a_socket_whose_connections_may_have_left_does_not_stand() {
        let pair = |first: u64| {
            let mut pair = endpoint("0.0.0.0:80", [listener(1, 3, 50), listener(2, 3, 50)]);
            pair.never_accepted = never_accepted((first..first + 6).map(|n| waiting(n, 20)));
            pair
        };
        let scene = Scene::window().endpoint_changing(pair(100), pair(102));
        check(scene.rise(Counter::PassiveOpens, 2), &QueueState::Quiet);
    }

    #[test]
    fn ages_of_an_address_belong_to_a_socket_only_beyond_what_its_siblings_hold() {
        let pair = |a, b, old| {
            let mut pair = endpoint("0.0.0.0:80", [listener(1, a, 50), listener(2, b, 50)]);
            let age = |n| if n < old { 9000 - n } else { 3 };
            let all = u64::from(a + b);
            pair.never_accepted = never_accepted((0..all).map(|n| waiting(100 + n, age(n))));
            Scene::now().endpoint(pair)
        };
        let stands = QueueState::Stands(StallProof::Waited { oldest_ms: 8998 });
        check(pair(6, 2, 6), &stands);
        let evidence = pair(2, 6, 6).evidence();
        let context = Context::new(&evidence);
        let state = state(&context, &context.listeners()[0], &mut Vec::new());
        assert!(matches!(state, QueueState::Unclear(_)), "{state:?}");
        check(pair(2, 6, 0), &QueueState::Quiet);
    }
}
