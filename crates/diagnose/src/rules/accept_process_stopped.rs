//! # What it sees
//! Connections wait on a listener, none is taken, and every process that serves the listener is kept
//! from running: by a stop signal, by a debugger or tracer, or by a frozen control group. A master
//! that only holds the listener for its workers may run on.
//!
//! # Why it happens
//! The kernel completes handshakes without the program's help, so a stopped server looks alive from
//! outside: its port is open, clients are told that they are connected, and then nothing happens.
//! Common ways to get there: Ctrl-Z or SIGSTOP from a terminal or a script, SIGTTIN or SIGTTOU sent
//! to a background job that touches its terminal, a debugger or `strace` that was left attached, a
//! core dump or a stack tool that hangs, `docker pause`, a container checkpoint, a memory manager
//! that freezes groups. A process stopped in `epoll_wait` still shows `epoll_wait` as its system
//! call; it is not waiting there, it is standing there.
//!
//! # How sure
//! Certain: the process state (`T`, `t`) and `cgroup.events` are the kernel's own word. Probable if
//! other holders run and it is not plain that they never accept. A tracer that merely watches stops
//! its victim for an instant at each system call; that is told from a real stop by the thread's CPU
//! time, which must not change between the two looks. With one look a stop is probable, and a
//! traced process only possibly held.
//!
//! # What to do
//! Let it run: `kill -CONT PID`, detach or end the tracer, or thaw the group. Then find out who
//! stopped it. Connections that waited meanwhile are served as soon as it runs, unless their
//! clients have given up.
//!
//! # What not to do
//! A larger backlog only lets more clients wait. A restart works, and loses the trace of who did
//! it.
//!
//! # Sources
//! - `net/ipv4/tcp_input.c tcp_conn_request`, `net/ipv4/inet_connection_sock.c inet_csk_accept`: a
//!   handshake needs no process, taking the connection does
//! - `kernel/signal.c do_signal_stop`, `kernel/ptrace.c`, `kernel/cgroup/freezer.c`
//! - proc(5), `/proc/PID/status`: `State`, `TracerPid`

use halfopen_evidence::ProcessName;

use crate::analysis::cause::StallCause;
use crate::analysis::stall_report::{self, Told};
use crate::analysis::stops::{Stop, Stopped};
use crate::words::{harmless, process_name};
use crate::{Confidence, Context, Fact, FindingId, Verdicts};

/// Processes that a finding lists beside those that are stopped.
const LISTED: usize = 5;

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        if let StallCause::Stopped(stopped) = &stalled.cause {
            let told = tell(context, stopped);
            let id = FindingId::AcceptProcessStopped;
            verdicts.find(stall_report::finding(id, context, view, stalled, told));
        }
    }
}

fn tell(context: &Context<'_>, stopped: &Stopped) -> Told {
    let stops = &stopped.processes;
    // strace holds a process for a moment at each system call: one look may have met that moment.
    let momentary = context.interval().is_none()
        && stops.iter().any(|(_, stop)| matches!(stop, Stop::Traced { .. }));
    let mut evidence: Vec<Fact> = stops
        .iter()
        .map(|(process, stop)| Fact::words("process-state", words(process, stop)))
        .collect();
    evidence.extend(stopped.running.iter().take(LISTED).map(|process| {
        let does = if stopped.others_rest { "does not wait for it" } else { "does not accept" };
        Fact::words(
            "holder",
            format!(
                "{} holds the listener too and {does}",
                process_name(&process.comm, process.pid)
            ),
        )
    }));
    Told {
        cause: cause(stopped),
        confidence: if momentary { Confidence::Possible } else { stopped.confidence },
        evidence,
        refuted_by: "a process state other than stopped, traced or frozen, or an accept while it \
                     lasts"
            .to_owned(),
        remedies: remedies(stops),
        useless: vec![
            "looking at its system call: a stopped process still shows epoll_wait or accept"
                .to_owned(),
        ],
    }
}

