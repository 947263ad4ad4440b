//! How long things took, in memory that does not grow with how often they happened.
//!
//! `halfopen_capture::Latency` answers the same question for each of thousands of listeners, in a fixed
//! half KiB and off by a fifth. Here there are three for a whole capture, whose figures are printed and
//! whose buckets are drawn: those are worth 3 %.

use std::collections::BTreeMap;

/// Buckets per power of two: a value is off by 3 % at the most.
const STEPS: u32 = 5;

/// Spans in nanoseconds, counted in buckets whose width grows with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: BTreeMap<u16, u64>,
    count: u64,
    most: u64,
}

impl Histogram {
    /// Counts a span.
    pub(crate) fn add(&mut self, ns: u64) {
        *self.buckets.entry(bucket(ns)).or_default() += 1;
        self.count += 1;
        self.most = self.most.max(ns);
    }

    /// How many were counted.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub(crate) fn most(&self) -> Option<u64> {
        (self.count > 0).then_some(self.most)
    }

    /// The span that so many of a thousand did not exceed; a bucket stands for its end, and none for
    /// more than the longest.
    pub(crate) fn of_a_thousand(&self, per_mille: u64) -> Option<u64> {
        let rank = self.count.saturating_mul(per_mille).div_ceil(1000).max(1);
        let mut so_far = 0;
        for (&bucket, &count) in &self.buckets {
            so_far += count;
            if so_far >= rank {
                return Some(end_of(bucket).min(self.most));
            }
        }
        None
    }

    /// The end of each bucket that is not empty, and how many are in it.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().map(|(&bucket, &count)| (end_of(bucket).min(self.most), count))
    }
}

fn bucket(ns: u64) -> u16 {
    let ns = ns.min(1 << 62);
    let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(STEPS + 1);
    let number = (u64::from(shift) << STEPS) + (ns >> shift);
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn end_of(bucket: u16) -> u64 {
    let shift = u32::from(bucket >> STEPS).saturating_sub(1);
    let step = u64::from(bucket) - (u64::from(shift) << STEPS);
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_close_above_each_value_in_it() {
        for ns in (0..100).chain([1_000, 40_123, 1_034_000_000, 7_000_000_000_000, 1 << 60]) {
            let end = end_of(bucket(ns));
            assert!(end >= ns && end - ns <= ns / 32, "{ns} in a bucket that ends at {end}");
        }
    }

    #[test]
    fn quantiles_are_close_to_the_true_ones() {
        let mut spans = Histogram::default();
        assert_eq!((spans.of_a_thousand(500), spans.most()), (None, None));
        (1..=1000).for_each(|us| spans.add(us * 1000));
        for (per_mille, us) in [(500, 500), (990, 990), (999, 999), (1000, 1000)] {
            let ns = spans.of_a_thousand(per_mille).expect("some");
            assert!((us * 1000..us * 1033).contains(&ns), "{per_mille}: {ns}");
        }
        assert_eq!(spans.of_a_thousand(1000), spans.most());
    }
}
