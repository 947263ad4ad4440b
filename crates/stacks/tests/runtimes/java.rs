//! Java: what a virtual machine tells of its own threads, and when it is not asked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use halfopen_collect::proc::ProcRoot;
use halfopen_evidence::{
    Activity, CallTarget, ManagedThread, OwnerBasis, Process, Reading, Runtime, SyncKind, Thread,
    Tid,
};
use halfopen_stacks::runtimes::java;
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::target::{Target, eventually, source};

/// No test depends on how fast a virtual machine is on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ACCEPTOR: &str = "acceptor of the \"service\" port";

/// What a virtual machine prints that takes SIGQUIT for the wish to print its threads.
const PRINTED_DUMP: &str = "Full thread dump";

/// `Blocked.java`, compiled once; or why it could not be.
static CLASSES: LazyLock<Result<TempDir, String>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    // For virtual machines of other users.
    let anybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), anybody).map_err(|error| error.to_string())?;
    let mut compiler = Command::new("javac");
    compiler.arg("-d").arg(directory.path()).arg(source("Blocked.java"));
    match compiler.output() {
        Ok(output) if output.status.success() => Ok(directory),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => Err(format!("no javac: {error}")),
    }
});

/// Starts `Blocked` with these options. `None` where there is no Java.
fn start(test: &str, mut command: Command, options: &[&str]) -> Option<Target> {
    let classes = match &*CLASSES {
        Ok(classes) => classes.path(),
        Err(why) => {
            println!("SKIPPED {test}: {why}");
            return None;
        }
    };
    command.args(options).arg("-cp").arg(classes).arg("Blocked");
    Target::start(test, &mut command)
}

fn java() -> Command {
    Command::new("java")
}

fn asked(target: &Target) -> Process {
    let mut process = target.process();
    java::ask(&ProcRoot::default(), &mut process, PATIENCE);
    process
}

fn threads(process: &Process) -> &[Thread] {
    process.threads.get().expect("threads")
}

/// Every thread that the virtual machine told, by its Java name.
fn by_name(process: &Process) -> BTreeMap<&str, (&Thread, &ManagedThread)> {
    let mut told = BTreeMap::new();
    for thread in threads(process) {
        if let Reading::Known(java) = &thread.managed {
            told.insert(&*java.name, (thread, java));
        }
    }
    told
}

