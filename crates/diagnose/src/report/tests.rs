//! Golden reports, and what holds for every report.

use halfopen_evidence::{
    Evidence, Gap, Holder, HolderSearch, Holders, Listener, Missing, NetnsId, NetnsLabel, Pid,
    Reading,
};
use insta::assert_snapshot;

use super::*;
use crate::fixture::{Scene, endpoint, held, listener, requests};
use crate::{Confidence, Context, Fact, Finding, FindingId, Severity, Subject, Undetermined};

const WIDE: TextOptions = TextOptions { width: 100, colour: false, verbose: false };
const NARROW: TextOptions = TextOptions { width: 60, ..WIDE };

fn report_of(evidence: &Evidence, diagnosis: &Diagnosis, filter: &str) -> Report {
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{error}"));
    Report::new(evidence, diagnosis, &filter, "0.1.0")
}

fn named(mut listener: Listener, search: HolderSearch, holders: &[(u32, &str)]) -> Listener {
    let found = holders.iter().map(|&(pid, comm)| Holder {
        pid: Pid(pid),
        fd: 3,
        comm: comm.to_owned(),
        start_ticks: 1,
    });
    listener.holders = Reading::Known(Holders { found: found.collect(), search });
    listener
}

/// Three listeners, one of them prefork, at rest.
fn healthy(scene: Scene) -> Evidence {
    let first = HolderSearch::FirstDescriptors;
    scene
        .endpoint(endpoint("0.0.0.0:22", [named(listener(1, 0, 128), first, &[(611, "sshd")])]))
        .endpoint(endpoint(
            "[::]:80",
            [named(listener(2, 2, 511), first, &[(812, "nginx"), (813, "nginx"), (814, "nginx")])],
        ))
        .endpoint(endpoint("127.0.0.1:5432", [named(listener(3, 0, 200), first, &[])]))
        .evidence()
}

/// A listener that nobody accepts at, and two others.
fn failing() -> (Evidence, Diagnosis) {
    let everywhere = HolderSearch::Everywhere;
    let mut full =
        endpoint("0.0.0.0:8080", [named(listener(7, 129, 128), everywhere, &[(812, "java")])]);
    full.syn_recv = requests(&[4, 2], 3);
    full.listeners[0].drops = Reading::Known(52);
    let mut before = full.clone();
    before.listeners[0].drops = Reading::Known(11);
    let evidence = Scene::window()
        .endpoint(endpoint("0.0.0.0:22", [held(listener(1, 0, 128), &[611])]))
        .endpoint_changing(before, full)
        .endpoint(endpoint("10.0.0.1:9090", [held(listener(9, 3, 64), &[700])]))
        .evidence();
    let subject = subject_at(&evidence, 8080);
    let finding = Finding {
        id: FindingId::AcceptBlocked,
        severity: Severity::Failure,
        subject: subject.clone(),
        headline: "accepts nothing; 129 connections wait, room for 129".to_owned(),
        cause: "The only thread that serves this listener waits for a lock that another thread \
                of the process holds, so no connection is taken out of the accept queue."
            .to_owned(),
        evidence: vec![
            Fact::number("accept-queue-depth", 129_u32, "accept queue 129/128 at both looks"),
            Fact::number("accepts", 0_u32, "0 accepts in 2.0 s"),
            Fact::number("ListenOverflows", 41_u32, "ListenOverflows +41 in 2.0 s"),
            Fact::words("thread", "thread \"acceptor\" (tid 830) in futex, lock held by tid 841"),
        ],
        confidence: Confidence::Probable,
        refuted_by: "an accept in the next window".to_owned(),
        remedies: vec![
            "take a dump of the process's stacks, then restart 812".to_owned(),
            "fix the order in which its threads take their locks".to_owned(),
        ],
        useless: vec!["a larger backlog: nothing is accepted, so any size fills".to_owned()],
    };
    let waiting = Finding {
        id: FindingId::NeverAccepted,
        severity: Severity::Warning,
        headline: "129 connections were never accepted; 37 clients have given up".to_owned(),
        cause: "Their handshakes are complete and the process has not taken them.".to_owned(),
        evidence: vec![Fact::number("close-wait", 37_u32, "37 in CLOSE_WAIT without a process")],
        confidence: Confidence::Certain,
        refuted_by: String::new(),
        remedies: vec!["see accept-blocked".to_owned()],
        useless: Vec::new(),
        ..finding.clone()
    };
    let diagnosis = Diagnosis { findings: vec![finding, waiting], ..Diagnosis::default() };
    (evidence, diagnosis)
}

