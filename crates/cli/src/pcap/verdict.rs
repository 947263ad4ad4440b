//! What a capture says of the servers in it: the findings of the rules, and the exit status.

use halfopen_diagnose::report::FindingEntry;
use halfopen_diagnose::{Severity, Status, diagnose_watched};
use halfopen_evidence::Outcome;

use super::class;
use super::totals::{Listener, Totals};

/// Trouble that no rule names is a warning if it is one attempt in so many or more.
const RARELY: u64 = 100;

/// What the rules find, the worst first.
pub(super) fn findings(totals: &Totals) -> Vec<FindingEntry> {
    let diagnosis = diagnose_watched(&totals.tallied.watched());
    diagnosis.findings.iter().map(FindingEntry::from).collect()
}

/// The worst of the listeners' states.
pub(super) fn status(totals: &Totals, findings: &[FindingEntry]) -> Status {
    let undecided = totals.by_class[class::index(Outcome::Undecided)];
    if totals.attempts() == undecided {
        return Status::Unknown;
    }
    if let Some(worst) = worst(findings.iter()) {
        return worst;
    }
    let mut states = totals.listeners().into_iter().map(|listener| of(&listener, findings));
    states.find(|&state| state == Status::Warning).unwrap_or(Status::Healthy)
}

/// The state of a listener.
pub(super) fn of(listener: &Listener<'_>, findings: &[FindingEntry]) -> Status {
    let server = listener.server.to_string();
    let about_it = findings.iter().filter(|finding| {
        let subject = &finding.subject;
        subject.local.as_deref() == Some(&server) && subject.netns.label == listener.scope
    });
    if let Some(worst) = worst(about_it) {
        return worst;
    }
    let trouble = listener.failed + listener.late;
    if trouble > 0 && trouble * RARELY >= listener.attempts {
        Status::Warning
    } else {
        Status::Healthy
    }
}

fn worst<'a>(findings: impl Iterator<Item = &'a FindingEntry>) -> Option<Status> {
    findings.map(|finding| finding.severity).max().map(|severity| match severity {
        Severity::Failure => Status::Failure,
        Severity::Warning => Status::Warning,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::found::{Found, Number};
    use super::super::totals::Counting;
    use super::*;

    fn check(outcomes: &[(Outcome, u64)], expected: Status) {
        let mut counting = Counting::default();
        let mut record = 0;
        for &(outcome, count) in outcomes {
            for _ in 0..count {
                record += 1;
                let handshake = fixture::handshake(outcome);
                counting.add(&Found { number: Number::new(0, record), handshake });
            }
        }
        let totals = counting.finish();
        assert_eq!(status(&totals, &findings(&totals)), expected, "{outcomes:?}");
    }

    #[test]
    fn trouble_that_no_rule_names_is_a_warning_unless_it_is_rare() {
        let aborted = Outcome::AbortedByClient;
        check(&[], Status::Unknown);
        check(&[(Outcome::MidStream, 5), (Outcome::Undecided, 1)], Status::Unknown);
        check(&[(Outcome::Established, 99), (Outcome::Deferred, 1)], Status::Healthy);
        check(&[(Outcome::Established, 99), (aborted, 1)], Status::Warning);
        check(&[(Outcome::Established, 999), (aborted, 1)], Status::Healthy);
    }

    #[test]
    fn a_finding_decides() {
        check(&[(Outcome::Established, 50), (Outcome::ResetAfterAck, 50)], Status::Failure);
    }
}
