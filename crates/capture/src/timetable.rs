//! Whose timetable a client's SYNs follow: from the times of the SYNs that went unanswered to the
//! systems that send theirs so.
//!
//! One SYN that was sent again after a second says little: Linux, Windows and macOS all do that. So a
//! timetable is named by all the systems that it fits, the best first.

use std::fmt;

use halfopen_evidence::Sends;
use halfopen_model::SynGiveUp;
use halfopen_model::retries::SynRetries;

/// A client's timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// Milliseconds from the first SYN to each that was sent again; as many as were kept.
    pub sent_ms: Vec<u64>,
    /// The systems that it fits, the best first; none for a timetable of its own.
    pub fits: Vec<System>,
}

/// A system whose timetable is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// Linux from 3.1 to 6.4, or with `tcp_syn_linear_timeouts` = 0: 1, 3, 7, 15, 31, 63 s.
    LinuxDoubling,
    /// Linux from 6.5 on: 1, 2, 3, 4, 5, 7, 11, 19, 35, 67 s.
    LinuxLinear,
    /// Linux before 3.1, and others with a first time-out of 3 s: 3, 9, 21, 45, 93 s.
    ThreeSeconds,
    /// Windows before 8: 3, 9 s.
    WindowsThreeSeconds,
    /// Windows from 8 on: 1, 3, 7, 15 s.
    WindowsOneSecond,
    /// Windows after each RST: 0.5, 1.0 s.
    WindowsAfterReset,
    /// macOS and iOS: 1.0, 2.1, 3.2, 4.3, 5.4, 7.5 s and on.
    MacOs,
}

/// Systems, and when they send again.
const SYSTEMS: [System; 7] = [
    System::LinuxDoubling,
    System::LinuxLinear,
    System::ThreeSeconds,
    System::WindowsOneSecond,
    System::WindowsThreeSeconds,
    System::WindowsAfterReset,
    System::MacOs,
];

/// How much sooner than by the timetable, in thousandths: clocks differ, and packets wait on the way.
const EARLY: u64 = 25;

/// How much later: the timer wheel keeps a timer in steps of up to an eighth of its length
/// (kernel/time/timer.c, `LVL_CLK_SHIFT`); 2.5 % is usual for those of some seconds.
const LATE: u64 = 125;

/// Delays that have nothing to do with the length of a wait.
const JITTER_MS: u64 = 25;

impl Timetable {
    /// The timetable of SYNs; none if there was only one.
    #[must_use]
    pub fn of(syns: &Sends) -> Option<Self> {
        let (&first, again) = syns.at_us.split_first()?;
        let sent_ms: Vec<u64> =
            again.iter().map(|at| (at.saturating_sub(first) + 500) / 1000).collect();
        if sent_ms.is_empty() {
            return None;
        }
        let mut fits: Vec<(u64, System)> = SYSTEMS
            .into_iter()
            .filter_map(|system| Some((misfit(&sent_ms, &system.sends_ms())?, system)))
            .collect();
        fits.sort_unstable();
        let best = fits.first().map_or(0, |&(misfit, _)| misfit);
        // One that fits clearly worse than another is not named beside it.
        fits.retain(|&(misfit, _)| misfit <= best + best / 2 + 10);
        Some(Self { sent_ms, fits: fits.into_iter().map(|(_, system)| system).collect() })
    }
}

impl System {
    /// When it sends a SYN again, in milliseconds from the first one.
    #[must_use]
    pub fn sends_ms(self) -> Vec<u64> {
        let linux = |initial_rto_ms, retries, linear| {
            let give_up = SynGiveUp::CountOrElapsed;
            let all = SynRetries { initial_rto_ms, retries, linear, give_up }.sent_ms();
            all.get(1..).unwrap_or_default().to_vec()
        };
        match self {
            Self::LinuxDoubling => linux(1000, 6, 0),
            Self::LinuxLinear => linux(1000, 6, 4),
            Self::ThreeSeconds => linux(3000, 5, 0),
            Self::WindowsThreeSeconds => vec![3000, 9000],
            Self::WindowsOneSecond => vec![1000, 3000, 7000, 15_000],
            Self::WindowsAfterReset => vec![500, 1000],
            Self::MacOs => vec![1000, 2100, 3200, 4300, 5400, 7500, 11_600, 19_700, 35_800],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::LinuxDoubling => "Linux before 6.5",
            Self::LinuxLinear => "Linux from 6.5 on",
            Self::ThreeSeconds => "Linux before 3.1",
            Self::WindowsThreeSeconds => "Windows before 8",
            Self::WindowsOneSecond => "Windows",
            Self::WindowsAfterReset => "Windows after RST",
            Self::MacOs => "macOS",
        }
    }
}

