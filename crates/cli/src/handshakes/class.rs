//! Outcomes as people say them, and how grave each is.

use halfopen_evidence::{IgnoredEnd, Outcome};

/// How grave an outcome is for who wanted to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gravity {
    /// Connected as it should be.
    Fine,
    /// Too little was seen of it.
    Unsaid,
    /// Connected late, or by luck.
    Late,
    /// Not connected, or not served.
    Failed,
}

/// Outcomes that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// Its id in JSON, CSV and Parquet.
    pub(crate) id: &'static str,
    /// In at most 17 columns.
    pub(crate) short: &'static str,
    /// In a summary.
    pub(crate) long: &'static str,
    /// How grave it is.
    pub(crate) gravity: Gravity,
}

/// Classes, the good ones first, then by what an engineer looks for.
pub(crate) const CLASSES: [Class; 14] = {
    const fn class(
        id: &'static str,
        short: &'static str,
        long: &'static str,
        gravity: Gravity,
    ) -> Class {
        Class { id, short, long, gravity }
    }
    use Gravity::{Failed, Fine, Late, Unsaid};
    [
        class("established", "established", "established", Fine),
        class("deferred", "deferred accept", "established, accept deferred until data", Fine),
        class("established-late", "established late", "established late, after a lost SYN", Late),
        class(
            "third-ack-ignored",
            "third ACK ignored",
            "SYN-ACK sent again although acknowledged",
            Failed,
        ),
        class("reset-after-ack", "reset after ACK", "reset right after the third ACK", Failed),
        class("syn-unanswered", "SYN unanswered", "SYN unanswered", Failed),
        class("refused", "refused", "refused by RST", Failed),
        class(
            "reset-by-middlebox",
            "middlebox reset",
            "reset by something between the two ends",
            Failed,
        ),
        class("unreachable", "unreachable", "unreachable, says ICMP", Failed),
        class("third-ack-missing", "third ACK missing", "SYN-ACK seen, third ACK missing", Failed),
        class("challenged", "challenged", "answered by an ACK of an old connection", Failed),
        class("aborted-by-client", "client aborted", "aborted by the client", Failed),
        class("mid-stream", "mid-stream", "begun before the capture", Unsaid),
        class("undecided", "undecided", "undecided when the capture ended", Unsaid),
    ]
};

/// The place of an outcome among [`CLASSES`].
pub(crate) const fn index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Established => 0,
        Outcome::Deferred => 1,
        Outcome::EstablishedLate { .. } => 2,
        Outcome::ThirdAckIgnored { .. } => 3,
        Outcome::ResetAfterAck => 4,
        Outcome::SynUnanswered => 5,
        Outcome::Refused => 6,
        Outcome::ResetByMiddlebox => 7,
        Outcome::Unreachable => 8,
        Outcome::ThirdAckMissing => 9,
        Outcome::Challenged => 10,
        Outcome::AbortedByClient => 11,
        Outcome::MidStream => 12,
        Outcome::Undecided => 13,
    }
}

/// The class of an outcome.
pub(crate) const fn of(outcome: Outcome) -> &'static Class {
    &CLASSES[index(outcome)]
}

/// How grave an outcome is: a third ACK that was ignored at first and taken later only cost time.
pub(crate) const fn gravity(outcome: Outcome) -> Gravity {
    match outcome {
        Outcome::ThirdAckIgnored { ended: IgnoredEnd::Recovered } => Gravity::Late,
        _ => of(outcome).gravity,
    }
}

/// Ends of an ignored third ACK, in the order of [`end_index`], with id and words.
pub(crate) const ENDS: [(&str, &str); 5] = [
    ("recovered", "taken in the end"),
    ("reset-by-data", "reset when data came"),
    ("reset-by-probe", "reset by a later probe"),
    ("closed-by-client", "given up by the client"),
    ("open", "still open"),
];

/// The place of an end among [`ENDS`].
pub(crate) const fn end_index(ended: IgnoredEnd) -> usize {
    match ended {
        IgnoredEnd::Recovered => 0,
        IgnoredEnd::ResetByData => 1,
        IgnoredEnd::ResetByProbe => 2,
        IgnoredEnd::ClosedByClient => 3,
        IgnoredEnd::Open => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_evidence() {
        for (outcome, id) in [
            (Outcome::Established, "established"),
            (Outcome::EstablishedLate { answered_syn: 2 }, "established-late"),
            (Outcome::Undecided, "undecided"),
            (Outcome::ThirdAckIgnored { ended: IgnoredEnd::Open }, "third-ack-ignored"),
        ] {
            let value = serde_json::to_value(outcome).expect("JSON");
            assert_eq!(value["is"], id);
            assert_eq!(of(outcome).id, id);
        }
    }

    #[test]
    fn short_names_fit_their_column() {
        assert!(CLASSES.iter().all(|class| class.short.len() <= 17));
    }

    #[test]
    fn a_third_ack_that_was_taken_in_the_end_cost_time_only() {
        let ended = |ended| gravity(Outcome::ThirdAckIgnored { ended });
        assert_eq!(ended(IgnoredEnd::Recovered), Gravity::Late);
        assert_eq!(ended(IgnoredEnd::Open), Gravity::Failed);
    }
}
