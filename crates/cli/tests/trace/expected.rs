//! How the handshakes of each scenario come out, on the wire and in the kernel.
//!
//! What the scenario is about must be told, while the handshake is open or at its end. `established`,
//! `established-late` and `undecided` may come too: other connections of the scenario, and what the end
//! of the trace cuts off.

use std::collections::BTreeMap;

/// Scenarios with nothing that either could tell, and why.
pub(crate) const NOTHING: &[(&str, &str)] = &[
    ("idle-server", "it has no handshakes"),
    (
        "cookies-always",
        "a SYN cookie's SYN-ACK is never sent again, so silent clients leave no trace",
    ),
    ("no-route-back", "single SYNs are called unanswered after 130 s, or when the trace ends"),
    (
        "syns-while-requests-are-young",
        "single SYNs are called unanswered after 130 s, or when the trace ends",
    ),
    (
        "overflow-resets-no-syns",
        "single SYNs are called unanswered after 130 s, or when the trace ends",
    ),
];

/// What must be told of each of the others; more of the same may be told besides.
pub(crate) const MUST: &[(&str, &[&str])] = &[
    ("abort-on-overflow", &["established", "reset-after-ack"]),
    ("accept-finds-none", &["established"]),
    ("accept-queue-of-0", &["established", "syn-unanswered"]),
    ("accept-queue-of-1", &["established", "syn-unanswered"]),
    ("accept-queue-of-3", &["established", "syn-unanswered"]),
    ("accept-thread-missing", &["established", "syn-unanswered"]),
    ("acceptor-deadlock", &["established", "syn-unanswered"]),
    ("acceptor-locks-twice", &["established", "syn-unanswered"]),
    ("acceptor-waits-for-database", &["established", "syn-unanswered"]),
    ("acceptor-waits-for-lock", &["established", "syn-unanswered"]),
    ("ack-without-request", &["aborted-by-client"]),
    ("ack-without-request-cookies", &["aborted-by-client"]),
    ("answer-to-resend-promotes", &["third-ack-ignored open"]),
    ("answers-to-resends", &["third-ack-ignored open"]),
    ("backlog-clamped", &["established", "syn-unanswered"]),
    ("backlog-negative", &["established"]),
    ("backlog-truncated", &["established", "syn-unanswered"]),
    ("backlog-zero", &["established", "syn-unanswered"]),
    ("client-gives-up", &["syn-unanswered"]),
    ("client-gives-up-linear", &["syn-unanswered"]),
    ("client-returns", &["established"]),
    ("clients-in-turn", &["established", "syn-unanswered"]),
    ("clients-overlapping", &["third-ack-ignored open"]),
    ("close-wait-leak", &["established"]),
    ("connection-limit", &["established"]),
    ("cookie-acks-overflow", &["established"]),
    ("cookie-acks-wrong", &["established"]),
    ("cookie-data-tries-again", &["established"]),
    ("cookies-and-full-queue", &["established"]),
    ("cookies-no-help", &["established"]),
    ("data-before-accept", &["established"]),
    ("data-is-third-ack", &["established"]),
    ("data-promotes", &["established"]),
    ("dead-slots", &["established", "syn-unanswered"]),
    ("defer-accept", &["established"]),
    ("defer-accept-resend", &["deferred"]),
    ("defer-accept-silent", &["established"]),
    ("defer-accept-talking", &["established"]),
    ("edge-triggered", &["established"]),
    ("fin-is-third-ack", &["established"]),
    ("fin-wait-overflow", &["established"]),
    ("firewall-rejects-syn-acks", &["aborted-by-client", "third-ack-missing"]),
    ("firewall-rejects-syns", &["refused", "unreachable"]),
    (
        "firewall-rejects-third-acks",
        &["reset-after-ack", "reset-by-middlebox", "third-ack-missing"],
    ),
    ("forgotten-connection", &["third-ack-ignored reset-by-data"]),
    ("frozen-group", &["established", "syn-unanswered"]),
    ("idle-pool", &["established"]),
    ("last-quarter-reserve", &["third-ack-missing"]),
    ("listen-again", &["established"]),
    ("listener-ends", &["established", "reset-after-ack"]),
    ("listener-returns", &["reset-after-ack"]),
    ("long-work-before-accept", &["established", "syn-unanswered"]),
    ("lost-third-ack", &["third-ack-ignored open", "third-ack-missing"]),
    ("migrated-to-sibling", &["established"]),
    ("momentary-queue", &["established"]),
    ("never-accepted-clients-gone", &["established", "syn-unanswered"]),
    ("never-accepts", &["established", "syn-unanswered"]),
    ("never-accepts-overlapping", &["established", "syn-unanswered", "third-ack-ignored open"]),
    ("no-listener", &["refused"]),
    ("out-of-fds", &["established", "syn-unanswered"]),
    ("overflow-resets", &["reset-after-ack"]),
    ("overflow-resets-no-cookies", &["established"]),
    ("path-loses-each", &["syn-unanswered", "third-ack-ignored open", "third-ack-missing"]),
    ("ports-low", &["established"]),
    ("prefork-stuck-child", &["established"]),
    ("queued-fin", &["established"]),
    ("queued-rst", &["established"]),
    ("repeated-syns", &["third-ack-missing"]),
    ("request-life", &["third-ack-missing"]),
    ("request-life-shortest", &["third-ack-missing"]),
    ("reserve-with-cookies", &["third-ack-missing"]),
    ("reserve-without-cookies", &["third-ack-missing"]),
    ("reuseport-skew", &["established", "syn-unanswered"]),
    ("rst-to-request", &["aborted-by-client"]),
    ("select-loop-blocked", &["established", "syn-unanswered"]),
    ("somaxconn-lowered", &["established"]),
    ("somaxconn-not-applied", &["established", "syn-unanswered"]),
    ("stopped-process", &["established", "syn-unanswered"]),
    ("stray-holder", &["established", "syn-unanswered"]),
    ("syn-cookies", &["established", "third-ack-missing"]),
    ("syn-queue-cookies", &["third-ack-missing"]),
    ("syn-queue-drops", &["third-ack-missing"]),
    ("syn-queue-full", &["third-ack-missing"]),
    ("syn-queue-prunes", &["third-ack-missing"]),
    ("syn-retry-served", &["established", "established-late"]),
    ("third-ack-lost-idle", &["third-ack-ignored open", "third-ack-missing"]),
    ("third-acks-overflow", &["third-ack-ignored open"]),
    ("throttled-in-time", &["established"]),
    ("throttled-server", &["established", "syn-unanswered"]),
    ("throttled-work", &["established"]),
    ("time-wait-overflow", &["established"]),
    ("too-slow-accept", &["established", "syn-unanswered"]),
    ("unanswered-connect", &["syn-unanswered"]),
    ("wrong-ack-to-request", &["established"]),
];

