//! Plays scenarios twice, in the simulator and on the running kernel, and compares.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halfopen_lab::{IpVersion, Lab, can_run, scenarios};
use halfopen_model::KernelVersion;
use halfopen_scenario::{Account, Scenario};
use halfopen_sim::{Options, SimError, account};
use rustix::time::{ClockId, clock_getres};

use crate::compare::{Aspect, Disagreement, TimerWheel, compare};

/// Labs at a time: they mostly wait for the kernel's timers.
const AT_A_TIME: usize = 8;

/// How often a scenario is played at the most. Where nothing but times differ, the machine may have been
/// busy with something else; what the kernel does otherwise than the model, it does each time.
const PLAYS_MOST: u32 = 3;

/// Scenarios that come out otherwise over IPv6, where other ICMP errors end a request: those that say
/// that it is prohibited, or not wanted (`tcp_v6_err`, `icmpv6_err_convert`). The model's rules are
/// IPv4's.
const IPV4_ONLY: [&str; 1] = ["firewall-rejects-syn-acks"];

/// A scenario and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The scenario's name.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long the lab took.
    pub took: Duration,
    /// How often it was played; what came of it is of the last time.
    pub plays: u32,
}

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both accounts are there; where they disagree.
    Compared(Vec<Disagreement>),
    /// The lab cannot run it here, and why.
    Skipped(String),
    /// It did not come about, in the lab or in the simulator.
    Failed(String),
}

/// A scenario and the model's account of it.
struct Task<'s> {
    place: usize,
    scenario: &'s Scenario,
    ip: IpVersion,
    model: Result<Account, SimError>,
}

/// The scenarios whose outcome is exact over this version of IP, of these names or all.
///
/// # Errors
///
/// If there is no exact scenario of such a name.
pub fn exact_scenarios(names: &[String], ip: IpVersion) -> Result<Vec<Scenario>> {
    let mut exact = scenarios()?;
    let is_alike =
        |scenario: &Scenario| ip == IpVersion::V4 || !IPV4_ONLY.contains(&&*scenario.name);
    exact.retain(|scenario| scenario.parity && is_alike(scenario));
    for name in names {
        if !exact.iter().any(|scenario| scenario.name == *name) {
            bail!("there is no scenario \"{name}\" with `parity = true` over {}", ip.as_str());
        }
    }
    exact.retain(|scenario| names.is_empty() || names.contains(&scenario.name));
    Ok(exact)
}

/// Plays all of them, some at a time. `on_row` is told of each when it is done; all are returned in
/// the order in which they were given.
///
/// # Errors
///
/// If the release of the running kernel cannot be understood.
pub fn play(
    scenarios: &[Scenario],
    ip: IpVersion,
    on_row: impl Fn(&Row) + Sync,
) -> Result<Vec<Row>> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let kernel: KernelVersion =
        release.parse().with_context(|| format!("this kernel calls itself {release:?}"))?;
    let kernel = kernel.as_built(&uname.version().to_string_lossy());
    let options = Options { kernel, ..Options::default() };
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let wheel = TimerWheel { tick_us: u64::try_from(tick.tv_nsec / 1_000)?.max(1) };

    let task = |(place, scenario)| {
        let model = account(scenario, &options);
        Task { place, scenario, ip, model }
    };
    let mut tasks: Vec<Task<'_>> = scenarios.iter().enumerate().map(task).collect();
    // The longest first, so that none is left alone at the end.
    let length = |task: &Task<'_>| task.model.as_ref().ok()?.looks.last().map(|look| look.at_us);
    tasks.sort_by_key(|task| std::cmp::Reverse(length(task)));

    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = task.play_again_if_late(wheel);
            on_row(&row);
            rows.lock().expect("no other thread panics").push((task.place, row));
        }
    };
    thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(work))));
    let mut rows = rows.into_inner().context("a scenario's thread panicked")?;
    rows.sort_by_key(|(place, _)| *place);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

impl Row {
    fn differs_in_times_only(&self) -> bool {
        match &self.outcome {
            Outcome::Compared(found) => {
                !found.is_empty() && found.iter().all(|found| found.aspect == Aspect::Times)
            }
            Outcome::Skipped(_) | Outcome::Failed(_) => false,
        }
    }
}

impl Task<'_> {
    fn play_again_if_late(&self, wheel: TimerWheel) -> Row {
        let mut row = self.play(wheel);
        while row.differs_in_times_only() && row.plays < PLAYS_MOST {
            row = Row { plays: row.plays + 1, ..self.play(wheel) };
        }
        row
    }

    fn play(&self, wheel: TimerWheel) -> Row {
        let begin = Instant::now();
        let outcome = self.outcome(wheel);
        Row { name: self.scenario.name.clone(), outcome, took: begin.elapsed(), plays: 1 }
    }

    fn outcome(&self, wheel: TimerWheel) -> Outcome {
        if let Err(why) = can_run(self.scenario, self.ip) {
            return Outcome::Skipped(why.to_string());
        }
        match (Lab::account(self.scenario, self.ip, None, |_| {}), &self.model) {
            (Ok(kernel), Ok(model)) => {
                Outcome::Compared(compare(&in_ipv4(kernel, self.ip), model, wheel))
            }
            (Err(error), _) => Outcome::Failed(format!("on the kernel: {error}")),
            (_, Err(error)) => Outcome::Failed(format!("in the model: {error}")),
        }
    }
}

/// The account of the same scenario over IPv4, if the kernel's rules are the same: the model's has IPv4
/// addresses. An address that is none of the lab's stays as it is, and disagrees.
fn in_ipv4(mut account: Account, ip: IpVersion) -> Account {
    let same = |end: SocketAddr| match ip.in_ipv4(end.ip()) {
        Some(address) => SocketAddr::new(address, end.port()),
        None => end,
    };
    for segment in &mut account.segments {
        (segment.from, segment.to) = (same(segment.from), same(segment.to));
    }
    account
}
