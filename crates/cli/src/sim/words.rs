//! Figures of a simulation in words.

pub(super) use halfopen_diagnose::words::latency;
use halfopen_sim::ClientsSummary;

/// A point of simulated time: `1.034 s`.
pub(super) fn seconds(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1000)
}

/// A latency, or a dash where nobody connected.
pub(super) fn latency_or_dash(us: Option<u64>) -> String {
    us.map_or_else(|| "-".to_owned(), latency)
}

/// Clients that neither are connected nor have failed or given up.
pub(super) fn waiting(clients: &ClientsSummary) -> u64 {
    let o = &clients.outcomes;
    let over = o.connected + o.gave_up + o.timed_out + o.refused + o.unreachable + o.no_port;
    o.started.saturating_sub(over)
}

/// The time that so many of a thousand did not exceed; the times are in ascending order.
pub(super) fn of_a_thousand(sorted_us: &[u32], per_mille: usize) -> Option<u64> {
    let last = sorted_us.len().checked_sub(1)?;
    let at = (sorted_us.len() * per_mille).div_ceil(1000).saturating_sub(1);
    sorted_us.get(at.min(last)).map(|&us| u64::from(us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_people_use() {
        assert_eq!(seconds(1_034_999), "1.034 s");
        let said = [0, 40, 1_250, 999_999, 1_034_000, 75_000_000].map(latency);
        assert_eq!(said, ["0 µs", "40 µs", "1.2 ms", "999.9 ms", "1.03 s", "75.00 s"]);
        assert_eq!(latency_or_dash(None), "-");
    }

    #[test]
    fn quantiles_are_times_that_were_seen() {
        let times: Vec<u32> = (1..=1000).collect();
        let quantiles = [0, 500, 990, 999, 1000].map(|n| of_a_thousand(&times, n));
        assert_eq!(quantiles, [Some(1), Some(500), Some(990), Some(999), Some(1000)]);
        assert_eq!(of_a_thousand(&[7], 999), Some(7));
        assert_eq!(of_a_thousand(&[], 500), None);
    }
}
