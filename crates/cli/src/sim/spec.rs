//! What `--set` and `--sweep` say: a key, and a value or several.

use halfopen_sim::overrides::{Key, ValueKind, parse_time};

/// Values of a range where nothing else is said, and at the most.
const STEPS: usize = 9;
const STEPS_MOST: usize = 100;

/// A key with the values that it takes one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sweep {
    pub(super) key: Key,
    pub(super) values: Vec<String>,
}

/// Reads `key=value`.
pub(super) fn assignment(text: &str) -> Result<(Key, String), String> {
    let (key, value) = split(text, "KEY=VALUE, such as backlog=128")?;
    Ok((Key::parse(key).map_err(|error| error.to_string())?, value.to_owned()))
}

impl Sweep {
    /// Reads `key=a..b`, `key=a..b:steps` or `key=a,b,c`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (key, spec) = split(text, "KEY=FROM..TO[:STEPS] or KEY=VALUE,VALUE…")?;
        let key = Key::parse(key).map_err(|error| error.to_string())?;
        let range = spec.split_once("..").filter(|_| key.kind() != ValueKind::Text);
        let mut values = match range {
            Some((from, rest)) => {
                range_of(&key, from, rest).map_err(|why| format!("{text}: {why}"))?
            }
            None => spec.split(',').map(|value| value.trim().to_owned()).collect(),
        };
        values.dedup();
        if values.len() > STEPS_MOST || values.iter().any(String::is_empty) {
            return Err(format!("{text}: must have 1 to {STEPS_MOST} values, none of them empty"));
        }
        Ok(Self { key, values })
    }
}

fn split<'t>(text: &'t str, form: &str) -> Result<(&'t str, &'t str), String> {
    text.split_once('=')
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .ok_or_else(|| format!("{text:?} is not of the form {form}"))
}

fn range_of(key: &Key, from: &str, rest: &str) -> Result<Vec<String>, String> {
    let (to, steps) = match rest.split_once(':') {
        Some((to, steps)) => {
            let steps = steps.parse().ok().filter(|steps| (2..=STEPS_MOST).contains(steps));
            (to, Some(steps.ok_or_else(|| format!("steps must be 2 to {STEPS_MOST}"))?))
        }
        None => (rest, None),
    };
    let is_time = key.kind() == ValueKind::Time;
    let read = |text: &str| match is_time {
        true => parse_time(text).and_then(|time| u64::try_from(time.as_micros()).ok()),
        false => text.parse::<u32>().ok().map(u64::from),
    };
    let unit = if is_time { "times such as 5ms" } else { "whole numbers from 0 to 4294967295" };
    let (Some(from), Some(to)) = (read(from), read(to)) else {
        return Err(format!("FROM and TO must be {unit}"));
    };
    let values = geometric(from, to, steps.unwrap_or_else(|| steps_between(from, to)));
    Ok(values.into_iter().map(|n| if is_time { time_text(n) } else { n.to_string() }).collect())
}

/// Doublings where they lead from one end to the other.
fn steps_between(from: u64, to: u64) -> usize {
    let (low, high) = (from.min(to).max(1), from.max(to));
    let doublings = (high / low).max(1).ilog2() as usize;
    if low << doublings == high && (4..STEPS + 4).contains(&doublings) {
        doublings + 1 + usize::from(from.min(to) == 0)
    } else {
        STEPS
    }
}

/// Whole numbers whose ratios are about the same, ends included; 0 stands before the least other.
/// Those between have two digits that are not 0, where nobody asks for more.
fn geometric(from: u64, to: u64, steps: usize) -> Vec<u64> {
    if from > to {
        let mut values = geometric(to, from, steps);
        values.reverse();
        return values;
    }
    let (mut values, steps, first) =
        if from == 0 && to > 1 { (vec![0], steps - 1, 1) } else { (Vec::new(), steps, from) };
    let last = steps.saturating_sub(1).max(1);
    for step in 0..steps {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "numbers of 32 bits, or microseconds of an hour, between two that are positive"
        )]
        let value = {
            let share = step as f64 / last as f64;
            let (first, to) = (first.max(1) as f64, to as f64);
            (first * (to / first).powf(share)).round() as u64
        };
        values.push(match step {
            0 => first,
            _ if step == last => to,
            _ => two_digits(value),
        });
    }
    values.dedup();
    values
}

/// A number with zeros behind its first two digits; powers of two stay what they are.
fn two_digits(n: u64) -> u64 {
    let unit = 10_u64.pow(n.max(1).ilog10().saturating_sub(1));
    if n.is_power_of_two() { n } else { (n + unit / 2) / unit * unit }
}

/// Microseconds as a time that can be read again.
fn time_text(us: u64) -> String {
    let (number, unit) = match us {
        0 => return "0ms".to_owned(),
        1_000_000.. => (us / 10_000, "s"),
        1_000.. => (us / 10, "ms"),
        _ => return format!("{us}us"),
    };
    let (whole, hundredths) = (number / 100, number % 100);
    match hundredths {
        0 => format!("{whole}{unit}"),
        _ => format!("{whole}.{hundredths:02}").trim_end_matches('0').to_owned() + unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(Sweep::parse(text).expect("a sweep").values, expected, "{text}");
    }

    fn check_refused(text: &str, expected: &str) {
        assert_eq!(Sweep::parse(text).expect_err("refused"), expected);
    }

    #[test]
    fn ranges_go_up_by_the_same_ratio_and_end_where_they_should() {
        check("backlog=1..256", &["1", "2", "4", "8", "16", "32", "64", "128", "256"]);
        check("backlog=4..512", &["4", "8", "16", "32", "64", "128", "256", "512"]);
        check("backlog=10..3000:4", &["10", "67", "450", "3000"]);
        check("pause=1ms..200ms:6", &["1ms", "2.9ms", "8.3ms", "24ms", "69ms", "200ms"]);
        check("backlog=0..8:5", &["0", "1", "2", "4", "8"]);
        check("backlog=1..3", &["1", "2", "3"]);
        check("workers=8..1:4", &["8", "4", "2", "1"]);
        check("pause=1ms..1s:4", &["1ms", "10ms", "100ms", "1s"]);
        check("pause=500us..8ms:5", &["500us", "1ms", "2ms", "4ms", "8ms"]);
        check("somaxconn=128..4096:2", &["128", "4096"]);
    }

    #[test]
    fn lists_are_taken_as_they_stand() {
        check("backlog=5,1,5", &["5", "1", "5"]);
        check("kernel=2.6.32,6.18", &["2.6.32", "6.18"]);
        check("net.ipv4.ip_local_port_range=1024 2048,1024 4096", &["1024 2048", "1024 4096"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_could() {
        check_refused(
            "backlog",
            "\"backlog\" is not of the form KEY=FROM..TO[:STEPS] or KEY=VALUE,VALUE…",
        );
        check_refused(
            "backlog=1..x",
            "backlog=1..x: FROM and TO must be whole numbers from 0 to 4294967295",
        );
        check_refused("pause=1..5", "pause=1..5: FROM and TO must be times such as 5ms");
        check_refused("backlog=1..5:1", "backlog=1..5:1: steps must be 2 to 100");
        check_refused(
            "backlog=1,,5",
            "backlog=1,,5: must have 1 to 100 values, none of them empty",
        );
        assert!(assignment("backlogs=5").expect_err("unknown").contains("known are backlog"));
        assert_eq!(assignment("backlog=5"), Ok((Key::Backlog, "5".to_owned())));
    }
}