fn cause(stopped: &Stopped) -> String {
    let first = stopped.processes.first();
    let first = first.map(|(process, stop)| words(process, stop)).unwrap_or_default();
    let which =
        if stopped.running.is_empty() { "that hold the listener" } else { "that should accept" };
    let others = match stopped.processes.len() {
        0 | 1 => String::new(),
        2 => {
            let which = which.replace("hold", "holds");
            format!(", and so is the other process {which}")
        }
        n => format!(", and so are the other {} processes {which}", n - 1),
    };
    match (stopped.running.first(), stopped.others_rest) {
        (None, _) => format!("{first}{others}, so nobody can accept connections"),
        (Some(master), true) => format!(
            "{first}{others}, so nobody accepts connections: {} only holds the listener",
            process_name(&master.comm, master.pid)
        ),
        (Some(_), false) => {
            format!("{first}{others}, and none of the others that hold the listener accepts")
        }
    }
}

fn remedies(stops: &[(ProcessName, Stop)]) -> Vec<String> {
    let signalled: Vec<String> = stops
        .iter()
        .filter(|(_, stop)| *stop == Stop::Signal)
        .map(|(process, _)| process.pid.to_string())
        .collect();
    let mut remedies: Vec<String> = Vec::new();
    if !signalled.is_empty() {
        remedies.push(format!("kill -CONT {}", signalled.join(" ")));
    }
    for remedy in stops.iter().filter_map(|(process, stop)| remedy(process, stop)) {
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
        }
    }
    remedies.push("find out who stopped it, or it happens again".to_owned());
    remedies
}

fn words(process: &ProcessName, stop: &Stop) -> String {
    let name = process_name(&process.comm, process.pid);
    match stop {
        Stop::Signal => format!("{name} is stopped by a signal (state T)"),
        Stop::Traced { by: Some(tracer) } => {
            format!("{name} is held by its tracer, process {tracer} (state t)")
        }
        Stop::Traced { by: None } => format!("{name} is held by a tracer (state t)"),
        Stop::Frozen { cgroup } => {
            format!("{name} is frozen with its control group {}", harmless(cgroup))
        }
    }
}

