//! Captures written by hand, packet by packet, through the whole program: bytes of a file in, what it
//! prints out.
//!
//! - Here: the pictures of `docs/captures.md`, each with what it must be called, over IPv4 and IPv6.
//! - `odd`: captures that are damaged, or made to do damage, and what is said of each; `sample` has the
//!   sound ones that they are made of.
//! - `incident`: a listing of tcpdump.
//! - `frame`: packets as the bytes of a capture.

#[path = "../common/mod.rs"]
mod common;
mod frame;
mod incident;
mod odd;
mod sample;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use halfopen_capture::script::{Ends, Picture, counted, pictures};
use halfopen_evidence::Mark;
use serde_json::Value;

use common::{repository_file, run};

/// What the program makes of a capture, one line each: its handshakes in the order in which they began,
/// the timetables of their SYNs, the findings.
fn told(capture: &[u8], ends: Ends) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, capture).expect("written");
    let ran = run(&["pcap", path.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(ran.stderr, "");
    let mut lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary = lines.pop().expect("a summary");
    assert_eq!(
        (&summary["warnings"], &summary["failures"]),
        (&Value::from(Vec::<Value>::new()), &Value::from(Vec::<Value>::new()))
    );
    // Other connections are there to let time pass.
    lines.retain(|line| line["client"] != ends.others[0].to_string());
    lines.sort_by_key(|line| line["record"].as_u64());
    let mut told: Vec<String> = lines.iter().map(handshake).collect();
    let timetables = lines.iter().filter_map(|line| line["timetable"].as_str());
    told.extend(timetables.map(|timetable| format!("~ {timetable}")));
    let findings = summary["findings"].as_array().expect("a list");
    told.extend(findings.iter().map(|finding| format!("! {}", text(&finding["id"]))));
    told
}

/// `= third-ack-ignored recovered +maybe-deferred`.
fn handshake(line: &Value) -> String {
    let mut words = format!("= {}", text(&line["outcome"]));
    if let Some(answered) = line["answered_syn"].as_u64() {
        write!(words, " {answered}").expect("a string takes it");
    }
    if let Some(ended) = line["ended"].as_str() {
        write!(words, " {ended}").expect("a string takes it");
    }
    if line["vantage"] != "both" {
        write!(words, " {}", text(&line["vantage"])).expect("a string takes it");
    }
    for mark in line["marks"].as_array().expect("a list") {
        write!(words, " +{}", text(mark)).expect("a string takes it");
    }
    words
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Checks a picture in one family, and says what is otherwise.
fn difference(picture: &Picture, ends: Ends) -> Option<String> {
    let mut found = counted(&told(&frame::file(&picture.packets(ends)), ends));
    if !picture.expected.iter().any(|line| line.starts_with('~')) {
        found.retain(|line| !line.starts_with('~'));
    }
    (found != picture.expected).then(|| {
        let (line, about, expected) = (picture.line, &picture.about, picture.expected.join("\n  "));
        let found = found.join("\n  ");
        format!("line {line}, {}: {about}\n  {expected}\nis told as\n  {found}\n", ends.client)
    })
}

#[test]
fn every_picture_of_the_page_is_called_what_it_says() {
    let all = pictures(&repository_file("docs/captures.md"));
    let differences: Vec<String> = all
        .iter()
        .flat_map(|picture| picture.families().filter_map(|ends| difference(picture, ends)))
        .collect();
    assert!(differences.is_empty(), "docs/captures.md\n{}", differences.join("\n"));
    assert!(all.len() > 90, "{} pictures", all.len());
}

#[test]
fn every_outcome_and_mark_has_a_picture_and_a_near_miss() {
    let all = pictures(&repository_file("docs/captures.md"));
    let missing = |id: &String| {
        let of_section: Vec<bool> =
            all.iter().filter(|picture| picture.section == *id).map(Picture::is_positive).collect();
        !(of_section.contains(&true) && of_section.contains(&false))
    };
    let missing: Vec<String> = ids().into_iter().filter(missing).collect();
    assert_eq!(missing, [""; 0]);
}

/// Every outcome, as the summary lists them, and every mark.
fn ids() -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, frame::file(&[])).expect("written");
    let ran = run(&["pcap", path.to_str().expect("UTF-8"), "--json"]);
    let summary: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let outcomes = summary["outcomes"].as_object().expect("outcomes").keys().cloned();
    let marks = Mark::ALL.iter().map(|mark| serde_json::to_value(mark).expect("JSON"));
    outcomes.chain(marks.map(|mark| text(&mark).to_owned())).collect()
}
