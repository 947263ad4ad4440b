//! A report for machines, and its schema.

use super::Report;

/// The report as one JSON object, indented, with a newline at the end.
pub(super) fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("a report has string keys and whole numbers only, so it has a JSON form");
    text.push('\n');
    text
}

/// The JSON schema of [`Report::to_json`], indented, with a newline at the end.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Report);
    format!("{:#}\n", schema.as_value())
}
