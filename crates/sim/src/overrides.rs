//! A scenario with one thing changed: another backlog, slower programs, more clients, another setting
//! or kernel. One run of it answers a question, and several in a row give a curve.
//!
//! Where something is changed, what the scenario waits for at its end may not come any more, and would
//! come at another time. [`observed_for`] puts a span of time in its place, the same for every value.
//! What it waits for before stays: later steps build on it.

use std::fmt;
use std::time::Duration;

use halfopen_model::{KernelNameError, KernelVersion, Semantics, Sysctls};
use halfopen_scenario::{Arrivals, Scenario, Server, Step, ThreadPlan, Waits};
use thiserror::Error;

/// Copies of a thread at the most.
const WORKERS_MOST: u32 = 256;

/// Clients of one arrival at the most, and in all.
const CLIENTS_MOST: u32 = 100_000;
const CLIENTS_ALL_MOST: u32 = 1_000_000;

/// Time between two arrivals at the least.
const EVERY_LEAST: Duration = Duration::from_micros(100);

/// A time in a scenario at the most.
const TIME_MOST: Duration = Duration::from_secs(3600);

/// What can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The argument of every listen(2).
    Backlog,
    /// How long each connection keeps a thread from the next one.
    Pause,
    /// How many threads do what one thread that accepts does.
    Workers,
    /// Clients of each arrival.
    Count,
    /// Time from one arrival to the next.
    Every,
    /// The kernel, as a release.
    Kernel,
    /// A kernel setting, by its full name.
    Sysctl(String),
}

/// What kind of values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Whole numbers.
    Number,
    /// Times, such as `200ms`.
    Time,
    /// Anything else: no range can be made of it.
    Text,
}

/// Why a scenario cannot be changed like this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OverrideError {
    /// There is no such key.
    #[error(
        "{0:?} cannot be set; known are backlog, pause, workers, count, every, kernel, and settings \
         such as somaxconn or net.ipv4.tcp_syncookies"
    )]
    UnknownKey(String),
    /// The value is not of the right form.
    #[error("{key} = {value}: must be {wanted}")]
    Value {
        /// What was to be set.
        key: String,
        /// To what.
        value: String,
        /// What it can be set to.
        wanted: String,
    },
    /// The value is no kernel whose rules are known.
    #[error(transparent)]
    Kernel(#[from] KernelNameError),
    /// The scenario has nothing that could be changed.
    #[error("{key}: the scenario has no {missing}")]
    Nothing {
        /// What was to be set.
        key: String,
        /// What the scenario lacks.
        missing: &'static str,
    },
}

impl Key {
    /// Reads a key: one of the scenario's own words, or the name of a setting, in full or without
    /// its folder.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, OverrideError> {
        Ok(match text {
            "backlog" => Self::Backlog,
            "pause" => Self::Pause,
            "workers" => Self::Workers,
            "count" => Self::Count,
            "every" => Self::Every,
            "kernel" => Self::Kernel,
            _ => Self::Sysctl(
                setting(text).ok_or_else(|| OverrideError::UnknownKey(text.to_owned()))?,
            ),
        })
    }

    /// What kind of values it takes.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Backlog | Self::Workers | Self::Count => ValueKind::Number,
            Self::Pause | Self::Every => ValueKind::Time,
            Self::Kernel => ValueKind::Text,
            Self::Sysctl(name) if name.ends_with("_ports") || name.ends_with("_range") => {
                ValueKind::Text
            }
            Self::Sysctl(_) => ValueKind::Number,
        }
    }
}

/// The full name of a setting that decides about handshakes on some kernel.
fn setting(text: &str) -> Option<String> {
    let short = text.strip_prefix("net.core.").or_else(|| text.strip_prefix("net.ipv4."));
    let short = short.unwrap_or(text);
    let full = match short {
        "somaxconn" => "net.core.somaxconn".to_owned(),
        _ => format!("net.ipv4.{short}"),
    };
    if text != short && text != full {
        return None;
    }
    let semantics = Semantics::of(KernelVersion::vanilla(6, 18));
    let probe = Sysctls::defaults(&semantics).set(short, "no value", &semantics);
    (probe != Err(halfopen_model::SysctlError::Unknown)).then_some(full)
}

