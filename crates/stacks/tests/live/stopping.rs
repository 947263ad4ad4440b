//! Threads that are stopped because their stacks are to be had in no other way: what that tells, and that
//! they are let go of whatever happens.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use halfopen_collect::proc::{ProcRoot, read_process};
use halfopen_evidence::{Activity, Call, CallTarget, Missing, Pid, Process, Reading, Tid};
use halfopen_stacks::{Options, Stops, complete, complete_by_stopping, without_stack};

use super::target::{Build, Program, Running, eventually, has_in_order, thread, threads};

const RUNNING: Build = Build("c++", &["-g", "-O2", "-pthread"]);
const UNDISTURBED: Build = Build("gcc", &["-O2", "-pthread"]);

/// No sampling, so that threads which run have no stack.
fn look(target: &Running) -> Process {
    let root = ProcRoot::default();
    let mut process = read_process(&root, Pid(target.pid()), &BTreeSet::new()).known().expect("it");
    complete(&root, &mut process, options());
    process
}

fn options() -> Options {
    Options { window: Duration::ZERO, patience: Duration::from_secs(60), ..Options::default() }
}

fn stop(process: &mut Process, tids: &BTreeSet<Tid>) -> Stops {
    complete_by_stopping(&ProcRoot::default(), process, tids, options())
}

/// A program that spends its time on one client.
fn busy() -> Option<(Program, Running)> {
    let program = RUNNING.program("running.cpp")?;
    let mut running = program.start(&["loop"]);
    assert_eq!(running.line(), "ready");
    Some((program, running))
}

fn busy_thread(process: &Process) -> Tid {
    threads(process).iter().find(|thread| thread.name == "busy").expect("a thread that runs").tid
}

fn status(pid: u32, tid: Tid, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.map(|value| value.trim().to_owned())
}

/// That nobody traces it and it is not stopped.
fn goes_on(pid: u32, tid: Tid) {
    eventually("it goes on", || {
        let seen = (status(pid, tid, "TracerPid:"), status(pid, tid, "State:"));
        let (Some(tracer), Some(state)) = &seen else { return Err(seen) };
        if tracer == "0" && !state.starts_with(['t', 'T']) { Ok(()) } else { Err(seen) }
    });
}

#[test]
fn a_thread_that_runs_has_a_stack_once_it_was_stopped_and_goes_on() {
    let Some((_program, running)) = busy() else { return };
    // It may be off the CPU, and then have a stack all the same.
    let mut process = eventually("it runs", || {
        let process = look(&running);
        let tids = without_stack(&process);
        if tids.contains(&busy_thread(&process)) { Ok(process) } else { Err(tids) }
    });
    let tid = busy_thread(&process);
    let stops = eventually("it stops", || {
        let stops = stop(&mut process, &BTreeSet::from([tid]));
        // A machine that is busy may not let it run in time.
        if stops.stopped.contains_key(&tid) && stops.failed.is_empty() {
            Ok(stops)
        } else {
            Err(stops)
        }
    });
    assert!(stops.longest() > Duration::ZERO && stops.longest() == stops.total(), "{stops:?}");
    let busy = thread(&process, tid.0);
    assert_eq!(busy.activity, Reading::Known(Activity::Running));
    let stack = busy.stack.get().expect("its stack");
    assert!(has_in_order(stack, &["recompute_index", "handle_client", "event_loop"]), "{stack:#?}");
    assert!(!without_stack(&process).contains(&tid));
    goes_on(running.pid(), tid);
    drop(running);
}

