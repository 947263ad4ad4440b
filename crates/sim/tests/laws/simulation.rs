//! Laws over whole simulations, of scenarios that nobody thought of.

use halfopen_diagnose::diagnose;
use halfopen_evidence::{CpuQuota, Evidence, Throttling};
use halfopen_model::{Counter, DropReason, GENERATIONS, Semantics, counters_of_cookie};
use halfopen_scenario::{Scenario, Step};
use halfopen_sim::{HostSummary, Options, Run, simulate};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::cases;

/// What every scenario has: two servers, clients and peers, so that steps can speak of them.
fn preamble(settings: [u32; 4], web: &str, workers: &str) -> String {
    let [somaxconn, syncookies, abort, max_syn_backlog] = settings;
    format!(
        r#"
about = "anything"
expect = []
needs = ["tun", "cpu-quota", "freezer", "simulator"]
[sysctl]
"net.core.somaxconn" = {somaxconn}
"net.ipv4.tcp_syncookies" = {syncookies}
"net.ipv4.tcp_abort_on_overflow" = {abort}
"net.ipv4.tcp_max_syn_backlog" = {max_syn_backlog}
{web}
{workers}
[[step]]
do = "peers"
peers = "raw"
send = "syn"
port = 8080
answers = true
count = 3
[[step]]
do = "connect"
clients = "first"
port = 8081
count = 2
"#
    )
}

fn web() -> impl Strategy<Value = String> {
    (0..6_i32, prop_oneof![2 => Just(""), 1 => Just(", defer_accept = \"3s\"")]).prop_map(
        |(backlog, defer)| {
            format!(
                "[[step]]\ndo = \"serve\"\nprocess = \"web\"\n\
                 listen = [{{ port = 8080, backlog = {backlog}{defer} }}]\n\
                 threads = [{{ port = 8080, waits = \"told\" }}]\n"
            )
        },
    )
}

fn workers() -> impl Strategy<Value = String> {
    let waits = select(vec!["accept", "poll", "select", "epoll", "epoll-edge"]);
    let connection = select(vec!["close", "keep", "read-request", "serve"]);
    let pause = select(vec!["0ms", "1ms", "50ms", "2s"]);
    let work = select(vec!["0ms", "0ms", "300us", "20ms", "1s"]);
    let ending = select(vec!["", ", accepts = 3, then = \"sleep\"", ", accepts = 0"]);
    let thread = (waits, connection, pause, work, ending).prop_map(
        |(waits, connection, pause, work, ending)| {
            format!(
                "{{ port = 8081, waits = \"{waits}\", connection = \"{connection}\", \
                 pause = \"{pause}\", work = \"{work}\"{ending} }}"
            )
        },
    );
    let cpu = select(vec![
        "",
        "cpu = { quota = \"1ms\", period = \"10ms\" }\n",
        "cpu = { quota = \"20ms\", period = \"100ms\" }\n",
        "cpu = { quota = \"300ms\", period = \"100ms\" }\n",
    ]);
    // The first copy is the one that the law of copies is about.
    let except = select(vec![
        "",
        "except = [{ copy = 1, threads = [{ port = 8081, accepts = 0, then = \"sleep\" }] }]\n",
    ]);
    // A helper has a lock for ever; another thread waits for it once it has accepted enough.
    let helper = select(vec![
        "",
        ", { name = \"helper\", holds = \"a\" }, \
         { name = \"other\", port = 8081, accepts = 2, then = \"lock\", then_lock = \"a\" }",
    ]);
    (1..4_u32, 0..6_i32, thread, cpu, except, helper, any::<bool>()).prop_map(
        |(copies, backlog, thread, cpu, except, helper, reuseport)| {
            format!(
                "[[step]]\ndo = \"serve\"\nprocess = \"pool\"\ncopies = {copies}\nopen_files = 12\n\
                 {cpu}{except}\
                 listen = [{{ port = 8081, backlog = {backlog}, reuseport = {reuseport} }}]\n\
                 threads = [{thread}{helper}]\n"
            )
        },
    )
}