/// What may be told besides: how a handshake stood while it was open, and single SYNs without an answer
/// for a second when the trace ends.
pub(crate) const MAY: &[(&str, &[&str])] = &[
    ("connection-limit", &["syn-unanswered"]),
    ("forgotten-connection", &["third-ack-ignored open"]),
    ("last-quarter-reserve", &["syn-unanswered"]),
    ("reserve-with-cookies", &["syn-unanswered"]),
    ("reserve-without-cookies", &["syn-unanswered"]),
    ("somaxconn-not-applied", &["third-ack-ignored open", "third-ack-ignored recovered"]),
    ("rst-to-request", &["third-ack-missing"]),
    ("syn-queue-cookies", &["syn-unanswered"]),
    ("syn-queue-drops", &["syn-unanswered"]),
    ("syn-queue-full", &["syn-unanswered"]),
];

/// What may come with every scenario.
pub(crate) const ALWAYS: &[&str] = &["established", "established-late", "undecided"];

/// Scenarios whose point programs in the kernel cannot see where packets can, and why.
pub(crate) const BLIND: &[(&str, &str)] = &[
    ("ack-without-request", STRAY),
    ("ack-without-request-cookies", STRAY),
    ("defer-accept-silent", "no SYN-ACK is sent again before the scenario ends"),
    ("listener-returns", STRAY),
    ("request-life-shortest", "no SYN-ACK is sent again at all"),
    ("rst-to-request", TAKEN_AWAY),
];

