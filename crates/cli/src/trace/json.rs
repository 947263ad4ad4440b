//! A trace as NDJSON, and its schema.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use halfopen_capture::Latency;
use halfopen_collect::WatchedNetns;
use halfopen_collect::bpf::Counts;
use halfopen_diagnose::report::FindingEntry;
use halfopen_evidence::{
    Dropped, DroppedSegment, Missing, Phase, ProcessName, Reading, SocketCall, Traced,
};
use halfopen_trace::{FailedCall, Listens};
use schemars::JsonSchema;
use serde::Serialize;

use super::backend::{About, InKernel};
use super::calls;
use super::drops::Rise;
use super::line::end;
use super::summary::Told;
use crate::handshakes::class::CLASSES;
use crate::handshakes::ids::mark_id;
use crate::handshakes::json::{
    HandshakeFields, LatencyEntry, ListenerEntry, StatusName, Text, fields, latency, line, listener,
};

const TRACE: &str = "halfopen.trace/1";

/// A line of `halfopen trace --json`: what watches, handshakes as they are told, and a summary.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    /// The first line.
    Begin(BeginEntry<'a>),
    /// A handshake. One that is in trouble is told when that is recognised, with phase open, and again
    /// when it has ended, with the same number; others are told when they have ended.
    Handshake(Box<TracedEntry<'a>>),
    /// bind() or connect() has failed before any segment was sent: there was no handshake.
    CallFailed(CallFailedEntry<'a>),
    /// The count of segments that a listener has dropped rises. Told at once and then every ten seconds.
    ListenerDrops(ListenerDropsEntry<'a>),
    /// A socket listens, or has got another backlog. Told if its backlog was cut, and of each with --all.
    Listens(ListensEntry<'a>),
    /// Handshakes were left out because there were too many a second.
    Suppressed(SuppressedEntry),
    /// The last line.
    Summary(Box<SummaryEntry<'a>>),
}

/// What watches.
#[derive(Serialize, JsonSchema)]
struct BeginEntry<'a> {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = TRACE))]
    schema: &'static str,
    /// Version of the halfopen that wrote it.
    tool_version: &'static str,
    /// The backend: kernel, packets.
    backend: &'static str,
    /// What it cannot see, in words.
    not_seen: &'a [String],
    /// Network namespaces that are watched.
    namespaces: Vec<NetnsEntry<'a>>,
    /// What else there is to know of it: namespaces that are not watched, why it is not the other backend.
    notes: &'a [String],
}

/// A network namespace.
#[derive(Serialize, JsonSchema)]
struct NetnsEntry<'a> {
    /// Its number.
    id: u64,
    /// What it is called.
    label: &'a str,
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
    netns: NetnsEntry<'a>,
    /// What was seen of it; so far, while it is open.
    #[serde(flatten)]
    handshake: HandshakeFields<'a>,
    /// What the listener at the server's end is bound to; null if there is none in this namespace.
    listener: Option<Text<SocketAddr>>,
    /// The process that has accepted it, or else one that holds that listener; null if there is none.
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
    /// The kernel's name of the reason; accept-queue-full where it has none.
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

/// A call that failed before any segment was sent.
#[derive(Serialize, JsonSchema)]
struct CallFailedEntry<'a> {
    /// The network namespace.
    netns: NetnsEntry<'a>,
    /// When, in nanoseconds since 1970, UTC.
    at_ns: i64,
    /// Which call.
    call: CallName,
    /// The local address that bind() was called with, or the peer's that connect() was.
    address: Text<SocketAddr>,
    /// The process that called; null if that is not known.
    process: Option<ProcessEntry<'a>>,
    /// Its errno.
    errno: i32,
    /// The errno's name, such as EADDRINUSE; null if it is none of those known here. EADDRNOTAVAIL of
    /// connect() is that there is no local port.
    error: Option<&'static str>,
}

/// A call that names an address of a socket.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum CallName {
    /// bind().
    Bind,
    /// connect().
    Connect,
}

/// How often a call failed.
#[derive(Serialize, JsonSchema)]
struct CallsFailedEntry {
    /// Which call.
    call: CallName,
    /// Its errno.
    errno: i32,
    /// The errno's name; null if it is none of those known here.
    error: Option<&'static str>,
    /// How often.
    count: u64,
}

/// Segments that a listener has dropped, by its own count (`sk_drops`), which counts a dropped third ACK
/// twice.
#[derive(Serialize, JsonSchema)]
struct ListenerDropsEntry<'a> {
    /// The network namespace.
    netns: NetnsEntry<'a>,
    /// When it was read, in nanoseconds since 1970, UTC.
    at_ns: i64,
    /// What the listener is bound to.
    listener: Text<SocketAddr>,
    /// The process that holds it; null if that is not known.
    process: Option<ProcessEntry<'a>>,
    /// How many since this was told last.
    count: u32,
    /// Connections in its accept queue.
    depth: u32,
    /// Its limit: it is full when there is one more.
    limit: u32,
}

/// A socket that listens, or has got another backlog.
#[derive(Serialize, JsonSchema)]
struct ListensEntry<'a> {
    /// The network namespace.
    netns: NetnsEntry<'a>,
    /// When, in nanoseconds since 1970, UTC.
    at_ns: i64,
    /// What it is bound to.
    local: Text<SocketAddr>,
    /// The process that called; null if that is not known.
    process: Option<ProcessEntry<'a>>,
    /// The backlog that listen() was called with.
    backlog: i32,
    /// The limit of the accept queue, after net.core.somaxconn.
    limit: u32,
}

