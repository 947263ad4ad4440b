//! Parts of a summary that `pcap` and `trace` share: outcomes, the servers, what the rules make of them.

use halfopen_diagnose::Status;
use halfopen_diagnose::report::layout::{Ink, Page, Span, columns};
use halfopen_diagnose::report::{FindingEntry, write_findings};
use halfopen_diagnose::words::harmless;
use halfopen_evidence::BurstKind;

use super::class::{CLASSES, Class, ENDS, Gravity};
use super::totals::{Listener, Totals};
use super::verdict::Verdict;
use super::words::{clock, counted, grouped, share, span};

/// Listeners that are shown without being asked for all.
const LISTENERS: usize = 6;

/// Findings that are shown without being asked for all.
pub(crate) const FINDINGS: usize = 3;

/// The column in which the words of an outcome begin.
const OUTCOME: usize = 19;

/// How the attempts came out, and how long connect() took.
pub(crate) fn outcomes(page: &mut Page, totals: &Totals) {
    page.blank();
    let attempts = counted(totals.attempts(), "attempt");
    let facts = Span::new(Ink::Dim, connect(totals));
    page.paragraph(2, &[Span::new(Ink::Subject, attempts), facts]);
    let mut rows: Vec<(&Class, u64)> = CLASSES.iter().zip(totals.by_class).collect();
    rows.retain(|&(_, count)| count > 0);
    let whole = totals.handshakes();
    for (class, count) in rows {
        let number = format!("{:>9}{:>6}", grouped(count), share(count, whole));
        let mut text = class.long.to_owned();
        if class.id == "third-ack-ignored" {
            text = format!("{text}: {}", ends(totals));
        }
        page.beside(
            &Span::new(ink(class.gravity), number),
            OUTCOME,
            2,
            Span::new(Ink::Plain, text),
        );
    }
}

/// How long connect() took.
fn connect(totals: &Totals) -> String {
    let quantile = |per_mille| totals.connect.of_a_thousand(per_mille).map(span);
    match (quantile(500), quantile(990), quantile(999), totals.connect.most().map(span)) {
        (Some(p50), _, _, Some(most)) if p50 == most => format!("connect p50 and max {most}"),
        (Some(p50), Some(p99), Some(p999), Some(most)) => {
            format!("connect p50 {p50} · p99 {p99} · p99.9 {p999} · max {most}")
        }
        _ => String::new(),
    }
}

/// How ignored third ACKs ended.
fn ends(totals: &Totals) -> String {
    let ends = ENDS.iter().zip(totals.ends).filter(|(_, count)| *count > 0);
    let ends: Vec<String> =
        ends.map(|((_, words), count)| format!("{} {words}", grouped(count))).collect();
    ends.join(", ")
}

/// The colour of a gravity.
pub(crate) const fn ink(gravity: Gravity) -> Ink {
    match gravity {
        Gravity::Fine => Ink::Good,
        Gravity::Unsaid => Ink::Dim,
        Gravity::Late => Ink::Warning,
        Gravity::Failed => Ink::Failure,
    }
}

/// The servers, a line each.
pub(crate) fn listeners(page: &mut Page, totals: &Totals, verdict: &Verdict, all: bool) {
    let listeners = totals.listeners();
    let shown = if all { listeners.len() } else { listeners.len().min(LISTENERS) };
    let shown = &listeners[..shown];
    let names: Vec<String> = shown.iter().map(name).collect();
    let width = names.iter().map(|name| columns(name)).max().unwrap_or(0).clamp(6, 21);
    page.blank();
    let header =
        format!("     {:width$} {:>8} {:>7}  what went wrong", "server", "attempts", "clients");
    page.put(Ink::Dim, &header);
    page.blank();
    for (listener, name) in shown.iter().zip(&names) {
        row(page, listener, name, width, verdict.listener(listener));
    }
    if listeners.len() > shown.len() {
        let rest = &listeners[shown.len()..];
        let troubled = rest.iter().filter(|one| one.failed + one.late > 0).count();
        let more = counted(rest.len() as u64, "more server");
        let note = match troubled {
            0 => format!("{more} without trouble"),
            troubled => format!("{more}, {troubled} with trouble; --verbose has all"),
        };
        page.indented(5, Span::new(Ink::Dim, note));
    }
}

fn row(page: &mut Page, listener: &Listener<'_>, name: &str, width: usize, status: Status) {
    let (ink, label) = match status {
        Status::Failure => (Ink::Failure, "FAIL"),
        Status::Warning => (Ink::Warning, "WARN"),
        Status::Healthy | Status::Unknown => (Ink::Good, "ok"),
    };
    let clients = listener.tally.peers.count();
    // Many are an estimate.
    let about = if clients > 100 { "~" } else { "" };
    let clients = format!("{about}{}", grouped(clients));
    let figures = format!(" {name:width$} {:>8} {clients:>7}", grouped(listener.attempts));
    page.put(ink, &format!("{label:<4}"));
    page.put(Ink::Plain, &figures);
    let begins = 4 + columns(&figures) + 2;
    // Beside a long address there is no room.
    let (begins, is_below) = if begins + 30 > page.width() { (8, true) } else { (begins, false) };
    for (at, line) in wrapped(&wrong(listener), page.width() - begins).iter().enumerate() {
        let indent =
            if at == 0 && !is_below { "  ".to_owned() } else { format!("\n{:begins$}", "") };
        page.put(Ink::Plain, &format!("{indent}{line}"));
    }
    page.blank();
}

/// What the rules make of it, the worst first: all of it, or the first with its cause and what to do
/// now, and the headlines of a few others.
pub(crate) fn findings(page: &mut Page, findings: &[FindingEntry], all: bool) {
    if all {
        return write_findings(page, findings);
    }
    let shown = findings.len().min(FINDINGS);
    let brief: Vec<FindingEntry> = findings.iter().take(shown).enumerate().map(brief).collect();
    write_findings(page, &brief);
}

fn brief((place, finding): (usize, &FindingEntry)) -> FindingEntry {
    let mut brief = finding.clone();
    brief.evidence.clear();
    brief.not_helpful.clear();
    brief.refuted_by.clear();
    brief.remedies.truncate(1);
    if place > 0 {
        brief.cause.clear();
        brief.remedies.clear();
    }
    brief
}

/// A text in lines of so many columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut page = Page::new(width, false);
    page.paragraph(0, &[Span::new(Ink::Plain, text)]);
    page.finish().lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn name(listener: &Listener<'_>) -> String {
    if listener.scope.is_empty() {
        listener.server.to_string()
    } else {
        format!("{} {}", listener.server, harmless(listener.scope))
    }
}

/// What went wrong at a listener: outcomes, and what many attempts at once were.
pub(crate) fn wrong(listener: &Listener<'_>) -> String {
    let mut items: Vec<String> = listener
        .troubles()
        .into_iter()
        .map(|(words, count)| format!("{} {words}", grouped(count)))
        .collect();
    if let Some(burst) = listener.tally.burst() {
        let what = match burst.kind {
            BurstKind::SynFlood => "SYN flood",
            BurstKind::ReconnectStorm => "clients all came back at once",
        };
        let second = &clock(burst.second_ns)[..8];
        items.push(format!("{what}: {} in the second {second}", grouped(burst.attempts.into())));
    }
    items.join(" · ")
}
