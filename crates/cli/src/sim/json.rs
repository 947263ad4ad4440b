//! A simulation and a sweep for programs, and the schemas of both.

use std::collections::BTreeMap;

use halfopen_diagnose::Report;
use halfopen_diagnose::report::{Status, json_text};
use halfopen_sim::MomentKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::curve::Curve;
use super::judged::{Expectation, Judged};
use super::series::Series;
use super::sweep::Point;
use super::words::{of_a_thousand, waiting};

const SIM: &str = "halfopen.sim/1";
const SWEEP: &str = "halfopen.sim-sweep/1";

/// The result of `halfopen sim --json`. The samples of the queues over time are in `--csv`.
#[derive(Serialize, JsonSchema)]
struct Simulation<'a> {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = SIM))]
    schema: &'static str,
    /// Version of the halfopen that wrote it.
    tool_version: &'static str,
    /// What was simulated.
    scenario: ScenarioEntry<'a>,
    /// Everything that was left to chance follows from it.
    seed: u64,
    /// Simulated time, in microseconds, with the two seconds of the check at its end.
    elapsed_us: u64,
    /// Steps and first drops, in order.
    timeline: Vec<MomentEntry<'a>>,
    /// Moments that are missing there.
    moments_omitted: u64,
    /// The listeners, those with trouble first.
    listeners: Vec<QueueEntry<'a>>,
    /// The groups of clients.
    clients: Vec<ClientsEntry<'a>>,
    /// The hosts; the first is the servers'.
    hosts: Vec<HostEntry<'a>>,
    /// The verdict of a check of the servers' machine; its schema is docs/schema/check.json.
    check: &'a Report,
    /// The same of the clients' machine; null if there is none.
    clients_check: Option<&'a Report>,
    /// Ids of the findings of both checks, in alphabetical order.
    found: Vec<&'a str>,
    /// Whether these are the expected ones; null for a mechanism or a changed scenario.
    as_expected: Option<bool>,
}

/// A scenario.
#[derive(Serialize, JsonSchema)]
struct ScenarioEntry<'a> {
    /// Its name.
    name: &'a str,
    /// What happens, in one line.
    about: &'a str,
    /// Ids of the findings that it must give, unchanged.
    expect: &'a [String],
}

/// A moment of the timeline.
#[derive(Serialize, JsonSchema)]
struct MomentEntry<'a> {
    /// When, in microseconds since the first step.
    at_us: u64,
    /// What kind of thing.
    kind: MomentName,
    /// What, in words.
    what: &'a str,
}

/// What kind of thing happened.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum MomentName {
    /// A step of the scenario.
    Step,
    /// The first segment of its host that came to nothing for its reason.
    Drop,
    /// The steps are over; the check follows.
    End,
}

/// The queues of a listener.
#[derive(Serialize, JsonSchema)]
struct QueueEntry<'a> {
    /// Its host.
    host: &'a str,
    /// Its port.
    port: u16,
    /// Its number on its host.
    listener: u32,
    /// The limit of its accept queue, which holds one more.
    limit: u32,
    /// The most connections that waited in it.
    peak: u32,
    /// The share of samples in which it was full, in percent.
    percent_full: u64,
    /// The most requests in its SYN queue.
    requests_peak: u32,
    /// Connections accepted.
    accepted: u64,
    /// Segments dropped at this listener.
    drops: u32,
}

/// A group of clients.
#[derive(Serialize, JsonSchema)]
struct ClientsEntry<'a> {
    /// Its name.
    name: &'a str,
    /// connect() calls.
    started: u64,
    /// Those that succeeded.
    connected: u64,
    /// ECONNREFUSED.
    refused: u64,
    /// EHOSTUNREACH or ENETUNREACH.
    unreachable: u64,
    /// ETIMEDOUT.
    timed_out: u64,
    /// EADDRNOTAVAIL.
    no_port: u64,
    /// Clients that lost their patience.
    gave_up: u64,
    /// Those that had come to no end yet.
    waiting: u64,
    /// Connections that were reset.
    reset: u64,
    /// How long connect() took where it succeeded.
    latency: LatencyEntry,
}