/// What a thread waits for: the kind, and the owner where it is a lock.
fn waits(thread: &Thread) -> (SyncKind, Option<Tid>) {
    match thread.activity.get() {
        Some(Activity::Blocked(call)) => match call.target {
            CallTarget::Lock { kind, owner, basis: OwnerBasis::Runtime, .. } => (kind, Some(owner)),
            CallTarget::Futex { kind, .. } => (kind, None),
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Checks everything that `Blocked` shows, once its threads sit where they say that they wait: a
/// thread tries for a while to enter a monitor before it sleeps.
fn check_blocked(target: &Target) {
    let is_running = |thread: &Thread| thread.activity.get() == Some(&Activity::Running);
    let process = eventually("threads at rest", || {
        Some(asked(target)).filter(|process| !threads(process).iter().any(is_running))
    });
    let told = by_name(&process);
    let tid = |name: &str| told[name].0.tid;
    for (name, kind, owner) in [
        (ACCEPTOR, SyncKind::JavaMonitor, Some("reloader")),
        ("reloader", SyncKind::JavaMonitor, Some(ACCEPTOR)),
        ("victim", SyncKind::JavaMonitor, Some(ACCEPTOR)),
        ("left", SyncKind::JavaLock, Some("right")),
        ("right", SyncKind::JavaLock, Some("left")),
        ("writer", SyncKind::JavaLock, None),
        ("idle", SyncKind::Condition, None),
        ("permits", SyncKind::Semaphore, None),
    ] {
        assert_eq!(waits(told[name].0), (kind, owner.map(tid)), "{name}");
    }
    assert!(told.contains_key("VM Thread"), "threads of the virtual machine have names too");
    assert!(!told.contains_key("acceptor of the health port"), "it died of an exception");
}

/// What every thread says of why the virtual machine was not asked.
fn refusal(process: &Process) -> String {
    let reasons = threads(process).iter().map(|thread| thread.managed.missing().cloned());
    let mut reasons: Vec<_> = reasons.collect();
    reasons.dedup();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0).expect("a reason").to_string()
}

/// Where it listens.
fn own_socket(target: &Target) -> String {
    format!("/tmp/.java_pid{}", target.pid)
}

/// Whether a request to attach was left behind.
fn left_a_request(target: &Target) -> bool {
    fs::exists(format!("/proc/{0}/root/tmp/.attach_pid{0}", target.pid)).expect("a /tmp")
}

#[test]
fn monitors_and_locks_name_their_owners() {
    let Some(target) = start("monitors_and_locks_name_their_owners", java(), &[]) else { return };
    check_blocked(&target);
    assert!(!left_a_request(&target));
    // Its socket is there now: no signal is needed.
    check_blocked(&target);
    assert!(!target.end().contains(PRINTED_DUMP), "no signal was taken for something else");
}

#[test]
fn a_thread_has_its_java_name_state_and_frames() {
    let test = "a_thread_has_its_java_name_state_and_frames";
    let Some(target) = start(test, java(), &[]) else { return };
    let process = asked(&target);
    let (_, acceptor) = by_name(&process)[ACCEPTOR];
    assert_eq!(acceptor.runtime, Runtime::Java);
    assert_eq!(acceptor.state.as_deref(), Some("BLOCKED (on object monitor)"));
    let program = fs::read_to_string(source("Blocked.java")).expect("the program");
    let line = program.lines().position(|line| line.contains("synchronized (second)"));
    let innermost = acceptor.frames.first().expect("a frame");
    let at = innermost.line.as_ref().expect("a line");
    assert_eq!((&*innermost.function, &*at.file), ("Blocked.enter", "Blocked.java"));
    assert_eq!(at.line as usize, line.expect("the line") + 1);
    let outermost = acceptor.frames.last().expect("a frame");
    assert_eq!(outermost.function, "java.lang.Thread.run");
}

#[test]
fn a_stopped_virtual_machine_is_not_asked() {
    let Some(target) = start("a_stopped_virtual_machine_is_not_asked", java(), &[]) else { return };
    target.signal(Signal::STOP);
    eventually("a stopped process", || target.process().is_stopped().then_some(()));
    let why = refusal(&asked(&target));
    assert!(why.contains("it is stopped"), "{why}");
    assert!(!left_a_request(&target));
    target.signal(Signal::CONT);
    check_blocked(&target);
    assert!(!target.end().contains(PRINTED_DUMP), "no signal was waiting for it to go on");
}

#[test]
fn a_frozen_virtual_machine_is_not_asked() {
    let test = "a_frozen_virtual_machine_is_not_asked";
    let Some(target) = start(test, java(), &[]) else { return };
    let mut tried = false;
    for (tree, file, frozen, thawed) in [
        ("/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"),
        ("/sys/fs/cgroup", "cgroup.freeze", "1", "0"),
        ("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"),
    ] {
        let group = Path::new(tree).join(format!("halfopen-test-{}", target.pid));
        let is_tree = fs::exists(format!("{tree}/cgroup.procs")).unwrap_or(false);
        if !is_tree || fs::create_dir(&group).is_err() {
            continue;
        }
        let enter = |group: &Path| fs::write(group.join("cgroup.procs"), target.pid.to_string());
        if enter(&group).is_ok() && fs::write(group.join(file), frozen).is_ok() {
            tried = true;
            let is_frozen = || target.process().cgroup.get()?.frozen.value();
            eventually(file, || is_frozen().filter(|&frozen| frozen));
            let why = refusal(&asked(&target));
            assert!(why.contains("is frozen"), "{why}");
            fs::write(group.join(file), thawed).expect("a thawed group");
            enter(Path::new(tree)).expect("the group above");
        }
        eventually("an empty group", || fs::remove_dir(&group).ok());
    }
    if !tried {
        println!("SKIPPED {test}: no control group can be made here");
    }
    assert!(!left_a_request(&target));
    assert!(!target.end().contains(PRINTED_DUMP), "no signal was waiting for it to go on");
}

#[test]
fn a_traced_virtual_machine_is_not_asked() {
    let test = "a_traced_virtual_machine_is_not_asked";
    let Some(target) = start(test, java(), &[]) else { return };
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &target.pid.to_string()]);
    let Ok(mut tracer) = strace.spawn() else {
        println!("SKIPPED {test}: no strace here");
        return;
    };
    let is_traced = || {
        let ended = tracer.try_wait().expect("a child");
        let traced = target.process().tracer.value().flatten().is_some();
        (traced || ended.is_some()).then_some(traced)
    };
    if eventually("a traced process", is_traced) {
        let why = refusal(&asked(&target));
        assert!(why.contains("is traced by process"), "{why}");
    } else {
        println!("SKIPPED {test}: strace may not trace here");
    }
    let _ = tracer.kill();
    tracer.wait().expect("the end of strace");
    assert!(!target.end().contains(PRINTED_DUMP));
}

