//! What is left to chance, and yet the same for the same seed (SplitMix64).

/// A stream of numbers that look random.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub(crate) fn happens(&mut self, per_thousand: u32) -> bool {
        per_thousand > 0 && self.below(1_000) < u64::from(per_thousand)
    }

    /// A waiting time of a Poisson process with this mean.
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        // 53 bits are what a f64 holds exactly; the sum keeps the logarithm finite.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let uniform = ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time in microseconds, positive and far below 2^53"
        )]
        let wait = (-uniform.ln() * mean as f64).round() as u64;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_means_come_out() {
        let mut a = Chance::new(7);
        let mut b = Chance::new(7);
        assert!((0..100).all(|_| a.next() == b.next()));
        let sum: u64 = (0..10_000).map(|_| a.exponential(1000)).sum();
        assert!((950..1050).contains(&(sum / 10_000)), "{sum}");
        let hits = (0..10_000).filter(|_| a.happens(250)).count();
        assert!((2300..2700).contains(&hits), "{hits}");
    }
}
