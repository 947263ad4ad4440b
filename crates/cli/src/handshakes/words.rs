//! Times, spans and numbers of a capture in words.

use halfopen_capture::Timetable;
use halfopen_diagnose::words;
pub(crate) use halfopen_diagnose::words::span;
use halfopen_evidence::{Mark, Sends};

const DAY_S: i64 = 86_400;

/// `2026-11-21 10:29:28` of nanoseconds since 1970, UTC.
pub(crate) fn date_time(ns: i64) -> String {
    words::date_time(ns.div_euclid(1_000_000_000))
}

/// `2026-11-21T10:29:28.000001Z`, for programs.
pub(crate) fn rfc_3339(ns: i64) -> String {
    let micros = ns.rem_euclid(1_000_000_000) / 1_000;
    let (hour, minute, second) = time_of_day(ns);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z", date(ns))
}

/// `10:29:28.123`.
pub(crate) fn clock(ns: i64) -> String {
    let millis = ns.rem_euclid(1_000_000_000) / 1_000_000;
    let (hour, minute, second) = time_of_day(ns);
    format!("{hour:02}:{minute:02}:{second:02}.{millis:03}")
}

const fn time_of_day(ns: i64) -> (i64, i64, i64) {
    let second = ns.div_euclid(1_000_000_000).rem_euclid(DAY_S);
    (second / 3600, second % 3600 / 60, second % 60)
}

/// `2026-11-21`.
pub(crate) fn date(ns: i64) -> String {
    words::date(ns.div_euclid(1_000_000_000 * DAY_S))
}

/// A number with its thousands apart: `5,412,701`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 packet`, `5,412,701 packets`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(n)) }
}

/// A share: `7 %`, `<1 %` for what is there and rounds to nothing, and never 100 of what is not all.
pub(crate) fn share(part: u64, whole: u64) -> String {
    let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    if percent == 0 && part > 0 { "<1 %".to_owned() } else { format!("{percent} %") }
}

/// When segments were sent: `0, 1.0, 3.0 s`.
pub(crate) fn sent_at(sends: &Sends) -> String {
    let first = sends.at_us.first().copied().unwrap_or(0);
    let times: Vec<String> =
        sends.at_us.iter().map(|&us| seconds(us.saturating_sub(first))).collect();
    let more =
        if usize::try_from(sends.count).is_ok_and(|n| n > times.len()) { ", …" } else { "" };
    format!("{}{more} s", times.join(", "))
}

/// Seconds with as many decimals as tell something: `0`, `0.02`, `1.0`, `35.7`.
fn seconds(us: u64) -> String {
    match us {
        0 => "0".to_owned(),
        1..100 => format!("{}.{:06}", 0, us),
        100..100_000 => format!("0.{:03}", us / 1_000),
        _ => format!("{}.{}", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// When SYNs were sent again, and whose timetable that is: `1.0/2.0/3.1 s: Linux from 6.5 on`; none if
/// there was one SYN only.
pub(crate) fn timetable(syns: &Sends) -> Option<String> {
    Timetable::of(syns).map(|timetable| timetable.to_string())
}

/// A mark in words.
pub(crate) const fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::CookieLikely => "SYN cookie likely",
        Mark::DataIgnored => "data ignored",
        Mark::SimultaneousOpen => "simultaneous open",
        Mark::SplitHandshake => "split handshake",
        Mark::FastOpen => "TCP Fast Open",
        Mark::WrongSynAck => "SYN-ACK of something else",
        Mark::ChallengeAck => "challenge ACK",
        Mark::ReusedTimeWait => "addresses reused in TIME_WAIT",
        Mark::OlderTimestamp => "SYN with an older timestamp",
        Mark::HalfOpenClosed => "half-open, closed by a later probe",
        Mark::CapturedTwice => "captured twice",
        Mark::IcmpError => "ICMP error",
        Mark::Truncated => "cut by the capture",
        Mark::MaybeDeferred => "maybe deferred accept",
    }
}

/// Whether a mark says that something may be wrong with the connection itself.
pub(crate) const fn is_trouble(mark: Mark) -> bool {
    matches!(
        mark,
        Mark::CookieLikely
            | Mark::DataIgnored
            | Mark::WrongSynAck
            | Mark::ChallengeAck
            | Mark::OlderTimestamp
            | Mark::HalfOpenClosed
            | Mark::IcmpError
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_around_leap_days_are_right() {
        const S: i64 = 1_000_000_000;
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400 * S + 1_500, "2000-02-29T00:00:00.000001Z"),
            (1_735_689_599 * S, "2024-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(rfc_3339(ns), text);
        }
        assert!(rfc_3339(i64::MIN).ends_with('Z') && rfc_3339(i64::MAX).starts_with("2262-"));
        assert_eq!(date_time(1_735_689_599 * S), "2024-12-31 23:59:59");
    }

    #[test]
    fn spans_have_the_unit_that_people_use() {
        let said = [0, 40, 40_000, 1_250_000, 1_034_000_000, 372_000_000_000].map(span);
        assert_eq!(said, ["0 µs", "40 ns", "40 µs", "1.2 ms", "1.03 s", "6m12s"]);
    }

    #[test]
    fn shares_never_round_something_to_nothing() {
        assert_eq!(
            [share(0, 9), share(1, 900), share(899, 900), share(9, 9)],
            ["0 %", "<1 %", "99 %", "100 %"]
        );
        assert_eq!([999, 1_000, 5_412_701].map(grouped), ["999", "1,000", "5,412,701"]);
    }

    #[test]
    fn repeated_segments_are_told_with_their_times() {
        let sends = Sends { count: 10, at_us: vec![0, 1_010_000, 2_040_000, 3_060_000].into() };
        assert_eq!(sent_at(&sends), "0, 1.0, 2.0, 3.0, … s");
    }
}
