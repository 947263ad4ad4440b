//! By how much the clocks of two points differ, as NTP would say it (RFC 5905): of a handshake that
//! passed both points, one direction shows the offset plus a delay and the other the offset minus a
//! delay, so that the offset lies between the two, whatever the delays and whichever point comes first.
//! The interval that most handshakes agree on is what is known; nothing is assumed about delays.

/// Slopes beyond this, in billionths, are no clock's: it was set.
const STEEPEST_PPB: i64 = 1_000_000;

/// Delays of one direction differ by less than this, or do not agree on an offset.
const ONE_WAY_SPREAD_NS: u64 = 100_000_000;

/// Pieces of time whose offsets are compared for a drift.
const WINDOWS: i64 = 12;

/// What a handshake says of the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// When, by the first point's clock.
    pub at_ns: i64,
    /// The offset is no less …
    pub low_ns: i64,
    /// … and no more.
    pub high_ns: i64,
}

/// The second point's clock as compared with the first's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// By how many nanoseconds it is ahead, in the middle of what is known.
    pub offset_ns: i64,
    /// By how many more or fewer it may be; none if segments of one direction alone were seen at both
    /// points: then delays are part of the offset.
    pub within_ns: Option<u64>,
    /// By how many billionths it is faster; 0 if the offset is the same all the time, as far as the
    /// interval tells.
    pub drift_ppb: i64,
    /// The time for which the offset is given.
    pub at_ns: i64,
    /// Handshakes that agree with it.
    pub agreeing: usize,
    /// Handshakes that say something.
    pub of: usize,
}

impl Clock {
    /// The offset at a time.
    #[must_use]
    pub fn offset_at(&self, time_ns: i64) -> i64 {
        self.offset_ns.saturating_add(drifted(self.drift_ppb, time_ns.saturating_sub(self.at_ns)))
    }

    /// A time of the second point by the first point's clock.
    #[must_use]
    pub fn corrected(&self, time_ns: i64) -> i64 {
        time_ns.saturating_sub(self.offset_at(time_ns.saturating_sub(self.offset_ns)))
    }

    /// From what handshakes say; none if none does.
    #[must_use]
    pub fn of(samples: &[Bounds]) -> Option<Self> {
        let at_ns = samples.iter().map(|sample| sample.at_ns).min()?;
        let constant = agreement(samples, 0, at_ns)?;
        let enough = samples.len() - samples.len() / 50;
        let drifting = (constant.count < enough)
            .then(|| {
                let slopes = slopes(samples);
                let all = slopes.into_iter().filter_map(|ppb| agreement(samples, ppb, at_ns));
                all.max_by_key(|one| (one.count, one.high_ns.saturating_sub(one.low_ns)))
            })
            .flatten()
            .filter(|drifting| drifting.count > constant.count);
        let best = drifting.unwrap_or(constant);
        let width_ns = best.high_ns.saturating_sub(best.low_ns);
        Some(Self {
            offset_ns: best.low_ns.saturating_add(width_ns / 2),
            // Rounded up, so that both ends are within.
            within_ns: Some(width_ns.unsigned_abs().div_ceil(2)),
            drift_ppb: best.ppb,
            at_ns,
            agreeing: best.count,
            of: samples.len(),
        })
    }

    /// From segments of one direction, whose delays cannot be told from the offset: the least delay is
    /// taken for none. `behind` says that the second point comes after the first for them.
    #[must_use]
    pub fn of_one_way(differences_ns: &[i64], at_ns: i64, behind: bool) -> Option<Self> {
        let least = differences_ns.iter().min();
        let most = differences_ns.iter().max();
        let &offset_ns = if behind { least? } else { most? };
        let agrees = |ns: &&i64| ns.abs_diff(offset_ns) <= ONE_WAY_SPREAD_NS;
        let agreeing = differences_ns.iter().filter(agrees).count();
        let of = differences_ns.len();
        Some(Self { offset_ns, within_ns: None, drift_ppb: 0, at_ns, agreeing, of })
    }
}

/// An offset that so many agree on.
#[derive(Clone, Copy, Debug)]
struct Agreement {
    count: usize,
    low_ns: i64,
    high_ns: i64,
    ppb: i64,
}

/// The interval in which most samples overlap, if the clock has this slope.
fn agreement(samples: &[Bounds], ppb: i64, at_ns: i64) -> Option<Agreement> {
    let level = |ns: i64, sample: &Bounds| {
        ns.saturating_sub(drifted(ppb, sample.at_ns.saturating_sub(at_ns)))
    };
    let ends = |it: &Bounds| (it.low_ns.min(it.high_ns), it.high_ns.max(it.low_ns));
    let mut lows: Vec<i64> = samples.iter().map(|it| level(ends(it).0, it)).collect();
    let mut highs: Vec<i64> = samples.iter().map(|it| level(ends(it).1, it)).collect();
    lows.sort_unstable();
    highs.sort_unstable();
    let mut ended = 0;
    let mut best: Option<Agreement> = None;
    for (begun, &low_ns) in (1..).zip(&lows) {
        ended += highs[ended..].iter().take_while(|&&high| high < low_ns).count();
        let count = begun - ended;
        if best.is_none_or(|best| count > best.count) {
            let high_ns = highs.get(ended).copied().unwrap_or(low_ns);
            best = Some(Agreement { count, low_ns, high_ns, ppb });
        }
    }
    best
}

