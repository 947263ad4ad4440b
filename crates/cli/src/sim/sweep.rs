//! The same scenario for several values of one thing, on all cores, and the figures of each run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use halfopen_diagnose::report::Status;
use halfopen_model::DropReason;
use halfopen_scenario::Scenario;
use halfopen_sim::{Options, Run, SimError, simulate};

use super::judged::Judged;
use super::series::Series;
use super::words::{of_a_thousand, waiting};

/// What came of one value.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) value: String,
    /// Figures, or why the scenario did not come about with it.
    pub(super) outcome: Result<Figures, SimError>,
}

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// The verdict of a check in the last two seconds.
    pub(super) status: Status,
    /// Ids of its findings.
    pub(super) findings: Vec<String>,
    /// What is not certain of the kernels that it ran on.
    pub(super) doubts: Vec<&'static str>,
    /// Room in the accept queue that was fullest.
    pub(super) room: u32,
    /// The most that waited in it: as sampled, and where it overflowed between two samples, all of it.
    pub(super) peak: u32,
    /// Whether an accept queue still grew when the simulation ended.
    pub(super) growing: bool,
    /// Connections that programs accepted.
    pub(super) accepted: u64,
    /// SYNs dropped because a queue was full.
    pub(super) syns: u64,
    /// Third ACKs ignored or refused because an accept queue was full.
    pub(super) third_acks: u64,
    /// connect() calls.
    pub(super) started: u64,
    /// Those that succeeded.
    pub(super) connected: u64,
    /// Those that failed or were given up, and connections that were reset.
    pub(super) failed: u64,
    /// Those that had come to no end yet.
    pub(super) waiting: u64,
    /// Connect latency, in microseconds.
    pub(super) p50_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
    pub(super) p999_us: Option<u64>,
}

/// Simulates each of these scenarios; the answers are in their order.
pub(super) fn run_all(scenarios: &[(String, Scenario)], options: &Options) -> Vec<Point> {
    let next = AtomicUsize::new(0);
    let (results, finished) = mpsc::channel();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(scenarios.len());
    let mut points: Vec<(usize, Point)> = std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, results) = (&next, results.clone());
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((value, scenario)) = scenarios.get(at) else { break };
                    // The receiver lives until all senders are gone.
                    let _ = results.send((at, point(value, scenario, options)));
                }
            });
        }
        drop(results);
        finished.into_iter().collect()
    });
    points.sort_by_key(|&(at, _)| at);
    points.into_iter().map(|(_, point)| point).collect()
}

fn point(value: &str, scenario: &Scenario, options: &Options) -> Point {
    let outcome = simulate(scenario, options)
        .map(|run| Figures::of(&Judged::new(scenario.clone(), options.seed, run, true)));
    Point { value: value.to_owned(), outcome }
}

impl Figures {
    fn of(judged: &Judged) -> Self {
        let findings = judged.found().into_iter().map(str::to_owned).collect();
        let run = &judged.run;
        let series = Series::of(run);
        let fullest =
            series.iter().max_by_key(|one| u64::from(one.peak()) * 1000 / u64::from(one.room()));
        let room = fullest.map_or(0, Series::room);
        let peak = match dropped(run, DropReason::is_accept_queue_overflow) {
            0 => fullest.map_or(0, Series::peak),
            _ => room,
        };
        let mut latencies: Vec<u32> =
            run.clients.iter().flat_map(|group| group.latencies_us.iter().copied()).collect();
        latencies.sort_unstable();
        let sum = |of: fn(&halfopen_sim::Outcomes) -> u64| -> u64 {
            run.clients.iter().map(|group| of(&group.outcomes)).sum()
        };
        Self {
            status: judged.servers.status,
            findings,
            doubts: judged.doubts(),
            room,
            peak,
            growing: series.iter().any(Series::grows_to_the_end),
            accepted: series.iter().map(Series::accepted).sum(),
            syns: dropped(run, |reason| reason.is_overflow() && reason.is_syn()),
            third_acks: dropped(run, |reason| reason.is_overflow() && !reason.is_syn()),
            started: sum(|o| o.started),
            connected: sum(|o| o.connected),
            failed: sum(|o| {
                o.refused + o.unreachable + o.timed_out + o.no_port + o.gave_up + o.reset
            }),
            waiting: run.clients.iter().map(waiting).sum(),
            p50_us: of_a_thousand(&latencies, 500),
            p99_us: of_a_thousand(&latencies, 990),
            p999_us: of_a_thousand(&latencies, 999),
        }
    }

    /// What did not fit into a queue.
    pub(super) fn overflow(&self) -> u64 {
        self.syns + self.third_acks
    }
}

fn dropped(run: &Run, counts: fn(DropReason) -> bool) -> u64 {
    let drops = run.hosts.iter().flat_map(|host| &host.drops);
    drops.filter(|&&(reason, _)| counts(reason)).map(|(_, count)| count).sum()
}
