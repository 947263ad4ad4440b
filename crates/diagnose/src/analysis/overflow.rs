//! Whether a listener refused connections over the window because its accept queue was full.
//!
//! `ListenOverflows` says so for a whole namespace, the listener's own drop counter (`sk_drops`,
//! which `tcp_listendrop` in include/net/tcp.h moves) says that something was dropped there, for
//! whatever reason. Both together are needed; kernels before 4.7 have only the first, which is a listener's own
//! where no other listens in the namespace, or where its queue was the only full one.

use halfopen_evidence::{NetnsId, Reading};
use halfopen_model::Counter;

use crate::{Context, ListenerView};

/// Segments that a listener refused because its accept queue was full: SYNs and third ACKs, counted
/// again each time that a client repeats them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// How many.
    pub(crate) segments: u64,
}

impl Overflow {
    /// What this listener refused over the window; `None` if nothing, or if that cannot be told.
    pub(crate) fn of(context: &Context<'_>, view: &ListenerView<'_>) -> Option<Self> {
        let overflows = context.rise(view.netns.id, Counter::ListenOverflows).known()?;
        if overflows == 0 {
            return None;
        }
        let census = context.census(view.netns.id);
        let segments = match view.drops(context) {
            Reading::Known(drops) => {
                let only_one = census.dropping == usize::from(drops > 0);
                let is_its = view.was_full() || only_one;
                if is_its { overflows.min(u64::from(drops)) } else { 0 }
            }
            Reading::Missing(_) => {
                let is_its = view.is_alone() || (view.was_full() && census.full == 1);
                if is_its { overflows } else { 0 }
            }
        };
        (segments > 0).then_some(Self { segments })
    }

    /// The fewest clients that may be behind these segments: a client repeats its SYN after one
    /// second, and about every second after that (`tcp_syn_linear_timeouts`), or sooner gives up.
    pub(crate) const fn fewest_clients(self, window_ms: u64) -> u64 {
        self.segments.div_ceil(window_ms / 1000 + 1)
    }
}

/// Whether this listener may have refused SYNs that its kernel does not count: before 3.10, only
/// third ACKs are.
pub(crate) fn is_untold(context: &Context<'_>, view: &ListenerView<'_>) -> bool {
    let counted =
        context.semantics().as_ref().map(|semantics| semantics.counting.syn_drops_are_counted);
    counted.known() == Some(false) && view.was_full()
}

/// Whether an accept queue of this namespace overflowed that none of its listeners can be told to be.
pub(crate) fn is_nobodys(context: &Context<'_>, netns: NetnsId) -> bool {
    let rose = context.rise(netns, Counter::ListenOverflows).known().is_some_and(|n| n > 0);
    let mut views = context.listeners().iter().filter(|view| view.netns.id == netns).peekable();
    rose && views.peek().is_some()
        && views
            .all(|view| view.drops(context).get().is_none() && !view.is_alone() && !view.was_full())
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Endpoint, Missing};

    use super::*;
    use crate::fixture::{Scene, endpoint, listener};

    fn dropping(mut endpoint: Endpoint, drops: impl Into<Reading<u32>>) -> Endpoint {
        endpoint.listeners[0].drops = drops.into();
        endpoint
    }

    fn check(scene: Scene, expected: Option<u64>) {
        let evidence = scene.evidence();
        let context = Context::new(&evidence);
        let overflow = Overflow::of(&context, &context.listeners()[0]);
        assert_eq!(overflow.map(|overflow| overflow.segments), expected);
    }

    fn scene(depth: u32, drops: u32, overflows: u64) -> Scene {
        let queue = endpoint("0.0.0.0:80", [listener(1, depth, 5)]);
        Scene::window()
            .endpoint_changing(queue.clone(), dropping(queue, Reading::Known(drops)))
            .rise(Counter::ListenOverflows, overflows)
    }

    #[test]
    fn both_counters_are_needed() {
        check(scene(6, 7, 7), Some(7));
        check(scene(0, 7, 7), Some(7));
        check(scene(6, 7, 0), None);
        check(scene(6, 0, 7), None);
    }

    #[test]
    fn another_listener_that_drops_leaves_it_open_whose_overflow_it_was() {
        let other = endpoint("0.0.0.0:81", [listener(2, 6, 5)]);
        let dropped = dropping(other.clone(), Reading::Known(3));
        check(scene(0, 7, 7).endpoint_changing(other.clone(), dropped.clone()), None);
        check(scene(6, 7, 7).endpoint_changing(other, dropped), Some(7));
    }

    #[test]
    fn old_kernels_tell_it_by_the_only_listener_or_the_only_full_queue() {
        let old = |depth| {
            let queue = endpoint("0.0.0.0:80", [listener(1, depth, 5)]);
            let queue = dropping(queue, Missing::NotOnThisKernel);
            Scene::window().endpoint(queue).rise(Counter::ListenOverflows, 4)
        };
        let and_another = |depth| endpoint("0.0.0.0:81", [listener(2, depth, 5)]);
        check(old(6), Some(4));
        check(old(3), Some(4));
        check(old(6).endpoint(and_another(0)), Some(4));
        check(old(3).endpoint(and_another(0)), None);
        check(old(6).endpoint(and_another(6)), None);
    }

    #[test]
    fn repeated_syns_are_not_counted_as_clients() {
        assert_eq!(Overflow { segments: 30 }.fewest_clients(2000), 10);
        assert_eq!(Overflow { segments: 30 }.fewest_clients(900), 30);
    }
}
