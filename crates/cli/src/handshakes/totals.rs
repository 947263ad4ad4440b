//! What the handshakes of a capture add up to, in bounded memory: counts of all, and per listener what
//! `halfopen_capture::Tally` keeps.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use halfopen_capture::{ListenerTally, Nearness, Tallied, Tally, TallyLimits};
use halfopen_diagnose::words;
use halfopen_evidence::{Handshake, Located, Mark, Outcome, Vantage};

use super::class::{self, CLASSES, ENDS, Gravity};
use super::found::Found;
use super::histogram::Histogram;
use super::over_time::OverTime;
use super::words::grouped;

/// Counts per class, in the order of [`CLASSES`].
pub(crate) type ByClass = [u64; CLASSES.len()];

/// Counts that are still growing.
#[derive(Debug)]
pub(crate) struct Counting {
    totals: Totals,
    tally: Tally,
}

/// All handshakes together.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    /// By outcome.
    pub(crate) by_class: ByClass,
    /// How ignored third ACKs ended, in the order of [`ENDS`].
    pub(crate) ends: [u64; ENDS.len()],
    /// By what was noticed.
    pub(crate) marks: BTreeMap<Mark, u64>,
    /// By what was located between two points.
    pub(crate) located: BTreeMap<Located, u64>,
    /// By vantage: both directions, only clients', only servers'.
    pub(crate) vantages: [u64; 3],
    /// Nearer to which end they were captured.
    pub(crate) nearness: Nearness,
    /// How long connect() took where it succeeded.
    pub(crate) connect: Histogram,
    /// From the SYN to the SYN-ACK where both were seen.
    pub(crate) syn_ack: Histogram,
    /// From the SYN-ACK to the third ACK.
    pub(crate) ack: Histogram,
    /// Outcomes over time.
    pub(crate) over_time: OverTime,
    /// The first handshake of each class.
    pub(crate) examples: [Option<Found>; CLASSES.len()],
    /// Per listener and per client.
    pub(crate) tallied: Tallied,
}

/// A listener and what came of the attempts to reach it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listener<'a> {
    /// Its address.
    pub(crate) server: SocketAddr,
    /// The VLANs and tunnels it was seen in.
    pub(crate) scope: &'a str,
    /// What came of the attempts.
    pub(crate) tally: &'a ListenerTally,
    /// Attempts whose beginning was seen.
    pub(crate) attempts: u64,
    /// Attempts that connected late.
    pub(crate) late: u64,
    /// Attempts that failed.
    pub(crate) failed: u64,
}

impl Default for Counting {
    fn default() -> Self {
        let nothing = Tally::new(TallyLimits::default());
        let totals = Totals {
            by_class: [0; CLASSES.len()],
            ends: [0; ENDS.len()],
            marks: BTreeMap::new(),
            located: BTreeMap::new(),
            vantages: [0; 3],
            nearness: Nearness::default(),
            connect: Histogram::default(),
            syn_ack: Histogram::default(),
            ack: Histogram::default(),
            over_time: OverTime::default(),
            examples: [const { None }; CLASSES.len()],
            tallied: nothing.clone().finish(),
        };
        Self { totals, tally: nothing }
    }
}

impl Counting {
    /// Counts handshakes; many at a time take less than one after the other.
    pub(crate) fn add(&mut self, some: &[Found]) {
        some.iter().for_each(|found| self.totals.add(found));
        self.tally.add(some);
        for found in some {
            if let Some(crossing) = &found.crossing {
                self.tally.add_crossing(&found.handshake, crossing);
            }
        }
    }

    /// The counts.
    pub(crate) fn finish(self) -> Totals {
        Totals { tallied: self.tally.finish(), ..self.totals }
    }
}

