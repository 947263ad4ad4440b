//! A report for people at a terminal: the findings, the listeners, what was not seen, the verdict.

use std::collections::BTreeMap;

use super::entries::{
    FindingEntry, GapEntry, ListenerEntry, NetnsEntry, ProcessEntry, SubjectEntry, SubjectName,
    UndeterminedEntry,
};
use super::layout::{Ink, Page, Span};
use super::printed::{Printed, printed};
use super::table::{self, Shown};
use super::{Report, Status, verdict};
use halfopen_evidence::Pid;

use crate::words::{count, duration, harmless, process_name};
use crate::{FindingId, Severity};

/// The column in which the text of a finding begins.
const TEXT_COLUMN: usize = 14;

/// Before each of several remedies.
const BULLET: &str = "- ";

/// Narrower than this, lines are not wrapped any more.
const WIDTH_MIN: usize = 40;

/// Subjects and finding ids named one by one in a line that stands for many.
const NAMED: usize = 4;

/// Finding ids named in a line about what could not be seen.
const COSTS_NAMED: usize = 3;

/// How a report is laid out as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns to fill.
    pub width: usize,
    /// Whether to write ANSI colours.
    pub colour: bool,
    /// Whether to list everything: every listener, every id.
    pub verbose: bool,
}

impl Default for TextOptions {
    /// 100 columns, no colours.
    fn default() -> Self {
        Self { width: 100, colour: false, verbose: false }
    }
}

pub(super) fn text(report: &Report, options: &TextOptions) -> String {
    let mut page = Page::new(options.width.max(WIDTH_MIN), options.colour);
    page.paragraph(2, &[Span::new(Ink::Dim, headline(report).join(" · "))]);
    write_findings(&mut page, &report.findings);
    write_listeners(&mut page, report, options.verbose);
    write_undetermined(&mut page, &report.undetermined, options.verbose);
    write_unseen(&mut page, report, options.verbose);
    page.blank();
    let ink = match report.status {
        Status::Healthy => Ink::Good,
        Status::Warning => Ink::Warning,
        Status::Failure => Ink::Failure,
        Status::Unknown => Ink::Unknown,
    };
    page.paragraph(2, &[Span::new(ink, harmless(&report.summary))]);
    if !report.findings.is_empty() {
        let hint = "`halfopen check --explain ID` prints the page of a finding.";
        page.paragraph(2, &[Span::new(Ink::Dim, hint)]);
    }
    page.finish()
}

/// Where, when and how was looked.
pub(super) fn headline(report: &Report) -> Vec<String> {
    let host = &report.host;
    let mut parts = vec![
        harmless(&host.name),
        format!("Linux {} {}", harmless(&host.kernel_release), harmless(&host.machine)),
        report.taken.clone(),
        match report.window_ms {
            Some(ms) => format!("window {}", duration(ms)),
            None => "one look".to_owned(),
        },
        count(report.namespaces.len() as u64, "namespace"),
        count(report.listeners.len() as u64, "listener"),
    ];
    if let Some(filter) = &report.filter {
        parts.push(format!("filter {}", harmless(filter)));
    }
    parts
}

/// Findings on a page, each after a blank line.
pub fn write_findings(page: &mut Page, findings: &[FindingEntry]) {
    for finding in printed(findings) {
        page.blank();
        write_finding(page, &finding);
    }
}

fn write_finding(page: &mut Page, printed: &Printed<'_>) {
    let finding = printed.finding;
    let (word, ink) = severity(finding.severity);
    let mut head = vec![Span::new(ink, word), Span::new(Ink::Subject, subject(&finding.subject))];
    head.extend(processes(&finding.subject.processes).map(|who| Span::new(Ink::Subject, who)));
    head.push(Span::new(Ink::Plain, harmless(&finding.headline)));
    page.paragraph(6, &head);
    let mut field = |label: &str, text: &str| {
        if !text.is_empty() {
            let hang = if text.starts_with(BULLET) { BULLET.len() } else { 0 };
            page.labelled(label, TEXT_COLUMN, hang, Span::new(Ink::Plain, harmless(text)));
        }
    };
    let id = format!("{} ({})", finding.id, finding.confidence.as_str());
    let more = printed.more().unwrap_or_default();
    if printed.brief {
        field("evidence", &evidence(finding));
        field("", &more);
        field("id", &id);
        return;
    }
    field("cause", &finding.cause);
    field("evidence", &evidence(finding));
    field("", &more);
    for (label, list) in [("do", &finding.remedies), ("not", &finding.not_helpful)] {
        for (index, item) in list.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let bullet = if list.len() > 1 { BULLET } else { "" };
            field(label, &format!("{bullet}{item}"));
        }
    }
    field("refuted by", &finding.refuted_by);
    field("id", &id);
}

/// The figures of a finding in a line.
#[must_use]
pub fn evidence(finding: &FindingEntry) -> String {
    let texts: Vec<&str> = finding.evidence.iter().map(|fact| fact.text.as_str()).collect();
    texts.join(" · ")
}

/// `FAIL` or `WARN`.
pub(super) const fn severity(severity: Severity) -> (&'static str, Ink) {
    match severity {
        Severity::Failure => ("FAIL", Ink::Failure),
        Severity::Warning => ("WARN", Ink::Warning),
    }
}

/// What a finding is about, with its namespace where that is not the collector's own.
pub(super) fn subject(subject: &SubjectEntry) -> String {
    match (subject.kind, subject.netns.own) {
        (SubjectName::Netns, _) => format!("network namespace {}", harmless(&subject.netns.label)),
        (_, true) => place(subject),
        (_, false) => format!("{} in {}", place(subject), netns(&subject.netns)),
    }
}

