//! A trace as NDJSON, and its schema.

use std::collections::BTreeMap;

use halfopen_collect::packets::WatchedNetns;
use halfopen_diagnose::report::FindingEntry;
use halfopen_evidence::{
    Dropped, DroppedSegment, Holder, Missing, Phase, Reading, Traced, TracedEnd,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::packets::NOT_SEEN;
use super::summary::Told;
use crate::handshakes::class::CLASSES;
use crate::handshakes::ids::mark_id;
use crate::handshakes::json::{
    HandshakeFields, LatencyEntry, ListenerEntry, StatusName, fields, latency, line, listener,
};

const TRACE: &str = "halfopen.trace/1";

/// A line of `halfopen trace --json`: what watches, handshakes as they are told, and a summary.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    /// The first line.
    Begin(BeginEntry),
    /// A handshake. One that is in trouble is told when that is recognised, with phase open, and again
    /// when it has ended, with the same number; others are told when they have ended.
    Handshake(Box<TracedEntry<'a>>),
    /// Handshakes were left out because there were too many a second.
    Suppressed(SuppressedEntry),
    /// The last line.
    Summary(Box<SummaryEntry<'a>>),
}

/// What watches.
#[derive(Serialize, JsonSchema)]
struct BeginEntry {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = TRACE))]
    schema: &'static str,
    /// Version of the halfopen that wrote it.
    tool_version: &'static str,
    /// The backend: packets.
    backend: &'static str,
    /// What it cannot see, in words.
    not_seen: &'static str,
    /// Network namespaces that are watched.
    namespaces: Vec<NetnsEntry>,
    /// Those that could not be, and why.
    closed: Vec<String>,
}

/// A network namespace.
#[derive(Serialize, JsonSchema)]
struct NetnsEntry {
    /// Its number.
    id: u64,
    /// What it is called.
    label: String,
    /// Whether it is the one that halfopen runs in.
    own: bool,
}

/// A handshake.
#[derive(Serialize, JsonSchema)]
struct TracedEntry<'a> {
    /// Names it in this trace.
    number: u64,
    /// open: in trouble, and may still come out otherwise; ended: nothing more is told of it.
    phase: PhaseName,
    /// The network namespace that it was seen in.
    netns: NetnsEntry,
    /// What was seen of it; so far, while it is open.
    #[serde(flatten)]
    handshake: HandshakeFields<'a>,
    /// What the listener at the server's end is bound to; null if there is none in this namespace.
    listener: Option<String>,
    /// The process that holds it.
    server_process: Option<ProcessEntry<'a>>,
    /// The process at the client's end; null if there is none in this namespace any more.
    client_process: Option<ProcessEntry<'a>>,
    /// From its entry into the accept queue until accept() returned it; null if it was not accepted.
    accept_queue_ns: Option<u64>,
    /// Segments of it that the kernel dropped.
    drops: Vec<DroppedEntry<'a>>,
    /// Why the kernel reset it; null if it did not.
    reset: Option<ResetEntry<'a>>,
    /// Of the fields above, those that are not known, and why.
    missing: BTreeMap<&'static str, String>,
}

/// How far a handshake is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum PhaseName {
    /// In trouble, and may still come out otherwise.
    Open,
    /// Nothing more is told of it.
    Ended,
}

/// A process.
#[derive(Serialize, JsonSchema)]
struct ProcessEntry<'a> {
    /// Its pid.
    pid: u32,
    /// Its name.
    comm: &'a str,
}

/// Segments of one kind that the kernel dropped for one reason.
#[derive(Serialize, JsonSchema)]
struct DroppedEntry<'a> {
    /// What they were: syn, syn-ack, third-ack, data, other.
    what: &'static str,
    /// At which end: client, server.
    at: &'static str,
    /// The kernel's name of the reason.
    reason: &'a str,
    /// How many.
    count: u32,
    /// Microseconds from the handshake's first segment to the first of them.
    first_us: u64,
}

/// A reset that the kernel sent.
#[derive(Serialize, JsonSchema)]
struct ResetEntry<'a> {
    /// By which end: client, server.
    by: &'static str,
    /// The kernel's name of the reason.
    reason: &'a str,
    /// What really caused it, where the kernel's reason is another.
    cause: Option<&'a str>,
}

/// Handshakes that were left out.
#[derive(Serialize, JsonSchema)]
struct SuppressedEntry {
    /// How many since the last such line.
    count: u64,
}

/// What the trace adds up to.
#[derive(Serialize, JsonSchema)]
struct SummaryEntry<'a> {
    /// What the exit status says.
    status: StatusName,
    /// How long was watched, in milliseconds.
    watched_ms: u64,
    /// Packets that the kernel's filter let through.
    packets: u64,
    /// Packets that were lost because they came too fast.
    lost_packets: u64,
    /// Handshakes whose beginning was seen.
    attempts: u64,
    /// Handshakes by outcome, also those of which there are none.
    outcomes: BTreeMap<&'static str, u64>,
    /// Handshakes by what was noticed.
    marks: BTreeMap<&'static str, u64>,
    /// How long connect() took.
    connect: LatencyEntry,
    /// What the rules find, the worst first, as in docs/schema/check.json.
    findings: &'a [FindingEntry],
    /// The listeners, those with the most trouble first.
    listeners: Vec<ListenerEntry<'a>>,
    /// By how much a listener's count may be too low, because there were too many to count each.
    listeners_undercount: u32,
    /// Handshakes that were not shown because there were too many a second.
    suppressed: u64,
    /// Handshakes told early because there were too many at a time.
    evicted: u64,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
}

