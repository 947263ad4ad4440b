//! The pictures of `docs/captures.md`, each with what it must be called, over IPv4 and IPv6. What becomes of
//! them from the bytes of a file to the findings is tested with the binary.

use halfopen_evidence::{Handshake, Vantage};

use super::{Limits, track};
use crate::script::{Ends, Picture, counted, pictures};

const PAGE: &str = include_str!("../../../../../docs/captures.md");

/// `= third-ack-ignored recovered +maybe-deferred`.
fn line(handshake: &Handshake) -> String {
    let outcome = serde_json::to_value(handshake.outcome).expect("JSON");
    let detail = [&outcome["answered_syn"], &outcome["ended"]]
        .map(|detail| detail.as_str().map_or_else(|| detail.to_string(), str::to_owned))
        .map(|detail| if detail == "null" { String::new() } else { format!(" {detail}") });
    let vantage = match handshake.vantage {
        Vantage::Both => "",
        Vantage::ClientOnly => " client-only",
        Vantage::ServerOnly => " server-only",
    };
    let marks: String = handshake
        .marks
        .iter()
        .map(|mark| serde_json::to_value(mark).expect("JSON"))
        .map(|mark| format!(" +{}", mark.as_str().expect("a text")))
        .collect();
    let outcome = outcome["is"].as_str().expect("a text");
    format!("= {outcome}{}{vantage}{marks}", detail.concat())
}

/// Checks a picture in one family, and says what is otherwise.
fn difference(picture: &Picture, ends: Ends) -> Option<String> {
    let (mut told, _) = track(&picture.packets(ends), Limits::default());
    told.sort_by_key(|handshake| handshake.first_record);
    let found = counted(&told.iter().map(line).collect::<Vec<_>>());
    let expected = picture.expected.iter().filter(|line| line.starts_with('='));
    let expected: Vec<String> = expected.cloned().collect();
    (found != expected).then(|| {
        let Picture { line, about, .. } = picture;
        format!("line {line}, {}: {about}\n  {expected:?}\nis told as\n  {found:?}\n", ends.client)
    })
}

#[test]
fn every_picture_of_the_page_is_called_what_it_says() {
    let all = pictures(PAGE);
    let differences: Vec<String> = all
        .iter()
        .flat_map(|picture| picture.families().filter_map(|ends| difference(picture, ends)))
        .collect();
    assert!(differences.is_empty(), "docs/captures.md\n{}", differences.join("\n"));
    assert!(all.len() > 90, "{} pictures", all.len());
}