fn subject_at(evidence: &Evidence, port: u16) -> Subject {
    let context = Context::new(evidence);
    let view = context.listeners().iter().find(|view| view.endpoint.key.local.port() == port);
    view.expect("a listener there").subject()
}

/// What a user without privileges sees of a host with two more namespaces.
fn unprivileged() -> Evidence {
    let unreadable = HolderSearch::Permitted { unreadable: 41 };
    let mut scene = Scene::window()
        .endpoint(endpoint("0.0.0.0:22", [named(listener(1, 0, 128), unreadable, &[])]))
        .endpoint(endpoint(
            "127.0.0.1:3000",
            [named(listener(2, 0, 511), unreadable, &[(99, "node")])],
        ));
    for look in [&mut scene.first, &mut scene.second] {
        let mut pod = look.netns[0].clone();
        pod.id = NetnsId(4_026_532_900);
        pod.is_own = false;
        pod.labels = vec![NetnsLabel::Name("blue".to_owned())];
        pod.endpoints = Missing::needs("CAP_SYS_ADMIN").into();
        look.netns.push(pod);
        look.gaps = vec![
            Gap {
                what: "7 of 9 network namespaces".to_owned(),
                needs: "root".to_owned(),
                costs: FindingId::of_a_look().map(|id| id.to_string()).collect(),
            },
            Gap {
                what: "descriptors of 41 processes".to_owned(),
                needs: "CAP_SYS_PTRACE".to_owned(),
                costs: vec!["accept-blocked".to_owned(), "accept-thread-missing".to_owned()],
            },
        ];
    }
    scene.evidence()
}

/// A process, a namespace and a host whose names attack the terminal and the page.
fn hostile() -> (Evidence, Diagnosis) {
    let name = "\u{1b}]0;x\u{7}|`*[a](b)";
    let socket = named(listener(7, 0, 128), HolderSearch::Everywhere, &[(66, name)]);
    let mut scene = Scene::now().endpoint(endpoint("0.0.0.0:66", [socket]));
    scene.second.host.name = "h\r\n# owned\u{202e}".to_owned();
    scene.second.netns[0].is_own = false;
    scene.second.netns[0].labels = vec![NetnsLabel::Process("\u{9b}2J<b>".to_owned())];
    let evidence = scene.evidence();
    let finding = Finding {
        id: FindingId::CloseWaitLeak,
        severity: Severity::Warning,
        subject: subject_at(&evidence, 66),
        headline: format!("{name} keeps 3 connections"),
        cause: format!("{name}\n\n# does not close."),
        evidence: vec![Fact::words("thread", format!("thread {name:?}\n"))],
        confidence: Confidence::Possible,
        refuted_by: "\u{1b}[2J".to_owned(),
        remedies: vec!["kill it\u{8}\u{8}".to_owned()],
        useless: Vec::new(),
    };
    (evidence, Diagnosis { findings: vec![finding], ..Diagnosis::default() })
}

fn nothing() -> Diagnosis {
    Diagnosis::default()
}

#[test]
fn a_healthy_host_is_a_table_and_a_line() {
    let report = report_of(&healthy(Scene::window()), &nothing(), "");
    assert_eq!(report.status(), Status::Healthy);
    assert_snapshot!("healthy_wide", report.to_text(&WIDE));
    assert_snapshot!("healthy_narrow", report.to_text(&NARROW));
    assert_snapshot!("healthy_markdown", report.to_markdown());
    assert_snapshot!("healthy_json", report.to_json());
    let now = report_of(&healthy(Scene::now()), &nothing(), ":80");
    assert_snapshot!("healthy_now_filtered", now.to_text(&WIDE));
}

