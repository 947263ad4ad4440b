//! Parts of NDJSON records that `pcap` and `trace` share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use halfopen_diagnose::Status;
use halfopen_diagnose::report::json_text;
use halfopen_evidence::{Handshake, Sends};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::class::{self, CLASSES};
use super::histogram::Histogram;
use super::ids::{answered_syn, ended_id, mark_id, vantage_id};
use super::totals::Listener;
use super::words::{rfc_3339, timetable};

/// A value that is written as its text.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<T> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// What was seen of a handshake.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HandshakeFields<'a> {
    /// When its first segment was captured, in RFC 3339.
    began: String,
    /// The same in nanoseconds since 1970, UTC.
    began_ns: i64,
    /// From its first to its last segment, in nanoseconds.
    lasted_ns: u64,
    /// Who sent the SYN.
    client: Text<SocketAddr>,
    /// The other end.
    server: Text<SocketAddr>,
    /// The VLANs and tunnels that it was in; empty for none.
    scope: &'a str,
    /// Which directions were seen: both, client-only, server-only.
    vantage: &'static str,
    /// How it came out: the ids of the summary's outcomes.
    outcome: &'static str,
    /// How an ignored third ACK ended: recovered, reset-by-data, reset-by-probe, closed-by-client, open.
    ended: Option<&'static str>,
    /// Which SYN got through, if it was not the first.
    answered_syn: Option<u8>,
    /// What else was noticed.
    marks: Vec<&'static str>,
    /// Its SYNs.
    syns: SendsEntry<'a>,
    /// When SYNs were sent again, and the systems that do it so; null if there was one SYN.
    timetable: Option<String>,
    /// Its SYN-ACKs.
    syn_acks: SendsEntry<'a>,
    /// From the SYN that was answered to the SYN-ACK, in nanoseconds; null where it was not seen.
    syn_ack_ns: Option<u64>,
    /// From the first SYN-ACK to the third ACK.
    ack_ns: Option<u64>,
    /// From the first SYN to the third ACK: what connect() took.
    connect_ns: Option<u64>,
    /// From the third ACK to the client's first data.
    request_ns: Option<u64>,
    /// From the client's first data to the server's first data.
    response_ns: Option<u64>,
}

/// Segments of one kind.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SendsEntry<'a> {
    /// How many.
    count: u32,
    /// Microseconds from the handshake's first segment to the first eight of them.
    at_us: &'a [u64],
}

/// What the exit status says.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StatusName {
    /// 0: nothing wrong was seen.
    Healthy,
    /// 1: the worst finding is a warning, or connections were late or failed that no rule explains.
    Warning,
    /// 2: the worst finding is a failure.
    Failure,
    /// 3: no TCP handshake was seen.
    Unknown,
}

/// Spans in nanoseconds, off by 3 % at the most; null where there were none.
#[derive(Serialize, JsonSchema)]
pub(crate) struct LatencyEntry {
    /// How many.
    count: u64,
    /// The median.
    p50_ns: Option<u64>,
    /// 99 % did not exceed it.
    p99_ns: Option<u64>,
    /// 99.9 % did not exceed it.
    p999_ns: Option<u64>,
    /// The longest.
    max_ns: Option<u64>,
}

/// A listener.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListenerEntry<'a> {
    /// Its address.
    server: String,
    /// The VLANs and tunnels it was seen in.
    scope: &'a str,
    /// Attempts whose beginning was seen.
    attempts: u64,
    /// Attempts that connected late.
    late: u64,
    /// Attempts that failed.
    failed: u64,
    /// Client addresses, about.
    clients: u64,
    /// Handshakes by outcome; those of which there are some.
    outcomes: BTreeMap<&'static str, u64>,
    /// Half of the connections took no longer, in nanoseconds, off by a fifth at the most.
    connect_p50_ns: Option<u64>,
    /// The same of 99 %.
    connect_p99_ns: Option<u64>,
}

/// What was seen of a handshake.
pub(crate) fn fields(handshake: &Handshake) -> HandshakeFields<'_> {
    let stages = handshake.stages;
    HandshakeFields {
        began: rfc_3339(handshake.began_ns),
        began_ns: handshake.began_ns,
        lasted_ns: handshake.lasted_ns,
        client: Text(handshake.client),
        server: Text(handshake.server),
        scope: &handshake.scope,
        vantage: vantage_id(handshake.vantage),
        outcome: class::of(handshake.outcome).id,
        ended: ended_id(handshake.outcome),
        answered_syn: answered_syn(handshake.outcome),
        marks: handshake.marks.iter().map(|&mark| mark_id(mark)).collect(),
        syns: sends(&handshake.syns),
        timetable: timetable(&handshake.syns),
        syn_acks: sends(&handshake.syn_acks),
        syn_ack_ns: stages.syn_ack_ns,
        ack_ns: stages.ack_ns,
        connect_ns: stages.connect_ns,
        request_ns: stages.request_ns,
        response_ns: stages.response_ns,
    }
}

/// A value as one line, harmless for a terminal.
pub(crate) fn line(line: &impl Serialize) -> serde_json::Result<String> {
    /// Most lines of handshakes are shorter.
    const USUAL: usize = 1024;
    let mut compact = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut compact, line)?;
    if compact.is_ascii()
        && let Ok(mut compact) = String::from_utf8(compact)
    {
        compact.push('\n');
        return Ok(compact);
    }
    // The indented form is harmless; its line feeds are the only ones, and blanks follow each.
    let text = json_text(line)?;
    Ok(text.lines().map(str::trim_start).collect::<String>() + "\n")
}

/// When segments were sent.
pub(crate) fn sends(sends: &Sends) -> SendsEntry<'_> {
    SendsEntry { count: sends.count, at_us: &sends.at_us }
}

/// How long something took.
pub(crate) fn latency(histogram: &Histogram) -> LatencyEntry {
    LatencyEntry {
        count: histogram.count(),
        p50_ns: histogram.of_a_thousand(500),
        p99_ns: histogram.of_a_thousand(990),
        p999_ns: histogram.of_a_thousand(999),
        max_ns: histogram.most(),
    }
}

/// What came of the attempts to reach a listener.
pub(crate) fn listener<'a>(listener: &Listener<'a>) -> ListenerEntry<'a> {
    let outcomes = CLASSES.iter().map(|class| class.id).zip(listener.by_class());
    ListenerEntry {
        server: listener.server.to_string(),
        scope: listener.scope,
        attempts: listener.attempts,
        late: listener.late,
        failed: listener.failed,
        clients: listener.tally.clients.count(),
        outcomes: outcomes.filter(|&(_, count)| count > 0).collect(),
        connect_p50_ns: listener.tally.connect.quantile_ns(500),
        connect_p99_ns: listener.tally.connect.quantile_ns(990),
    }
}

impl From<Status> for StatusName {
    fn from(status: Status) -> Self {
        match status {
            Status::Healthy => Self::Healthy,
            Status::Warning => Self::Warning,
            Status::Failure => Self::Failure,
            Status::Unknown => Self::Unknown,
        }
    }
}
