//! What a capture says of the servers in it: the findings of `diagnose`, and an exit status.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use halfopen_diagnose::report::FindingEntry;
use halfopen_diagnose::{Severity, Status, SubjectKind, diagnose_watched};
use halfopen_evidence::Outcome;

use super::class;
use super::totals::{Listener, Totals};

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The findings, the worst first.
    pub(crate) findings: Vec<FindingEntry>,
    /// The worst of the listeners' states.
    pub(crate) status: Status,
    /// The worst finding about each listener in each scope.
    worst: BTreeMap<(SocketAddr, String), Severity>,
}

impl Verdict {
    /// Judges what the handshakes add up to.
    pub(crate) fn of(totals: &Totals) -> Self {
        let findings = diagnose_watched(&totals.tallied.watched()).findings;
        let mut worst = BTreeMap::new();
        for finding in &findings {
            if let SubjectKind::Server(server)
            | SubjectKind::Destination { destination: server, .. } = finding.subject.kind
            {
                let key = (server, finding.subject.netns_label.clone());
                let worst = worst.entry(key).or_insert(finding.severity);
                *worst = finding.severity.max(*worst);
            }
        }
        let findings = findings.iter().map(FindingEntry::from).collect();
        let mut verdict = Self { findings, status: Status::Unknown, worst };
        verdict.status = verdict.overall(totals);
        verdict
    }

    /// The state of a listener. What no rule judges, such as clients that give up, is worth knowing.
    pub(crate) fn listener(&self, listener: &Listener<'_>) -> Status {
        match self.worst.get(&(listener.server, listener.scope.to_owned())) {
            Some(Severity::Failure) => Status::Failure,
            Some(Severity::Warning) => Status::Warning,
            None if listener.failed + listener.late > 0 => Status::Warning,
            None => Status::Healthy,
        }
    }

    fn overall(&self, totals: &Totals) -> Status {
        let undecided = totals.by_class[class::index(Outcome::Undecided)];
        if totals.attempts() == undecided {
            return Status::Unknown;
        }
        let listeners = totals.listeners();
        let mut states = listeners.iter().map(|listener| self.listener(listener));
        states
            .try_fold(Status::Healthy, |worst, state| match state {
                Status::Failure => Err(Status::Failure),
                Status::Warning => Ok(Status::Warning),
                Status::Healthy | Status::Unknown => Ok(worst),
            })
            .unwrap_or_else(|failure| failure)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::found::{Found, Number};
    use super::super::totals::Counting;
    use super::*;

    fn check(outcomes: &[(Outcome, u64)], expected: Status, ids: &[&str]) {
        let mut counting = Counting::default();
        let mut record = 0;
        for &(outcome, count) in outcomes {
            for _ in 0..count {
                record += 1;
                let handshake = fixture::handshake(outcome);
                counting.add(&[Found {
                    number: Number::new(0, record),
                    handshake,
                    crossing: None,
                }]);
            }
        }
        let totals = counting.finish();
        let verdict = Verdict::of(&totals);
        assert_eq!(verdict.status, expected, "{outcomes:?}");
        let found: Vec<&str> = verdict.findings.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(found, ids, "{outcomes:?}");
        assert!(totals.listeners().iter().all(|it| verdict.listener(it) == expected));
    }

    #[test]
    fn a_failure_in_a_hundred_is_one_and_a_rarer_one_is_a_warning() {
        let late = Outcome::EstablishedLate { answered_syn: 2 };
        let unanswered: &[&str] = &["connect-unanswered"];
        check(&[], Status::Unknown, &[]);
        check(&[(Outcome::Established, 99), (Outcome::Deferred, 1)], Status::Healthy, &[]);
        check(&[(Outcome::Established, 199), (late, 1)], Status::Warning, unanswered);
        let lost = Outcome::SynUnanswered;
        check(&[(Outcome::Established, 99), (lost, 1)], Status::Failure, unanswered);
        check(&[(Outcome::Established, 100), (lost, 1)], Status::Warning, unanswered);
    }

    #[test]
    fn without_a_beginning_nothing_can_be_said() {
        let mut counting = Counting::default();
        for (record, outcome) in (1..).zip([Outcome::MidStream, Outcome::Undecided]) {
            let handshake = fixture::handshake(outcome);
            counting.add(&[Found { number: Number::new(0, record), handshake, crossing: None }]);
        }
        assert_eq!(Verdict::of(&counting.finish()).status, Status::Unknown);
    }

    /// What is found of ten clients with five attempts each, of which so many fail so.
    fn of_ten_clients(failing: usize, outcome: Outcome) -> Vec<(String, Severity)> {
        let mut counting = Counting::default();
        for (client, record) in
            (0..10_usize).flat_map(|client| (0..5).map(move |n| (client, n + 1)))
        {
            let mut handshake =
                fixture::handshake(if client < failing { outcome } else { Outcome::Established });
            let address = format!("10.77.1.{client}:40000");
            handshake.client = fixture::address(&address);
            let number = Number::new(client, record);
            counting.add(&[Found { number, handshake, crossing: None }]);
        }
        let verdict = Verdict::of(&counting.finish());
        verdict.findings.iter().map(|it| (it.subject.label.clone(), it.severity)).collect()
    }

    #[test]
    fn a_client_that_fares_otherwise_than_the_others_is_named() {
        let of = |label: &str| (label.to_owned(), Severity::Failure);
        for outcome in [Outcome::SynUnanswered, Outcome::ResetByMiddlebox, Outcome::Challenged] {
            let found = of_ten_clients(1, outcome);
            assert_eq!(found, [of("10.77.1.0 -> 10.77.0.1:8080")], "{outcome:?}");
            assert_eq!(of_ten_clients(3, outcome).len(), 3, "{outcome:?}");
            assert_eq!(of_ten_clients(4, outcome), [of("10.77.0.1:8080")], "{outcome:?}");
            assert_eq!(of_ten_clients(0, outcome), [], "{outcome:?}");
        }
    }

    #[test]
    fn what_no_rule_judges_is_a_warning() {
        check(&[(Outcome::AbortedByClient, 5)], Status::Warning, &[]);
    }
}