#[test]
fn a_failing_listener_comes_with_its_cause_and_what_to_do() {
    let (evidence, diagnosis) = failing();
    let report = report_of(&evidence, &diagnosis, "");
    assert_eq!(report.status(), Status::Failure);
    assert_snapshot!("failing_wide", report.to_text(&WIDE));
    assert_snapshot!("failing_narrow", report.to_text(&NARROW));
    assert_snapshot!("failing_markdown", report.to_markdown());
    assert_snapshot!("failing_json", report.to_json());
}

#[test]
fn an_unprivileged_look_says_what_it_did_not_see() {
    let report = report_of(&unprivileged(), &nothing(), "");
    assert_eq!(report.status(), Status::Healthy, "for what was seen");
    assert_snapshot!("unprivileged_wide", report.to_text(&WIDE));
    assert_snapshot!("unprivileged_narrow", report.to_text(&NARROW));
    assert_snapshot!("unprivileged_markdown", report.to_markdown());
    assert_snapshot!("unprivileged_json", report.to_json());
}

#[test]
fn names_from_outside_reach_neither_terminal_nor_page_as_commands() {
    let (evidence, diagnosis) = hostile();
    let report = report_of(&evidence, &diagnosis, "");
    let text = report.to_text(&WIDE);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    assert_snapshot!("hostile_text", text);
    assert_snapshot!("hostile_markdown", report.to_markdown());
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
    let comm = &json["listeners"][0]["processes"][0]["comm"];
    assert_eq!(comm, "\u{1b}]0;x\u{7}|`*[a](b)", "JSON keeps what was read");
}

#[test]
fn colours_change_no_character() {
    let (evidence, diagnosis) = failing();
    let report = report_of(&evidence, &diagnosis, "");
    let coloured = report.to_text(&TextOptions { colour: true, ..WIDE });
    assert!(coloured.contains("\u{1b}[31m"));
    let mut plain = String::new();
    for (index, part) in coloured.split("\u{1b}[").enumerate() {
        let text =
            if index == 0 { part } else { part.split_once('m').map_or("", |(_, text)| text) };
        plain.push_str(text);
    }
    assert_eq!(plain, report.to_text(&WIDE));
}

#[test]
fn lines_keep_to_the_width_and_have_no_blanks_at_their_ends() {
    for (evidence, diagnosis) in [failing(), (unprivileged(), nothing()), hostile()] {
        let report = report_of(&evidence, &diagnosis, "");
        for width in [72, 80, 100, 132] {
            let text = report.to_text(&TextOptions { width, ..WIDE });
            for line in text.lines() {
                assert!(layout::columns(line) <= width, "{width}: {line:?}");
                assert_eq!(line, line.trim_end());
            }
        }
    }
}

#[test]
fn long_tables_are_cut_unless_all_is_asked_for() {
    let many = |scene: Scene| {
        (1..=60).fold(scene, |scene, n| {
            scene.endpoint(endpoint(&format!("0.0.0.0:{}", 1000 + n), [listener(n, 0, 128)]))
        })
    };
    let evidence =
        many(Scene::window()).endpoint(endpoint("0.0.0.0:80", [listener(99, 7, 10)])).evidence();
    let report = report_of(&evidence, &nothing(), "");
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("ok ")).count();
    let short = report.to_text(&WIDE);
    assert_eq!(rows(&short), 20);
    assert!(short.contains("and 41 more listeners without findings, fullest accept queue 7/10"));
    assert_eq!(rows(&report.to_text(&TextOptions { verbose: true, ..WIDE })), 61);
    assert_eq!(rows(&report_of(&evidence, &nothing(), "sport > 1000").to_text(&WIDE)), 20);
    assert_eq!(report.listeners.len(), 61, "JSON has them all");
}

fn check(evidence: &Evidence, diagnosis: &Diagnosis, filter: &str, expected: Status, says: &str) {
    let report = report_of(evidence, diagnosis, filter);
    assert_eq!(report.status(), expected, "{filter:?}: {}", report.summary);
    assert!(report.summary.contains(says), "{filter:?}: {}", report.summary);
    assert_eq!(report.unknown_because.is_empty(), expected != Status::Unknown);
}

