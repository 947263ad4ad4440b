//! The evidence as the rules look at it: each listener joined with what it was at the earlier look
//! and what was sampled in between.

use std::collections::BTreeMap;
use std::ops::Range;

use halfopen_evidence::{
    Cookie, Endpoint, EndpointKey, Evidence, Interval, Listener, Missing, Netns, NetnsId,
    QueueTrack, Reading, Snapshot, Want,
};
use halfopen_model::{Counter, Semantics};

use crate::Subject;
use crate::analysis::accepting::{self, Accepting};

/// Evidence, and the judgements that several rules share.
#[derive(Debug)]
pub struct Context<'a> {
    evidence: &'a Evidence,
    semantics: Reading<Semantics>,
    listeners: Vec<ListenerView<'a>>,
    /// Where the sockets of an endpoint stand in `listeners`: next to each other.
    places: BTreeMap<(NetnsId, EndpointKey), Range<usize>>,
    /// What the listeners of a namespace did together.
    census: BTreeMap<NetnsId, Census>,
    accepting: BTreeMap<(NetnsId, Cookie), Accepting>,
    wants: Vec<Want>,
}

/// One listening socket and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct ListenerView<'a> {
    /// Its namespace.
    pub netns: &'a Netns,
    /// Where it listens.
    pub endpoint: &'a Endpoint,
    /// The socket, at the latest look.
    pub listener: &'a Listener,
    /// The socket at the earlier look, if there were two and it was there.
    pub earlier: Option<&'a Listener>,
    /// Its queue between the looks; `None` if it was empty at every sample.
    pub track: Option<&'a QueueTrack>,
    /// Whether no other socket listens in its namespace.
    alone: bool,
}

/// How many listeners of a namespace did something over the window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    /// Those that are known to have dropped segments.
    pub(crate) dropping: usize,
    /// Those whose accept queue was full at some look or sample.
    pub(crate) full: usize,
}

impl<'a> Context<'a> {
    /// Joins the evidence.
    #[must_use]
    pub fn new(evidence: &'a Evidence) -> Self {
        let latest = evidence.latest();
        let mut sockets: BTreeMap<NetnsId, usize> = BTreeMap::new();
        for (netns, ..) in latest.listeners() {
            *sockets.entry(netns.id).or_default() += 1;
        }
        let listeners: Vec<ListenerView<'a>> = latest
            .listeners()
            .map(|(netns, endpoint, listener)| ListenerView {
                netns,
                endpoint,
                listener,
                earlier: evidence.interval().and_then(|interval| {
                    interval.earlier_listener(netns.id, endpoint.key, listener.cookie)
                }),
                track: evidence
                    .interval()
                    .and_then(|interval| interval.queue_track(netns.id, listener.cookie)),
                alone: sockets.get(&netns.id) == Some(&1),
            })
            .collect();
        let mut places: BTreeMap<_, Range<usize>> = BTreeMap::new();
        for (index, view) in listeners.iter().enumerate() {
            places.entry((view.netns.id, view.endpoint.key)).or_insert(index..index).end =
                index + 1;
        }
        let mut context = Self {
            evidence,
            semantics: latest.host.semantics(),
            listeners,
            places,
            census: BTreeMap::new(),
            accepting: BTreeMap::new(),
            wants: Vec::new(),
        };
        context.census = context.count();
        for view in context.listeners.clone() {
            let (judgement, wants) = accepting::judge(&context, &view);
            context.accepting.insert((view.netns.id, view.listener.cookie), judgement);
            context.wants.extend(wants);
        }
        context
    }

    fn count(&self) -> BTreeMap<NetnsId, Census> {
        let mut all: BTreeMap<NetnsId, Census> = BTreeMap::new();
        for view in &self.listeners {
            let census = all.entry(view.netns.id).or_default();
            census.dropping += usize::from(view.drops(self).value().is_some_and(|n| n > 0));
            census.full += usize::from(view.was_full());
        }
        all
    }

    /// All of it.
    #[must_use]
    pub const fn evidence(&self) -> &'a Evidence {
        self.evidence
    }

    /// The latest look.
    #[must_use]
    pub const fn latest(&self) -> &'a Snapshot {
        self.evidence.latest()
    }

    /// The two looks, if there are two.
    #[must_use]
    pub const fn interval(&self) -> Option<&'a Interval> {
        self.evidence.interval()
    }

    /// The rules of the host's kernel.
    #[must_use]
    pub const fn semantics(&self) -> &Reading<Semantics> {
        &self.semantics
    }

    /// Every listening socket.
    #[must_use]
    pub fn listeners(&self) -> &[ListenerView<'a>] {
        &self.listeners
    }

    /// The sockets that listen at an endpoint.
    #[must_use]
    pub fn sockets_of(&self, netns: &Netns, endpoint: &Endpoint) -> &[ListenerView<'a>] {
        let place = self.places.get(&(netns.id, endpoint.key)).cloned();
        place.and_then(|place| self.listeners.get(place)).unwrap_or_default()
    }

    /// Every listening address with its namespace.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'a Netns, &'a Endpoint)> {
        self.latest()
            .netns
            .iter()
            .flat_map(|netns| netns.endpoints.get().into_iter().flatten().map(move |e| (netns, e)))
    }

    /// By how much a counter of a namespace rose over the window; missing for a single look.
    pub fn rise(&self, netns: NetnsId, counter: Counter) -> Reading<u64> {
        self.interval().map_or(Reading::not_collected(), |interval| interval.rise(netns, counter))
    }

    /// What the listeners of a namespace did together.
    pub(crate) fn census(&self, netns: NetnsId) -> Census {
        self.census.get(&netns).copied().unwrap_or_default()
    }

    /// How this listener's connections are being accepted.
    pub fn accepting(&self, view: &ListenerView<'_>) -> &Accepting {
        self.accepting
            .get(&(view.netns.id, view.listener.cookie))
            .unwrap_or(&Accepting::Unremarkable)
    }

    pub(crate) fn wants(&self) -> impl Iterator<Item = Want> {
        self.wants.iter().cloned()
    }
}

