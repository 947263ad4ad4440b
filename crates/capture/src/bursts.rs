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
    /// Apart from the other counts, since all of these are looked through.
    attempts: [u32; SECONDS],
    of_these: [Second; SECONDS],
    /// Clients whose handshakes had one SYN and no ACK.
    silent_clients: Distinct,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second {
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
        let place = self.place(handshake.began_ns.div_euclid(1_000_000_000));
        self.attempts[place] += 1;
        let second = &mut self.of_these[place];
        second.silent += u32::from(is_silent);
        second.connected += u32::from(is_connected);
        second.retried += u32::from(is_retried && !is_connected);
    }

    /// What the busiest second looks like, if that is a burst, among so many handshakes in so long.
    pub(crate) fn burst(&self, handshakes: u32, lasted_ns: i64) -> Option<Burst> {
        let all = self.attempts.iter().zip(&self.seconds).zip(&self.of_these).take(self.kept);
        let busiest = all.max_by_key(|((attempts, second), _)| (**attempts, -**second));
        let ((&attempts, &second), &Second { silent, connected, retried }) = busiest?;
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
        self.attempts.iter().step_by(16).for_each(prefetch);
    }

    /// The place of a second. Its counts begin anew if it is not kept, in the place of those with
    /// fewest attempts if there are too many.
    fn place(&mut self, second: i64) -> usize {
        let kept = place_of_first(self.seconds.iter().map(|&at| at == second));
        kept.filter(|&place| place < self.kept).unwrap_or_else(|| {
            let place = if self.kept < SECONDS { self.kept } else { self.least() };
            self.kept = self.kept.max(place + 1);
            (self.seconds[place], self.attempts[place]) = (second, 0);
            self.of_these[place] = Second::default();
            place
        })
    }

    /// The first of those with fewest attempts; none has less than one.
    fn least(&self) -> usize {
        let one = place_of_first(self.attempts.iter().map(|&attempts| attempts == 1));
        let least = || (0..SECONDS).min_by_key(|&place| self.attempts[place]);
        one.or_else(least).unwrap_or(0)
    }
}

/// The first place that is so. All are looked at, without a branch for each.
fn place_of_first(are_so: impl Iterator<Item = bool>) -> Option<usize> {
    const _: () = assert!(SECONDS <= u32::BITS as usize, "a bit for each");
    let bits = are_so.zip(0..).fold(0_u32, |bits, (is_so, place)| bits | u32::from(is_so) << place);
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}