#[test]
fn the_worst_finding_that_the_filter_matches_decides() {
    let (evidence, mut diagnosis) = failing();
    check(
        &evidence,
        &diagnosis,
        "",
        Status::Failure,
        "1 failure and 1 warning; 2 of 3 listeners without findings.",
    );
    check(&evidence, &diagnosis, "pid 812", Status::Failure, "1 failure and 1 warning.");
    check(&evidence, &diagnosis, ":22", Status::Healthy, "1 listener in 1 network namespace");
    diagnosis.findings.remove(0);
    check(&evidence, &diagnosis, "uid 33", Status::Warning, "1 warning;");
}

#[test]
fn what_is_not_there_or_not_seen_is_not_called_healthy() {
    let evidence = healthy(Scene::window());
    check(&evidence, &nothing(), ":8081", Status::Unknown, "nothing listens on :8081, in 1");
    check(&evidence, &nothing(), ":22 and uid 7", Status::Unknown, "nothing listens on :22 that");
    check(&evidence, &nothing(), "dport = :443", Status::Healthy, "no listener");
    check(
        &evidence,
        &nothing(),
        "netns green",
        Status::Unknown,
        "no network namespace called green",
    );
    check(&evidence, &nothing(), "uid 0", Status::Unknown, "nothing matches uid 0");
    check(&evidence, &nothing(), "pid 4", Status::Unknown, "whether 3 listeners match");
    check(&evidence, &nothing(), "comm sshd", Status::Healthy, "1 listener");
    let unseen = unprivileged();
    check(&unseen, &nothing(), "netns blue", Status::Unknown, "no listening socket could be read");
    check(&unseen, &nothing(), "", Status::Healthy, "with what was seen");
    let nobody = Scene::window().evidence();
    check(&nobody, &nothing(), "", Status::Healthy, "no listener");
}

#[test]
fn what_could_not_be_excluded_takes_the_verdict_away_where_it_matters() {
    let evidence = healthy(Scene::window());
    let undetermined = |port| Undetermined {
        id: FindingId::SynReserve,
        subject: subject_at(&evidence, port),
        why: "tcp_max_syn_backlog: not permitted (needs root)".to_owned(),
    };
    let diagnosis =
        Diagnosis { undetermined: vec![undetermined(22), undetermined(80)], ..nothing() };
    check(&evidence, &diagnosis, "", Status::Unknown, "syn-reserve could not be excluded");
    check(&evidence, &diagnosis, ":5432", Status::Healthy, "1 listener");
    assert_snapshot!("undetermined", report_of(&evidence, &diagnosis, "").to_text(&WIDE));
}

#[test]
fn what_would_be_a_warning_or_was_gone_too_soon_does_not_take_the_verdict_away() {
    let evidence = healthy(Scene::now());
    let gone = format!("the ages of its connections are {}", Missing::Vanished);
    let entries =
        [(FindingId::CloseWaitLeak, "unknown".to_owned()), (FindingId::AcceptStalled, gone)];
    let undetermined =
        entries.map(|(id, why)| Undetermined { id, subject: subject_at(&evidence, 80), why });
    let diagnosis = Diagnosis { undetermined: undetermined.into(), ..nothing() };
    check(&evidence, &diagnosis, "", Status::Healthy, "All is well");
    let report = report_of(&evidence, &diagnosis, "");
    assert_eq!(report.exit_code, 0);
    assert!(report.listeners.iter().all(|row| row.verdict == Verdict::Ok));
    assert!(report.to_text(&WIDE).contains("close-wait-leak of [::]:80: unknown"));
}

#[test]
fn findings_of_one_process_that_say_the_same_are_shown_once() {
    let (_, failing) = failing();
    let ports = 8000..8100_u16;
    let scene = ports.clone().fold(Scene::window(), |scene, port| {
        let socket = held(listener(u64::from(port), 9, 8), &[812]);
        scene.endpoint(endpoint(&format!("0.0.0.0:{port}"), [socket]))
    });
    let evidence = scene.evidence();
    let findings = ports.flat_map(|port| {
        let subject = subject_at(&evidence, port);
        failing.findings.iter().map(move |f| Finding { subject: subject.clone(), ..f.clone() })
    });
    let diagnosis = Diagnosis { findings: findings.collect(), ..nothing() };
    let report = report_of(&evidence, &diagnosis, "");
    assert_eq!(report.findings.len(), 200, "JSON has them all");
    let markdown = report.to_markdown().replace('\\', "");
    for text in [report.to_text(&TextOptions { width: 400, ..WIDE }), markdown] {
        let more = "and 99 more listeners of app[812]: ";
        assert_eq!(text.matches(more).count(), 2, "{text}");
        assert!(text.contains(":8001, ") && text.contains(":8008, …"), "{text}");
        assert_eq!(text.matches("take a dump").count(), 1);
        assert!(!text.contains("see accept-blocked"), "its advice is above");
    }
}