#[test]
fn attaching_that_is_switched_off_is_seen_before_a_signal_is_sent() {
    let test = "attaching_that_is_switched_off_is_seen_before_a_signal_is_sent";
    let options = ["-XX:+DisableAttachMechanism"];
    let Some(target) = start(test, java(), &options) else { return };
    let why = refusal(&asked(&target));
    assert!(why.contains("DisableAttachMechanism"), "{why}");
    assert!(!target.end().contains(PRINTED_DUMP));
}

#[test]
fn a_virtual_machine_without_signal_handlers_listens_from_the_start() {
    let test = "a_virtual_machine_without_signal_handlers_listens_from_the_start";
    let Some(target) = start(test, java(), &["-Xrs"]) else { return };
    check_blocked(&target);
    // It ends without tidying up.
    fs::remove_file(own_socket(&target)).expect("its socket");
}

#[test]
fn a_virtual_machine_without_signal_handlers_and_without_its_socket_lives_on() {
    let test = "a_virtual_machine_without_signal_handlers_and_without_its_socket_lives_on";
    let Some(target) = start(test, java(), &["-Xrs"]) else { return };
    fs::remove_file(own_socket(&target)).expect("its socket");
    let why = refusal(&asked(&target));
    assert!(why.contains("no handler for SIGQUIT"), "{why}");
    assert!(!target.process().threads.known().expect("threads").is_empty());
}

#[test]
fn a_process_that_is_no_virtual_machine_is_sent_no_signal() {
    let test = "a_process_that_is_no_virtual_machine_is_sent_no_signal";
    let directory = tempfile::tempdir().expect("a directory");
    // Whatever is called so need not be it.
    let impostor = directory.path().join("libjvm.so");
    let library = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6", "/usr/lib/libm.so.6"]
        .iter()
        .find(|library| fs::copy(library, &impostor).is_ok());
    let preloads = library.map(|_| impostor.as_os_str());
    for preload in [None, preloads] {
        // A shell does not trap what was ignored when it began, as SIGQUIT is in the background.
        let mut shell = Command::new("env");
        shell.args(["--default-signal=QUIT", "sh", "-c"]);
        shell.arg("trap 'echo quit' QUIT; echo ready; while :; do sleep 0.01; done");
        shell.envs(preload.map(|library| ("LD_PRELOAD", library)));
        let Some(mut target) = Target::start(test, &mut shell) else { return };
        let why = refusal(&asked(&target));
        assert!(why.contains("no HotSpot Java VM"), "{why}");
        assert!(!left_a_request(&target));
        // The one that shows that it counts.
        target.signal(Signal::QUIT);
        assert_eq!(target.line(), "quit\n");
        assert_eq!(target.end(), "");
    }
}

#[test]
fn a_request_of_somebody_else_is_left_alone() {
    let test = "a_request_of_somebody_else_is_left_alone";
    let Some(target) = start(test, java(), &[]) else { return };
    let request = format!("/tmp/.attach_pid{}", target.pid);
    fs::write(&request, "").expect("a request");
    let why = refusal(&asked(&target));
    assert!(why.contains("somebody else is attaching"), "{why}");
    fs::remove_file(&request).expect("the request is there still");
}

#[test]
fn another_users_virtual_machine_is_asked_as_that_user() {
    let test = "another_users_virtual_machine_is_asked_as_that_user";
    if !geteuid().is_root() {
        println!("SKIPPED {test}: needs root");
        return;
    }
    let mut command = java();
    command.uid(65534).gid(65534).current_dir("/");
    let Some(target) = start(test, command, &[]) else { return };
    check_blocked(&target);
    assert!(!left_a_request(&target));
    assert!(geteuid().is_root(), "only the thread that asked has become that user");
}

#[test]
fn a_virtual_machine_in_a_pid_namespace_is_known_by_the_numbers_of_both_sides() {
    let test = "a_virtual_machine_in_a_pid_namespace_is_known_by_the_numbers_of_both_sides";
    if !geteuid().is_root() {
        println!("SKIPPED {test}: needs root");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "java"]);
    let Some(mut target) = start(test, command, &[]) else { return };
    target.pid = target.child_pid().expect("the virtual machine");
    check_blocked(&target);
    assert!(by_name(&asked(&target))["main"].0.tid.0 > 2, "these are the numbers of this side");
}
