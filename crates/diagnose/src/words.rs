//! Figures in words.

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
