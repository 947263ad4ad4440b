//! Figures in words.

use halfopen_evidence::{Located, Pid};

/// A time span as people say it: `340 ms`, `2.0 s`, `6m12s`, `3h05m`, `2d04h`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long an answer took, in microseconds: `40 µs`, `1.2 ms`, `1.03 s`.
#[must_use]
pub fn latency(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// A span in nanoseconds with the unit that people use: `800 ns`, `40 µs`, `1.03 s`, `6m12s`.
#[must_use]
pub fn span(ns: u64) -> String {
    let us = ns / 1_000;
    match us {
        0 if ns > 0 => format!("{ns} ns"),
        0..60_000_000 => latency(us),
        _ => duration(us / 1_000),
    }
}

/// `2026-11-21 10:29:28` of seconds since 1970, UTC.
#[must_use]
pub fn date_time(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    let second = seconds.rem_euclid(DAY);
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!("{} {hour:02}:{minute:02}:{:02}", date(seconds.div_euclid(DAY)), second % 60)
}

/// `2026-11-21` of a day, counted from 1970-01-01; days that are more than 10^17 away are taken for
/// that one. The Gregorian calendar repeats every 400 years, and a year that begins in March has its
/// leap day last (Hinnant, `civil_from_days`).
#[must_use]
pub fn date(day: i64) -> String {
    const FAR: i64 = 100_000_000_000_000_000;
    let since_march_of_0 = day.clamp(-FAR, FAR) + 719_468;
    let (era, day) = (since_march_of_0.div_euclid(146_097), since_march_of_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + next)
}

/// A process as reports name it, harmless for a terminal: `web[812]`.
#[must_use]
pub fn process_name(comm: &str, pid: Pid) -> String {
    format!("{}[{pid}]", harmless(comm))
}

/// A number with its noun: `1 connection`, `2 connections`.
#[must_use]
pub fn count(n: impl Into<u64>, noun: &str) -> String {
    match n.into() {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// A figure that is known within bounds: `9 to 17`, or `13` where both are the same.
#[must_use]
pub fn bounds(least: &impl ToString, most: &impl ToString) -> String {
    match (least.to_string(), most.to_string()) {
        (least, most) if least == most => most,
        (least, most) => format!("{least} to {most}"),
    }
}

/// A share in whole percent, 0 for a share of nothing.
#[must_use]
pub fn percent(part: impl Into<u64>, whole: impl Into<u64>) -> u64 {
    let (part, whole) = (part.into(), whole.into());
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

/// Events per second over a span, with one decimal below ten: `0.5`, `48`.
#[must_use]
pub fn rate(events: u64, ms: u64) -> String {
    let tenths = events.saturating_mul(10_000).checked_div(ms).unwrap_or(0);
    if tenths >= 100 {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// Where a handshake went wrong between two points, or what was done to it.
#[must_use]
pub const fn located(located: Located) -> &'static str {
    match located {
        Located::SynLost => "SYN lost on the way to the server's side",
        Located::SynUnseen => "SYN not seen at the server's side, nor anything of that listener",
        Located::SynIgnored => "SYN reached the server's side, which did not answer it",
        Located::SynAckLost => "SYN-ACK lost on the way to the client's side",
        Located::AckLost => "ACK lost on the way to the server's side",
        Located::AckIgnored => "ACK reached the server's side, which ignored it",
        Located::RequestLost => "first data lost on the way to the server's side",
        Located::ResetNotByServer => "RST in the server's name, not sent by the server's side",
        Located::ResetNotByClient => "RST in the client's name, not sent by the client's side",
        Located::ResetLost => "RST lost on the way to the client's side",
        Located::AnsweredBetween => "SYN-ACK not sent by the server's side",
        Located::Translated => "addresses rewritten between",
        Located::Renumbered => "sequence numbers rewritten between: losses not told",
        Located::MssChanged => "MSS changed between",
        Located::WindowScaleChanged => "window scale changed between",
        Located::SackRemoved => "SACK-permitted removed between",
        Located::TimestampsRemoved => "timestamps removed between",
    }
}

/// Text from outside, made harmless for a terminal: control characters, and characters that change
/// the direction of writing or take no room, are shown as `\u{…}`.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a terminal may act on a character, or show it as nothing.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_two_units_at_the_most() {
        let said: Vec<String> =
            [340, 2000, 59_999, 372_000, 11_100_000, 187_200_000].map(duration).into();
        assert_eq!(said, ["340 ms", "2.0 s", "59.9 s", "6m12s", "3h05m", "2d04h"]);
    }

    #[test]
    fn bounds_that_are_the_same_are_one_figure() {
        assert_eq!(bounds(&9_u64, &17_u64), "9 to 17");
        assert_eq!(bounds(&rate(1570, 2000), &rate(1571, 2000)), "785");
    }

    #[test]
    fn rates_keep_a_decimal_while_they_are_small() {
        assert_eq!(rate(1, 2000), "0.5");
        assert_eq!(rate(96, 2000), "48");
        assert_eq!(rate(5, 0), "0.0");
    }

    #[test]
    fn escape_sequences_and_direction_marks_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(harmless("x\u{202e}y\n"), "x\\u{202e}y\\u{a}");
        assert_eq!(harmless("größe 接受"), "größe 接受");
    }
}
