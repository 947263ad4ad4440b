//! What a rule says.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{FindingId, Subject};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is called.
    pub id: FindingId,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What is the matter, in a few words, as a headline: `accepts nothing; 129 connections wait`.
    pub headline: String,
    /// The cause, in one sentence that a person who never read the kernel understands; like the
    /// headline without a capital and a full stop.
    pub cause: String,
    /// What it rests on.
    pub evidence: Vec<Fact>,
    /// How sure it is.
    pub confidence: Confidence,
    /// What would prove it wrong.
    pub refuted_by: String,
    /// What to do, the first thing first.
    pub remedies: Vec<String>,
    /// What would not help, though people try it.
    pub useless: Vec<String>,
}

/// How bad a finding is. Decides the exit status of `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing fails because of it yet.
    Warning,
    /// Connections fail now.
    Failure,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// It fits the evidence, and so would something else.
    Possible,
    /// Something else would be unusual.
    Probable,
    /// The kernel says so.
    Certain,
}

/// A figure that a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was measured: a kernel name where there is one (`ListenOverflows`), else words in
    /// kebab-case (`accept-queue-depth`). Stable, for machines.
    pub name: String,
    /// The figure, where it is one number.
    pub value: Option<u64>,
    /// The figure in words, for people: `ListenOverflows +41 in 2.0 s`.
    pub text: String,
}

impl Fact {
    /// A figure with the words that people read.
    pub fn number(name: &str, value: impl Into<u64>, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()), text: text.into() }
    }

    /// Something seen that is no single number.
    pub fn words(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: None, text: text.into() }
    }
}

impl Confidence {
    /// `possible`, `probable` or `certain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Probable => "probable",
            Self::Certain => "certain",
        }
    }
}
