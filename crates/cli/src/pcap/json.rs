//! Handshakes and their sums as NDJSON, and its schema.

use std::collections::BTreeMap;

use halfopen_diagnose::Status;
use halfopen_diagnose::report::{FindingEntry, json_text};
use halfopen_evidence::{Crossing, Passage, Sends};
use schemars::JsonSchema;
use serde::Serialize;

use super::class::{self, CLASSES};
use super::flat::{answered_syn, ended_id, located_id, located_ids, mark_id, vantage_id};
use super::found::Found;
use super::histogram::Histogram;
use super::points::Points;
use super::summary::Told;
use super::totals::Listener;
use super::words::{rfc_3339, timetable};

const PCAP: &str = "halfopen.pcap/1";

/// A line of `halfopen pcap --json`: handshakes in the order in which they ended, then the summary.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line<'a> {
    /// An attempt to make a connection.
    Handshake(Box<HandshakeEntry<'a>>),
    /// The last line.
    Summary(Box<SummaryEntry<'a>>),
}

/// An attempt to make a connection.
#[derive(Serialize, JsonSchema)]
struct HandshakeEntry<'a> {
    /// The file, from 1 in the order in which they were named.
    file: u64,
    /// The record, from 1, that holds its first segment.
    record: u64,
    /// When its first segment was captured, in RFC 3339.
    began: String,
    /// The same in nanoseconds since 1970, UTC.
    began_ns: i64,
    /// From its first to its last segment, in nanoseconds.
    lasted_ns: u64,
    /// Who sent the SYN.
    client: String,
    /// The other end.
    server: String,
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
    /// What two points say of it together; null with one, or if they say nothing.
    between: Option<CrossingEntry>,
    /// From the third ACK to the client's first data.
    request_ns: Option<u64>,
    /// From the client's first data to the server's first data.
    response_ns: Option<u64>,
}

/// A handshake between two points.
#[derive(Serialize, JsonSchema)]
struct CrossingEntry {
    /// Which point is the client's side, from 1.
    client_side: u8,
    /// The client as the server's side names it, if other than the client's side.
    client_there: Option<String>,
    /// The server as the server's side names it, if other than the client's side.
    server_there: Option<String>,
    /// SYNs on their way to the server's side.
    syn: PassageEntry,
    /// SYN-ACKs on their way to the client's side.
    syn_ack: PassageEntry,
    /// Third ACKs, without data, on their way to the server's side.
    ack: PassageEntry,
    /// Where it went wrong, or what was done to it: syn-lost, syn-unseen, syn-ignored, syn-ack-lost,
    /// ack-lost, ack-ignored, request-lost, reset-not-by-server, reset-not-by-client, reset-lost,
    /// answered-between, translated, renumbered, mss-changed, window-scale-changed, sack-removed,
    /// timestamps-removed.
    located: Vec<&'static str>,
}

/// Segments of one kind between two points.
#[derive(Serialize, JsonSchema)]
struct PassageEntry {
    /// Seen at their sender's side.
    sent: u32,
    /// Of these, seen at the other side.
    arrived: u32,
    /// Of these, not seen at the other side although it was capturing and dropped nothing.
    lost: u32,
    /// Nanoseconds that the first took, by the clocks as they were estimated.
    took_ns: Option<i64>,
}

/// Two points on one path.
#[derive(Serialize, JsonSchema)]
struct PointsEntry<'a> {
    /// Their names. All times are by the first one's clock.
    names: &'a [String; 2],
    /// The number of the point, from 1, that each file belongs to.
    of_file: Vec<u64>,
    /// The point that is the clients' side for most handshakes, from 1; null if that does not show.
    clients_side: Option<u64>,
    /// By how many nanoseconds the second clock is ahead of the first.
    offset_ns: i64,
    /// By how many more or fewer it may be; null if segments of one direction alone are in both.
    offset_within_ns: Option<u64>,
    /// By how many billionths the second clock is faster.
    drift_ppb: i64,
    /// From one point to the other and back, at the least.
    round_trip_ns: Option<u64>,
    /// Handshakes that were seen at both.
    joined: u64,
    /// Handshakes that could not be compared because there were too many at a time.
    uncompared: u64,
    /// Handshakes by what was located; those of which there are some.
    located: BTreeMap<&'static str, u64>,
}