/// What programs in the kernel have counted.
#[derive(Serialize, JsonSchema)]
struct KernelEntry {
    /// Clients' ends that were connected.
    connected: u64,
    /// Clients' ends that failed.
    failed: u64,
    /// Connections that came into an accept queue.
    queued: u64,
    /// Connections that accept() returned; 0 unless that was asked for.
    accepted: u64,
    /// Events that were not told because there were too many a second.
    held_back: u64,
    /// How long connections waited for accept(), by listener; nothing unless that was asked for.
    accept_waits: Vec<AcceptWaitsEntry>,
}

/// How long connections waited for accept().
#[derive(Serialize, JsonSchema)]
struct AcceptWaitsEntry {
    /// The network namespace, by its number.
    netns: u64,
    /// The local end of the connections.
    local: Text<SocketAddr>,
    /// How many.
    count: u64,
    /// The median.
    p50_ns: Option<u64>,
    /// 99 % did not exceed it.
    p99_ns: Option<u64>,
    /// 99.9 % did not exceed it.
    p999_ns: Option<u64>,
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
    /// Packets that the kernel's filter let through, or events of programs in the kernel.
    seen: u64,
    /// Those that were lost because they came too fast.
    lost: u64,
    /// What programs in the kernel have counted; null if packets were watched.
    kernel: Option<KernelEntry>,
    /// Calls that failed before any segment was sent, by call and error.
    calls_failed: Vec<CallsFailedEntry>,
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
    about: &About,
) -> serde_json::Result<String> {
    let namespaces = namespaces.map(netns).collect();
    line(&Line::Begin(BeginEntry {
        schema: TRACE,
        tool_version: env!("CARGO_PKG_VERSION"),
        backend: about.id,
        not_seen: &about.not_seen,
        namespaces,
        notes: &about.notes,
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
        netns: NetnsEntry {
            id: traced.netns.0,
            label: &traced.netns_label,
            own: traced.is_own_netns,
        },
        handshake: fields(&traced.handshake),
        listener: traced.listener.get().copied().flatten().map(|key| Text(key.local)),
        server_process: known(&traced.server_process),
        client_process: known(&traced.client_process),
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
        status: told.status.into(),
        watched_ms: u64::try_from(told.watched.as_millis()).unwrap_or(u64::MAX),
        seen: told.account.seen,
        lost: told.account.lost,
        kernel: told.account.kernel.as_ref().map(in_kernel),
        calls_failed: told.failed_calls.iter().map(calls_failed).collect(),
        attempts: totals.attempts(),
        outcomes: CLASSES.iter().map(|class| class.id).zip(totals.by_class).collect(),
        marks: totals.marks.iter().map(|(&mark, &count)| (mark_id(mark), count)).collect(),
        connect: latency(&totals.connect),
        findings: &told.verdict.findings,
        listeners: totals.listeners().iter().map(listener).collect(),
        listeners_undercount: totals.tallied.listeners_undercount,
        suppressed: told.suppressed,
        evicted: told.account.statistics.evicted,
        interrupted: told.interrupted,
    })))
}

/// A call that failed before anything was sent.
pub(super) fn failed_call(at: &WatchedNetns, failed: &FailedCall) -> serde_json::Result<String> {
    line(&Line::CallFailed(CallFailedEntry {
        netns: netns(at),
        at_ns: failed.at_ns,
        call: failed.call.into(),
        address: Text(failed.address),
        process: failed.caller.as_ref().map(process),
        errno: failed.errno,
        error: calls::errno_name(failed.errno),
    }))
}

/// A socket that listens.
pub(super) fn listens(at: &WatchedNetns, listens: &Listens) -> serde_json::Result<String> {
    line(&Line::Listens(ListensEntry {
        netns: netns(at),
        at_ns: listens.at_ns,
        local: Text(listens.local),
        process: listens.caller.as_ref().map(process),
        backlog: listens.backlog,
        limit: listens.limit,
    }))
}

/// Segments that a listener has dropped.
pub(super) fn drops(rise: &Rise, at_ns: i64) -> serde_json::Result<String> {
    line(&Line::ListenerDrops(ListenerDropsEntry {
        netns: netns(&rise.netns),
        at_ns,
        listener: Text(rise.listener.key.local),
        process: known(&rise.process),
        count: rise.count,
        depth: rise.listener.queue.depth,
        limit: rise.listener.queue.limit,
    }))
}

fn in_kernel(kernel: &InKernel) -> KernelEntry {
    let Counts { connected, failed, queued, accepted, held_back, .. } = kernel.counts;
    let waits = kernel.waits.iter().map(|waits| {
        let latency = Latency::of_buckets(&waits.buckets);
        AcceptWaitsEntry {
            netns: waits.netns.0,
            local: Text(waits.local),
            count: latency.count(),
            p50_ns: latency.quantile_ns(500),
            p99_ns: latency.quantile_ns(990),
            p999_ns: latency.quantile_ns(999),
        }
    });
    KernelEntry { connected, failed, queued, accepted, held_back, accept_waits: waits.collect() }
}

fn netns(netns: &WatchedNetns) -> NetnsEntry<'_> {
    NetnsEntry { id: netns.id.0, label: &netns.label, own: netns.is_own }
}

fn known(process_or_not: &Reading<Option<ProcessName>>) -> Option<ProcessEntry<'_>> {
    process_or_not.get()?.as_ref().map(process)
}

fn process(process: &ProcessName) -> ProcessEntry<'_> {
    ProcessEntry { pid: process.pid.0, comm: &process.comm }
}

fn calls_failed((&(call, errno), &count): (&(SocketCall, i32), &u64)) -> CallsFailedEntry {
    CallsFailedEntry { call: call.into(), errno, error: calls::errno_name(errno), count }
}

impl From<SocketCall> for CallName {
    fn from(call: SocketCall) -> Self {
        match call {
            SocketCall::Bind => Self::Bind,
            SocketCall::Connect => Self::Connect,
        }
    }
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