/// What lets a process run again that no signal stopped.
fn remedy(process: &ProcessName, stop: &Stop) -> Option<String> {
    let pid = process.pid;
    Some(match stop {
        Stop::Signal => return None,
        Stop::Traced { by: Some(tracer) } => {
            format!("let process {tracer} detach from {pid}, or end it")
        }
        Stop::Traced { by: None } => format!("let the tracer of {pid} detach, or end it"),
        Stop::Frozen { cgroup } => format!(
            "thaw the control group {} (unpause the container, or write 0 to its cgroup.freeze; \
             THAWED to freezer.state with cgroup v1)",
            harmless(cgroup)
        ),
    })
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{CallTarget, Pid, Process, Reading, SchedStat, Via};

    use super::*;
    use crate::fixture::{
        Scene, blocked, endpoint, held, in_epoll, inode, listener, process, registered, thread,
        waiting_for,
    };

    fn server() -> Process {
        process(812, [waiting_for(thread(812, "app", in_epoll()), inode(1), Via::EpollLevel)])
    }

    fn scene(process: Process) -> Scene {
        Scene::window()
            .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812])]))
            .process(process)
    }

    #[test]
    fn a_stopped_process_is_named_although_it_shows_epoll_wait() {
        let finding =
            scene(Process { state: 'T', ..server() }).finding(FindingId::AcceptProcessStopped);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.cause.starts_with("app[812] is stopped by a signal"), "{}", finding.cause);
        assert_eq!(finding.remedies[0], "kill -CONT 812");
    }

    #[test]
    fn tracers_and_frozen_groups_are_named() {
        let traced = Process { state: 't', tracer: Reading::Known(Some(Pid(99))), ..server() };
        let finding = scene(traced).finding(FindingId::AcceptProcessStopped);
        assert!(finding.cause.contains("held by its tracer, process 99"), "{}", finding.cause);
        let mut frozen = server();
        frozen.cgroup.get_mut().expect("a group").frozen = Reading::Known(true);
        let finding = scene(frozen).finding(FindingId::AcceptProcessStopped);
        assert!(finding.cause.contains("/system.slice/app.service"), "{}", finding.cause);
    }

    #[test]
    fn one_look_may_have_met_a_moment() {
        let once = |state| {
            let scene = Scene::now()
                .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812])]))
                .process(Process { state, ..server() });
            scene.finding(FindingId::AcceptProcessStopped).confidence
        };
        assert_eq!(once('T'), Confidence::Probable);
        assert_eq!(once('t'), Confidence::Possible);
    }

    #[test]
    fn a_watching_tracer_or_a_holder_that_runs_is_no_stop() {
        let traced = Process { state: 't', tracer: Reading::Known(Some(Pid(99))), ..server() };
        let mut scene_with_strace = scene(traced.clone());
        let mut earlier = traced;
        earlier.threads.get_mut().expect("threads")[0].sched =
            Reading::Known(SchedStat { cpu_ns: 1, wait_ns: 0, slices: 2 });
        scene_with_strace.first.processes.insert(Pid(812), earlier);
        assert!(scene_with_strace.is_silent_about(FindingId::AcceptProcessStopped));

        let two = Scene::window()
            .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812, 813])]))
            .process(Process { state: 'T', ..server() })
            .process(process(
                813,
                [waiting_for(thread(813, "app", in_epoll()), inode(1), Via::EpollLevel)],
            ));
        assert!(two.is_silent_about(FindingId::AcceptProcessStopped));
    }

    fn worker(pid: u32, state: char, listener: u64) -> Process {
        let polls = waiting_for(thread(pid, "app", in_epoll()), inode(listener), Via::EpollLevel);
        let mut worker = Process { state, ..process(pid, [polls]) };
        worker.epoll = Reading::Known(vec![registered(inode(listener), 1)]);
        worker
    }

    fn shared(processes: impl IntoIterator<Item = Process>) -> Scene {
        let processes: Vec<Process> = processes.into_iter().collect();
        let pids: Vec<u32> = processes.iter().map(|process| process.pid.0).collect();
        let endpoint = endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &pids)]);
        processes.into_iter().fold(Scene::window().endpoint(endpoint), Scene::process)
    }

    #[test]
    fn a_master_that_runs_on_does_not_hide_its_stopped_workers() {
        for waits in [
            blocked("rt_sigsuspend", CallTarget::Unknown),
            blocked("wait4", CallTarget::Child),
            blocked("select", CallTarget::Descriptors { count: 1 }),
        ] {
            let master = process(810, [thread(810, "app", waits)]);
            // gunicorn selects, so that only the wait shows that it serves.
            let mut selects = worker(811, 'T', 1);
            selects.epoll = Reading::Known(Vec::new());
            let mut other = worker(812, 'T', 1);
            other.epoll = Reading::Known(Vec::new());
            for workers in [[selects, other], [worker(811, 'T', 1), worker(812, 'T', 1)]] {
                let finding = shared(workers.into_iter().chain([master.clone()]))
                    .finding(FindingId::AcceptProcessStopped);
                assert_eq!(finding.confidence, Confidence::Certain, "{}", finding.cause);
                assert!(finding.cause.starts_with("app[811] is stopped"), "{}", finding.cause);
                assert_eq!(finding.remedies[0], "kill -CONT 811 812");
            }
        }
    }

    #[test]
    fn of_workers_with_a_listener_each_the_stopped_one_is_named() {
        let idle = |pid| worker(pid, 'S', u64::from(pid));
        let finding = shared([idle(810), worker(811, 'T', 1), idle(812), idle(813)])
            .finding(FindingId::AcceptProcessStopped);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert_eq!(finding.remedies[0], "kill -CONT 811");
    }

    #[test]
    fn a_stopped_child_that_shows_no_wait_is_not_surely_the_cause() {
        let pauses = process(810, [thread(810, "app", in_epoll())]);
        let child = Process { state: 'T', ..process(811, [thread(811, "app", in_epoll())]) };
        let finding = shared([pauses, child]).finding(FindingId::AcceptProcessStopped);
        assert_eq!(finding.confidence, Confidence::Probable);
    }

    #[test]
    fn without_the_process_it_is_only_a_stall() {
        let unseen =
            Scene::window().endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812])]));
        assert_eq!(unseen.ids(), [FindingId::AcceptStalled, FindingId::NeverAccepted]);
    }
}