/// Sets one thing of a scenario.
///
/// # Errors
///
/// A value out of bounds, and a scenario that has nothing to set.
pub fn set(scenario: &Scenario, key: &Key, value: &str) -> Result<Scenario, OverrideError> {
    let mut scenario = scenario.clone();
    let changed = match key {
        Key::Backlog => {
            let backlog = number(key, value, -1, i64::from(i32::MAX))?;
            set_backlog(&mut scenario, i32::try_from(backlog).unwrap_or(i32::MAX))
        }
        Key::Pause => {
            let pause = time(key, value, Duration::ZERO)?;
            each_thread(&mut scenario, |thread| thread.pause = pause)
        }
        Key::Workers => {
            let workers = number(key, value, 1, i64::from(WORKERS_MOST))?;
            set_workers(&mut scenario, usize::try_from(workers).unwrap_or(1))
        }
        Key::Count => {
            let count = number(key, value, 1, i64::from(CLIENTS_MOST))?;
            let count = u32::try_from(count).unwrap_or(CLIENTS_MOST);
            each_arrivals(&mut scenario, |arrivals| {
                arrivals.at_most = scaled(arrivals.at_most, count, arrivals.clients.count);
                arrivals.clients.count = count;
            })
        }
        Key::Every => {
            let every = time(key, value, EVERY_LEAST)?;
            each_arrivals(&mut scenario, |arrivals| {
                let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
                arrivals.at_most = scaled(arrivals.at_most, micros(arrivals.every), micros(every));
                arrivals.every = every;
            })
        }
        Key::Kernel => {
            KernelVersion::named(value)?;
            scenario.kernel = Some(value.to_owned());
            true
        }
        Key::Sysctl(name) => {
            set_sysctl(&mut scenario, name, value);
            true
        }
    };
    let missing = match key {
        Key::Backlog => "listener",
        Key::Pause | Key::Workers => "thread that accepts by itself",
        _ => "arrivals",
    };
    if changed {
        Ok(scenario)
    } else {
        Err(OverrideError::Nothing { key: key.to_string(), missing })
    }
}

/// The scenario with a span of time in place of the states that it waits for at its end.
#[must_use]
pub fn observed_for(scenario: &Scenario, time: Duration) -> Scenario {
    let mut scenario = scenario.clone();
    while matches!(scenario.steps.last(), Some(Step::Await { .. } | Step::Pass { .. })) {
        scenario.steps.pop();
    }
    scenario.steps.push(Step::Pass { time });
    scenario
}

fn set_backlog(scenario: &mut Scenario, wanted: i32) -> bool {
    let mut changed = false;
    for step in &mut scenario.steps {
        match step {
            Step::Serve(server) => {
                for listen in &mut server.listen {
                    listen.backlog = wanted;
                    changed = true;
                }
            }
            Step::Listen { backlog, .. } => *backlog = wanted,
            _ => {}
        }
    }
    changed
}

/// Whether a thread accepts connections as they come, and another one could do the same.
fn accepts(thread: &ThreadPlan) -> bool {
    thread.port.is_some() && thread.waits != Waits::Told && thread.holds.is_none()
}

fn servers(scenario: &mut Scenario) -> impl Iterator<Item = &mut Server> {
    scenario.steps.iter_mut().filter_map(|step| match step {
        Step::Serve(server) => Some(server),
        _ => None,
    })
}

fn each_thread(scenario: &mut Scenario, change: impl Fn(&mut ThreadPlan)) -> bool {
    let mut changed = false;
    let threads = servers(scenario).flat_map(|server| {
        let except = server.except.iter_mut().flat_map(|exception| &mut exception.threads);
        server.threads.iter_mut().chain(except)
    });
    for thread in threads.filter(|thread| accepts(thread)) {
        change(thread);
        changed = true;
    }
    changed
}

