//! The evidence as the rules look at it: each listener joined with what it was at the earlier look
//! and what was sampled in between.

use std::collections::BTreeMap;
use std::ops::Range;

use halfopen_evidence::{
    Cookie, Endpoint, EndpointKey, Evidence, Interval, Listener, Netns, NetnsId, QueueTrack,
    Reading, Snapshot, Want,
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
}

impl<'a> Context<'a> {
    /// Joins the evidence.
    #[must_use]
    pub fn new(evidence: &'a Evidence) -> Self {
        let latest = evidence.latest();
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
            accepting: BTreeMap::new(),
            wants: Vec::new(),
        };
        for view in context.listeners.clone() {
            let (judgement, wants) = accepting::judge(&context, &view);
            context.accepting.insert((view.netns.id, view.listener.cookie), judgement);
            context.wants.extend(wants);
        }
        context
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
    pub fn is_alone(&self) -> bool {
        let endpoints = self.netns.endpoints.get().map(Vec::as_slice).unwrap_or_default();
        endpoints.iter().map(|endpoint| endpoint.listeners.len()).sum::<usize>() == 1
    }

    /// Segments dropped at this socket over the window; missing for a single look.
    pub fn drops(&self, context: &Context<'_>) -> Reading<u32> {
        if context.interval().is_none() {
            return Reading::not_collected();
        }
        match self.earlier {
            None => self.listener.drops.clone(),
            Some(earlier) => {
                let both = earlier.drops.clone().zip(self.listener.drops.clone());
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
