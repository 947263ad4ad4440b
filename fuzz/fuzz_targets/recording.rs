//! Recordings: files from somewhere else, all the way to what is printed of them.
//!
//! An input that begins with gzip's first byte is read as it is. Any other is read as the lines
//! within the file, since a mutated gzip stream seldom gets past its checksum.

#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use halfopen_diagnose::report::TextOptions;
use halfopen_diagnose::{Filter, Report, diagnose};
use halfopen_evidence::{Evidence, Recording};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let read = if input.first() == Some(&0x1f) {
        Recording::read(input)
    } else {
        Recording::read(packed(input).as_slice())
    };
    if let Ok(recording) = read {
        let mut file = Vec::new();
        recording.write(&mut file).expect("into a vector");
        let again = Recording::read(file.as_slice()).expect("what we wrote");
        assert_eq!(again, recording);
        diagnose_and_print(&recording.evidence);
    }
});

/// No figure that a file can hold may make a rule or a report panic.
fn diagnose_and_print(evidence: &Evidence) {
    let report = Report::new(evidence, &diagnose(evidence), &Filter::everything(), "fuzz");
    let text = report.to_text(&TextOptions { width: 80, colour: false, verbose: true });
    let escapes = text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!escapes, "{text:?}");
    assert!(!report.to_markdown().is_empty() && !report.to_json().is_empty());
}

fn packed(lines: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(lines).expect("into a vector");
    encoder.finish().expect("into a vector")
}
