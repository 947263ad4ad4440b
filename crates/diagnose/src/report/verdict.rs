//! The verdict over a whole report.
//!
//! The worst finding decides. Without a finding the host is healthy, unless what was asked about was
//! not there or could not be seen. A gap alone does not take the verdict away: it holds for what was
//! seen, and the report says what was not. Nor does a finding that could not be excluded, unless it
//! would mean that a listener fails.

use halfopen_evidence::Missing;

use super::{Report, Status, Verdict};
use crate::words::{count, duration};
use crate::{Filter, FindingId, Severity};

/// Ports named one by one in a summary.
const PORTS_NAMED: usize = 4;

/// Fills in status, exit status and summary. `sees_destination` says whether outgoing connections
/// that the filter matches were seen.
pub(super) fn sum_up(report: &mut Report, filter: &Filter, sees_destination: bool) {
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    report.status = match worst {
        Some(Severity::Failure) => Status::Failure,
        Some(Severity::Warning) => Status::Warning,
        None => {
            report.unknown_because = unknown_because(report, filter, sees_destination);
            if report.unknown_because.is_empty() { Status::Healthy } else { Status::Unknown }
        }
    };
    report.exit_code = report.status.exit_code();
    report.summary = match report.status {
        Status::Healthy => healthy(report),
        Status::Warning | Status::Failure => found(report),
        Status::Unknown => format!("Cannot say: {}.", report.unknown_because.join("; ")),
    };
}

fn unknown_because(report: &Report, filter: &Filter, sees_destination: bool) -> Vec<String> {
    if report.namespaces.is_empty() {
        return vec![match filter.netns_names() {
            Some(names) => {
                let names: Vec<String> = names.into_iter().collect();
                format!("no network namespace called {} was seen", names.join(" or "))
            }
            None => "no network namespace was seen".to_owned(),
        }];
    }
    let mut because = Vec::new();
    if let Some(why) = all_unreadable(report) {
        because.push(format!("no listening socket could be read: {why}"));
    } else if !filter.is_everything()
        && filter.concerns_listeners()
        && report.listeners.is_empty()
        && !sees_destination
    {
        because.push(nothing_there(report, filter));
    }
    let open = report
        .undetermined
        .iter()
        .filter(|entry| entry.id.parse().is_ok_and(|id| takes_the_verdict_away(id, &entry.why)));
    let mut ids: Vec<&str> = open.map(|entry| entry.id.as_str()).collect();
    if !ids.is_empty() {
        ids.sort_unstable();
        ids.dedup();
        because.push(format!("{} could not be excluded", ids.join(", ")));
    }
    because
}

/// Whether a finding that could not be excluded leaves open if a listener works: it would be that
/// listener's failure. What was gone before it could be read was not stuck, so it leaves nothing
/// open.
pub(super) fn takes_the_verdict_away(id: FindingId, why: &str) -> bool {
    let fails = matches!(
        id,
        FindingId::AcceptProcessStopped
            | FindingId::AcceptOutOfFds
            | FindingId::AcceptThreadMissing
            | FindingId::AcceptBlocked
            | FindingId::AcceptStalled
            | FindingId::AcceptTooSlow
            | FindingId::SynQueueFull
            | FindingId::SynReserve
    );
    fails && !why.contains(&Missing::Vanished.to_string())
}

/// Why no namespace's listeners could be read, if so.
fn all_unreadable(report: &Report) -> Option<&str> {
    let reasons: Option<Vec<&str>> =
        report.namespaces.iter().map(|netns| netns.missing.as_deref()).collect();
    reasons?.first().copied()
}

fn nothing_there(report: &Report, filter: &Filter) -> String {
    let undecided = u64::from(report.undecided.listeners);
    if undecided > 0 {
        return format!(
            "whether {} match {filter} is not known, since not all their processes are",
            count(undecided, "listener")
        );
    }
    let namespaces = count(report.namespaces.len() as u64, "network namespace");
    match filter.ports() {
        Some(ports) if !ports.is_empty() && ports.len() <= PORTS_NAMED => {
            let ports: Vec<String> = ports.iter().map(|port| format!(":{port}")).collect();
            let ports = ports.join(" or ");
            let plain = filter.is_plain_port();
            let matching = if plain { String::new() } else { format!(" that matches {filter}") };
            format!("nothing listens on {ports}{matching}, in {namespaces}")
        }
        _ => format!("nothing matches {filter}, in {namespaces}"),
    }
}

/// Whether whole namespaces, or listeners that the filter may match, are missing from a report. A
/// process here or there that could not be read is no reason to doubt the rest.
pub(super) fn is_partial(report: &Report) -> bool {
    report.gaps.iter().any(|gap| gap.costs.len() == FindingId::of_a_look().count())
        || report.namespaces.iter().any(|netns| netns.missing.is_some())
        || report.undecided.listeners > 0
}

fn healthy(report: &Report) -> String {
    let well = if is_partial(report) { "All is well with what was seen" } else { "All is well" };
    let readable = report.namespaces.iter().filter(|netns| netns.missing.is_none()).count();
    let listeners = match report.listeners.len() {
        0 => "no listener".to_owned(),
        n => count(n as u64, "listener"),
    };
    let when = match report.window_ms {
        Some(ms) => format!("over {}", duration(ms)),
        None => "at one look".to_owned(),
    };
    let namespaces = count(readable as u64, "network namespace");
    format!("{well}: {listeners} in {namespaces}, nothing wrong {when}.")
}

fn found(report: &Report) -> String {
    let of = |severity| report.findings.iter().filter(|f| f.severity == severity).count() as u64;
    let kinds = [(Severity::Failure, "failure"), (Severity::Warning, "warning")];
    let counts: Vec<String> = kinds
        .into_iter()
        .filter(|&(severity, _)| of(severity) > 0)
        .map(|(severity, noun)| count(of(severity), noun))
        .collect();
    let counts = counts.join(" and ");
    let well = report.listeners.iter().filter(|row| row.verdict == Verdict::Ok).count();
    if well == 0 {
        return format!("{counts}.");
    }
    let all = count(report.listeners.len() as u64, "listener");
    format!("{counts}; {well} of {all} without findings.")
}