/// `1.0/3.1/7.2 s: Linux before 6.5 or Windows`.
impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, sent) in self.sent_ms.iter().enumerate() {
            let slash = if at == 0 { "" } else { "/" };
            write!(f, "{slash}{}.{}", sent / 1000, sent % 1000 / 100)?;
        }
        f.write_str(" s: ")?;
        let names: Vec<&str> = self.fits.iter().map(|system| system.name()).collect();
        f.write_str(if names.is_empty() { "of its own" } else { "" })?;
        f.write_str(&names.join(" or "))
    }
}

/// How far waits lie from those of a timetable, on average, in thousandths; none if one of them lies
/// too far or the timetable is over by then.
fn misfit(sent_ms: &[u64], expected_ms: &[u64]) -> Option<u64> {
    if sent_ms.len() > expected_ms.len() {
        return None;
    }
    let mut total = 0;
    let (mut sent_last, mut expected_last) = (0, 0);
    for (&sent, &expected) in sent_ms.iter().zip(expected_ms) {
        let (wait, usual) = (sent.saturating_sub(sent_last), expected - expected_last);
        let late = wait.saturating_sub(usual);
        let early = usual.saturating_sub(wait);
        if late > usual * LATE / 1000 + JITTER_MS || early > usual * EARLY / 1000 + JITTER_MS {
            return None;
        }
        total += (late + early) * 1000 / usual;
        (sent_last, expected_last) = (sent, expected);
    }
    Some(total / (sent_ms.len() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent_ms: &[u64], expected: &[System]) {
        let at_us: Vec<u64> =
            std::iter::once(0).chain(sent_ms.iter().copied()).map(|ms| ms * 1000).collect();
        let count = u32::try_from(at_us.len()).expect("a few");
        let timetable =
            Timetable::of(&Sends { count, at_us: at_us.into() }).expect("more than one");
        assert_eq!(timetable.fits, expected, "{timetable}");
    }

    #[test]
    fn measured_timetables_get_their_names() {
        use System::*;
        // A kernel 6.18, nobody answering.
        check(&[1010, 2040, 3060, 4080, 5110, 7120, 11_380], &[LinuxLinear]);
        check(&[1000, 3000, 7000, 15_000, 31_000, 63_000], &[LinuxDoubling]);
        check(&[1020, 3050, 7250], &[LinuxDoubling, WindowsOneSecond]);
        check(&[3000, 9000, 21_000], &[ThreeSeconds]);
        check(&[3010, 9020], &[ThreeSeconds, WindowsThreeSeconds]);
        check(&[500, 1000], &[WindowsAfterReset]);
        check(&[1000, 2100, 3200, 4300, 5400, 7500], &[MacOs]);
    }

    #[test]
    fn a_single_wait_of_a_second_fits_many() {
        use System::*;
        check(&[1000], &[LinuxDoubling, LinuxLinear, WindowsOneSecond, MacOs]);
    }

    #[test]
    fn other_timetables_are_of_their_own() {
        check(&[200, 600, 1400], &[]);
        check(&[1000, 3000, 5000], &[]);
        check(&[1300, 3300], &[]);
    }

    #[test]
    fn a_timetable_prints_its_times_and_its_systems() {
        let sends = |at_us: &[u64]| Sends { count: 0, at_us: at_us.into() };
        let print = |at_us: &[u64]| Timetable::of(&sends(at_us)).map(|it| it.to_string());
        let doubling = "1.0/3.1/7.3 s: Linux before 6.5 or Windows";
        assert_eq!(print(&[0, 1_020_000, 3_100_000, 7_300_000]).as_deref(), Some(doubling));
        assert_eq!(print(&[0, 250_000]).as_deref(), Some("0.2 s: of its own"));
        assert_eq!((print(&[0]), print(&[])), (None, None));
    }
}