impl ListenerView<'_> {
    /// This listener as the subject of a finding.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::listener(self.netns, self.endpoint, self.listener)
    }

    /// Whether no other socket listens in its namespace, so that the namespace's figures are its own.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.alone
    }

    /// Segments dropped at this socket since it was made; missing on kernels whose `sk_drops` does
    /// not count what a listener drops.
    pub fn all_drops(&self, context: &Context<'_>) -> Reading<u32> {
        match context.semantics().get() {
            Some(semantics) if !semantics.counting.listener_counts_its_drops => {
                Missing::NotOnThisKernel.into()
            }
            Some(_) | None => self.listener.drops.clone(),
        }
    }

    /// Segments dropped at this socket over the window; missing for a single look.
    pub fn drops(&self, context: &Context<'_>) -> Reading<u32> {
        let Some(interval) = context.interval() else { return Reading::not_collected() };
        let after = self.all_drops(context);
        match self.earlier {
            // A socket that came in the window dropped in the window all that it ever did.
            None => match interval.first.netns(self.netns.id).map(|netns| &netns.endpoints) {
                Some(Reading::Known(_)) => after,
                Some(Reading::Missing(why)) => why.clone().into(),
                None => Reading::not_collected(),
            },
            Some(earlier) => {
                let both = earlier.drops.clone().zip(after);
                both.map(|(before, after)| after.wrapping_sub(before))
            }
        }
    }

    /// The longest that the accept queue was at any look or sample.
    #[must_use]
    pub fn longest(&self) -> u32 {
        let before = self.earlier.map_or(0, |earlier| earlier.depth);
        self.listener.depth.max(before).max(self.track.map_or(0, |track| track.max))
    }

    /// Whether the accept queue was full at some look or sample.
    #[must_use]
    pub fn was_full(&self) -> bool {
        self.longest() > self.listener.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Scene, endpoint, listener};

    fn drops(scene: Scene) -> Reading<u32> {
        let evidence = scene.evidence();
        let context = Context::new(&evidence);
        context.listeners()[0].drops(&context)
    }

    fn dropped(n: u32) -> Endpoint {
        let mut endpoint = endpoint("0.0.0.0:80", [listener(1, 0, 5)]);
        endpoint.listeners[0].drops = Reading::Known(n);
        endpoint
    }

    #[test]
    fn a_new_listener_dropped_in_the_window_what_it_ever_did_if_it_is_known_to_be_new() {
        let mut came = Scene::window();
        came.second.netns[0].endpoints = Reading::Known(vec![dropped(7)]);
        assert_eq!(drops(came.clone()), Reading::Known(7));
        let mut unread = came.clone();
        unread.first.netns[0].endpoints = Missing::needs("root").into();
        assert_eq!(drops(unread), Missing::needs("root").into());
        came.first.netns.clear();
        assert_eq!(drops(came), Reading::not_collected());
    }

    #[test]
    fn before_linux_4_7_a_listener_does_not_count_its_drops() {
        let of = |release: &str| {
            let mut scene = Scene::window().endpoint_changing(dropped(0), dropped(7));
            for look in [&mut scene.first, &mut scene.second] {
                look.host.kernel_release = release.to_owned();
            }
            drops(scene)
        };
        assert_eq!(of("4.4.0"), Missing::NotOnThisKernel.into());
        assert_eq!(of("4.9.0"), Reading::Known(7));
    }

    #[test]
    fn ten_thousand_idle_listeners_beside_an_overflow_are_judged_in_no_time() {
        let mut scene = Scene::window().rise(Counter::ListenOverflows, 5);
        for look in [&mut scene.first, &mut scene.second] {
            let all = (0..10_000_u16).map(|n| {
                let at = format!("10.0.0.1:{}", 1000 + n);
                endpoint(&at, [listener(u64::from(n), 0, 128)])
            });
            look.netns[0].endpoints = Reading::Known(all.collect());
        }
        assert_eq!(scene.ids(), []);
    }
}
