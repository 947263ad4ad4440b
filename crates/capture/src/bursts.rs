//! Whether many attempts on a listener at once were a SYN flood, or clients that all came back.

use halfopen_evidence::{Burst, BurstKind, Handshake, Outcome, prefetch};

use crate::Distinct;

/// Fewer attempts in a second are no burst.
const BURST: u32 = 100;

/// Fewer addresses than this are no flood from forged ones: a scan, or a client with short patience.
const FLOOD_SOURCES: u64 = 50;

/// Seconds that are kept.
const SECONDS: usize = 32;

/// The seconds in which most attempts on a listener began, and beside them their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bursts {
    /// How many are kept.
    kept: usize,
    seconds: [i64; SECONDS],
    counts: [Second; SECONDS],
    /// Clients whose handshakes had one SYN and no ACK.
    silent_clients: Distinct,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second {
    attempts: u32,
    silent: u32,
    connected: u32,
    retried: u32,
}

impl Bursts {
    /// Counts a handshake with a client.
    pub(crate) fn add(&mut self, handshake: &Handshake, client: u128) {
        if handshake.outcome == Outcome::MidStream {
            return;
        }
        let is_connected = handshake.stages.connect_ns.is_some();
        let is_retried = handshake.syns.count > 1;
        let has_no_ack = matches!(
            handshake.outcome,
            Outcome::SynUnanswered
                | Outcome::ThirdAckMissing
                | Outcome::AbortedByClient
                | Outcome::Undecided
        );
        let is_silent = has_no_ack && !is_retried;
        if is_silent {
            self.silent_clients.add(client);
        }
        let second = self.at(handshake.began_ns.div_euclid(1_000_000_000));
        second.attempts += 1;
        second.silent += u32::from(is_silent);
        second.connected += u32::from(is_connected);
        second.retried += u32::from(is_retried && !is_connected);
    }

    /// What the busiest second looks like, if that is a burst, among so many handshakes in so long.
    pub(crate) fn burst(&self, handshakes: u32, lasted_ns: i64) -> Option<Burst> {
        let (second, busiest) = self.busiest()?;
        let Second { attempts, silent, connected, retried } = busiest;
        let silent_clients = self.silent_clients.count();
        let is_flood =
            u64::from(silent) * 10 >= u64::from(attempts) * 8 && silent_clients >= FLOOD_SOURCES;
        let lasted = lasted_ns / 1_000_000_000 + 1;
        let rest = i64::from(handshakes.saturating_sub(attempts));
        let usual = rest / (lasted - 1).max(1);
        let real = connected.saturating_add(retried).min(attempts);
        let is_storm = u64::from(real) * 2 >= u64::from(attempts)
            && i64::from(attempts) >= usual.saturating_mul(4);
        let kind = match (attempts >= BURST, is_flood, is_storm) {
            (true, true, _) => BurstKind::SynFlood,
            (true, false, true) => BurstKind::ReconnectStorm,
            _ => return None,
        };
        let second_ns = second.saturating_mul(1_000_000_000);
        Some(Burst { kind, second_ns, attempts, silent, connected, retried, silent_clients })
    }

    /// Asks for the memory that adding needs.
    pub(crate) fn fetch(&self) {
        prefetch(&self.kept);
        self.seconds.iter().step_by(8).for_each(prefetch);
        self.counts.first().into_iter().for_each(prefetch);
    }

    /// The counts of a second. They begin anew if it is not kept, in the place of those with fewest
    /// attempts if there are too many.
    fn at(&mut self, second: i64) -> &mut Second {
        let kept = self.seconds.iter().take(self.kept).position(|&at| at == second);
        let place = kept.unwrap_or_else(|| {
            let place = if self.kept < SECONDS { self.kept } else { self.least() };
            self.kept = self.kept.max(place + 1);
            self.seconds[place] = second;
            self.counts[place] = Second::default();
            place
        });
        &mut self.counts[place]
    }

    /// The first of those with fewest attempts; none has less than one.
    fn least(&self) -> usize {
        let one = self.counts.iter().position(|counts| counts.attempts == 1);
        let least = || (0..SECONDS).min_by_key(|&place| self.counts[place].attempts);
        one.or_else(least).unwrap_or(0)
    }

    fn busiest(&self) -> Option<(i64, Second)> {
        let all = self.seconds.iter().copied().zip(self.counts.iter().copied());
        all.take(self.kept).max_by_key(|&(second, counts)| (counts.attempts, -second))
    }
}
