//! x
use super::Report;
/// How a report is laid out as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns to fill.
    pub width: usize,
    /// Whether to write ANSI colours.
    pub colour: bool,
    /// Whether to list everything.
    pub verbose: bool,
}
pub(super) fn text(report: &Report, _options: &TextOptions) -> String {
    format!("{}\n", report.summary)
}
