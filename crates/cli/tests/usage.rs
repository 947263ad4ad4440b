//! What users meet before anything is looked at: help, wrong usage, pages, completions.

mod common;

use common::{repository_file, run};

#[test]
fn wrong_usage_ends_with_64_and_says_what_to_do() {
    for arguments in [
        &["chekc"][..],
        &["check", "--window", "0s"],
        &["check", "--now", "--window", "2s"],
        &["check", "--explain", "no-such-id"],
        &["check", "sport = = 3"],
        &["replay"],
        &["explain"],
        &["explain", "limits", "--syncookies", "256"],
        &["lab", "run"],
        &[],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.status, 64, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_has_examples_and_exit_statuses() {
    for command in ["check", "record", "replay", "explain", "lab"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.status, 0);
        assert!(help.stdout.contains("Examples:"), "{command}");
    }
    assert!(run(&["check", "--help"]).stdout.contains("Exit status:"));
}

#[test]
fn help_reads_like_this() {
    insta::assert_snapshot!("help", run(&["--help"]).stdout);
    insta::assert_snapshot!("help-check", run(&["check", "--help"]).stdout);
    insta::assert_snapshot!("help-pcap", run(&["pcap", "--help"]).stdout);
    insta::assert_snapshot!("help-lab-run", run(&["lab", "run", "--help"]).stdout);
}

#[test]
fn a_page_is_printed_for_an_id() {
    let page = run(&["check", "--explain", "third-ack-dropped"]);
    assert_eq!(page.status, 0);
    assert!(page.stdout.starts_with("# third-ack-dropped\n"));
    assert_eq!(page.stdout, repository_file("docs/rules/third-ack-dropped.md"));
}

#[test]
fn completions_and_man_page_know_the_subcommands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.status == 0 && script.stdout.contains("replay"), "{shell}");
    }
    let man = run(&["man"]);
    assert!(man.status == 0 && man.stdout.contains("HALFOPEN CHECK"));
}

#[test]
fn a_file_that_is_no_recording_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "not a recording").expect("written");
    let path = file.path().to_str().expect("a UTF-8 path");
    let ran = run(&["replay", path]);
    assert_eq!(ran.status, 3);
    assert!(ran.stderr.contains(path), "{}", ran.stderr);
}

#[test]
fn a_recording_is_not_overwritten() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a UTF-8 path");
    let ran = run(&["record", "--window", "100ms", "-o", path, ":1"]);
    assert_eq!(ran.status, 3);
    assert!(ran.stderr.contains("exists"), "{}", ran.stderr);
}
