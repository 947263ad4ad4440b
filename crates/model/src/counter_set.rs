//! The counters of one namespace, as numbers that a model moves.

use crate::Counter;

/// A value for each [`Counter`]. Those that the kernel does not have stay 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterSet([u64; Counter::ALL.len()]);

impl CounterSet {
    /// Counts one event.
    pub const fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }

    /// The value of a counter.
    #[must_use]
    pub const fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Takes one off a gauge ([`Counter::CurrEstab`]).
    pub const fn uncount(&mut self, gauge: Counter) {
        self.0[gauge as usize] = self.0[gauge as usize].saturating_sub(1);
    }

    /// Every counter that is not 0, in the order of [`Counter::ALL`].
    pub fn moved(&self) -> impl Iterator<Item = (Counter, u64)> {
        Counter::ALL.iter().copied().zip(self.0).filter(|&(_, value)| value > 0)
    }
}

impl Default for CounterSet {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_a_place_of_its_own() {
        for (at, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter as usize, at, "{counter}: ALL stands in the order of the enum");
            let mut counters = CounterSet::default();
            counters.count(counter);
            assert_eq!(counters.moved().collect::<Vec<_>>(), [(counter, 1)]);
        }
    }
}
