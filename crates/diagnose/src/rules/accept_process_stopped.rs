//! # What it sees
//! Connections wait on a listener, none is taken, and every process that holds the listener is kept
//! from running: by a stop signal, by a debugger or tracer, or by a frozen control group.
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
//! Certain: the process state (`T`, `t`) and `cgroup.events` are the kernel's own word. A tracer
//! that merely watches stops its victim for an instant at each system call; that is told from a
//! real stop by the thread's CPU time, which must not change between the two looks.
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

use crate::analysis::cause::StallCause;
use crate::analysis::stall_report::{self, Told};
use crate::analysis::stops::Stop;
use crate::words::harmless;
use crate::{Confidence, Context, Fact, FindingId, ProcessName, Verdicts};

pub(crate) fn rule(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        if let StallCause::Stopped(stops) = &stalled.cause {
            let told = tell(stops);
            let id = FindingId::AcceptProcessStopped;
            verdicts.find(stall_report::finding(id, context, view, stalled, told));
        }
    }
}

fn tell(stops: &[(ProcessName, Stop)]) -> Told {
    let mut remedies: Vec<String> = Vec::new();
    for (process, stop) in stops {
        let remedy = remedy(process, stop);
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
        }
    }
    remedies.push("find out who stopped it, or it happens again".to_owned());
    let others = match stops.len() {
        0 | 1 => String::new(),
        n => format!(", and so are the other {} processes that hold the listener", n - 1),
    };
    let first = stops.first().map(|(process, stop)| words(process, stop)).unwrap_or_default();
    Told {
        cause: format!("{first}{others}, so nobody can accept connections"),
        confidence: Confidence::Certain,
        evidence: stops
            .iter()
            .map(|(process, stop)| Fact::words("process-state", words(process, stop)))
            .collect(),
        refuted_by: "a process state other than stopped, traced or frozen, or an accept while it \
                     lasts"
            .to_owned(),
        remedies,
        useless: vec![
            "looking at its system call: a stopped process still shows epoll_wait or accept"
                .to_owned(),
        ],
    }
}

fn words(process: &ProcessName, stop: &Stop) -> String {
    let name = name(process);
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

fn remedy(process: &ProcessName, stop: &Stop) -> String {
    match stop {
        Stop::Signal => format!("kill -CONT {}", process.pid),
        Stop::Traced { by: Some(tracer) } => {
            format!("let process {tracer} detach from {}, or end it", process.pid)
        }
        Stop::Traced { by: None } => format!("let the tracer of {} detach, or end it", process.pid),
        Stop::Frozen { cgroup } => format!(
            "thaw the control group {} (unpause the container, or write 0 to its cgroup.freeze; \
             THAWED to freezer.state with cgroup v1)",
            harmless(cgroup)
        ),
    }
}

fn name(process: &ProcessName) -> String {
    format!("{}[{}]", harmless(&process.comm), process.pid)
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Pid, Process, Reading, SchedStat, Via};

    use super::*;
    use crate::fixture::{
        Scene, endpoint, held, in_epoll, inode, listener, process, thread, waiting_for,
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
            .process(process(813, [thread(813, "app", in_epoll())]));
        assert!(two.is_silent_about(FindingId::AcceptProcessStopped));
    }

    #[test]
    fn without_the_process_it_is_only_a_stall() {
        let unseen =
            Scene::window().endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812])]));
        assert_eq!(unseen.ids(), [FindingId::AcceptStalled, FindingId::NeverAccepted]);
    }
}
