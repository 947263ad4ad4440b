//! Goroutines of Go programs, built here with the toolchain that is installed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use halfopen_collect::proc::ProcRoot;
use halfopen_evidence::{CallTarget, GoroutineGroup, GoroutineState, Goroutines, Pid, Reading};
use halfopen_stacks::runtimes::go;

use super::target::{Target, eventually, source};

/// A program and the folder that it is in.
struct Built {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// Builds the server. `None` if there is no Go.
fn build(test: &str, flags: &[&str]) -> Option<Built> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("server");
    let mut command = Command::new("go");
    command.args(["build", "-o"]).arg(&path).args(flags).arg(source("server.go"));
    // Neither the network nor anything of the user's is needed.
    command.env("GOPROXY", "off").env("GOFLAGS", "").env("GOCACHE", folder.path().join("cache"));
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(Built { path, _folder: folder })
        }
        Err(error) => {
            println!("SKIPPED {test}: go: {error}");
            None
        }
    }
}

fn goroutines(pid: u32) -> Reading<Goroutines> {
    go::goroutines(&ProcRoot::default(), Pid(pid), Duration::from_secs(20))
}

fn functions(group: &GoroutineGroup) -> Vec<&str> {
    group.frames.get().into_iter().flatten().map(|frame| &*frame.function).collect()
}

fn is_in(group: &GoroutineGroup, function: &str) -> bool {
    functions(group).contains(&function)
}

/// The goroutines, once the workers and both sides of the deadlock are where they stay.
fn settled(pid: u32) -> Goroutines {
    eventually("goroutines that stand", || {
        let found = goroutines(pid).known()?;
        let waits = |function: &str| {
            let stands = |group: &&GoroutineGroup| is_in(group, "sync.(*Mutex).lockSlow");
            found.groups.iter().filter(stands).any(|group| is_in(group, function))
        };
        let workers = |group: &GoroutineGroup| group.count == 200 && is_in(group, "main.worker");
        let all_wait = found.groups.iter().any(workers);
        (all_wait && waits("main.registerSession") && waits("main.reload")).then_some(found)
    })
}

fn group<'a>(found: &'a Goroutines, function: &str) -> &'a GoroutineGroup {
    let mut groups = found.groups.iter().filter(|group| is_in(group, function));
    groups.next().unwrap_or_else(|| panic!("none is in {function}: {found:#?}"))
}

#[test]
fn goroutines_are_told_with_what_they_wait_for_and_where() {
    let test = "goroutines_are_told_with_what_they_wait_for_and_where";
    // The second leaves debugging information out, the third can be loaded anywhere.
    for flags in [&[][..], &["-ldflags=-w"], &["-buildmode=pie"]] {
        let Some(built) = build(test, flags) else { return };
        let Some(target) = Target::start(test, &mut Command::new(&built.path)) else { return };
        let found = settled(target.pid);
        assert!(found.version.starts_with("go1."), "{}", found.version);
        assert_eq!(found.omitted, 0);
        let workers = group(&found, "main.worker");
        assert_eq!(workers.count, 200, "{flags:?}");
        assert!(
            matches!(&workers.state, GoroutineState::Waiting(call) if call.name == "chan receive")
        );
        let acceptor = group(&found, "main.registerSession");
        let GoroutineState::Waiting(call) = &acceptor.state else { panic!("{acceptor:?}") };
        assert!(["semacquire", "sync.Mutex.Lock"].contains(&&*call.name), "{call:?}");
        assert!(is_in(acceptor, "main.acceptLoop"), "{acceptor:?}");
        assert_eq!(functions(acceptor).last(), Some(&"runtime.goexit"));
        let at = acceptor.frames.get().into_iter().flatten();
        let at = at.clone().find(|frame| frame.function == "main.registerSession");
        let line = at.and_then(|frame| frame.line.as_ref()).expect("a line");
        let text = std::fs::read_to_string(source("server.go")).expect("the program");
        let lock = text.lines().position(|text| text.contains("config.Lock()")).expect("the lock");
        assert!(line.file.ends_with("/server.go"), "{}", line.file);
        assert_eq!(line.line as usize, lock + 1);
        let health = group(&found, "main.healthLoop");
        let GoroutineState::Waiting(call) = &health.state else { panic!("{health:?}") };
        let CallTarget::Descriptor { what, .. } = &call.target else { panic!("{call:?}") };
        assert_eq!(call.name, "IO wait");
        assert!(what.starts_with("socket:["), "{what}");
        let running = |group: &&GoroutineGroup| group.state == GoroutineState::Running;
        let spins = found.groups.iter().find(running).expect("one that runs");
        assert!(!spins.threads.is_empty(), "{spins:?}");
    }
}

#[test]
fn goroutines_of_a_program_without_symbols_are_found_by_the_code_that_uses_their_list() {
    let test = "goroutines_of_a_program_without_symbols_are_found_by_the_code_that_uses_their_list";
    for flags in [&["-ldflags=-s -w"][..], &["-ldflags=-s -w", "-buildmode=pie"]] {
        let Some(built) = build(test, flags) else { return };
        let Some(target) = Target::start(test, &mut Command::new(&built.path)) else { return };
        let found = settled(target.pid);
        assert_eq!(found.omitted, 0);
        let workers = group(&found, "main.worker");
        assert_eq!(workers.count, 200, "{flags:?}");
        let acceptor = group(&found, "main.registerSession");
        let GoroutineState::Waiting(call) = &acceptor.state else { panic!("{acceptor:?}") };
        assert!(["semacquire", "sync.Mutex.Lock"].contains(&&*call.name), "{flags:?} {call:?}");
        let health = group(&found, "main.healthLoop");
        let GoroutineState::Waiting(call) = &health.state else { panic!("{health:?}") };
        assert!(matches!(call.target, CallTarget::Descriptor { .. }), "{flags:?} {call:?}");
    }
}

#[test]
fn what_is_no_go_program_has_no_goroutines() {
    assert!(goroutines(std::process::id()).is_not_collected());
}