#[test]
fn how_far_processes_were_sought_is_said_of_rows_without_findings() {
    let note = |evidence: &Evidence, diagnosis: &Diagnosis| {
        let text = report_of(evidence, diagnosis, "").to_text(&TextOptions { width: 400, ..WIDE });
        text.lines().find(|line| line.contains("first descriptors")).map(ToOwned::to_owned)
    };
    let (evidence, found) = failing();
    assert_eq!(note(&evidence, &found), None, "all were searched");
    let evidence = healthy(Scene::window());
    let finding = Finding { subject: subject_at(&evidence, 22), ..found.findings[0].clone() };
    let diagnosis = Diagnosis { findings: vec![finding], ..nothing() };
    let said = note(&evidence, &diagnosis).expect("a note");
    assert!(said.starts_with("processes of rows without findings: only the first"), "{said}");
}

#[test]
fn one_process_that_could_not_be_read_leaves_all_well() {
    let mut scene = Scene::window();
    let costs: Vec<String> = FindingId::of_a_look().take(19).map(|id| id.to_string()).collect();
    scene.second.gaps = vec![Gap { what: "process 66".to_owned(), needs: String::new(), costs }];
    let evidence = healthy(scene);
    check(&evidence, &nothing(), "", Status::Healthy, "All is well:");
    let report = report_of(&evidence, &nothing(), "");
    let text = report.to_text(&TextOptions { width: 400, ..WIDE });
    assert!(text.contains("accept-out-of-fds and 16 more\n"), "{text}");
    let verbose = report.to_text(&TextOptions { width: 4000, verbose: true, ..WIDE });
    assert!(!verbose.contains("and 16 more"), "{verbose}");
}

#[test]
fn a_finding_about_a_namespace_concerns_its_listeners() {
    let evidence = healthy(Scene::window());
    let (_, failing) = failing();
    let netns = &evidence.latest().netns[0];
    let findings = vec![Finding { subject: Subject::netns(netns), ..failing.findings[0].clone() }];
    let diagnosis = Diagnosis { findings, ..nothing() };
    check(&evidence, &diagnosis, ":22", Status::Failure, "1 failure;");
    check(&evidence, &diagnosis, "netns host", Status::Failure, "1 failure;");
    check(&evidence, &diagnosis, ":8081", Status::Unknown, "nothing listens");
}

#[test]
fn every_report_is_what_the_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let (failing, found) = failing();
    let (hostile, also) = hostile();
    for (evidence, diagnosis, filter) in [
        (&healthy(Scene::window()), &nothing(), ""),
        (&healthy(Scene::now()), &nothing(), ":1 or comm \"x\""),
        (&failing, &found, "sport = :8080"),
        (&unprivileged(), &nothing(), ""),
        (&hostile, &also, ""),
    ] {
        let json = report_of(evidence, diagnosis, filter).to_json();
        assert!(json.ends_with("}\n"));
        let json = serde_json::from_str(&json).expect("JSON");
        let errors: Vec<String> =
            validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    assert_documented(&schema, "");
}

/// Every property that the schema names has a description.
fn assert_documented(schema: &serde_json::Value, path: &str) {
    match schema {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let here = format!("{path}/{key}");
                if path.ends_with("/properties") && key != "extent" {
                    assert!(value.get("description").is_some(), "{here} is not documented");
                }
                assert_documented(value, &here);
            }
        }
        serde_json::Value::Array(values) => {
            values.iter().for_each(|value| assert_documented(value, path));
        }
        _ => {}
    }
}
