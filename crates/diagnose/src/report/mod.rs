//! What `check` prints: one value, made from evidence, diagnosis and filter alone, and its forms.
//!
//! Nothing is looked up while printing, so a replayed recording prints what the live host printed.
//! [`Report`] is at the same time the JSON form; `build` makes it, `verdict` sums it up, `text`,
//! `markdown` and `json` print it. Whatever came from outside is kept as it came, and escaped where
//! it is printed.

mod build;
mod entries;
mod json;
pub mod layout;
mod markdown;
mod printed;
mod table;
mod text;
mod time;
mod verdict;

use halfopen_evidence::Evidence;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Diagnosis, Filter};

pub use entries::{
    AcceptQueueEntry, FactEntry, FindingEntry, GapEntry, HostEntry, ListenerEntry, NetnsEntry,
    ProcessEntry, SearchEntry, SeenNetnsEntry, SubjectEntry, SubjectName, UndecidedEntry,
    UndeterminedEntry, Verdict,
};
pub use json::{json_schema, json_text};
pub use text::{TextOptions, evidence, write_findings};

/// Name and version of the JSON form. The number changes when a field changes its meaning or goes.
pub const SCHEMA: &str = "halfopen.check/1";

/// The result of `halfopen check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// Name and version of this form. Fields may be added to it; none changes its meaning or goes.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// Version of the halfopen that wrote it.
    pub tool_version: String,
    /// The verdict over everything.
    pub status: Status,
    /// The exit status of `halfopen check`: 0 healthy, 1 warning, 2 failure, 3 unknown.
    pub exit_code: u8,
    /// The verdict in a sentence.
    pub summary: String,
    /// Why the status is `unknown`; empty for any other.
    pub unknown_because: Vec<String>,
    /// The host that was looked at.
    pub host: HostEntry,
    /// When the latest look was taken: milliseconds since 1970, UTC.
    pub taken_unix_ms: u64,
    /// The same as text (ISO 8601).
    pub taken: String,
    /// Milliseconds between the two looks; null for a single look (`--now`).
    pub window_ms: Option<u64>,
    /// The filter that the report is narrowed to; null for everything.
    pub filter: Option<String>,
    /// What the filter could not decide.
    pub undecided: UndecidedEntry,
    /// The network namespaces in scope.
    pub namespaces: Vec<SeenNetnsEntry>,
    /// What was found, the worst first.
    pub findings: Vec<FindingEntry>,
    /// The listening sockets in scope, those with findings first.
    pub listeners: Vec<ListenerEntry>,
    /// What could be neither found nor excluded.
    pub undetermined: Vec<UndeterminedEntry>,
    /// What could not be seen.
    pub gaps: Vec<GapEntry>,
}

/// The verdict over everything in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
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
        evidence: &Evidence,
        diagnosis: &Diagnosis,
        filter: &Filter,
        tool_version: &str,
    ) -> Self {
        build::report(evidence, diagnosis, filter, tool_version)
    }

    /// The verdict.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The report for people at a terminal.
    #[must_use]
    pub fn to_text(&self, options: &TextOptions) -> String {
        text::text(self, options)
    }

    /// The report to paste into a ticket or a chat.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        markdown::markdown(self)
    }

    /// The report for machines: one JSON object and a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::json(self)
    }
}

#[cfg(test)]
mod tests;
