//! Figures in words, as the rules need them.

/// A time span: `500 ms`, `63 s`, `120 s`.
#[must_use]
pub fn span(ms: u64) -> String {
    if (1..1000).contains(&ms) { format!("{ms} ms") } else { format!("{} s", number(ms)) }
}

/// Moments in seconds, without their unit: `0, 1, 3, 7`. A long list is cut, and says how long it is.
#[must_use]
pub fn moments(ms: &[u64]) -> String {
    let shown: Vec<String> = ms.iter().take(MOMENTS).map(|&ms| number(ms)).collect();
    let cut =
        if ms.len() > MOMENTS { format!(", … ({} in all)", ms.len()) } else { String::new() };
    format!("{}{cut}", shown.join(", "))
}

/// So many moments are told one by one.
const MOMENTS: usize = 14;

fn number(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        (ms / 1000).to_string()
    } else {
        format!("{}.{}", ms / 1000, ms % 1000 / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_have_no_decimals() {
        assert_eq!([500, 1000, 7300, 120_000].map(span), ["500 ms", "1 s", "7.3 s", "120 s"]);
    }
    #[test]
    fn long_lists_of_moments_are_cut() {
        assert_eq!(moments(&[0, 1000, 1500]), "0, 1, 1.5");
        assert!(moments(&[0; 200]).ends_with(", 0, … (200 in all)"));
    }
}
