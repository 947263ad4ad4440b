//! A length of time in four bytes: to the nanosecond up to a second, to the microsecond up to 17
//! minutes, to the millisecond up to 12 days.

/// Two bits of unit, 30 bits of count. A longer time is a larger number, whatever the units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lapse(u32);

const COUNT_BITS: u32 = 30;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const UNITS: [u64; 3] = [1, 1000, 1_000_000];

impl Lapse {
    /// From one time to another, in nanoseconds; nothing if it is not later.
    pub(super) fn between(from_ns: i64, to_ns: i64) -> Self {
        Self::of(u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(0))
    }

    /// Of so many nanoseconds, rounded down.
    pub(super) fn of(ns: u64) -> Self {
        // Divisors that are known need no division.
        let (scale, count) = if ns <= COUNT {
            (0_u32, ns)
        } else if ns / UNITS[1] <= COUNT {
            (1, ns / UNITS[1])
        } else {
            (2, (ns / UNITS[2]).min(COUNT))
        };
        Self(scale << COUNT_BITS | u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// In nanoseconds.
    pub(super) fn ns(self) -> u64 {
        let unit = UNITS.get((self.0 >> COUNT_BITS) as usize).copied().unwrap_or(0);
        (u64::from(self.0) & COUNT) * unit
    }

    /// In microseconds.
    pub(super) fn us(self) -> u64 {
        self.ns() / 1000
    }

    /// Nanoseconds from an earlier one; nothing if that is later.
    pub(super) fn since(self, earlier: Self) -> u64 {
        self.ns().saturating_sub(earlier.ns())
    }

    /// The same, counted from an earlier beginning.
    pub(super) fn delayed(self, ns: u64) -> Self {
        Self::of(self.ns().saturating_add(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_exact_and_long_ones_are_rounded_down() {
        let cases = [
            (0, 0),
            (999_999_999, 999_999_999),
            (2_000_000_001, 2_000_000_000),
            (1_073_000_000_001, 1_073_000_000_000),
            (7_200_000_999_999, 7_200_000_000_000),
        ];
        for (ns, kept) in cases {
            assert_eq!(Lapse::of(ns).ns(), kept, "{ns}");
        }
    }

    #[test]
    fn longer_times_are_larger_across_the_units() {
        let times = [0, 1, COUNT, COUNT + 1, COUNT * 1000, COUNT * 1000 + 1000, u64::MAX];
        let lapses = times.map(Lapse::of);
        assert!(lapses.is_sorted(), "{lapses:?}");
        assert_eq!(Lapse::between(5, 3), Lapse::of(0));
    }
}
