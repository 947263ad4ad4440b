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
        Some((to, steps)) => (to, steps.parse().ok()),
        None => (rest, Some(STEPS)),
    };
    let steps = steps.filter(|steps| (2..=STEPS_MOST).contains(steps));
    let steps = steps.ok_or_else(|| format!("steps must be 2 to {STEPS_MOST}"))?;
    let is_time = key.kind() == ValueKind::Time;
    let read = |text: &str| match is_time {
        true => parse_time(text).and_then(|time| u64::try_from(time.as_micros()).ok()),
        false => text.parse::<u32>().ok().map(u64::from),
    };
    let unit = if is_time { "times such as 5ms" } else { "whole numbers" };
    let (Some(from), Some(to)) = (read(from), read(to)) else {
        return Err(format!("FROM and TO must be {unit}"));
    };
    let values = geometric(from, to, steps);
    Ok(values.into_iter().map(|n| if is_time { time_text(n) } else { n.to_string() }).collect())
}

/// Whole numbers whose ratios are about the same, ends included; 0 stands before the least other.
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
            _ => value,
        });
    }
    values.dedup();
    values
}

/// Microseconds as a time that can be read again.
fn time_text(us: u64) -> String {
    match us {
        0 => "0ms".to_owned(),
        _ if us % 1_000_000 == 0 => format!("{}s", us / 1_000_000),
        _ if us % 1_000 == 0 => format!("{}ms", us / 1_000),
        // Beyond 10 ms, nobody cares for the microseconds.
        10_000.. => format!("{}ms", us / 1_000),
        _ => format!("{us}us"),
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
        check_refused("backlog=1..x", "backlog=1..x: FROM and TO must be whole numbers");
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
