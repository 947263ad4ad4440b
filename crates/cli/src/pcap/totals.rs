//! What handshakes add up to, in memory that grows with listeners and not with connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use halfopen_evidence::{Handshake, Mark, Outcome, Vantage};

use super::class::{self, CLASSES, ENDS, Gravity};
use super::crowd::Crowd;
use super::found::Number;
use super::histogram::Histogram;
use super::over_time::OverTime;

/// Listeners that are told apart; a scan or a flood can name millions.
const LISTENERS: usize = 4096;

/// Counts per class, in the order of [`CLASSES`].
pub(super) type ByClass = [u64; CLASSES.len()];

/// All handshakes together.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Attempts and their outcomes.
    pub(super) tally: Tally,
    /// By vantage: both directions, only clients', only servers'.
    pub(super) vantages: [u64; 3],
    /// From the SYN to the SYN-ACK where both were seen.
    pub(super) syn_ack: Histogram,
    /// From the SYN-ACK to the third ACK.
    pub(super) ack: Histogram,
    /// Outcomes over time.
    pub(super) over_time: OverTime,
    /// The servers.
    listeners: BTreeMap<(SocketAddr, String), Tally>,
    /// Attempts to servers that found no place there.
    pub(super) unlisted: u64,
}

/// Handshakes with something in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// By outcome.
    pub(super) by_class: ByClass,
    /// How ignored third ACKs ended, in the order of [`ENDS`].
    pub(super) ends: [u64; ENDS.len()],
    /// By what was noticed.
    pub(super) marks: BTreeMap<Mark, u64>,
    /// Who wanted to connect.
    pub(super) clients: Crowd,
    /// How long connect() took where it succeeded.
    pub(super) connect: Histogram,
    /// Attempts that were late, and that failed.
    pub(super) late: u64,
    /// Attempts that failed.
    pub(super) failed: u64,
    /// The first handshake of each class.
    pub(super) examples: [Option<Number>; CLASSES.len()],
}

/// A server's address and what came of the attempts to reach it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener<'a> {
    /// Its address.
    pub(super) server: SocketAddr,
    /// The VLANs and tunnels it was seen in.
    pub(super) scope: &'a str,
    /// What came of the attempts.
    pub(super) tally: &'a Tally,
}

impl Totals {
    /// Counts a handshake.
    pub(super) fn add(&mut self, handshake: &Handshake, number: Number) {
        self.tally.add(handshake, number);
        self.vantages[match handshake.vantage {
            Vantage::Both => 0,
            Vantage::ClientOnly => 1,
            Vantage::ServerOnly => 2,
        }] += 1;
        if let Some(ns) = handshake.stages.syn_ack_ns {
            self.syn_ack.add(ns);
        }
        if let Some(ns) = handshake.stages.ack_ns {
            self.ack.add(ns);
        }
        self.over_time.add(handshake.began_ns, class::gravity(handshake.outcome));
        let is_full = self.listeners.len() >= LISTENERS;
        let key = (handshake.server, handshake.scope.clone());
        match self.listeners.get_mut(&key) {
            Some(tally) => tally.add(handshake, number),
            None if is_full => self.unlisted += 1,
            None => self.listeners.entry(key).or_default().add(handshake, number),
        }
    }

    /// The servers, those with the most trouble first, then the busiest.
    pub(super) fn listeners(&self) -> Vec<Listener<'_>> {
        let mut all: Vec<Listener<'_>> = self
            .listeners
            .iter()
            .map(|((server, scope), tally)| Listener { server: *server, scope, tally })
            .collect();
        all.sort_by_key(|one| {
            let tally = one.tally;
            std::cmp::Reverse((tally.failed, tally.late, tally.attempts()))
        });
        all
    }
}

impl Tally {
    fn add(&mut self, handshake: &Handshake, number: Number) {
        let class = class::index(handshake.outcome);
        self.by_class[class] += 1;
        // Handshakes are told in the order in which they end.
        let example = self.examples[class].get_or_insert(number);
        *example = number.min(*example);
        if let Outcome::ThirdAckIgnored { ended } = handshake.outcome {
            self.ends[class::end_index(ended)] += 1;
        }
        match class::gravity(handshake.outcome) {
            Gravity::Fine | Gravity::Unsaid => {}
            Gravity::Late => self.late += 1,
            Gravity::Failed => self.failed += 1,
        }
        for &mark in &handshake.marks {
            *self.marks.entry(mark).or_default() += 1;
        }
        self.clients.add(handshake.client.ip());
        if let Some(ns) = handshake.stages.connect_ns {
            self.connect.add(ns);
        }
    }

    /// Attempts whose beginning was seen.
    pub(super) fn attempts(&self) -> u64 {
        self.handshakes() - self.by_class[class::index(Outcome::MidStream)]
    }

    /// All of them.
    pub(super) fn handshakes(&self) -> u64 {
        self.by_class.iter().sum()
    }

    /// What went wrong, in words, the most frequent first.
    pub(super) fn troubles(&self) -> Vec<(&'static str, u64)> {
        let mut troubles: Vec<(&'static str, u64)> = CLASSES
            .iter()
            .zip(self.by_class)
            .filter(|(class, count)| class.gravity >= Gravity::Late && *count > 0)
            .map(|(class, count)| (class.long, count))
            .collect();
        troubles.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        troubles
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::fixture::handshake;
    use super::*;

    #[test]
    fn listeners_with_trouble_come_first_and_their_number_is_bounded() {
        let mut totals = Totals::default();
        for n in 0..5_000_u32 {
            let mut one = handshake(Outcome::Established);
            one.server = SocketAddr::new(Ipv4Addr::from(n).into(), 80);
            totals.add(&one, Number::new(0, u64::from(n) + 1));
        }
        let mut bad = handshake(Outcome::SynUnanswered);
        bad.server = SocketAddr::new(Ipv4Addr::from(7).into(), 80);
        totals.add(&bad, Number::new(0, 9_000));
        let listeners = totals.listeners();
        assert_eq!((listeners.len(), totals.unlisted), (LISTENERS, 5_000 - LISTENERS as u64));
        assert_eq!(listeners[0].server, bad.server);
        assert_eq!(listeners[0].tally.troubles(), [("SYN unanswered", 1)]);
    }
}
