//! What a capture says of the servers in it, as an exit status.
//!
//! Findings with causes are the affair of the rules in `diagnose`; until they see captures, this is
//! the one place that judges: a listener fails if one attempt of a hundred or more did not get through.

use halfopen_diagnose::Status;
use halfopen_evidence::Outcome;

use super::class;
use super::totals::{Listener, Totals};

/// Of so many attempts at a listener one may fail before connections "fail now".
const RARELY: u64 = 100;

/// The worst of the listeners' states.
pub(super) fn status(totals: &Totals) -> Status {
    let undecided = totals.by_class[class::index(Outcome::Undecided)];
    if totals.attempts() == undecided {
        return Status::Unknown;
    }
    let mut status = Status::Healthy;
    for listener in &totals.listeners() {
        match of(listener) {
            Status::Failure => return Status::Failure,
            Status::Warning => status = Status::Warning,
            Status::Healthy | Status::Unknown => {}
        }
    }
    status
}

/// The state of a listener.
pub(super) fn of(listener: &Listener<'_>) -> Status {
    if listener.failed * RARELY >= listener.attempts && listener.failed > 0 {
        Status::Failure
    } else if listener.failed + listener.late > 0 {
        Status::Warning
    } else {
        Status::Healthy
    }
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
        assert_eq!(status(&counting.finish()), expected, "{outcomes:?}");
    }

    #[test]
    fn a_failure_in_a_hundred_is_one_and_a_rarer_one_is_a_warning() {
        let late = Outcome::EstablishedLate { answered_syn: 2 };
        check(&[], Status::Unknown);
        check(&[(Outcome::Established, 99), (Outcome::Deferred, 1)], Status::Healthy);
        check(&[(Outcome::Established, 99), (late, 1)], Status::Warning);
        check(&[(Outcome::Established, 99), (Outcome::SynUnanswered, 1)], Status::Failure);
        check(&[(Outcome::Established, 100), (Outcome::SynUnanswered, 1)], Status::Warning);
        check(&[(Outcome::MidStream, 5), (Outcome::Undecided, 1)], Status::Unknown);
    }
}
