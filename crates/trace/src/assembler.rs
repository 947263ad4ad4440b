//! Keeps the attempts, and tells of them when there is something to tell.

use std::collections::HashMap;

use halfopen_evidence::{KernelEvent, KernelEventKind, Phase};
use halfopen_model::AcceptQueue;

use crate::attempt::{Attempt, Step};
use crate::ends::{Key, Segment};
use crate::told::{FailedConnect, Listens, Told};

/// Attempts that are followed at a time; further ones are counted only.
const ATTEMPTS_MAX: usize = 65_536;

/// How long after the client's end is connected the server's may still be told of: on one host the
/// ACK takes microseconds.
const OTHER_END_NS: u64 = 100_000_000;

/// How long a connection is kept for the accept() that takes it.
const ACCEPT_NS: u64 = 5_000_000_000;

/// How long the other end of an attempt that has failed may still tell of it.
const ECHO_NS: u64 = 1_000_000_000;

/// Nothing more comes after so long: the longest pause between two SYNs or SYN-ACKs of one attempt is
/// 64 s (net/ipv4/tcp_timer.c, six time-outs of a second and more).
const SILENT_NS: u64 = 70_000_000_000;

/// Puts the events of attempts together. Times are those of the events, CLOCK_MONOTONIC.
#[derive(Clone, Debug)]
pub struct Assembler {
    attempts: HashMap<Key, Attempt>,
    next_number: u64,
    offset_ns: i64,
    awaits_accept: bool,
    not_followed: u64,
}

impl Assembler {
    /// An assembler for events of a kernel whose CLOCK_MONOTONIC is so many nanoseconds behind the time
    /// since 1970. `awaits_accept` says whether that kernel tells of accept().
    #[must_use]
    pub fn new(offset_ns: i64, awaits_accept: bool) -> Self {
        Self { attempts: HashMap::new(), next_number: 1, offset_ns, awaits_accept, not_followed: 0 }
    }

    /// Takes an event, and tells what it brings about.
    pub fn on_event(&mut self, event: &KernelEvent, told: &mut impl FnMut(Told)) {
        match event.what {
            KernelEventKind::Listening { backlog, limit } => {
                told(Told::Listens(self.listens(event, backlog, limit)));
                return;
            }
            KernelEventKind::ConnectFailed { errno: 0, .. } if event.local.port() == 0 => {
                told(Told::NoPort(self.no_port(event)));
                return;
            }
            _ => {}
        }
        let (key, end) = Key::of(event, |key| self.attempts.contains_key(key));
        if self.attempts.get(&key).is_some_and(|attempt| attempt.is_before(event)) {
            self.end(&key, told);
            self.attempts.remove(&key);
        }
        if !self.attempts.contains_key(&key) {
            if is_no_beginning(event) {
                return;
            }
            if self.attempts.len() >= ATTEMPTS_MAX {
                self.not_followed += 1;
                return;
            }
            self.attempts.insert(key, Attempt::new(self.next_number, event.at_ns));
            self.next_number += 1;
        }
        let Some(attempt) = self.attempts.get_mut(&key).filter(|attempt| !attempt.is_over) else {
            return;
        };
        let step = attempt.add(event, end);
        let is_over = match step {
            Step::Over => true,
            Step::Troubled => {
                if attempt.told != Some(attempt.outcome()) {
                    attempt.told = Some(attempt.outcome());
                    let open = attempt.assembled(&key, Phase::Open, self.offset_ns);
                    told(Told::Handshake(Box::new(open)));
                }
                false
            }
            // Nothing but accept() is awaited; a client's end of this namespace was told of first.
            Step::Goes => attempt.is_sound() && attempt.is_queued() && !self.awaits_accept,
        };
        if is_over {
            self.end(&key, told);
        }
    }

    /// Tells of attempts of which nothing more is to be expected.
    pub fn on_clock(&mut self, now_ns: u64, told: &mut impl FnMut(Told)) {
        let over = |attempt: &Attempt| {
            let patience = match (attempt.is_sound(), attempt.is_queued()) {
                _ if attempt.is_over => ECHO_NS,
                (true, true) => ACCEPT_NS,
                (true, false) if attempt.is_connected() => OTHER_END_NS,
                _ => SILENT_NS,
            };
            now_ns.saturating_sub(attempt.last_ns) > patience
        };
        let ended = self.attempts.iter().filter(|(_, it)| over(it)).map(|(key, _)| *key);
        self.end_all(ended.collect(), told);
    }

    /// Tells of all that are left.
    pub fn finish(&mut self, told: &mut impl FnMut(Told)) {
        self.end_all(self.attempts.keys().copied().collect(), told);
    }

    /// Attempts that were not followed because there were too many at a time.
    #[must_use]
    pub const fn not_followed(&self) -> u64 {
        self.not_followed
    }

    fn end_all(&mut self, mut keys: Vec<Key>, told: &mut impl FnMut(Told)) {
        // No order of a hash table gets out.
        keys.sort_unstable();
        for key in &keys {
            self.end(key, told);
            self.attempts.remove(key);
        }
    }

    /// Tells the end of an attempt, if it was not told. One that failed is kept for a moment, for what
    /// its other end still tells of the same.
    fn end(&mut self, key: &Key, told: &mut impl FnMut(Told)) {
        let Some(attempt) = self.attempts.get_mut(key).filter(|attempt| !attempt.is_over) else {
            return;
        };
        attempt.closes();
        attempt.is_over = true;
        let ended = attempt.assembled(key, Phase::Ended, self.offset_ns);
        if !attempt.may_echo() {
            self.attempts.remove(key);
        }
        told(Told::Handshake(Box::new(ended)));
    }

    /// When something happened, since 1970.
    fn since_1970_ns(&self, event: &KernelEvent) -> i64 {
        i64::try_from(event.at_ns).unwrap_or(i64::MAX).saturating_add(self.offset_ns)
    }

    fn listens(&self, event: &KernelEvent, backlog: i32, limit: u32) -> Listens {
        Listens {
            netns: event.netns,
            at_ns: self.since_1970_ns(event),
            local: event.local,
            caller: event.process.clone(),
            backlog,
            limit,
        }
    }

    fn no_port(&self, event: &KernelEvent) -> FailedConnect {
        FailedConnect {
            netns: event.netns,
            at_ns: self.since_1970_ns(event),
            server: event.peer,
            caller: event.process.clone(),
        }
    }
}

/// Whether an event tells nothing of an attempt that was not in trouble before.
fn is_no_beginning(event: &KernelEvent) -> bool {
    match &event.what {
        KernelEventKind::DataRepeated { .. } | KernelEventKind::Accepted { .. } => true,
        // A reset that answers a stray segment, or one that ends a connection which was sound.
        KernelEventKind::ResetSent { flags, queue, .. } => {
            let is_full = queue.is_some_and(AcceptQueue::is_full);
            Segment::of(*flags) != Segment::Syn && !is_full
        }
        KernelEventKind::ResetReceived { age_us } => {
            /// A client that is reset sooner was not served.
            const SOON_US: u64 = 1_000_000;
            event.inode.is_none() || *age_us > SOON_US
        }
        KernelEventKind::SegmentDropped { flags, queue, .. } => {
            Segment::of(*flags) == Segment::Reset
                || (Segment::of(*flags) == Segment::Other && queue.is_none())
        }
        _ => false,
    }
}
