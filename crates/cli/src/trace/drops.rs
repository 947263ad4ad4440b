//! Segments that listening sockets dropped, by their own counts (`sk_drops`).
//!
//! The kernel gives no reason for a SYN that finds the accept queue full, and calls no tracepoint; its
//! function can be watched on some kernels only. What shows everywhere is that the count of the
//! listener rises while its accept queue is full. It counts dropped third ACKs twice, and SYNs of
//! requests that it has, so it says that something is dropped and not how many handshakes fail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use halfopen_collect::{ListeningSocket, SocketLookups, WatchedNetns};
use halfopen_evidence::{
    Dropped, DroppedSegment, Inode, NetnsId, Outcome, ProcessName, Reading, Traced, TracedEnd,
};

/// How often the counts are read.
const BETWEEN: Duration = Duration::from_millis(500);

/// How often the drops of one listener are told.
const TOLD_EACH: Duration = Duration::from_secs(10);

/// Why a SYN was dropped, as far as the counts of its listener tell.
const REASON: &str = "accept-queue-full (the listener's count of drops rises)";

/// The counts of the listeners of all namespaces.
#[derive(Debug)]
pub(super) struct ListenerDrops {
    read: Option<Instant>,
    known: HashMap<(NetnsId, Inode), Known>,
}

#[derive(Debug)]
struct Known {
    listener: ListeningSocket,
    /// The count when drops were told last, or when it was seen first.
    told: u32,
    told_at: Option<Instant>,
    /// Whether it has risen while the queue was full, at the last reading.
    is_dropping: bool,
}

/// Segments that a listener has dropped.
#[derive(Clone, Debug)]
pub(super) struct Rise {
    /// Where.
    pub(super) netns: WatchedNetns,
    /// The listener, with its queue.
    pub(super) listener: ListeningSocket,
    /// Who holds it.
    pub(super) process: Reading<Option<ProcessName>>,
    /// How many since this was told last.
    pub(super) count: u32,
}

impl ListenerDrops {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { read: None, known: HashMap::new() }
    }

    /// Reads the counts if it is time to, and says which have risen.
    pub(super) fn rises(&mut self, lookups: &mut SocketLookups) -> Vec<Rise> {
        if self.read.is_some_and(|read| read.elapsed() < BETWEEN) {
            return Vec::new();
        }
        let is_first = self.read.replace(Instant::now()).is_none();
        let all: Vec<WatchedNetns> = lookups.namespaces().cloned().collect();
        let mut before = std::mem::take(&mut self.known);
        let mut rises = Vec::new();
        for netns in all {
            for listener in lookups.listening(netns.id).known().unwrap_or_default() {
                let key = (netns.id, listener.inode);
                let known = before.remove(&key);
                let (known, count) = step(known, listener, is_first);
                if count > 0 {
                    let process = Reading::not_collected();
                    rises.push(Rise { netns: netns.clone(), listener, process, count });
                }
                self.known.insert(key, known);
            }
        }
        rises
    }

    /// Says of a SYN that was not answered that its listener drops, if it does.
    pub(super) fn explain(&self, traced: &mut Traced) {
        let handshake = &traced.handshake;
        let is_unanswered = handshake.outcome == Outcome::SynUnanswered;
        if !(is_unanswered && self.is_dropping(traced.netns, handshake.server)) {
            return;
        }
        if let Reading::Known(drops) = &mut traced.drops
            && drops.is_empty()
        {
            drops.push(Dropped {
                what: DroppedSegment::Syn,
                at: TracedEnd::Server,
                reason: REASON.to_owned(),
                count: handshake.syns.count.max(1),
                first_us: 0,
            });
        }
    }

    fn is_dropping(&self, netns: NetnsId, server: SocketAddr) -> bool {
        let here = self.known.iter().filter(|((of, _), _)| *of == netns).map(|(_, known)| known);
        here.filter(|known| known.is_dropping).any(|known| known.listener.key.covers(server))
    }
}

/// What is known of a listener now, and how many drops are to be told.
fn step(before: Option<Known>, listener: ListeningSocket, is_first: bool) -> (Known, u32) {
    let drops = listener.drops.unwrap_or(0);
    // One that was made meanwhile has dropped nothing before.
    let unseen = || if is_first { drops } else { 0 };
    let (told, told_at, last) = match &before {
        Some(known) => (known.told, known.told_at, known.listener.drops.unwrap_or(0)),
        None => (unseen(), None, unseen()),
    };
    let rose = drops > last;
    let was_dropping = before.is_some_and(|known| known.is_dropping);
    let is_full = listener.queue.is_full();
    let is_due = told_at.is_none_or(|at| at.elapsed() >= TOLD_EACH);
    let count = if is_due { drops.saturating_sub(told) } else { 0 };
    let known = Known {
        listener,
        told: if count > 0 { drops } else { told },
        told_at: if count > 0 { Some(Instant::now()) } else { told_at },
        is_dropping: is_full && (rose || was_dropping),
    };
    (known, count)
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{EndpointKey, Phase};
    use halfopen_model::AcceptQueue;

    use super::*;
    use crate::handshakes::fixture::address;
    use crate::trace::fixture;

    fn listener(depth: u32, drops: u32) -> ListeningSocket {
        ListeningSocket {
            key: EndpointKey { local: address("0.0.0.0:8080"), device: 0, v6_only: false },
            inode: Inode(5),
            queue: AcceptQueue { depth, limit: 5 },
            drops: Some(drops),
        }
    }

    #[test]
    fn drops_are_told_when_they_rise_and_then_from_time_to_time() {
        let (known, count) = step(None, listener(6, 40), true);
        assert_eq!((count, known.is_dropping), (0, false));
        let (known, count) = step(Some(known), listener(6, 44), false);
        assert_eq!((count, known.is_dropping), (4, true));
        let (known, count) = step(Some(known), listener(6, 47), false);
        assert_eq!((count, known.is_dropping), (0, true));
        let (known, _) = step(Some(known), listener(3, 47), false);
        assert!(!known.is_dropping);
        let (_, count) = step(None, listener(6, 3), false);
        assert_eq!(count, 3);
    }

    #[test]
    fn an_unanswered_syn_is_explained_by_a_listener_that_drops() {
        let mut traced = fixture::traced(Outcome::SynUnanswered, Phase::Open);
        traced.drops = Reading::Known(Vec::new());
        traced.handshake.server = address("10.0.0.1:8080");
        let mut drops = ListenerDrops::new();
        let (known, _) = step(None, listener(6, 1), false);
        let key = (traced.netns, Inode(5));
        drops.known.insert(key, Known { is_dropping: false, ..known });
        let mut unexplained = traced.clone();
        drops.explain(&mut unexplained);
        assert_eq!(unexplained, traced);
        drops.known.entry(key).and_modify(|known| known.is_dropping = true);
        drops.explain(&mut traced);
        let explained = traced.drops.known().expect("drops");
        assert_eq!((explained.len(), explained[0].what), (1, DroppedSegment::Syn));
    }
}