/// Segments of one kind.
#[derive(Serialize, JsonSchema)]
struct SendsEntry<'a> {
    /// How many.
    count: u32,
    /// Microseconds from the handshake's first segment to the first eight of them.
    at_us: &'a [u64],
}

/// What the capture adds up to.
#[derive(Serialize, JsonSchema)]
struct SummaryEntry<'a> {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = PCAP))]
    schema: &'static str,
    /// Version of the halfopen that wrote it.
    tool_version: &'static str,
    /// What the exit status says.
    status: StatusName,
    /// Names of the files.
    files: &'a [String],
    /// Two points on one path, if the files are of two.
    points: Option<PointsEntry<'a>>,
    /// Packets read.
    packets: u64,
    /// TCP segments among them.
    segments: u64,
    /// Segments that the filter let through, with ICMP errors about some.
    matched: u64,
    /// The first and the last time, in RFC 3339; null without packets.
    first: Option<String>,
    /// The last time.
    last: Option<String>,
    /// Attempts whose beginning was seen.
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
    /// Handshakes told early because the table was full.
    evicted: u64,
    /// Packets that were captured twice.
    duplicates: u64,
    /// Packets that the capturing program lost; null if it does not say.
    lost_packets: Option<u64>,
    /// Packets whose link type is not read, with the first such type; null without any.
    unread_link: Option<UnreadLinkEntry>,
    /// Whether Ctrl-C ended it.
    interrupted: bool,
    /// Places where a file is damaged; the first hundred.
    warnings: Vec<WarningEntry<'a>>,
    /// How many there were.
    warnings_count: u64,
    /// Files whose reading failed in the middle.
    failures: &'a [String],
}

/// What the exit status says.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum StatusName {
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
struct LatencyEntry {
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
struct ListenerEntry<'a> {
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

/// Packets whose link type is not read.
#[derive(Serialize, JsonSchema)]
struct UnreadLinkEntry {
    /// The first such type, by its number in the registry at tcpdump.org/linktypes.html.
    link_type: u32,
    /// Its number and, if known, its name.
    text: String,
    /// How many packets, of all such types.
    packets: u64,
}

/// A place where a file is damaged.
#[derive(Serialize, JsonSchema)]
struct WarningEntry<'a> {
    /// The file, from 1.
    file: u64,
    /// Its name.
    name: &'a str,
    /// The record, from 1.
    record: u64,
    /// In bytes from the beginning, of what it decompresses to.
    offset: u64,
    /// What was found.
    what: String,
}

/// The JSON schema of a line.
pub(crate) fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Line<'_>).as_value())
}

/// A handshake as a line.
pub(super) fn handshake(found: &Found) -> serde_json::Result<String> {
    let handshake = &found.handshake;
    let stages = handshake.stages;
    line(&Line::Handshake(Box::new(HandshakeEntry {
        file: found.number.file as u64 + 1,
        record: found.number.record,
        began: rfc_3339(handshake.began_ns),
        began_ns: handshake.began_ns,
        lasted_ns: handshake.lasted_ns,
        client: handshake.client.to_string(),
        server: handshake.server.to_string(),
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
        between: found.crossing.as_ref().map(crossing),
        request_ns: stages.request_ns,
        response_ns: stages.response_ns,
    })))
}

