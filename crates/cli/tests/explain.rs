//! `halfopen explain`: what it prints for kernels that are given, and what it says to names that it
//! does not know.

mod common;

use common::{Ran, halfopen, ran, repository_file, run};

fn explain(arguments: &[&str]) -> Ran {
    let ran = run(&[&["explain"], arguments].concat());
    assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.stderr);
    ran
}

fn refused(arguments: &[&str]) -> String {
    let ran = run(&[&["explain"], arguments].concat());
    assert_eq!(ran.status, 64, "{arguments:?}: {}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{arguments:?}");
    ran.stderr
}

#[test]
fn limits_of_an_old_kernel_read_like_this() {
    let kernel = ["limits", "--kernel", "3.10.4", "--somaxconn", "262144"];
    insta::assert_snapshot!(
        "limits-3.10.4",
        explain(&[&kernel[..], &["--backlog", "1024"]].concat()).stdout
    );
    let cut = explain(&[&kernel[..], &["--backlog", "262144"]].concat()).stdout;
    assert!(cut.contains("room for 1, limit 0"), "{cut}");
    assert!(cut.contains("keeps 16 bits"), "{cut}");
}

#[test]
fn retries_and_pages_read_like_this() {
    let retries = ["retries", "--kernel", "rhel7", "--defer-accept", "10"];
    insta::assert_snapshot!("retries-rhel7", explain(&retries).stdout);
    insta::assert_snapshot!("counter", explain(&["counter", "listenoverflows"]).stdout);
    insta::assert_snapshot!("reason", explain(&["reason", "TCP_LISTEN_OVERFLOW"]).stdout);
    insta::assert_snapshot!("rule", explain(&["rule", "last-quarter"]).stdout);
}

#[test]
fn every_answer_follows_the_published_schema() {
    let schema = serde_json::from_str(&repository_file("docs/schema/explain.json")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for arguments in [
        &["limits"][..],
        &["limits", "--kernel", "3.10.4", "--somaxconn", "262144", "--backlog", "-1"],
        &["retries"],
        &["retries", "--kernel", "6.18", "--linear", "0", "--defer-accept", "30"],
        &["counter"],
        &["counter", "TcpExt.ListenDrops"],
        &["reason"],
        &["reason", "no_socket"],
        &["reason", "syn-queue-full"],
        &["rule"],
        &["rule", "third-ack"],
        &["rule", "accept-blocked"],
    ] {
        let answer = explain(&[arguments, &["--json"]].concat()).stdout;
        let answer = serde_json::from_str(&answer).expect("JSON");
        let errors: Vec<String> =
            validator.iter_errors(&answer).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{arguments:?}: {errors:#?}");
    }
}

#[test]
fn numbers_of_the_json_form_are_those_of_the_kernel() {
    let answer = explain(&["limits", "--kernel", "6.18", "--backlog", "8", "--json"]).stdout;
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let queues = &answer["answer"]["listeners"][0];
    assert_eq!((&queues["room"], &queues["syn_queue"]), (&9.into(), &9.into()));
    let answer = explain(&["retries", "--kernel", "6.18", "--json"]).stdout;
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["answer"]["client"]["fails_after_ms"], 131_000);
}

#[test]
fn names_that_are_not_known_are_answered_by_the_nearest() {
    assert!(refused(&["counter", "ListenDrop"]).contains("did you mean ListenDrops?"));
    assert!(refused(&["reason", "NOSOCKETS"]).contains("NO_SOCKET"));
    assert!(refused(&["rule", "third-ack-drop"]).contains("third-ack-dropped"));
    assert!(refused(&["counter", "xyzzy"]).contains("`halfopen explain counter` lists them"));
}

#[test]
fn what_a_kernel_would_refuse_is_one_clear_error() {
    let error = refused(&["limits", "--kernel", "RHEL 7", "--somaxconn", "262144"]);
    assert_eq!(
        error,
        "halfopen: somaxconn = 262144: Linux 3.10.0 (RHEL 7) takes only 0 to 65535\n"
    );
    let error = refused(&["retries", "--kernel", "6.1", "--linear", "4"]);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("6.5"), "{error}");
    assert!(refused(&["limits", "--somaxconn", "-1"]).contains("takes only 0 to"));
    let error = refused(&["limits", "--kernel", "windows"]);
    assert!(error.contains("3.10.4") && error.contains("rhel7"), "{error}");
    let error = refused(&["retries", "--kernel", "1.0"]);
    assert!(error.contains("Linux 1.0.0 is older than 2.6.32"), "{error}");
}

#[test]
fn what_was_not_read_is_said_to_be_unconfirmed() {
    let limits = explain(&["limits", "--kernel", "rhel9"]).stdout;
    assert!(limits.contains("RHEL 9 is UNCONFIRMED"), "{limits}");
}

#[test]
fn this_hosts_values_are_named_as_such() {
    let limits = explain(&["limits"]).stdout;
    assert!(limits.lines().next().is_some_and(|title| title.ends_with("this host")), "{limits}");
    assert!(limits.contains("(this host)"), "{limits}");
}

#[test]
fn a_findings_page_is_that_of_check_explain() {
    let page = explain(&["rule", "syn-reserve"]).stdout;
    assert_eq!(page, run(&["check", "--explain", "syn-reserve"]).stdout);
}

#[test]
fn colours_are_for_terminals_only() {
    assert!(!explain(&["counter"]).stdout.contains('\u{1b}'));
    let mut forced = halfopen(&["explain", "counter"]);
    let forced = ran(forced.env("CLICOLOR_FORCE", "1").output().expect("the binary starts"));
    assert!(forced.stdout.contains('\u{1b}'));
}