impl Totals {
    fn add(&mut self, found: &Found) {
        let handshake = &found.handshake;
        let class = class::index(handshake.outcome);
        self.by_class[class] += 1;
        // Handshakes are told in the order in which they end.
        let example = &mut self.examples[class];
        if example.as_ref().is_none_or(|known| found.number < known.number) {
            *example = Some(found.clone());
        }
        if let Outcome::ThirdAckIgnored { ended } = handshake.outcome {
            self.ends[class::end_index(ended)] += 1;
        }
        for &mark in &handshake.marks {
            *self.marks.entry(mark).or_default() += 1;
        }
        for &located in found.crossing.iter().flat_map(|crossing| &crossing.located) {
            *self.located.entry(located).or_default() += 1;
        }
        self.vantages[vantage_index(handshake)] += 1;
        let stages = handshake.stages;
        self.nearness.add(&stages);
        for (histogram, ns) in [
            (&mut self.connect, stages.connect_ns),
            (&mut self.syn_ack, stages.syn_ack_ns),
            (&mut self.ack, stages.ack_ns),
        ] {
            if let Some(ns) = ns {
                histogram.add(ns);
            }
        }
        self.over_time.add(handshake.began_ns, class::gravity(handshake.outcome));
    }

    /// Handshakes, also those whose beginning was not seen.
    pub(crate) fn handshakes(&self) -> u64 {
        self.by_class.iter().sum()
    }

    /// Attempts whose beginning was seen.
    pub(crate) fn attempts(&self) -> u64 {
        self.handshakes() - self.by_class[class::index(Outcome::MidStream)]
    }

    /// What was located between two points, with how often.
    pub(crate) fn located_words(&self) -> impl Iterator<Item = String> {
        self.located
            .iter()
            .map(|(&it, &count)| format!("{} {}", grouped(count), words::located(it)))
    }

    /// The listeners, those with the most trouble first, then the busiest.
    pub(crate) fn listeners(&self) -> Vec<Listener<'_>> {
        let mut all: Vec<Listener<'_>> = self.tallied.listeners.iter().map(listener).collect();
        all.sort_by_cached_key(|listener| {
            Reverse((listener.failed, listener.late, listener.attempts))
        });
        all
    }
}

fn listener((scope, server, tally): &(String, SocketAddr, ListenerTally)) -> Listener<'_> {
    let count = |wanted: fn(Outcome) -> bool| {
        let outcomes = tally.outcomes.iter().filter(|(outcome, _)| wanted(*outcome));
        outcomes.map(|&(_, count)| u64::from(count)).sum()
    };
    Listener {
        server: *server,
        scope,
        tally,
        attempts: count(|outcome| outcome != Outcome::MidStream),
        late: count(|outcome| class::gravity(outcome) == Gravity::Late),
        failed: count(|outcome| class::gravity(outcome) == Gravity::Failed),
    }
}

impl Listener<'_> {
    /// Attempts by class.
    pub(crate) fn by_class(&self) -> ByClass {
        let mut by_class = [0; CLASSES.len()];
        for &(outcome, count) in &self.tally.outcomes {
            by_class[class::index(outcome)] += u64::from(count);
        }
        by_class
    }

    /// What went wrong, in words, the most frequent first.
    pub(crate) fn troubles(&self) -> Vec<(&'static str, u64)> {
        let mut troubles: Vec<(&'static str, u64)> = CLASSES
            .iter()
            .zip(self.by_class())
            .filter(|(class, count)| class.gravity >= Gravity::Late && *count > 0)
            .map(|(class, count)| (class.long, count))
            .collect();
        troubles.sort_by_key(|&(_, count)| Reverse(count));
        troubles
    }
}

const fn vantage_index(handshake: &Handshake) -> usize {
    match handshake.vantage {
        Vantage::Both => 0,
        Vantage::ClientOnly => 1,
        Vantage::ServerOnly => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn listeners_with_trouble_come_first() {
        let mut counting = Counting::default();
        counting.add(&fixture::some());
        let totals = counting.finish();
        assert_eq!((totals.handshakes(), totals.attempts()), (5, 5));
        let listeners = totals.listeners();
        let servers: Vec<String> = listeners.iter().map(|one| one.server.to_string()).collect();
        assert_eq!(servers, ["10.77.0.1:8080", "[2001:db8::1]:443", "10.77.0.1:8080"]);
        assert_eq!((listeners[0].attempts, listeners[0].late, listeners[0].failed), (3, 1, 1));
        assert_eq!(
            listeners[0].troubles(),
            [("established late, after a lost SYN", 1), ("SYN unanswered", 1)]
        );
        assert_eq!(totals.examples[5].as_ref().map(|found| found.number.record), Some(3));
    }
}
