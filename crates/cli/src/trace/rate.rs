//! How many lines may be shown, and how many were not.

use std::time::Duration;

/// A bucket of lines: it holds those of one second, and fills as time goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Lines a second; none for no bound.
    per_second: Option<u64>,
    /// In millionths of a line.
    left: u64,
    at: Duration,
    suppressed: u64,
    all_suppressed: u64,
}

const LINE: u64 = 1_000_000;

impl Rate {
    /// So many lines a second, 0 for no bound.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self {
            per_second: (per_second > 0).then_some(per_second),
            left: per_second * LINE,
            at: Duration::ZERO,
            suppressed: 0,
            all_suppressed: 0,
        }
    }

    /// Whether a line may be shown now, so long after the beginning. It counts as shown, or else as
    /// suppressed.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let Some(per_second) = self.per_second else { return true };
        let passed = now.saturating_sub(self.at).as_micros();
        let gained = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(per_second);
        self.left = self.left.saturating_add(gained).min(per_second * LINE);
        self.at = self.at.max(now);
        if let Some(left) = self.left.checked_sub(LINE) {
            self.left = left;
            return true;
        }
        self.suppressed += 1;
        self.all_suppressed += 1;
        false
    }

    /// Lines that were suppressed since this was asked last.
    pub(super) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }

    /// Lines that were suppressed at all.
    pub(super) const fn all_suppressed(&self) -> u64 {
        self.all_suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rate: &mut Rate, ms: u64, lines: usize) -> usize {
        (0..lines).filter(|_| rate.allows(Duration::from_millis(ms))).count()
    }

    #[test]
    fn a_second_holds_so_many_lines_and_what_is_more_is_counted() {
        let mut rate = Rate::new(10);
        assert_eq!(allowed(&mut rate, 0, 15), 10);
        assert_eq!(rate.take_suppressed(), 5);
        assert_eq!(allowed(&mut rate, 99, 1), 0);
        assert_eq!(allowed(&mut rate, 350, 9), 3);
        assert_eq!(allowed(&mut rate, 100_000, 20), 10, "a long silence saves up one second");
        assert_eq!((rate.take_suppressed(), rate.all_suppressed()), (17, 22));
        assert_eq!(allowed(&mut rate, 99_000, 1), 0, "time that goes back brings nothing");
    }

    #[test]
    fn without_a_bound_nothing_is_suppressed() {
        let mut rate = Rate::new(0);
        assert_eq!(allowed(&mut rate, 0, 100_000), 100_000);
        assert_eq!(rate.all_suppressed(), 0);
    }
}
