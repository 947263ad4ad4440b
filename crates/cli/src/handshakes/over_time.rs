//! How attempts came out over time, in at most so many slices however long a capture is.

use std::collections::BTreeMap;

use super::class::Gravity;

/// Slices at the most.
const SLICES: i64 = 120;

/// Attempts of one slice, by gravity: fine, unsaid, late, failed.
pub(crate) type Slice = [u64; 4];

/// Attempts by the time at which they began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OverTime {
    width_ns: i64,
    slices: BTreeMap<i64, Slice>,
}

impl Default for OverTime {
    fn default() -> Self {
        Self { width_ns: 1_000_000, slices: BTreeMap::new() }
    }
}

impl OverTime {
    /// Counts an attempt.
    pub(crate) fn add(&mut self, began_ns: i64, gravity: Gravity) {
        let place = began_ns.div_euclid(self.width_ns);
        self.slices.entry(place).or_default()[gravity as usize] += 1;
        while self.span() > SLICES {
            self.widen();
        }
    }

    /// How long a slice is.
    pub(crate) const fn width_ns(&self) -> i64 {
        self.width_ns
    }

    /// When the first slice begins.
    pub(crate) fn begin_ns(&self) -> i64 {
        self.slices.keys().next().map_or(0, |first| first.saturating_mul(self.width_ns))
    }

    /// The slices, also those without attempts.
    pub(crate) fn slices(&self) -> Vec<Slice> {
        let Some(&first) = self.slices.keys().next() else { return Vec::new() };
        (first..first + self.span())
            .map(|place| self.slices.get(&place).copied().unwrap_or_default())
            .collect()
    }

    fn span(&self) -> i64 {
        match (self.slices.keys().next(), self.slices.keys().next_back()) {
            (Some(first), Some(last)) => last - first + 1,
            _ => 0,
        }
    }

    fn widen(&mut self) {
        self.width_ns *= 2;
        for (place, slice) in std::mem::take(&mut self.slices) {
            let wider = self.slices.entry(place.div_euclid(2)).or_default();
            for (sum, count) in wider.iter_mut().zip(slice) {
                *sum += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_widen_as_time_goes_on_and_no_attempt_is_lost() {
        let mut over_time = OverTime::default();
        for second in (0..1000).rev() {
            over_time.add(second * 1_000_000_000 - 5, Gravity::Fine);
        }
        let slices = over_time.slices();
        assert!(slices.len() <= 120 && slices.len() > 60);
        assert_eq!(slices.iter().map(|slice| slice[0]).sum::<u64>(), 1000);
        assert!(over_time.begin_ns() <= -5);
    }

    #[test]
    fn damaged_times_do_no_harm() {
        let mut over_time = OverTime::default();
        [i64::MIN, 0, i64::MAX].into_iter().for_each(|ns| over_time.add(ns, Gravity::Failed));
        assert_eq!(over_time.slices().iter().map(|slice| slice[3]).sum::<u64>(), 3);
    }
}
