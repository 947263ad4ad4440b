//! Code made at run time, named by the map that node writes for perf.

use std::process::Command;

use halfopen_collect::proc::ProcRoot;
use halfopen_evidence::{Activity, Stack};
use halfopen_stacks::{Options, complete};

use super::target::{Target, eventually, source};

#[test]
fn functions_of_javascript_are_on_the_stack() {
    let mut command = Command::new("node");
    let directory = tempfile::tempdir().expect("a directory");
    // It writes a log to where it is.
    command
        .current_dir(&directory)
        .args(["--perf-basic-prof", "--interpreted-frames-native-stack"])
        .arg(source("wait.js"));
    let test = "functions_of_javascript_are_on_the_stack";
    let Some(target) = Target::start(test, &mut command) else { return };
    let functions = eventually("a thread at rest in JavaScript", || {
        let mut process = target.process();
        complete(&ProcRoot::default(), &mut process, Options::default());
        let main = process.threads.known().expect("threads").swap_remove(0);
        let Some(Activity::Blocked(call)) = main.activity.get() else { return None };
        if call.name != "futex" {
            return None;
        }
        let Stack { frames, .. } = main.stack.known().expect("a stack");
        Some(frames.into_iter().filter_map(|frame| frame.function).collect::<Vec<_>>())
    });
    let position = |name: &str| functions.iter().position(|function| function.contains(name));
    let inner = position("JS:~registerSession").unwrap_or_else(|| panic!("{functions:#?}"));
    assert_eq!(position("JS:~acceptLoop"), Some(inner + 1), "{functions:#?}");
    let _ = std::fs::remove_file(format!("/tmp/perf-{}.map", target.pid));
}
