//! Every scenario, on the running kernel, over IPv4 and over IPv6: the check must find exactly what its
//! file expects.

mod common;

use common::{run, skipped};

/// Where in this program's code the threads of some scenarios are; a binary without symbols could not
/// tell, so the scenarios' own files do not say it.
const PLACES: [(&str, &[&str]); 3] = [
    (
        "acceptor-deadlock",
        &[TAKES_A_LOCK, "called from halfopen_lab::serving::carry_out at serving.rs:"],
    ),
    ("acceptor-waits-for-lock", &[TAKES_A_LOCK]),
    ("select-loop-blocked", &["is in halfopen_lab::serving::treat at serving.rs:"]),
];

const TAKES_A_LOCK: &str = "is in halfopen_lab::locks::Locks::take";

/// Brings a scenario about, checks it inside its namespaces, and compares the findings.
fn check(name: &str) {
    let ran = run(&["lab", "run", name, "--check"]);
    match ran.status {
        0 => {
            let report = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            let places = PLACES.iter().filter(|(of, _)| *of == name).flat_map(|(_, texts)| *texts);
            for text in places {
                assert!(report.contains(text), "{name} does not say {text:?}: {}", ran.stdout);
            }
        }
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
    acceptor_deadlock = "acceptor-deadlock",
    acceptor_locks_twice = "acceptor-locks-twice",
    acceptor_waits_for_database = "acceptor-waits-for-database",
    acceptor_waits_for_lock = "acceptor-waits-for-lock",
    backlog_clamped = "backlog-clamped",
    backlog_zero = "backlog-zero",
    client_returns = "client-returns",
    close_wait_leak = "close-wait-leak",
    connection_limit = "connection-limit",
    cookies_and_full_queue = "cookies-and-full-queue",
    dead_slots = "dead-slots",
    defer_accept = "defer-accept",
    edge_triggered = "edge-triggered",
    forgotten_connection = "forgotten-connection",
    frozen_group = "frozen-group",
    idle_pool = "idle-pool",
    idle_server = "idle-server",
    last_quarter_reserve = "last-quarter-reserve",
    long_work_before_accept = "long-work-before-accept",
    lost_third_ack = "lost-third-ack",
    momentary_queue = "momentary-queue",
    never_accepted_clients_gone = "never-accepted-clients-gone",
    never_accepts = "never-accepts",
    never_accepts_overlapping = "never-accepts-overlapping",
    no_route_back = "no-route-back",
    out_of_fds = "out-of-fds",
    path_loses_each = "path-loses-each",
    ports_exhausted = "ports-exhausted",
    ports_in_time_wait = "ports-in-time-wait",
    ports_low = "ports-low",
    prefork_stuck_child = "prefork-stuck-child",
    reuseport_skew = "reuseport-skew",
    select_loop_blocked = "select-loop-blocked",
    somaxconn_not_applied = "somaxconn-not-applied",
    stopped_process = "stopped-process",
    stray_holder = "stray-holder",
    syn_cookies = "syn-cookies",
    syn_queue_full = "syn-queue-full",
    throttled_in_time = "throttled-in-time",
    throttled_server = "throttled-server",
    throttled_work = "throttled-work",
    too_slow_accept = "too-slow-accept",
    unanswered_connect = "unanswered-connect",
}

#[test]
fn every_scenario_is_called_by_its_name_over_ipv6_too() {
    let ran = run(&["lab", "run", "all", "--check", "--ipv6", "--json"]);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let (mut told, mut wrong) = (Vec::new(), Vec::new());
    for line in lines {
        let line: serde_json::Value = line;
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        match text("outcome").as_str() {
            "as-expected" => {}
            "skipped" => skipped(&format!("lab {} over IPv6", text("scenario")), &text("why")),
            _ => wrong.push(line.to_string()),
        }
        told.push(text("scenario"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    told.sort_unstable();
    assert_eq!(told, NAMES);
}

/// The report of a check of a scenario.
fn report_of(scenario: &str, more: &[&str]) -> Option<String> {
    let ran = run(&[&["lab", "run", scenario, "--check"], more].concat());
    if ran.status == 3 && ran.stderr.contains("SKIPPED") {
        skipped(&format!("lab {scenario}"), ran.stderr.trim());
        return None;
    }
    assert_eq!(ran.status, 0, "{}\n{}", ran.stderr, ran.stdout);
    Some(ran.stdout)
}

#[test]
fn that_an_ack_has_not_come_is_certain_with_bpf_and_probable_without() {
    // Its clients are on no host that can be looked at.
    let Some(without) = report_of("lost-third-ack", &["--no-bpf"]) else { return };
    assert!(without.contains("third-ack-lost (probable)"), "{without}");
    assert!(without.contains("a run without --no-bpf"), "{without}");
    let Some(with) = report_of("lost-third-ack", &[]) else { return };
    if with.contains("root, or CAP_BPF") {
        return skipped("lab lost-third-ack", "programs may not be loaded here");
    }
    assert!(with.contains("third-ack-lost (certain)"), "{with}");
}

#[test]
fn the_kernels_own_count_of_a_syn_queue_is_what_the_scenario_filled_it_with() {
    let Some(report) = report_of("syn-queue-full", &[]) else { return };
    if report.contains("root, or CAP_BPF") {
        return skipped("lab syn-queue-full", "programs may not be loaded here");
    }
    // Nothing takes a request away but its last time-out, and the queue is full: what it holds is what
    // it has room for.
    let number = |after: &str, before: &str| {
        let (_, rest) = report.split_once(after)?;
        let (text, _) = rest.split_once(before)?;
        text.trim().parse::<u32>().ok()
    };
    let room = number("the SYN queue holds ", "\n").or_else(|| number("the SYN queue holds ", " "));
    let room = room.unwrap_or_else(|| panic!("no capacity in {report}"));
    let counted = format!("{room} by the kernel's own count");
    let requests = format!("{room} requests in SYN_RECV");
    assert!(report.contains(&counted) && report.contains(&requests), "{report}");
}

/// The scenarios that `lab list` shows and a machine can run, those about mechanisms or the others.
fn listed(mechanisms: bool) -> Vec<String> {
    let list = run(&["lab", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).expect("JSON");
    let entries = list.as_array().expect("a list").iter();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().map(str::to_owned);
    entries
        .filter(|entry| {
            let simulated = entry["needs"]
                .as_array()
                .is_some_and(|needs| needs.iter().any(|need| need == "simulator"));
            !simulated && entry["kernel"].is_null()
        })
        .filter(|entry| {
            text(entry, "about").expect("a text").starts_with("Mechanism: ") == mechanisms
        })
        .map(|entry| text(entry, "name").expect("a name"))
        .collect()
}

#[test]
fn every_scenario_with_a_verdict_has_a_test() {
    assert_eq!(listed(false), NAMES);
}

#[test]
fn a_mechanism_has_no_verdict_to_check() {
    let mechanisms = listed(true);
    let ran = run(&["lab", "run", &mechanisms[0], "--check"]);
    assert_eq!(ran.status, 64, "{}", ran.stderr);
    assert!(ran.stderr.contains("has no verdict"), "{}", ran.stderr);
}

#[test]
fn verdicts_are_told_as_lines_of_json() {
    let names = ["backlog-zero", "idle-server"];
    let ran = run(&["lab", "run", names[0], names[1], "--check", "--json"]);
    assert!(matches!(ran.status, 0 | 3), "{}\n{}", ran.stderr, ran.stdout);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let mut lines: Vec<serde_json::Value> = lines.collect();
    lines.sort_by_key(|line| line["scenario"].to_string());
    assert_eq!(lines.len(), 2);
    for (line, name) in lines.iter().zip(names) {
        assert_eq!(line["scenario"], name);
        match line["outcome"].as_str() {
            Some("as-expected") => {}
            Some("skipped") => skipped(&format!("lab {name}"), &line["why"].to_string()),
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn several_scenarios_are_checked_or_refused() {
    for more in [&[][..], &["--hold"], &["--check", "--hold"], &["--account"]] {
        let ran = run(&[&["lab", "run", "never-accepts", "idle-server"], more].concat());
        assert_eq!(ran.status, 64, "{more:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn an_account_has_a_picture_for_each_look_and_all_segments() {
    let ran = run(&["lab", "run", "third-acks-overflow", "--account"]);
    if ran.status == 3 && ran.stderr.contains("SKIPPED") {
        return skipped("lab run --account", ran.stderr.trim());
    }
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let account: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let looks = account["looks"].as_array().expect("pictures");
    assert_eq!(looks.len(), 2);
    assert_eq!(looks[0]["name"], "four requests");
    assert_eq!(looks[1]["listeners"][0], serde_json::json!({"port": 8080, "limit": 3, "depth": 4}));
    assert_eq!(looks[1]["counters"]["TcpExt.ListenOverflows"], 2);
    assert_eq!(account["segments"].as_array().map(Vec::len), Some(18));
    assert_eq!(account["segments_omitted"], 0);
}

#[test]
fn the_probe_measures_this_kernel() {
    let ran = run(&["lab", "probe", "--json"]);
    if ran.status == 3 && ran.stderr.contains("cannot be measured here") {
        return skipped("lab probe", ran.stderr.trim());
    }
    assert!(ran.status <= 1, "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["measured"]["syns_sent"], 20);
    assert_eq!(report["measured"]["on_full_accept_queue_with_young"], "dropped");
}