/// An address as the table of listeners shows it.
fn place(subject: &SubjectEntry) -> String {
    subject.local.as_deref().map_or_else(|| subject.label.clone(), shown_address)
}

fn netns(netns: &NetnsEntry) -> String {
    harmless(&netns.label)
}

/// `nginx[812] +3`: the first process, and how many more there are.
pub(super) fn processes(processes: &[ProcessEntry]) -> Option<String> {
    let (first, rest) = processes.split_first()?;
    let name = process_name(&first.comm, Pid(first.pid));
    Some(if rest.is_empty() { name } else { format!("{name} +{}", rest.len()) })
}

/// `*:8080` for the wildcard address of IPv4.
pub(super) fn shown_address(local: &str) -> String {
    match local.strip_prefix("0.0.0.0:") {
        Some(port) => format!("*:{port}"),
        None => local.to_owned(),
    }
}

fn write_listeners(page: &mut Page, report: &Report, verbose: bool) {
    let Shown { rows, omitted } = Shown::of(report, verbose);
    if rows.is_empty() {
        return;
    }
    page.blank();
    table::of_listeners(report, rows).write(page);
    if !omitted.is_empty() {
        page.paragraph(2, &[Span::new(Ink::Dim, rest(omitted))]);
    }
    for note in table::notes(rows) {
        page.paragraph(2, &[Span::new(Ink::Dim, note)]);
    }
}

/// A line that stands for listeners without findings.
pub(super) fn rest(omitted: &[ListenerEntry]) -> String {
    let fullest = omitted.iter().map(|row| &row.accept_queue).max_by(|a, b| {
        let share = |q: &super::AcceptQueueEntry, of: &super::AcceptQueueEntry| {
            u64::from(q.depth) * (u64::from(of.limit) + 1)
        };
        share(a, b).cmp(&share(b, a))
    });
    let fullest = fullest.map(|queue| format!("{}/{}", queue.depth, queue.limit));
    format!(
        "and {} without findings, fullest accept queue {}; --verbose lists them",
        count(omitted.len() as u64, "more listener"),
        fullest.unwrap_or_default()
    )
}

fn write_undetermined(page: &mut Page, undetermined: &[UndeterminedEntry], verbose: bool) {
    if undetermined.is_empty() {
        return;
    }
    page.blank();
    for (id, why, subjects) in alike(undetermined) {
        let text = format!("{id} of {}: {}", several(&subjects, verbose), harmless(why));
        page.labelled("not told", TEXT_COLUMN, 0, Span::new(Ink::Unknown, text));
    }
}

/// What could not be determined for the same reason, together: id, reason, subjects.
pub(super) fn alike(
    undetermined: &[UndeterminedEntry],
) -> impl Iterator<Item = (&str, &str, Vec<String>)> {
    let mut groups: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for entry in undetermined {
        groups.entry((&entry.id, &entry.why)).or_default().push(subject(&entry.subject));
    }
    groups.into_iter().map(|((id, why), subjects)| (id, why, subjects))
}

/// Names in a row, the first few unless all are asked for.
pub(super) fn several(names: &[String], all: bool) -> String {
    // One name more is no longer than the words that would stand for it.
    first_of(names, if all || names.len() <= NAMED + 1 { names.len() } else { NAMED })
}

fn first_of(names: &[String], most: usize) -> String {
    match names.split_at_checked(most) {
        Some((named, rest)) if !rest.is_empty() => {
            format!("{} and {} more", named.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

fn write_unseen(page: &mut Page, report: &Report, verbose: bool) {
    let unseen = unseen(report, verbose);
    if unseen.is_empty() {
        return;
    }
    page.blank();
    let ink = if verdict::is_partial(report) { Ink::Plain } else { Ink::Dim };
    for line in unseen {
        page.labelled("not seen", TEXT_COLUMN, 0, Span::new(ink, line));
    }
}

/// What could not be seen, and what that costs.
pub(super) fn unseen(report: &Report, verbose: bool) -> Vec<String> {
    let mut lines: Vec<String> = report.gaps.iter().map(|gap| gap_line(gap, verbose)).collect();
    lines.extend(report.namespaces.iter().filter_map(|seen| {
        let why = harmless(seen.missing.as_ref()?);
        Some(format!("listeners of network namespace {}: {why}", netns(&seen.netns)))
    }));
    let undecided = report.undecided;
    let left_out: Vec<String> =
        [(undecided.listeners, "listener"), (undecided.findings, "finding")]
            .into_iter()
            .filter(|&(n, _)| n > 0)
            .map(|(n, noun)| count(n, noun))
            .collect();
    if !left_out.is_empty() {
        let left_out = left_out.join(" and ");
        lines.push(format!(
            "whether the filter matches {left_out}: not all their processes are known"
        ));
    }
    lines
}

fn gap_line(gap: &GapEntry, verbose: bool) -> String {
    let mut line = harmless(&gap.what);
    if !gap.needs.is_empty() {
        line.push_str(&format!("; needs {}", harmless(&gap.needs)));
    }
    if gap.costs.len() == FindingId::of_a_look().count() {
        line.push_str("; costs every finding there");
    } else if !gap.costs.is_empty() {
        let most = if verbose { gap.costs.len() } else { COSTS_NAMED };
        let ids: Vec<String> = gap.costs.iter().map(|id| harmless(id)).collect();
        line.push_str(&format!("; costs {}", first_of(&ids, most)));
    }
    line
}