/// Connect latency in microseconds; null where nobody connected.
#[derive(Serialize, JsonSchema)]
struct LatencyEntry {
    /// The median.
    p50_us: Option<u64>,
    /// 99 of 100 took no longer.
    p99_us: Option<u64>,
    /// 999 of 1000 took no longer.
    p999_us: Option<u64>,
    /// The longest.
    max_us: Option<u64>,
}

/// A host at the end.
#[derive(Serialize, JsonSchema)]
struct HostEntry<'a> {
    /// Its name.
    name: &'a str,
    /// Its kernel.
    kernel: String,
    /// What is not certain of that kernel's rules.
    doubts: Vec<String>,
    /// Its counters that are not 0, as `TABLE.NAME`.
    counters: BTreeMap<String, u64>,
    /// Segments that came to nothing.
    drops: Vec<DropEntry>,
}

/// Segments that came to nothing for one reason.
#[derive(Serialize, JsonSchema)]
struct DropEntry {
    /// Why, in words.
    reason: &'static str,
    /// File and function of the kernel that decides it.
    source: &'static str,
    /// How many.
    count: u64,
}

/// The result of `halfopen sim --sweep … --json`.
#[derive(Serialize, JsonSchema)]
struct SweepEntry<'a> {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = SWEEP))]
    schema: &'static str,
    /// Version of the halfopen that wrote it.
    tool_version: &'static str,
    /// What was simulated.
    scenario: ScenarioEntry<'a>,
    /// Everything that was left to chance follows from it.
    seed: u64,
    /// What was changed from one run to the next.
    key: String,
    /// A run for each value.
    points: Vec<PointEntry<'a>>,
}

/// What came of one value.
#[derive(Serialize, JsonSchema)]
struct PointEntry<'a> {
    /// The value.
    value: &'a str,
    /// Why the scenario did not come about with it; null if it did.
    error: Option<String>,
    /// Its figures; null if it did not come about.
    figures: Option<FiguresEntry<'a>>,
}

/// The figures of a run.
#[derive(Serialize, JsonSchema)]
struct FiguresEntry<'a> {
    /// The verdict of a check in the last two seconds.
    status: Status,
    /// Ids of its findings.
    findings: &'a [String],
    /// What is not certain of the kernels that it ran on.
    doubts: &'a [&'static str],
    /// Room in the accept queue that was fullest.
    room: u32,
    /// The most that waited in it.
    peak: u32,
    /// Connections that programs accepted.
    accepted: u64,
    /// SYNs dropped because a queue was full.
    dropped_syns: u64,
    /// Third ACKs ignored or refused because an accept queue was full.
    dropped_third_acks: u64,
    /// connect() calls.
    started: u64,
    /// Those that succeeded.
    connected: u64,
    /// Those that failed or were given up, and connections that were reset.
    failed: u64,
    /// Those that had come to no end yet.
    waiting: u64,
    /// Connect latency: the median, in microseconds; null where nobody connected.
    p50_us: Option<u64>,
    /// 99 of 100 took no longer.
    p99_us: Option<u64>,
    /// 999 of 1000 took no longer.
    p999_us: Option<u64>,
}

/// A run as one JSON object.
pub(super) fn simulation(judged: &Judged) -> serde_json::Result<String> {
    let run = &judged.run;
    let host_name = |host: usize| run.hosts.get(host).map_or("", |host| host.name.as_str());
    json_text(&Simulation {
        schema: SIM,
        tool_version: env!("CARGO_PKG_VERSION"),
        scenario: scenario(&judged.scenario),
        seed: judged.seed,
        elapsed_us: run.elapsed_us,
        timeline: run.timeline.iter().map(moment).collect(),
        moments_omitted: run.moments_omitted,
        listeners: Series::of(run).iter().map(|one| queue(one, host_name(one.host))).collect(),
        clients: run.clients.iter().map(clients).collect(),
        hosts: run.hosts.iter().map(host).collect(),
        check: &judged.servers,
        clients_check: judged.clients.as_ref(),
        found: judged.found().into_iter().collect(),
        as_expected: match judged.expectation {
            Expectation::None | Expectation::Changed => None,
            Expectation::Met => Some(true),
            Expectation::NotMet(_) => Some(false),
        },
    })
}

