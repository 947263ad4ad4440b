//! What `check` prints: one value, made from the evidence and the diagnosis alone, and its forms.

use halfopen_evidence::Evidence;

use crate::{Diagnosis, Filter};

/// Everything that is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    status: Status,
}

/// The verdict over everything in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing was found.
    Healthy,
    /// The worst finding is a warning.
    Warning,
    /// The worst finding is a failure.
    Failure,
    /// Nothing was found, and what was needed to say so could not be seen.
    Unknown,
}

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

impl Status {
    /// The exit status of `check`: 0, 1, 2 or 3, as monitoring checks have it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Warning => 1,
            Self::Failure => 2,
            Self::Unknown => 3,
        }
    }
}

impl Report {
    /// Makes a report of what the filter matches.
    #[must_use]
    pub fn new(
        _evidence: &Evidence,
        _diagnosis: &Diagnosis,
        _filter: &Filter,
        _tool_version: &str,
    ) -> Self {
        Self { status: Status::Unknown }
    }

    /// The verdict.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The report for people at a terminal.
    #[must_use]
    pub fn to_text(&self, _options: &TextOptions) -> String {
        String::new()
    }

    /// The report to paste into a ticket or a chat.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        String::new()
    }

    /// The report for machines: one JSON object and a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        String::new()
    }
}

/// The JSON schema of [`Report::to_json`].
#[must_use]
pub fn json_schema() -> String {
    String::new()
}
