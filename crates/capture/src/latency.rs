//! A histogram of times in fixed logarithmic buckets, four to each power of two, from a microsecond to
//! four minutes. A quantile is off by a fifth at most.

use halfopen_evidence::prefetch;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    buckets: [u32; BUCKETS],
    count: u64,
}

const PER_OCTAVE: usize = 4;
const FIRST_OCTAVE: u32 = 10;
const OCTAVES: usize = 28;
const BUCKETS: usize = OCTAVES * PER_OCTAVE;

impl Default for Latency {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], count: 0 }
    }
}

impl Latency {
    /// Asks for the memory that adding a time needs.
    pub(crate) fn fetch(&self, ns: u64) {
        prefetch(&self.count);
        prefetch(&self.buckets[bucket_of(ns)]);
    }

    /// Adds a time.
    pub fn add(&mut self, ns: u64) {
        let bucket = &mut self.buckets[bucket_of(ns)];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
    }

    /// That of times which were counted elsewhere in the same buckets; those that this has no bucket for
    /// are left out.
    #[must_use]
    pub fn of_buckets(counted: &[u64]) -> Self {
        let mut latency = Self::default();
        for (bucket, &count) in latency.buckets.iter_mut().zip(counted) {
            *bucket = u32::try_from(count).unwrap_or(u32::MAX);
            latency.count += u64::from(*bucket);
        }
        latency
    }

    /// How many times were added.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Nanoseconds that so many thousandths of the times do not exceed; none without any.
    #[must_use]
    pub fn quantile_ns(&self, thousandths: u64) -> Option<u64> {
        let rank = (self.count * thousandths.min(1000)).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        });
        bucket.map(end_of)
    }
}

fn bucket_of(ns: u64) -> usize {
    let octave = ns.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let quarter = ns >> (octave - 2) & 3;
    let octave = (octave - FIRST_OCTAVE) as usize;
    (octave * PER_OCTAVE + usize::try_from(quarter).unwrap_or(0)).min(BUCKETS - 1)
}

/// Where a bucket ends.
fn end_of(bucket: usize) -> u64 {
    let octave = bucket / PER_OCTAVE;
    let quarter = bucket % PER_OCTAVE;
    ((PER_OCTAVE + quarter + 1) as u64) << (octave + FIRST_OCTAVE as usize - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_off_by_a_fifth_at_most() {
        let mut latency = Latency::default();
        for ms in 1..=1000 {
            latency.add(ms * 1_000_000);
        }
        for (thousandths, exact) in [(500, 500_000_000), (990, 990_000_000), (999, 999_000_000)] {
            let found = latency.quantile_ns(thousandths).expect("some");
            assert!(found >= exact && found <= exact / 4 * 5, "{found} {exact}");
        }
    }

    #[test]
    fn times_beyond_the_ends_are_kept_at_the_ends() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_ns(500), None);
        latency.add(0);
        latency.add(u64::MAX);
        assert_eq!(latency.quantile_ns(500), Some(1280));
        assert_eq!(latency.quantile_ns(1000), Some(1 << 38));
    }
}