/// The JSON schema of a line.
pub(crate) fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Line<'_>).as_value())
}

/// The first line.
pub(super) fn begin<'a>(
    namespaces: impl Iterator<Item = &'a WatchedNetns>,
    closed: Vec<String>,
) -> serde_json::Result<String> {
    let namespaces = namespaces.map(|it| netns(it.id.0, &it.label, it.is_own)).collect();
    line(&Line::Begin(BeginEntry {
        schema: TRACE,
        tool_version: env!("CARGO_PKG_VERSION"),
        backend: "packets",
        not_seen: NOT_SEEN,
        namespaces,
        closed,
    }))
}

/// A handshake.
pub(super) fn handshake(traced: &Traced) -> serde_json::Result<String> {
    let mut missing = BTreeMap::new();
    let mut note = |name, why: Option<&Missing>| {
        missing.extend(why.map(|why| (name, why.to_string())));
    };
    note("listener", traced.listener.missing());
    note("server_process", traced.server_process.missing());
    note("client_process", traced.client_process.missing());
    note("accept_queue_ns", traced.accept_queue_ns.missing());
    note("drops", traced.drops.missing());
    note("reset", traced.reset.missing());
    let reset = traced.reset.get().and_then(Option::as_ref);
    line(&Line::Handshake(Box::new(TracedEntry {
        number: traced.number,
        phase: match traced.phase {
            Phase::Open => PhaseName::Open,
            Phase::Ended => PhaseName::Ended,
        },
        netns: netns(traced.netns.0, &traced.netns_label, traced.is_own_netns),
        handshake: fields(&traced.handshake),
        listener: traced.listener.get().copied().flatten().map(|key| key.local.to_string()),
        server_process: process(&traced.server_process),
        client_process: process(&traced.client_process),
        accept_queue_ns: traced.accept_queue_ns.value().flatten(),
        drops: traced.drops.get().into_iter().flatten().map(dropped).collect(),
        reset: reset.map(|reset| ResetEntry {
            by: end(reset.by),
            reason: &reset.reason,
            cause: reset.cause.as_deref(),
        }),
        missing,
    })))
}

/// Handshakes that were left out.
pub(super) fn suppressed(count: u64) -> serde_json::Result<String> {
    line(&Line::Suppressed(SuppressedEntry { count }))
}

/// The last line.
pub(super) fn summary(told: &Told<'_>) -> serde_json::Result<String> {
    let totals = told.totals;
    line(&Line::Summary(Box::new(SummaryEntry {
        status: told.verdict.status.into(),
        watched_ms: u64::try_from(told.watched.as_millis()).unwrap_or(u64::MAX),
        packets: told.packets,
        lost_packets: told.dropped,
        attempts: totals.attempts(),
        outcomes: CLASSES.iter().map(|class| class.id).zip(totals.by_class).collect(),
        marks: totals.marks.iter().map(|(&mark, &count)| (mark_id(mark), count)).collect(),
        connect: latency(&totals.connect),
        findings: &told.verdict.findings,
        listeners: totals.listeners().iter().map(listener).collect(),
        listeners_undercount: totals.tallied.listeners_undercount,
        suppressed: told.suppressed,
        evicted: told.statistics.evicted,
        interrupted: told.interrupted,
    })))
}

fn netns(id: u64, label: &str, own: bool) -> NetnsEntry {
    NetnsEntry { id, label: label.to_owned(), own }
}

fn process(process: &Reading<Option<Holder>>) -> Option<ProcessEntry<'_>> {
    let holder = process.get()?.as_ref()?;
    Some(ProcessEntry { pid: holder.pid.0, comm: &holder.comm })
}

fn dropped(dropped: &Dropped) -> DroppedEntry<'_> {
    DroppedEntry {
        what: match dropped.what {
            DroppedSegment::Syn => "syn",
            DroppedSegment::SynAck => "syn-ack",
            DroppedSegment::ThirdAck => "third-ack",
            DroppedSegment::Data => "data",
            DroppedSegment::Other => "other",
        },
        at: end(dropped.at),
        reason: &dropped.reason,
        count: dropped.count,
        first_us: dropped.first_us,
    }
}

const fn end(end: TracedEnd) -> &'static str {
    match end {
        TracedEnd::Client => "client",
        TracedEnd::Server => "server",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_handshake_is_one_harmless_line_that_says_what_is_not_known() {
        let some = fixture::some();
        let lines = some.iter().map(|traced| handshake(traced).expect("JSON")).collect::<String>();
        assert!(!lines.contains('\u{1b}'));
        insta::assert_snapshot!(lines);
    }
}