const TAKEN_AWAY: &str = "no tracepoint tells of a reset that takes a request away";

const STRAY: &str = "the ACK has no request any more: the kernel answers it like any stray segment";

/// What programs in the kernel tell otherwise than packets, and why.
pub(crate) const IN_KERNEL: &[(&str, &[&str], &str)] = &[
    ("accept-queue-of-0", &["established"], SYN_DROPS),
    ("accept-queue-of-1", &["established"], SYN_DROPS),
    ("accept-queue-of-3", &["established"], SYN_DROPS),
    (
        "answer-to-resend-promotes",
        &["third-ack-ignored open", "third-ack-ignored recovered"],
        "the kernel sees that it takes a later ACK",
    ),
    (
        "client-returns",
        &["established", "challenged"],
        "the kernel drops the SYN for the connection that it still has",
    ),
    (
        "data-promotes",
        &["third-ack-ignored open", "third-ack-ignored recovered"],
        "the kernel sees that the ACK is dropped before the data come",
    ),
    ("firewall-rejects-syn-acks", &["third-ack-missing"], TAKEN_AWAY),
    (
        "firewall-rejects-third-acks",
        &["reset-after-ack", "third-ack-missing"],
        "the kernel does not compare a reset with what the peer sent before",
    ),
    (
        "listener-ends",
        &["established"],
        "the kernel tells a reset by a listener that is closed from that of a full queue",
    ),
    ("ports-exhausted", &["call-failed EADDRNOTAVAIL"], NO_PORT),
    ("ports-in-time-wait", &["call-failed EADDRNOTAVAIL"], NO_PORT),
    (
        "syn-retry-served",
        &["established", "established-late", "syn-unanswered"],
        "a SYN that is sent again is told while it is open",
    ),
];

const NO_PORT: &str = "a connect() that gets no port sends nothing";

const SYN_DROPS: &str =
    "SYNs of other hosts that a full accept queue drops show in the listener's count of drops only";

/// What must and may be told of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    must: Vec<&'static str>,
    may: Vec<&'static str>,
}

impl Expected {
    /// On the wire; none if there is nothing to see.
    pub(crate) fn by_packets(scenario: &str) -> Option<Self> {
        let (_, must) = MUST.iter().find(|(name, _)| *name == scenario)?;
        let may = MAY.iter().find(|(name, _)| *name == scenario).map_or(&[][..], |(_, may)| may);
        Some(Self { must: must.to_vec(), may: may.to_vec() })
    }

    /// In the kernel; none if there is nothing to see.
    pub(crate) fn in_kernel(scenario: &str) -> Option<Self> {
        if BLIND.iter().any(|(name, _)| *name == scenario) {
            return None;
        }
        match IN_KERNEL.iter().find(|(name, ..)| *name == scenario) {
            Some((_, must, _)) => Some(Self { must: must.to_vec(), may: Vec::new() }),
            None => Self::by_packets(scenario),
        }
    }

    /// Outcomes that show only when something is sent again.
    pub(crate) fn late(&self) -> Vec<&'static str> {
        self.must.iter().filter(|outcome| **outcome != "established").copied().collect()
    }

    /// What is absent or unexpected.
    pub(crate) fn compare(&self, found: &BTreeMap<String, usize>) -> Result<(), String> {
        let absent: Vec<_> =
            self.must.iter().filter(|outcome| !found.contains_key(**outcome)).collect();
        // A SYN that got through late was told as unanswered while it was open.
        let count = |outcome: &str| found.get(outcome).copied().unwrap_or(0);
        let all_got_through = count("syn-unanswered") <= count("established-late");
        let is_expected = |outcome: &str| {
            self.must.iter().chain(&self.may).chain(ALWAYS).any(|expected| *expected == outcome)
                || (outcome == "syn-unanswered" && all_got_through)
        };
        let others: Vec<_> = found.keys().filter(|outcome| !is_expected(outcome)).collect();
        if absent.is_empty() && others.is_empty() {
            return Ok(());
        }
        Err(format!("{absent:?} are absent, {others:?} unexpected in {found:?}"))
    }
}