/// A sweep as one JSON object.
pub(super) fn sweep(curve: &Curve<'_>) -> serde_json::Result<String> {
    json_text(&SweepEntry {
        schema: SWEEP,
        tool_version: env!("CARGO_PKG_VERSION"),
        scenario: scenario(curve.scenario),
        seed: curve.seed,
        key: curve.key.to_string(),
        points: curve.points.iter().map(point).collect(),
    })
}

/// The JSON schema of `halfopen sim --json`.
pub(crate) fn simulation_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Simulation<'_>).as_value())
}

/// The JSON schema of `halfopen sim --sweep … --json`.
pub(crate) fn sweep_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(SweepEntry<'_>).as_value())
}

fn scenario(scenario: &halfopen_scenario::Scenario) -> ScenarioEntry<'_> {
    ScenarioEntry { name: &scenario.name, about: &scenario.about, expect: &scenario.expect }
}

fn moment(moment: &halfopen_sim::Moment) -> MomentEntry<'_> {
    let kind = match moment.kind {
        MomentKind::Step => MomentName::Step,
        MomentKind::Drop => MomentName::Drop,
        MomentKind::End => MomentName::End,
    };
    MomentEntry { at_us: moment.at_us, kind, what: &moment.what }
}

fn queue<'a>(series: &Series, host: &'a str) -> QueueEntry<'a> {
    QueueEntry {
        host,
        port: series.port,
        listener: series.listener,
        limit: series.limit(),
        peak: series.peak(),
        percent_full: series.percent_full(),
        requests_peak: series.requests_peak(),
        accepted: series.accepted(),
        drops: series.drops(),
    }
}

fn clients(group: &halfopen_sim::ClientsSummary) -> ClientsEntry<'_> {
    let outcomes = &group.outcomes;
    let quantile = |per_mille| of_a_thousand(&group.latencies_us, per_mille);
    ClientsEntry {
        name: &group.name,
        started: outcomes.started,
        connected: outcomes.connected,
        refused: outcomes.refused,
        unreachable: outcomes.unreachable,
        timed_out: outcomes.timed_out,
        no_port: outcomes.no_port,
        gave_up: outcomes.gave_up,
        waiting: waiting(group),
        reset: outcomes.reset,
        latency: LatencyEntry {
            p50_us: quantile(500),
            p99_us: quantile(990),
            p999_us: quantile(999),
            max_us: quantile(1000),
        },
    }
}

fn host(host: &halfopen_sim::HostSummary) -> HostEntry<'_> {
    let counters = host.counters.moved();
    let drop = |&(reason, count): &(halfopen_model::DropReason, u64)| DropEntry {
        reason: reason.as_str(),
        source: reason.source(),
        count,
    };
    HostEntry {
        name: &host.name,
        kernel: host.kernel.to_string(),
        doubts: host.kernel.doubts().iter().map(|doubt| doubt.text.to_owned()).collect(),
        counters: counters
            .map(|(counter, value)| (format!("{}.{counter}", counter.table().name()), value))
            .collect(),
        drops: host.drops.iter().map(drop).collect(),
    }
}

fn point(point: &Point) -> PointEntry<'_> {
    let figures = point.outcome.as_ref().ok().map(|figures| FiguresEntry {
        status: figures.status,
        findings: &figures.findings,
        doubts: &figures.doubts,
        room: figures.room,
        peak: figures.peak,
        accepted: figures.accepted,
        dropped_syns: figures.syns,
        dropped_third_acks: figures.third_acks,
        started: figures.started,
        connected: figures.connected,
        failed: figures.failed,
        waiting: figures.waiting,
        p50_us: figures.p50_us,
        p99_us: figures.p99_us,
        p999_us: figures.p999_us,
    });
    let error = point.outcome.as_ref().err().map(ToString::to_string);
    PointEntry { value: &point.value, error, figures }
}
