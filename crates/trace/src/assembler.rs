//! Keeps the attempts, and tells of them when there is something to tell.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use halfopen_evidence::{KernelEvent, KernelEventKind, Phase, SocketCall, TracedEnd};
use halfopen_model::AcceptQueue;

use crate::attempt::{Attempt, Step};
use crate::ends::{Key, Segment};
use crate::told::{FailedCall, Listens, Told};

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
            KernelEventKind::CallFailed { call, errno } => {
                told(Told::CallFailed(self.call_failed(event, call, errno)));
                return;
            }
            _ => {}
        }
        let (key, end) = Key::of(event, |key| self.attempts.contains_key(key));
        let is_full = self.attempts.len() >= ATTEMPTS_MAX;
        let attempt = match self.attempts.entry(key) {
            Entry::Occupied(known) => {
                let attempt = known.into_mut();
                if attempt.is_before(event) {
                    tell_end(attempt, &key, self.offset_ns, told);
                    *attempt = Attempt::new(self.next_number, event.at_ns);
                    self.next_number += 1;
                }
                attempt
            }
            Entry::Vacant(_) if is_no_beginning(event) => return,
            Entry::Vacant(_) if is_full => {
                self.not_followed += 1;
                return;
            }
            Entry::Vacant(free) => {
                let attempt = free.insert(Attempt::new(self.next_number, event.at_ns));
                self.next_number += 1;
                attempt
            }
        };
        if attempt.is_over || (attempt.awaits_client && end == TracedEnd::Server) {
            return;
        }
        let step = attempt.add(event, end);
        let is_over = match step {
            // A client of this host tells at once that it was refused, and which it is.
            Step::Over if attempt.is_refused_by(end) => {
                attempt.awaits_client = true;
                false
            }
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
            tell_end(attempt, &key, self.offset_ns, told);
            if !attempt.may_echo() {
                self.attempts.remove(&key);
            }
        }
    }

    /// Tells of attempts of which nothing more is to be expected.
    pub fn on_clock(&mut self, now_ns: u64, told: &mut impl FnMut(Told)) {
        let over = |attempt: &Attempt| {
            let patience = match (attempt.is_sound(), attempt.is_queued()) {
                _ if attempt.is_over => ECHO_NS,
                _ if attempt.awaits_client => OTHER_END_NS,
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
            if let Some(mut attempt) = self.attempts.remove(key) {
                tell_end(&mut attempt, key, self.offset_ns, told);
            }
        }
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

    fn call_failed(&self, event: &KernelEvent, call: SocketCall, errno: i32) -> FailedCall {
        FailedCall {
            netns: event.netns,
            at_ns: self.since_1970_ns(event),
            call,
            address: match call {
                SocketCall::Bind => event.local,
                SocketCall::Connect => event.peer,
            },
            caller: event.process.clone(),
            errno,
        }
    }
}

/// Tells the end of an attempt, if it was not told. One that failed is kept for a moment, for what its
/// other end still tells of the same.
fn tell_end(attempt: &mut Attempt, key: &Key, offset_ns: i64, told: &mut impl FnMut(Told)) {
    if attempt.is_over {
        return;
    }
    attempt.closes();
    attempt.is_over = true;
    told(Told::Handshake(Box::new(attempt.assembled(key, Phase::Ended, offset_ns))));
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