fn set_workers(scenario: &mut Scenario, workers: usize) -> bool {
    let mut changed = false;
    for server in servers(scenario) {
        let models: Vec<ThreadPlan> =
            server.threads.iter().filter(|thread| accepts(thread)).cloned().collect();
        changed |= !models.is_empty();
        for model in models {
            // Threads that do the same as another one are copies already.
            let alike = |thread: &&ThreadPlan| {
                ThreadPlan { name: String::new(), ..(*thread).clone() }
                    == ThreadPlan { name: String::new(), ..model.clone() }
            };
            let present = server.threads.iter().filter(alike).count();
            for number in present + 1..=workers {
                // A thread's name has 15 bytes at the most.
                let stem: String = model.name.chars().take(10).collect();
                server
                    .threads
                    .push(ThreadPlan { name: format!("{stem}-{number}"), ..model.clone() });
            }
        }
    }
    changed
}

fn each_arrivals(scenario: &mut Scenario, change: impl Fn(&mut Arrivals)) -> bool {
    let mut changed = false;
    for step in &mut scenario.steps {
        if let Step::Arrivals(arrivals) = step {
            change(arrivals);
            changed = true;
        }
    }
    changed
}

/// Clients in all, so that they go on arriving as long as before.
fn scaled(all: u32, by: u32, of: u32) -> u32 {
    let all = u64::from(all) * u64::from(by) / u64::from(of.max(1));
    u32::try_from(all).unwrap_or(u32::MAX).clamp(1, CLIENTS_ALL_MOST)
}

fn set_sysctl(scenario: &mut Scenario, name: &str, value: &str) {
    match scenario.sysctl.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => {
            scenario.sysctl.push((name.to_owned(), value.to_owned()));
            scenario.sysctl.sort();
        }
    }
}

fn refused(key: &Key, value: &str, wanted: impl Into<String>) -> OverrideError {
    OverrideError::Value { key: key.to_string(), value: value.to_owned(), wanted: wanted.into() }
}

fn number(key: &Key, value: &str, low: i64, high: i64) -> Result<i64, OverrideError> {
    let number = value.parse::<i64>().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| refused(key, value, format!("a whole number from {low} to {high}")))
}

fn time(key: &Key, value: &str, least: Duration) -> Result<Duration, OverrideError> {
    let wanted = if least.is_zero() {
        "a time such as 500us, 20ms or 5s".to_owned()
    } else {
        format!("a time such as 20ms or 5s, at least {least:?}")
    };
    parse_time(value)
        .filter(|time| (least..=TIME_MOST).contains(time))
        .ok_or_else(|| refused(key, value, wanted))
}