fn step() -> BoxedStrategy<String> {
    let port = || 8080..8083_u16;
    let clients = || select(vec!["first", "later"]);
    let sent = select(vec!["syn", "ack", "bad-ack", "data", "rst", "fin"]);
    let lost = || select(vec!["syns", "syn-acks", "third-acks"]);
    let answers = select(vec![
        "tcp-reset",
        "icmp-net-unreachable",
        "icmp-host-unreachable",
        "icmp-port-unreachable",
        "icmp-admin-prohibited",
    ]);
    let way = || select(vec!["loopback", "wire", "network"]);
    let handshakes = || select(vec!["in-turn", "overlapping", "half-open"]);
    prop_oneof![
        3 => (port(), way(), handshakes(), 1..20_u32, 0..3_u32).prop_map(
            |(port, way, handshakes, count, sends)| format!(
                "do = \"connect\"\nclients = \"later\"\nport = {port}\nway = \"{way}\"\n\
                 handshakes = \"{handshakes}\"\ncount = {count}\nsends = {sends}"
            )
        ),
        2 => (port(), way(), handshakes(), 5..200_u32, 1..60_u32).prop_map(
            |(port, way, handshakes, every, at_most)| format!(
                "do = \"arrivals\"\nclients = \"later\"\nport = {port}\nway = \"{way}\"\n\
                 handshakes = \"{handshakes}\"\nevery = \"{every}ms\"\ncount = 3\n\
                 at_most = {at_most}\npatience = \"900ms\"\nstays = \"300ms\"\nat_random = true"
            )
        ),
        1 => (1..4_u32).prop_map(|talks| format!(
            "do = \"connect\"\nclients = \"first\"\nport = 8081\nway = \"network\"\ncount = 5\n\
             keepalive = \"2s\"\nreconnects = \"700ms\"\ntalks = \"{talks}s\"\nsends = 9"
        )),
        3 => (sent, 1..4_u32).prop_map(|(sent, count)| format!(
            "do = \"peers\"\npeers = \"raw\"\nsend = \"{sent}\"\ncount = {count}"
        )),
        1 => clients().prop_map(|name| format!("do = \"close\"\nclients = \"{name}\"")),
        1 => clients().prop_map(|name| format!("do = \"reset\"\nclients = \"{name}\"")),
        1 => Just("do = \"send\"\nclients = \"first\"\nbytes = 100".to_owned()),
        2 => (1..9_u32).prop_map(|n| format!("do = \"accept\"\nport = 8080\ncount = {n}")),
        1 => (-1..9_i32)
            .prop_map(|n| format!("do = \"listen\"\nprocess = \"web\"\nport = 8080\nbacklog = {n}")),
        4 => (100..9_000_u32).prop_map(|time| format!("do = \"pass\"\ntime = \"{time}ms\"")),
        1 => (lost(), port())
            .prop_map(|(lost, port)| format!("do = \"path\"\nloses = \"{lost}\"\nport = {port}")),
        1 => (lost(), answers, port()).prop_map(|(lost, with, port)| format!(
            "do = \"path\"\nrejects = \"{lost}\"\nwith = \"{with}\"\nport = {port}"
        )),
        1 => (1..30_u32).prop_map(|max| format!("do = \"conntrack\"\nmax = {max}")),
        1 => (0..50_u32, 0..200_u32, 0..200_u32).prop_map(|(delay, lost, late)| format!(
            "do = \"network\"\ndelay = \"{delay}ms\"\njitter = \"1ms\"\n\
             lost_per_thousand = {lost}\nlate_per_thousand = {late}"
        )),
        1 => Just("do = \"look\"".to_owned()),
        1 => select(vec!["stop", "freeze"])
            .prop_map(|kept| format!("do = \"{kept}\"\nprocess = \"pool\"")),
    ]
    .boxed()
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let settings = [0..9_u32, 0..2, 0..2, 0..40];
    let ends =
        prop_oneof![2 => Just(""), 1 => Just("[[step]]\ndo = \"end\"\nprocess = \"pool\"\n")];
    (settings, web(), workers(), vec(step(), 1..20), ends).prop_map(
        |(settings, web, workers, steps, ends)| {
            let steps: String = steps.iter().map(|step| format!("[[step]]\n{step}\n")).collect();
            let text = preamble(settings, &web, &workers) + &steps + ends;
            Scenario::parse("law", &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
        },
    )
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Whatever the scenario: the same seed gives the same run, numbers add up at every host and in
    /// every group, time goes forward, and the rules can make something of it.
    #[test]
    fn whatever_is_simulated_is_simulated_the_same_and_adds_up(
        (scenario, generation, seed) in (scenario(), 0..GENERATIONS.len(), any::<u64>()),
    ) {
        let kernel = GENERATIONS[generation].kernel;
        let options = Options { kernel, seed, ..Options::default() };
        let run = simulate(&scenario, &options).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(simulate(&scenario, &options).as_ref() == Ok(&run));
        for host in &run.hosts {
            reasons_add_up(host);
        }
        clients_add_up(&run);
        time_goes_forward(&run);
        queues_keep_their_limits(&run, &scenario);
        an_idle_copy_accepts_nothing(&run, &scenario);
        quotas_are_kept(&run);
        tables_keep_their_limits(&run);
        for evidence in std::iter::once(&run.evidence).chain(&run.clients_evidence) {
            let _ = diagnose(evidence);
        }
    }
}

fn reasons_add_up(host: &HostSummary) {
    let semantics = Semantics::of(host.kernel);
    let cookies = host.counters.value(Counter::SyncookiesSent);
    for counter in [
        Counter::ListenOverflows,
        Counter::ListenDrops,
        Counter::TcpReqQFullDrop,
        Counter::TcpReqQFullDoCookies,
        Counter::TcpDeferAcceptDrop,
        Counter::EmbryonicRsts,
        Counter::TcpAckSkippedSynRecv,
        Counter::TcpChallengeAck,
        Counter::InErrs,
    ] {
        let named = |reason: DropReason| {
            reason.counters(&semantics).filter(|&named| named == counter).count() as u64
        };
        let dropped: u64 = host.drops.iter().map(|&(reason, count)| named(reason) * count).sum();
        let each = counters_of_cookie(&semantics).filter(|&named| named == counter).count() as u64;
        assert_eq!(host.counters.value(counter), dropped + each * cookies, "{counter}");
    }
}

fn clients_add_up(run: &Run) {
    for group in &run.clients {
        let o = group.outcomes;
        let ended = o.connected + o.refused + o.unreachable + o.timed_out + o.no_port + o.gave_up;
        assert!(ended <= o.started, "{group:?}");
        assert!(o.reset <= o.connected, "{group:?}");
        assert_eq!(group.latencies_us.len() as u64, o.connected, "{group:?}");
    }
}

fn time_goes_forward(run: &Run) {
    assert!(run.capture.is_sorted_by_key(|packet| packet.seen.at_us));
    assert!(run.timeline.is_sorted_by_key(|moment| moment.at_us));
    assert!(run.samples.is_sorted_by_key(|sample| sample.at_us));
    assert!(run.samples.last().is_none_or(|sample| sample.at_us <= run.elapsed_us));
}

/// None of these scenarios migrates, so no queue is longer than somaxconn lets it be. (Its limit may
/// have been another one between two samples.)
fn queues_keep_their_limits(run: &Run, scenario: &Scenario) {
    let somaxconn = scenario.sysctl.iter().find(|(name, _)| name == "net.core.somaxconn");
    let highest: u32 = somaxconn.and_then(|(_, value)| value.parse().ok()).expect("it is set");
    for queue in run.samples.iter().flat_map(|sample| &sample.queues) {
        assert!(queue.limit <= highest && queue.depth <= highest + 1, "{queue:?}");
    }
}

/// A copy that accepts nothing has a queue of its own in a SO_REUSEPORT group; the others' help it
/// nothing.
fn an_idle_copy_accepts_nothing(run: &Run, scenario: &Scenario) {
    let idle = scenario.steps.iter().any(|step| match step {
        Step::Serve(server) => !server.except.is_empty() && !server.shares_its_listener(),
        _ => false,
    });
    let queues = || run.samples.iter().flat_map(|sample| &sample.queues);
    // Its listener was opened first.
    let first = queues().filter(|queue| queue.port == 8081).map(|queue| queue.listener).min();
    if idle && let Some(first) = first {
        let mut of_copy = queues().filter(|queue| queue.listener == first);
        assert!(of_copy.all(|queue| queue.accepted == 0), "{:?}", run.samples.last());
    }
}

/// A control group is throttled in periods that there were, and no longer than they are.
fn quotas_are_kept(run: &Run) {
    let Evidence::Window(window) = &run.evidence else { panic!("a check of two looks") };
    for process in window.second.processes.values() {
        let group = process.cgroup.as_ref().known();
        let quotas = group.and_then(|group| group.cpu_quotas.as_ref().known());
        let quotas = quotas.into_iter().flatten();
        for &CpuQuota { period_us, throttling, .. } in quotas {
            let Throttling { periods, throttled_periods, throttled_us } = throttling;
            assert!(throttled_periods <= periods && throttled_us <= run.elapsed_us);
            assert!(periods * period_us <= run.elapsed_us, "{throttling:?}");
            // The period that is not over yet is not counted.
            assert!(throttled_us <= (throttled_periods + 1) * period_us, "{throttling:?}");
        }
    }
}

/// A connection-tracking table has no more entries than fit.
fn tables_keep_their_limits(run: &Run) {
    let Evidence::Window(window) = &run.evidence else { panic!("a check of two looks") };
    for netns in &window.second.netns {
        if let Some(table) = netns.conntrack.as_ref().known() {
            assert!(table.count <= table.max, "{table:?}");
        }
    }
}