/// Slopes between the offsets of different times, each of the handshake that says most of them.
fn slopes(samples: &[Bounds]) -> Vec<i64> {
    let times = || samples.iter().map(|sample| sample.at_ns);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Vec::new() };
    let length = last.saturating_sub(first) / WINDOWS + 1;
    let mut windows: Vec<Vec<Bounds>> = vec![Vec::new(); usize::try_from(WINDOWS).unwrap_or(1)];
    for sample in samples {
        let window = usize::try_from(sample.at_ns.saturating_sub(first) / length).unwrap_or(0);
        if let Some(window) = windows.get_mut(window) {
            window.push(*sample);
        }
    }
    let points: Vec<(i64, i64)> = windows
        .iter()
        .filter_map(|window| {
            let width = |it: &&Bounds| it.high_ns.abs_diff(it.low_ns);
            let narrowest = window.iter().min_by_key(width)?;
            Some((narrowest.at_ns, i64::midpoint(narrowest.low_ns, narrowest.high_ns)))
        })
        .collect();
    let mut slopes = Vec::new();
    for (at, &(later_ns, later)) in points.iter().enumerate() {
        for &(earlier_ns, earlier) in &points[..at] {
            let rise = i128::from(later) - i128::from(earlier);
            let run = (i128::from(later_ns) - i128::from(earlier_ns)).max(1);
            let slope = i64::try_from(rise * 1_000_000_000 / run).unwrap_or(i64::MAX);
            if slope.saturating_abs() <= STEEPEST_PPB {
                slopes.push(slope);
            }
        }
    }
    slopes
}

/// By how much a clock that is faster by so many billionths is ahead after a time.
fn drifted(ppb: i64, ns: i64) -> i64 {
    i64::try_from(i128::from(ppb) * i128::from(ns) / 1_000_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A handshake at a time, by its delays there and back.
    fn sample(at_ms: u32, offset_ns: i64, there: u32, back: u32) -> Bounds {
        Bounds {
            at_ns: i64::from(at_ms) * 1_000_000,
            low_ns: offset_ns - i64::from(back),
            high_ns: offset_ns + i64::from(there),
        }
    }

    fn is_within(clock: &Clock, offset_ns: i64) -> bool {
        clock.within_ns.is_some_and(|within| clock.offset_ns.abs_diff(offset_ns) <= within)
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_true_offset_whatever_the_delays(
            offset_ns in -100_000_000_000_000_i64..100_000_000_000_000,
            delays in prop::collection::vec((0_u32..600_000, 1_u32..900_000_000, 1_u32..900_000_000), 1..200),
        ) {
            let samples: Vec<Bounds> =
                delays.iter().map(|&(at, there, back)| sample(at, offset_ns, there, back)).collect();
            let clock = Clock::of(&samples).expect("an offset");
            prop_assert!(is_within(&clock, offset_ns), "{clock:?}");
            prop_assert_eq!((clock.agreeing, clock.drift_ppb), (samples.len(), 0));
            let least = |of: fn(&(u32, u32, u32)) -> u32| delays.iter().map(of).min().expect("some");
            let widest = u64::from(least(|it| it.1)) + u64::from(least(|it| it.2));
            prop_assert!(clock.within_ns <= Some(widest.div_ceil(2)), "the least delays bound it");
        }

        #[test]
        fn a_few_that_lie_do_not_move_it(
            offset_ns in -10_000_000_000_i64..10_000_000_000,
            lies in prop::collection::vec(2_000_000_000_i64..3_000_000_000_000, 0..9),
        ) {
            let mut samples: Vec<Bounds> =
                (0..20).map(|at| sample(at * 100, offset_ns, 20_000_000 + at, 30_000_000)).collect();
            samples.extend(lies.iter().map(|lie| sample(50, offset_ns + lie, 1_000_000, 1_000_000)));
            prop_assert!(is_within(&Clock::of(&samples).expect("an offset"), offset_ns));
        }

        #[test]
        fn a_drift_that_the_delays_do_not_hide_is_found(
            ppm in prop_oneof![-400_i64..-40, 40_i64..400],
            delays in prop::collection::vec((50_000_u32..500_000, 50_000_u32..500_000), 200),
        ) {
            let samples: Vec<Bounds> = (0..)
                .zip(&delays)
                .map(|(at, &(there, back))| {
                    let at_ms = at * 18_000;
                    sample(at_ms, 7_000 + ppm * i64::from(at_ms), there, back)
                })
                .collect();
            let clock = Clock::of(&samples).expect("an offset");
            prop_assert!((clock.drift_ppb - ppm * 1000).abs() < 1000, "{clock:?} {ppm}");
            for at_ms in [0, 1_800_000, 3_582_000] {
                let expected = 7_000 + ppm * at_ms;
                let off = clock.offset_at(at_ms * 1_000_000).abs_diff(expected);
                prop_assert!(off < 1_500_000, "{off} ns off at {at_ms} ms: {clock:?}");
            }
        }
    }

    #[test]
    fn no_times_do_harm() {
        let ends = [i64::MIN, -1, 0, i64::MAX];
        for at_ns in ends {
            for low_ns in ends {
                for high_ns in ends {
                    let odd = Bounds { at_ns, low_ns, high_ns };
                    let clock = Clock::of(&[odd, sample(5, 0, 1, 1), sample(90, 0, 1, 1)]);
                    let clock = clock.expect("an offset");
                    for time_ns in ends {
                        std::hint::black_box(clock.corrected(time_ns));
                    }
                }
            }
        }
    }

    #[test]
    fn one_direction_alone_gives_no_bounds() {
        let clock = Clock::of_one_way(&[30, 20, 90], 0, true).expect("an offset");
        assert_eq!((clock.offset_ns, clock.within_ns), (20, None));
        assert_eq!(Clock::of_one_way(&[], 0, false), None);
    }
}
