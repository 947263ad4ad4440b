//! What came of a simulation.

use halfopen_evidence::Evidence;
use halfopen_model::tcp::Segment;
use halfopen_model::{CounterSet, DropReason, Time};
use halfopen_scenario::Account;

use crate::clients::Outcomes;
use crate::tap::Packet;
use crate::watch::Sample;

/// What came of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What a check of the servers' machine would see, in the last two seconds.
    pub evidence: Evidence,
    /// The same of the machine of remote clients, if there are any.
    pub clients_evidence: Option<Evidence>,
    /// Pictures and segments of the servers' host, as the lab gives them.
    pub account: Account,
    /// The segments of the account, with what an account leaves out.
    pub capture: Vec<Packet>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Moments that are missing there.
    pub moments_omitted: u64,
    /// The queues over time.
    pub samples: Vec<Sample>,
    /// The hosts at the end; the first is the servers'.
    pub hosts: Vec<HostSummary>,
    /// The groups of clients.
    pub clients: Vec<ClientsSummary>,
    /// Simulated time, in microseconds.
    pub elapsed_us: u64,
}

/// A moment worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, in microseconds since the first step.
    pub at_us: u64,
    /// What kind of thing.
    pub kind: MomentKind,
    /// What, in words.
    pub what: String,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MomentKind {
    /// A step of the scenario.
    Step,
    /// A segment came to nothing, for the first time for this reason at this host.
    Drop,
    /// The end.
    End,
}

/// A host at the end of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSummary {
    /// Its name.
    pub name: String,
    /// Its kernel.
    pub kernel: halfopen_model::KernelVersion,
    /// Its counters.
    pub counters: CounterSet,
    /// Segments that came to nothing, by reason; reasons without any are left out.
    pub drops: Vec<(DropReason, u64)>,
}

/// A group of clients at the end of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsSummary {
    /// Its name.
    pub name: String,
    /// What came of its attempts.
    pub outcomes: Outcomes,
    /// Microseconds from each SYN to its connection, in ascending order.
    pub latencies_us: Vec<u32>,
}

impl ClientsSummary {
    /// The connect latency that so many of a thousand connections did not exceed.
    #[must_use]
    pub fn latency_us(&self, per_mille: usize) -> Option<u32> {
        let last = self.latencies_us.len().checked_sub(1)?;
        let at = (self.latencies_us.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.latencies_us.get(at.min(last)).copied()
    }
}

/// The timeline as it is written.
#[derive(Debug)]
pub(crate) struct Moments {
    kept: usize,
    pub(crate) moments: Vec<Moment>,
    pub(crate) omitted: u64,
    /// Hosts and reasons of drops so far; without a reason, connection tracking dropped.
    seen: std::collections::BTreeSet<(String, Option<DropReason>)>,
}

impl Moments {
    pub(crate) const fn new(kept: usize) -> Self {
        Self { kept, moments: Vec::new(), omitted: 0, seen: std::collections::BTreeSet::new() }
    }

    pub(crate) fn add(&mut self, now: Time, kind: MomentKind, what: String) {
        if self.moments.len() >= self.kept {
            self.omitted += 1;
            return;
        }
        self.moments.push(Moment { at_us: now.as_micros(), kind, what });
    }

    /// The first segment that comes to nothing for a reason.
    pub(crate) fn drop(&mut self, now: Time, host: &str, reason: DropReason, segment: &Segment) {
        if self.is_first(host, Some(reason)) {
            self.add(now, MomentKind::Drop, format!("{host}: {reason} ({segment})"));
        }
    }

    /// The first segment that connection tracking drops.
    pub(crate) fn untracked(&mut self, now: Time, host: &str, segment: &Segment) {
        if self.is_first(host, None) {
            let what = format!("{host}: connection-tracking table full ({segment})");
            self.add(now, MomentKind::Drop, what);
        }
    }

    fn is_first(&mut self, host: &str, reason: Option<DropReason>) -> bool {
        let known = self.seen.iter().any(|(name, seen)| name == host && *seen == reason);
        if !known {
            self.seen.insert((host.to_owned(), reason));
        }
        !known
    }
}
