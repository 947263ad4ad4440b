//! Times as text.

use crate::words::date_time;

/// `2026-11-21T10:29:28Z` of milliseconds since 1970, UTC.
pub(super) fn iso_8601(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    format!("{}Z", date_time(seconds).replacen(' ', "T", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_around_leap_years_and_centuries_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso_8601(seconds * 1000), text);
        }
        assert!(iso_8601(u64::MAX).ends_with("Z"));
    }
}
