//! Every scenario, on the running kernel: the check must find exactly what its file expects.

mod common;

use common::{run, skipped};

/// Brings a scenario about, checks it inside its namespaces, and compares the findings.
fn check(name: &str) {
    let ran = run(&["lab", "run", name, "--check"]);
    match ran.status {
        0 => {}
        3 if ran.stderr.contains("SKIPPED") => skipped(&format!("lab {name}"), ran.stderr.trim()),
        status => panic!("{name} ends with {status}\n{}\n{}", ran.stderr, ran.stdout),
    }
}

macro_rules! scenarios {
    ($($test:ident = $name:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];

        $(
            #[test]
            fn $test() {
                check($name);
            }
        )*
    };
}

scenarios! {
    abort_on_overflow = "abort-on-overflow",
    accept_thread_missing = "accept-thread-missing",
    acceptor_waits_for_database = "acceptor-waits-for-database",
    acceptor_waits_for_lock = "acceptor-waits-for-lock",
    backlog_clamped = "backlog-clamped",
    backlog_zero = "backlog-zero",
    close_wait_leak = "close-wait-leak",
    dead_slots = "dead-slots",
    defer_accept = "defer-accept",
    edge_triggered = "edge-triggered",
    idle_pool = "idle-pool",
    idle_server = "idle-server",
    last_quarter_reserve = "last-quarter-reserve",
    lost_third_ack = "lost-third-ack",
    momentary_queue = "momentary-queue",
    never_accepted_clients_gone = "never-accepted-clients-gone",
    never_accepts = "never-accepts",
    never_accepts_overlapping = "never-accepts-overlapping",
    no_route_back = "no-route-back",
    out_of_fds = "out-of-fds",
    ports_exhausted = "ports-exhausted",
    ports_in_time_wait = "ports-in-time-wait",
    ports_low = "ports-low",
    reuseport_skew = "reuseport-skew",
    select_loop_blocked = "select-loop-blocked",
    somaxconn_not_applied = "somaxconn-not-applied",
    stopped_process = "stopped-process",
    syn_cookies = "syn-cookies",
    syn_queue_full = "syn-queue-full",
    too_slow_accept = "too-slow-accept",
    unanswered_connect = "unanswered-connect",
}

#[test]
fn every_scenario_has_a_test() {
    let list = run(&["lab", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).expect("JSON");
    let listed: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["name"].as_str())
        .collect();
    assert_eq!(listed, NAMES);
}
