//! What cannot be simulated is refused with one sentence that says what is wrong.

use halfopen_model::KernelVersion;
use halfopen_scenario::Scenario;
use halfopen_sim::{Options, SimError, account, simulate};

const SERVE: &str = "[[step]]\ndo = \"serve\"\nprocess = \"web\"\n\
    listen = [{ port = 80, backlog = 8 }]\nthreads = [{ port = 80 }]\n";

fn scenario(head: &str, steps: &str) -> Scenario {
    let needs = "needs = [\"tun\", \"simulator\"]";
    let text = format!("about = \"x\"\nexpect = []\n{needs}\n{head}\n{steps}");
    Scenario::parse("x", &text).expect("the file can be read")
}

/// The error of a simulation on this kernel, the same for its account.
fn check_refused(kernel: &str, scenario: &Scenario, expected: &str) {
    let kernel: KernelVersion = kernel.parse().expect("a release");
    let options = Options { kernel, most_events: 100_000, ..Options::default() };
    let error = simulate(scenario, &options).expect_err(expected);
    assert_eq!(error.to_string(), expected);
    assert_eq!(account(scenario, &options), Err(error));
}

#[test]
fn a_kernel_that_is_none_or_too_old() {
    let unknown = "is not a kernel; write a release such as 3.10.4 or 6.1.0-32-amd64, or rhel6, \
                   rhel7, rhel8, rhel9";
    for (kernel, expected) in [
        ("6", format!("\"6\" {unknown}")),
        ("99999.1", format!("\"99999.1\" {unknown}")),
        (
            "2.6.18",
            "Linux 2.6.18 is older than 2.6.32, the oldest kernel whose rules are known".to_owned(),
        ),
    ] {
        for name in ["kernel", "clients_kernel"] {
            let scenario = scenario(&format!("{name} = \"{kernel}\""), SERVE);
            check_refused("6.18.0", &scenario, &expected);
        }
    }
}

#[test]
fn a_setting_that_the_kernel_would_not_take() {
    for (kernel, setting, problem) in [
        ("6.18.0", "net.core.somaxconn = -1", "this kernel takes only 0 to 2147483647"),
        ("3.13.0", "net.core.somaxconn = 65536", "this kernel takes only 0 to 65535"),
        ("6.18.0", "net.ipv4.tcp_synack_retries = 256", "this kernel takes only 0 to 255"),
        ("6.18.0", "net.ipv4.tcp_syn_retries = 0", "this kernel takes only 1 to 127"),
        (
            "5.10.0",
            "net.ipv4.tcp_migrate_req = 1",
            "this kernel does not have it: it came with 5.14",
        ),
        ("6.18.0", "net.ipv4.tcp_wmem = 4096", "no setting of that name decides about handshakes"),
        (
            "6.18.0",
            "net.core.tcp_syncookies = 1",
            "no setting of that name decides about handshakes",
        ),
        ("6.18.0", "net.ipv4.tcp_syncookies = on", "must be a whole number"),
        (
            "6.18.0",
            "net.ipv4.tcp_max_tw_buckets = 99999999999999999999",
            "this kernel takes only 0 to 2147483647",
        ),
        (
            "6.18.0",
            "net.ipv4.ip_local_port_range = 0 9",
            "must be two ports, such as \"32768 60999\"",
        ),
        (
            "6.18.0",
            "net.ipv4.ip_local_port_range = 9 1",
            "must be two ports, such as \"32768 60999\"",
        ),
        (
            "6.18.0",
            "net.ipv4.ip_local_reserved_ports = 9-1",
            "must be ports, such as \"8080,9148-9200\"",
        ),
    ] {
        let (name, value) = setting.split_once(" = ").expect("a setting");
        let at_first = scenario("", &format!("[sysctl]\n\"{name}\" = \"{value}\"\n{SERVE}"));
        let expected = format!("{setting}: {problem}");
        check_refused(kernel, &at_first, &expected);
        let step = format!("[[step]]\ndo = \"sysctl\"\nset = {{ \"{name}\" = \"{value}\" }}\n");
        check_refused(kernel, &scenario("", &(SERVE.to_owned() + &step)), &expected);
    }
}

