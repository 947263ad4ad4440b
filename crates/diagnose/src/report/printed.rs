//! Findings as people read them: each advice once.
//!
//! A process with thousands of listeners that stops has as many findings, which differ in their
//! addresses and figures alone. The JSON form keeps them all.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{FindingEntry, ProcessEntry, SubjectName};
use super::text::{processes, subject};
use crate::words::count;

/// So many findings of one kind are shown one by one.
const ALIKE: usize = 3;

/// Listeners that a finding names beside its own.
const NAMED: usize = 8;

/// A finding, and those that are alike.
#[derive(Debug)]
pub(super) struct Printed<'a> {
    /// The one that is shown.
    pub(super) finding: &'a FindingEntry,
    /// Those that it stands for.
    others: Vec<&'a FindingEntry>,
    /// Whether what to do stands in another finding about the same listener.
    pub(super) brief: bool,
}

/// What findings that are alike have in common: id, namespace, processes.
type Kind<'a> = (&'a str, u64, &'a [ProcessEntry]);

/// The findings in their order, each with those that it stands for.
pub(super) fn printed(findings: &[FindingEntry]) -> Vec<Printed<'_>> {
    let mut alike: BTreeMap<Kind<'_>, usize> = BTreeMap::new();
    for kind in findings.iter().filter_map(kind) {
        *alike.entry(kind).or_default() += 1;
    }
    let stalled: BTreeSet<_> =
        findings.iter().filter(|finding| finding.id.starts_with("accept-")).map(place).collect();
    let mut first_of: BTreeMap<Kind<'_>, usize> = BTreeMap::new();
    let mut printed: Vec<Printed<'_>> = Vec::new();
    for finding in findings {
        let kind = kind(finding).filter(|kind| alike.get(kind).is_some_and(|&n| n > ALIKE));
        let first = kind.and_then(|kind| first_of.get(&kind).copied());
        if let Some(first) = first.and_then(|first| printed.get_mut(first)) {
            first.others.push(finding);
            continue;
        }
        if let Some(kind) = kind {
            first_of.insert(kind, printed.len());
        }
        let brief = finding.id == "never-accepted" && stalled.contains(&place(finding));
        printed.push(Printed { finding, others: Vec::new(), brief });
    }
    printed
}

fn kind(finding: &FindingEntry) -> Option<Kind<'_>> {
    let subject = &finding.subject;
    let listens = matches!(subject.kind, SubjectName::Listener | SubjectName::Endpoint);
    (listens && !subject.processes.is_empty()).then_some((
        finding.id.as_str(),
        subject.netns.id,
        subject.processes.as_slice(),
    ))
}

fn place(finding: &FindingEntry) -> (u64, Option<&str>) {
    (finding.subject.netns.id, finding.subject.local.as_deref())
}

impl Printed<'_> {
    /// The listeners that the finding stands for: how many, and the first of them.
    pub(super) fn more(&self) -> Option<String> {
        if self.others.is_empty() {
            return None;
        }
        let named: Vec<String> =
            self.others.iter().take(NAMED).map(|other| subject(&other.subject)).collect();
        let who = processes(&self.finding.subject.processes).unwrap_or_default();
        let left = if self.others.len() > NAMED { ", …" } else { "" };
        let many = count(self.others.len() as u64, "more listener");
        Some(format!("and {many} of {who}: {}{left}", named.join(", ")))
    }
}