/// A time such as `500us`, `20ms`, `1.5s` or `2m`.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(digits);
    let micros = match unit {
        "us" | "µs" => 1.0,
        "ms" => 1_000.0,
        "s" => 1_000_000.0,
        "m" | "min" => 60_000_000.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * micros / 1e6).ok()
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backlog => "backlog",
            Self::Pause => "pause",
            Self::Workers => "workers",
            Self::Count => "count",
            Self::Every => "every",
            Self::Kernel => "kernel",
            Self::Sysctl(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        about = "x"
        expect = []
        [[step]]
        do = "serve"
        process = "web"
        listen = [{ port = 80, backlog = 5 }]
        threads = [{ port = 80, pause = "100ms" }, { name = "idle" }]
        [[step]]
        do = "arrivals"
        port = 80
        count = 8
        every = "200ms"
        at_most = 800
        [[step]]
        do = "await"
        queue = { port = 80, at_least = 6 }
    "#;

    fn scenario() -> Scenario {
        Scenario::parse("x", TEXT).expect("a scenario")
    }

    fn changed(key: &str, value: &str) -> Scenario {
        set(&scenario(), &Key::parse(key).expect("a key"), value).expect("it can be set")
    }

    fn server(scenario: &Scenario) -> &Server {
        let Step::Serve(server) = &scenario.steps[0] else { panic!("the first step serves") };
        server
    }

    fn arrivals(scenario: &Scenario) -> &Arrivals {
        let Step::Arrivals(arrivals) = &scenario.steps[1] else { panic!("the second: arrivals") };
        arrivals
    }

    fn check_refused(key: &str, value: &str, expected: &str) {
        let error = Key::parse(key).and_then(|key| set(&scenario(), &key, value));
        assert_eq!(error.expect_err("refused").to_string(), expected);
    }

    #[test]
    fn programs_are_changed_where_they_accept() {
        assert_eq!(server(&changed("backlog", "-1")).listen[0].backlog, -1);
        let paused = changed("pause", "1.5ms");
        let pauses: Vec<_> = server(&paused).threads.iter().map(|thread| thread.pause).collect();
        assert_eq!(pauses, [Duration::from_micros(1500), Duration::ZERO]);
        let many = changed("workers", "3");
        let names: Vec<_> = server(&many).threads.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["web", "idle", "web-2", "web-3"]);
        let again = set(&many, &Key::Workers, "3").expect("it can be set");
        assert_eq!(again, many, "workers are counted, not added");
    }

    #[test]
    fn arrivals_go_on_as_long_as_before() {
        let more = changed("count", "16");
        assert_eq!((arrivals(&more).clients.count, arrivals(&more).at_most), (16, 1600));
        let faster = changed("every", "50ms");
        let expected = (Duration::from_millis(50), 3200);
        assert_eq!((arrivals(&faster).every, arrivals(&faster).at_most), expected);
    }

    #[test]
    fn settings_are_known_by_either_name_and_kernels_by_their_release() {
        let set = vec![("net.core.somaxconn".to_owned(), "16".to_owned())];
        assert_eq!(changed("somaxconn", "16").sysctl, set);
        assert_eq!(changed("net.core.somaxconn", "16").sysctl, set);
        assert_eq!(
            changed("kernel", "3.10.0-1160.el7.x86_64").kernel.as_deref(),
            Some("3.10.0-1160.el7.x86_64")
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        check_refused(
            "backlogs",
            "1",
            "\"backlogs\" cannot be set; known are backlog, pause, workers, count, every, kernel, \
             and settings such as somaxconn or net.ipv4.tcp_syncookies",
        );
        assert!(Key::parse("net.ipv4.somaxconn").is_err());
        check_refused(
            "backlog",
            "-2",
            "backlog = -2: must be a whole number from -1 to 2147483647",
        );
        check_refused("workers", "0", "workers = 0: must be a whole number from 1 to 256");
        check_refused("pause", "5", "pause = 5: must be a time such as 500us, 20ms or 5s");
        check_refused(
            "every",
            "0ms",
            "every = 0ms: must be a time such as 20ms or 5s, at least 100µs",
        );
        check_refused(
            "kernel",
            "new",
            "\"new\" is not a kernel; write a release such as 3.10.4 or 6.1.0-32-amd64, or rhel6, \
             rhel7, rhel8, rhel9",
        );
        assert_eq!(changed("kernel", "rhel7").kernel.as_deref(), Some("rhel7"));
        let mut quiet = scenario();
        quiet.steps.remove(1);
        let error = set(&quiet, &Key::Count, "4").expect_err("nothing arrives");
        assert_eq!(error.to_string(), "count: the scenario has no arrivals");
    }

    #[test]
    fn what_is_awaited_at_the_end_becomes_a_span_of_time() {
        let time = Duration::from_secs(10);
        let observed = observed_for(&scenario(), time);
        assert_eq!(observed.steps.len(), 3);
        assert_eq!(observed.steps[2], Step::Pass { time });
        assert_eq!(observed_for(&observed, time), observed);
    }
}
