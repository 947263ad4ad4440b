//! A report for machines, and its schema.

use serde::Serialize;

use super::Report;
use crate::words::is_harmful;

/// The report as one JSON object, indented, with a newline at the end.
pub(super) fn json(report: &Report) -> String {
    json_text(report)
        .expect("a report has string keys and whole numbers only, so it has a JSON form")
}

/// A value as indented JSON with a newline at the end, harmless for a terminal.
///
/// # Errors
///
/// If the value has no JSON form, such as a map whose keys are no strings.
pub fn json_text<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(escaped(&text))
}

/// The same JSON value, harmless for a terminal: serde_json escapes the control characters of ASCII
/// only. Outside of strings JSON has no harmful character but the line feed, and in strings that is
/// escaped already.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The JSON schema of [`Report::to_json`], indented, with a newline at the end.
#[must_use]
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Report);
    format!("{:#}\n", schema.as_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_acts_on_are_escaped_and_mean_the_same() {
        let name = "\u{1b}a\u{7f}\u{9b}31m\u{202e}\u{feff}\u{e0041}größe\n\"";
        let text = serde_json::to_string_pretty(&[name]).expect("JSON");
        let harmless = escaped(&text);
        assert_eq!(
            harmless,
            "[\n  \"\\u001ba\\u007f\\u009b31m\\u202e\\ufeff\\udb40\\udc41größe\\n\\\"\"\n]"
        );
        assert_eq!(serde_json::from_str::<[String; 1]>(&harmless).expect("JSON"), [name]);
    }
}
