//! The scenarios of the repository, built in, so that the lab works without a checkout.

macro_rules! catalog {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../../scenarios/", $name, ".toml"))),)*]
    };
}

/// Name and text of every file in `scenarios/`, by name. A test of the lab compares the two.
pub const CATALOG: &[(&str, &str)] = catalog! {
    "abort-on-overflow",
    "accept-thread-missing",
    "acceptor-waits-for-database",
    "acceptor-waits-for-lock",
    "backlog-clamped",
    "backlog-zero",
    "close-wait-leak",
    "dead-slots",
    "defer-accept",
    "edge-triggered",
    "idle-pool",
    "idle-server",
    "last-quarter-reserve",
    "lost-third-ack",
    "momentary-queue",
    "never-accepted-clients-gone",
    "never-accepts",
    "never-accepts-overlapping",
    "no-route-back",
    "out-of-fds",
    "ports-exhausted",
    "ports-in-time-wait",
    "ports-low",
    "reuseport-skew",
    "select-loop-blocked",
    "somaxconn-not-applied",
    "stopped-process",
    "syn-cookies",
    "syn-queue-full",
    "too-slow-accept",
    "unanswered-connect",
};
