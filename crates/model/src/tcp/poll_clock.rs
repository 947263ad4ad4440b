//! When kernels to 4.0 look at a request: one timer per listener walks its table, a part every 200 ms
//! (`inet_csk_reqsk_queue_prune`), so that a request is looked at late, about twice in the first
//! time-out.
//!
//! The walk is not carried out: at which tick a bucket has its turn can be computed.

use crate::{Span, Time};

/// Time between two parts of the walk (`TCP_SYNQ_INTERVAL`, HZ/5).
const TICK: Span = Span::from_millis(200);

/// Where the walk over a listener's table is.
#[derive(Clone, Copy, Debug)]
pub(super) struct PollClock {
    buckets: u64,
    /// Buckets looked at in a tick.
    per_tick: u64,
    /// When the walk goes on: the timer runs only while there are requests.
    starts_at: Time,
    /// The bucket that it goes on with.
    starts_with: u64,
    first_after: Span,
}

impl PollClock {
    pub(super) const fn new(buckets: u64, initial_rto_ms: u32) -> Self {
        let ticks = initial_rto_ms as u64 / TICK.as_millis();
        let ticks = if ticks == 0 { 1 } else { ticks };
        let per_tick = 2 * (buckets / ticks);
        Self {
            buckets: if buckets == 0 { 1 } else { buckets },
            // The kernel's loop runs at least once.
            per_tick: if per_tick == 0 { 1 } else { per_tick },
            starts_at: Time::NEVER,
            starts_with: 0,
            first_after: Span::from_millis(initial_rto_ms as u64),
        }
    }

    /// A request entered an empty queue: the timer starts anew.
    pub(super) fn start(&mut self, now: Time) {
        if self.starts_at <= now {
            let ticks = now.since(self.starts_at).as_micros() / TICK.as_micros() + 1;
            self.starts_with = (self.starts_with + ticks * self.per_tick) % self.buckets;
        }
        self.starts_at = now + self.first_after;
    }

    /// The first tick at or after `due` that looks at a request with this hash.
    pub(super) fn looked_at(&self, hash: u64, due: Time) -> Time {
        let bucket = hash & (self.buckets - 1);
        let waited = due.since(self.starts_at).as_micros();
        let mut tick = waited.div_ceil(TICK.as_micros());
        loop {
            let first = (self.starts_with + tick * self.per_tick) % self.buckets;
            let distance = (bucket + self.buckets - first) % self.buckets;
            if distance < self.per_tick {
                return self.starts_at + Span::from_micros(tick * TICK.as_micros());
            }
            tick += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_has_its_turn_within_half_a_timeout_or_so() {
        let mut clock = PollClock::new(16, 1000);
        clock.start(Time::ZERO);
        for hash in 0..16 {
            for due in [1000, 3000, 7000] {
                let due = Time::ZERO + Span::from_millis(due);
                let late = clock.looked_at(hash, due).since(due);
                assert!(late <= Span::from_millis(600), "bucket {hash}: {late:?}");
            }
        }
    }
}
