//! A handshake as a row of typed columns: what CSV and Parquet hold.
//!
//! Columns may be added at the end; none changes its meaning or goes.

use halfopen_evidence::{Crossing, Located, Sends};

use crate::handshakes::class;
use crate::handshakes::found::Found;
use crate::handshakes::ids::{answered_syn, ended_id, mark_id, vantage_id};
use crate::handshakes::words::{rfc_3339, timetable};

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A point of time in nanoseconds since 1970, UTC; text in CSV.
    Time,
}

/// A value; a missing one is `None` in all kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Text.
    Text(Option<String>),
    /// A whole number.
    Integer(Option<i64>),
    /// Nanoseconds since 1970.
    Time(i64),
}

/// Names and kinds of the columns.
pub(super) const COLUMNS: [(&str, Kind); 26] = [
    ("file", Kind::Integer),
    ("record", Kind::Integer),
    ("began", Kind::Time),
    ("client", Kind::Text),
    ("client_port", Kind::Integer),
    ("server", Kind::Text),
    ("server_port", Kind::Integer),
    ("scope", Kind::Text),
    ("vantage", Kind::Text),
    ("outcome", Kind::Text),
    ("ended", Kind::Text),
    ("answered_syn", Kind::Integer),
    ("marks", Kind::Text),
    ("syns", Kind::Integer),
    ("syns_at_us", Kind::Text),
    ("timetable", Kind::Text),
    ("syn_acks", Kind::Integer),
    ("syn_acks_at_us", Kind::Text),
    ("lasted_ns", Kind::Integer),
    ("syn_ack_ns", Kind::Integer),
    ("ack_ns", Kind::Integer),
    ("connect_ns", Kind::Integer),
    ("request_ns", Kind::Integer),
    ("response_ns", Kind::Integer),
    ("source", Kind::Text),
    ("located", Kind::Text),
];

/// The row of a handshake; `sources` are the names of the files.
pub(super) fn row(found: &Found, sources: &[String]) -> [Value; COLUMNS.len()] {
    let handshake = &found.handshake;
    let (outcome, stages) = (handshake.outcome, handshake.stages);
    let text = |text: &str| Value::Text(Some(text.to_owned()));
    let integer = |n: u64| Value::Integer(Some(i64::try_from(n).unwrap_or(i64::MAX)));
    let optional = |n: Option<u64>| n.map_or(Value::Integer(None), integer);
    let marks: Vec<&str> = handshake.marks.iter().map(|&mark| mark_id(mark)).collect();
    [
        integer(found.number.file as u64 + 1),
        integer(found.number.record),
        Value::Time(handshake.began_ns),
        Value::Text(Some(handshake.client.ip().to_string())),
        integer(handshake.client.port().into()),
        Value::Text(Some(handshake.server.ip().to_string())),
        integer(handshake.server.port().into()),
        text(&handshake.scope),
        text(vantage_id(handshake.vantage)),
        text(class::of(outcome).id),
        Value::Text(ended_id(outcome).map(str::to_owned)),
        optional(answered_syn(outcome).map(u64::from)),
        Value::Text(Some(marks.join(" "))),
        integer(handshake.syns.count.into()),
        Value::Text(Some(times(&handshake.syns))),
        Value::Text(timetable(&handshake.syns)),
        integer(handshake.syn_acks.count.into()),
        Value::Text(Some(times(&handshake.syn_acks))),
        integer(handshake.lasted_ns),
        optional(stages.syn_ack_ns),
        optional(stages.ack_ns),
        optional(stages.connect_ns),
        optional(stages.request_ns),
        optional(stages.response_ns),
        text(sources.get(found.number.file).map_or("", String::as_str)),
        Value::Text(found.crossing.as_ref().map(|it| located_ids(it).join(" "))),
    ]
}

/// The header of CSV.
pub(super) fn csv_header() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("{}\n", names.join(","))
}

/// A row of CSV (RFC 4180).
pub(super) fn csv_row(row: &[Value]) -> String {
    let fields: Vec<String> = row.iter().map(csv_field).collect();
    format!("{}\n", fields.join(","))
}

fn csv_field(value: &Value) -> String {
    match value {
        Value::Text(None) | Value::Integer(None) => String::new(),
        Value::Integer(Some(n)) => n.to_string(),
        Value::Time(ns) => rfc_3339(*ns),
        Value::Text(Some(text)) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::Text(Some(text)) => text.clone(),
    }
}

/// The ids of what was located.
pub(super) fn located_ids(crossing: &Crossing) -> Vec<&'static str> {
    crossing.located.iter().map(|&located| located_id(located)).collect()
}

/// The id of something located.
pub(super) const fn located_id(located: Located) -> &'static str {
    match located {
        Located::SynLost => "syn-lost",
        Located::SynUnseen => "syn-unseen",
        Located::SynIgnored => "syn-ignored",
        Located::SynAckLost => "syn-ack-lost",
        Located::AckLost => "ack-lost",
        Located::AckIgnored => "ack-ignored",
        Located::RequestLost => "request-lost",
        Located::ResetNotByServer => "reset-not-by-server",
        Located::ResetNotByClient => "reset-not-by-client",
        Located::ResetLost => "reset-lost",
        Located::AnsweredBetween => "answered-between",
        Located::Translated => "translated",
        Located::Renumbered => "renumbered",
        Located::MssChanged => "mss-changed",
        Located::WindowScaleChanged => "window-scale-changed",
        Located::SackRemoved => "sack-removed",
        Located::TimestampsRemoved => "timestamps-removed",
    }
}

fn times(sends: &Sends) -> String {
    let times: Vec<String> = sends.at_us.iter().map(u64::to_string).collect();
    times.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshakes::fixture;

    #[test]
    fn each_value_is_of_the_kind_of_its_column() {
        for found in fixture::some() {
            for ((name, kind), value) in COLUMNS.iter().zip(row(&found, &["a".to_owned()])) {
                let is = match value {
                    Value::Text(_) => Kind::Text,
                    Value::Integer(_) => Kind::Integer,
                    Value::Time(_) => Kind::Time,
                };
                assert_eq!(is, *kind, "{name}");
            }
        }
    }

    #[test]
    fn ids_are_those_of_the_evidence() {
        for located in Located::ALL {
            assert_eq!(serde_json::to_value(located).expect("JSON"), located_id(located));
        }
    }

    #[test]
    fn a_row_of_csv_quotes_what_needs_it() {
        let found = &fixture::some()[3];
        assert_eq!(
            csv_row(&row(found, &["a,\"b\".pcap".to_owned()])),
            "1,4,2026-01-01T00:00:04.000000Z,10.77.0.2,40000,10.77.0.1,8080,vlan 7,both,\
             third-ack-ignored,open,,data-ignored,1,0,,3,40 1000000 3000000,2000000000,\
             40000,60000,100000,,,\"a,\"\"b\"\".pcap\",\n"
        );
        assert_eq!(csv_header().matches(',').count() + 1, COLUMNS.len());
    }
}