/// The last line.
pub(super) fn summary(told: &Told<'_>) -> serde_json::Result<String> {
    let (account, totals) = (told.account, told.totals);
    line(&Line::Summary(Box::new(SummaryEntry {
        schema: PCAP,
        tool_version: env!("CARGO_PKG_VERSION"),
        status: match told.verdict.status {
            Status::Healthy => StatusName::Healthy,
            Status::Warning => StatusName::Warning,
            Status::Failure => StatusName::Failure,
            Status::Unknown => StatusName::Unknown,
        },
        files: &account.sources,
        points: told.points.map(|points| self::points(points, told)),
        packets: account.packets,
        segments: account.counts.segments,
        matched: account.matched,
        first: account.span_ns.map(|(first, _)| rfc_3339(first)),
        last: account.span_ns.map(|(_, last)| rfc_3339(last)),
        attempts: totals.attempts(),
        outcomes: CLASSES.iter().map(|class| class.id).zip(totals.by_class).collect(),
        marks: totals.marks.iter().map(|(&mark, &count)| (mark_id(mark), count)).collect(),
        connect: latency(&totals.connect),
        listeners: totals.listeners().iter().map(listener).collect(),
        listeners_undercount: totals.tallied.listeners_undercount,
        findings: &told.verdict.findings,
        evicted: told.counted.statistics.evicted,
        duplicates: told.counted.statistics.duplicates,
        lost_packets: account.lost,
        unread_link: account.unread_link.map(|link| UnreadLinkEntry {
            link_type: link.0,
            text: link.to_string(),
            packets: account.counts.unread_link,
        }),
        interrupted: account.interrupted,
        warnings: account.warnings.iter().map(|it| warning(it, &account.sources)).collect(),
        warnings_count: account.warnings_count,
        failures: &account.failures,
    })))
}

/// A value as one line, harmless for a terminal.
fn line(line: &Line<'_>) -> serde_json::Result<String> {
    // The indented form is harmless; its line feeds are the only ones, and blanks follow each.
    let compact = serde_json::to_string(line)?;
    if compact.is_ascii() {
        return Ok(compact + "\n");
    }
    let text = json_text(line)?;
    Ok(text.lines().map(str::trim_start).collect::<String>() + "\n")
}

fn crossing(crossing: &Crossing) -> CrossingEntry {
    let there =
        crossing.translated.map(|(client, server)| (client.to_string(), server.to_string()));
    let (client_there, server_there) = there.unzip();
    CrossingEntry {
        client_side: crossing.client_side + 1,
        client_there,
        server_there,
        syn: passage(crossing.syn),
        syn_ack: passage(crossing.syn_ack),
        ack: passage(crossing.ack),
        located: located_ids(crossing),
    }
}

const fn passage(Passage { sent, arrived, lost, took_ns }: Passage) -> PassageEntry {
    PassageEntry { sent, arrived, lost, took_ns }
}

fn points<'a>(points: &'a Points, told: &Told<'_>) -> PointsEntry<'a> {
    let relation = &points.relation;
    let clock = relation.clock;
    PointsEntry {
        names: &points.names,
        of_file: points.of_file.iter().map(|&point| point as u64 + 1).collect(),
        clients_side: relation.first_is_clients().map(|is_first| if is_first { 1 } else { 2 }),
        offset_ns: clock.map_or(0, |clock| clock.offset_ns),
        offset_within_ns: clock.and_then(|clock| clock.within_ns),
        drift_ppb: clock.map_or(0, |clock| clock.drift_ppb),
        round_trip_ns: relation.round_trip_ns,
        joined: told.counted.joined,
        uncompared: told.counted.uncompared,
        located: told.totals.located.iter().map(|(&it, &count)| (located_id(it), count)).collect(),
    }
}

fn sends(sends: &Sends) -> SendsEntry<'_> {
    SendsEntry { count: sends.count, at_us: &sends.at_us }
}

fn latency(histogram: &Histogram) -> LatencyEntry {
    LatencyEntry {
        count: histogram.count(),
        p50_ns: histogram.of_a_thousand(500),
        p99_ns: histogram.of_a_thousand(990),
        p999_ns: histogram.of_a_thousand(999),
        max_ns: histogram.most(),
    }
}

fn listener<'a>(listener: &Listener<'a>) -> ListenerEntry<'a> {
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

fn warning<'a>(
    (file, warning): &'a (usize, halfopen_capture::Warning),
    sources: &'a [String],
) -> WarningEntry<'a> {
    WarningEntry {
        file: *file as u64 + 1,
        name: sources.get(*file).map_or("", String::as_str),
        record: warning.record,
        offset: warning.offset,
        what: warning.what.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_handshake_is_one_line_and_harmless() {
        let mut some = fixture::some();
        some[0].handshake.scope = "vlan \u{202e}7\n".to_owned();
        for found in &some {
            let line = handshake(found).expect("JSON");
            assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
            assert!(!line.contains('\u{202e}'));
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["scope"], found.handshake.scope.as_str());
            assert_eq!(value["outcome"], class::of(found.handshake.outcome).id);
        }
    }
}