#[test]
fn a_stop_interrupts_epoll_wait_and_nothing_that_is_restarted() {
    let Some(program) = UNDISTURBED.program("undisturbed.c") else { return };
    let mut running = program.start(&[]);
    assert_eq!(running.line(), "ready");
    let told = |running: &mut Running| -> (u64, u64) {
        let answer = running.ask();
        let (interrupted, beats) = answer.split_once(' ').expect("two numbers");
        (interrupted.parse().expect("a number"), beats.parse().expect("a number"))
    };
    let (mut process, tid) = eventually("it waits for events", || {
        let process = look(&running);
        let waits = |call: &Call| call.name.starts_with("epoll_");
        let tid = threads(&process).iter().find_map(|thread| match thread.activity.get() {
            Some(Activity::Blocked(call)) if waits(call) => Some(thread.tid),
            _ => None,
        });
        tid.map(|tid| (process, tid)).ok_or("no such thread")
    });
    assert_eq!(told(&mut running).0, 0, "nothing was stopped so far");
    // As if the system did not show what threads call.
    for thread in process.threads.get_mut().expect("its threads") {
        thread.activity = Missing::NotOnThisKernel.into();
        thread.stack = Missing::NotOnThisKernel.into();
    }
    let all = without_stack(&process);
    assert_eq!(all.len(), 3);
    let stops = stop(&mut process, &all);
    assert_eq!(stops.stopped.keys().copied().collect::<BTreeSet<_>>(), all, "{stops:?}");
    let waiter = thread(&process, tid.0);
    let Some(Activity::Blocked(Call { name, target })) = waiter.activity.get() else {
        panic!("{:?}", waiter.activity)
    };
    assert!(name.starts_with("epoll_") && *target == CallTarget::Descriptors { count: 1 });
    let stack = waiter.stack.get().expect("its stack");
    assert!(has_in_order(stack, &["epoll_wait", "wait_for_events"]), "{stack:#?}");
    let (interrupted, beats) = eventually("it noticed", || match told(&mut running) {
        (0, beats) => Err(beats),
        told => Ok(told),
    });
    assert_eq!(interrupted, 1, "epoll_wait alone");
    eventually("its heart beats", || match told(&mut running).1 {
        later if later > beats => Ok(()),
        other => Err(other),
    });
    all.iter().for_each(|&tid| goes_on(running.pid(), tid));
}

#[test]
fn a_process_that_is_stopped_stays_so_until_it_is_continued() {
    let Some(program) = UNDISTURBED.program("undisturbed.c") else { return };
    let mut running = program.start(&[]);
    assert_eq!(running.line(), "ready");
    running.signal("-STOP");
    let pid = running.pid();
    let state = || status(pid, Tid(pid), "State:").unwrap_or_default();
    eventually("it is stopped", || if state().starts_with('T') { Ok(()) } else { Err(state()) });
    let mut process = look(&running);
    let all: BTreeSet<Tid> = threads(&process).iter().map(|thread| thread.tid).collect();
    let stops = stop(&mut process, &all);
    assert_eq!(stops.failed.len(), 0, "{stops:?}");
    eventually(
        "it is stopped again",
        || if state().starts_with('T') { Ok(()) } else { Err(state()) },
    );
    assert_eq!(status(pid, Tid(pid), "TracerPid:").as_deref(), Some("0"));
    running.signal("-CONT");
    running.ask();
}

#[test]
fn a_thread_that_ended_and_one_that_is_traced_are_left_alone() {
    let Some((_program, running)) = busy() else { return };
    let mut process = look(&running);
    let tid = busy_thread(&process);
    let raw = i32::try_from(tid.0).expect("a tid");
    // Another thread traces it, and lets go of it when it ends.
    let (hold, until) = mpsc::channel::<()>();
    let (traced, is_traced) = mpsc::channel();
    let tracer = std::thread::spawn(move || {
        // SAFETY: the request writes no memory of this process.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, raw, 0, 0) };
        traced.send(seized).expect("the test");
        let _ = until.recv();
    });
    assert_eq!(is_traced.recv(), Ok(0));
    let gone = Tid(u32::MAX >> 2);
    let stops = stop(&mut process, &BTreeSet::from([tid, gone]));
    assert_eq!(stops.stopped.len(), 0);
    assert_eq!(stops.failed.get(&gone), Some(&Missing::Vanished));
    assert!(matches!(stops.failed.get(&tid), Some(Missing::NotPermitted { .. })), "{stops:?}");
    assert!(
        status(running.pid(), tid, "State:").is_some_and(|state| !state.starts_with(['t', 'T']))
    );
    drop(hold);
    tracer.join().expect("it ends");
    goes_on(running.pid(), tid);
}