#[test]
fn a_port_that_is_taken() {
    let expected = "web cannot listen on port 80: address already in use";
    check_refused("6.18.0", &scenario("", &SERVE.repeat(2)), expected);
}

#[test]
fn a_state_that_does_not_come() {
    let step = "[[step]]\ndo = \"await\"\nqueue = { port = 80, at_least = 1 }\nwithin = \"2s\"\n";
    let waiting = scenario("", &(SERVE.to_owned() + step));
    let error = simulate(&waiting, &Options::default()).expect_err("nobody comes");
    assert!(matches!(error, SimError::NotReached { seconds: 2, seen: 0, .. }), "{error}");
    let step = "[[step]]\ndo = \"await\"\ncounter = { name = \"Liste\", at_least = 1 }\n";
    let waiting = scenario("", &(SERVE.to_owned() + step));
    check_refused("6.18.0", &waiting, "the kernel has no counter Liste");
}

#[test]
fn a_scenario_in_which_too_much_happens() {
    let crowd = "[[step]]\ndo = \"connect\"\nport = 80\nway = \"network\"\ncount = 10_000_000\n";
    let expected =
        "given up after 100000 events, 0 s of simulated time: the scenario lets too much happen";
    check_refused("6.18.0", &scenario("", &(SERVE.to_owned() + crowd)), expected);
    let stream = "[[step]]\ndo = \"arrivals\"\nport = 80\nevery = \"5ms\"\nat_most = 100_000\n";
    let hour = "[[step]]\ndo = \"pass\"\ntime = \"120s\"\n".repeat(30);
    let waits = "[[step]]\ndo = \"await\"\nqueue = { port = 80, at_least = 1 }\nwithin = \"60m\"\n";
    for steps in [stream.to_owned() + &hour, waits.to_owned()] {
        let options = Options { most_events: 100_000, ..Options::default() };
        let error = simulate(&scenario("", &(SERVE.to_owned() + &steps)), &options);
        let Err(SimError::TooLong { events: 100_000, seconds }) = error else {
            panic!("{error:?}");
        };
        assert!((10..1000).contains(&seconds), "{seconds} s");
    }
}

/// Samples and segments are bounded by options of which any value will do.
#[test]
fn options_without_room_leave_things_out() {
    let clients = "[[step]]\ndo = \"connect\"\nport = 80\ncount = 5\n";
    let scenario = scenario("", &(SERVE.to_owned() + clients));
    let sample_every = halfopen_model::Span::ZERO;
    let options = Options { sample_every, segments_kept: 0, moments_kept: 0, ..Options::default() };
    let run = simulate(&scenario, &options).expect("it is simulated");
    assert!(run.account.segments.is_empty() && run.account.segments_omitted >= 15);
    assert!(run.timeline.is_empty() && run.moments_omitted >= 3);
}

/// A connection that was closed and then reset while its thread was busy; its place is another's
/// when the thread is free again.
#[test]
fn a_thread_that_was_busy_does_not_close_anothers_connection() {
    let serve = "[[step]]\ndo = \"serve\"\nprocess = \"web\"\n\
        listen = [{ port = 80, backlog = 8 }]\n\
        threads = [{ port = 80, waits = \"epoll\", pause = \"1s\" }]\n";
    let first = |name: &str| {
        format!("[[step]]\ndo = \"peers\"\npeers = \"{name}\"\nsend = \"syn\"\nport = 80\n")
    };
    let then = |name: &str, sent: &str| {
        format!("[[step]]\ndo = \"peers\"\npeers = \"{name}\"\nsend = \"{sent}\"\n")
    };
    let steps = [
        serve.to_owned(),
        first("a"),
        then("a", "ack"),
        then("a", "fin"),
        then("a", "rst"),
        first("b"),
        then("b", "ack"),
        "[[step]]\ndo = \"pass\"\ntime = \"3s\"\n".to_owned(),
    ];
    let run = simulate(&scenario("", &steps.concat()), &Options::default()).expect("simulated");
    let fins = run.account.segments.iter().filter(|segment| segment.flags & 1 != 0).count();
    assert_eq!(fins, 1, "only the peer's own");
}
