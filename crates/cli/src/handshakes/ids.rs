//! Ids of what is said of a handshake, in JSON, CSV and Parquet.

use halfopen_evidence::{Mark, Outcome, Vantage};

use super::class;

/// Which SYN got through, if it was not the first.
pub(crate) const fn answered_syn(outcome: Outcome) -> Option<u8> {
    match outcome {
        Outcome::EstablishedLate { answered_syn } => Some(answered_syn),
        _ => None,
    }
}

/// How an ignored third ACK ended.
pub(crate) const fn ended_id(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::ThirdAckIgnored { ended } => Some(class::ENDS[class::end_index(ended)].0),
        _ => None,
    }
}

/// The id of a vantage.
pub(crate) const fn vantage_id(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::Both => "both",
        Vantage::ClientOnly => "client-only",
        Vantage::ServerOnly => "server-only",
    }
}

/// The id of a mark.
pub(crate) const fn mark_id(mark: Mark) -> &'static str {
    match mark {
        Mark::CookieLikely => "cookie-likely",
        Mark::DataIgnored => "data-ignored",
        Mark::SimultaneousOpen => "simultaneous-open",
        Mark::SplitHandshake => "split-handshake",
        Mark::FastOpen => "fast-open",
        Mark::WrongSynAck => "wrong-syn-ack",
        Mark::ChallengeAck => "challenge-ack",
        Mark::ReusedTimeWait => "reused-time-wait",
        Mark::OlderTimestamp => "older-timestamp",
        Mark::HalfOpenClosed => "half-open-closed",
        Mark::CapturedTwice => "captured-twice",
        Mark::IcmpError => "icmp-error",
        Mark::Truncated => "truncated",
        Mark::MaybeDeferred => "maybe-deferred",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_evidence() {
        for mark in Mark::ALL {
            assert_eq!(serde_json::to_value(mark).expect("JSON"), mark_id(mark));
        }
        for vantage in [Vantage::Both, Vantage::ClientOnly, Vantage::ServerOnly] {
            assert_eq!(serde_json::to_value(vantage).expect("JSON"), vantage_id(vantage));
        }
    }
}
