//! Handshakes and their sums as NDJSON, and its schema.

use std::collections::BTreeMap;

use halfopen_diagnose::report::FindingEntry;
use halfopen_evidence::{Crossing, Passage};
use schemars::JsonSchema;
use serde::Serialize;

use super::flat::{located_id, located_ids};
use super::points::Points;
use super::summary::Told;
use crate::handshakes::class::CLASSES;
use crate::handshakes::found::Found;
use crate::handshakes::ids::mark_id;
use crate::handshakes::json::{
    HandshakeFields, LatencyEntry, ListenerEntry, StatusName, fields, latency, line, listener,
};
use crate::handshakes::words::rfc_3339;

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
    /// What was seen of it.
    #[serde(flatten)]
    handshake: HandshakeFields<'a>,
    /// What two points say of it together; null with one, or if they say nothing.
    between: Option<CrossingEntry>,
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
    line(&Line::Handshake(Box::new(HandshakeEntry {
        file: found.number.file as u64 + 1,
        record: found.number.record,
        handshake: fields(&found.handshake),
        between: found.crossing.as_deref().map(crossing),
    })))
}

/// The last line.
pub(super) fn summary(told: &Told<'_>) -> serde_json::Result<String> {
    let (account, totals) = (told.account, told.totals);
    line(&Line::Summary(Box::new(SummaryEntry {
        schema: PCAP,
        tool_version: env!("CARGO_PKG_VERSION"),
        status: told.verdict.status.into(),
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
    use super::*;
    use crate::handshakes::{class, fixture};

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
