//! # What it sees
//! Connections wait on a listener, none is taken, and no thread of any process that holds it waits
//! for it: not in `accept`, not in `poll` or `select`, not through an epoll set or an io_uring.
//! None of the other threads sits in a call that would explain where the accepting one is, and none
//! is, by its stack, in code that accepts. Of a Go program, whose runtime waits for all descriptors in one
//! epoll set, the same of its goroutines: none waits in `Accept` for it or is on its way there.
//!
//! # Why it happens
//! The thread that accepted has ended: an exception or a panic that nobody caught, an error of
//! `accept()` taken for fatal, a pool that was shut down. The rest of the program lives on, a
//! health port on another listener answers, so nothing restarts it. Or the listener was inherited:
//! the server is gone, and a child that it once started (a shell, a `sleep`) keeps the port open.
//! Or the program took the listener out of its event loop, or did not arm it again (EPOLLONESHOT):
//! by mistake, or deliberately because it has reached a limit of connections.
//!
//! # How sure
//! Certain when the stacks of all threads were read and each is seen to do something else for good:
//! it accepts on another port, or waits for another thread's end. Probable when every thread is accounted
//! for, but not so firmly: a stack could not be read, or some wait for work, by a condition variable or a
//! semaphore. Possible when some are busy or wait for what may be a lock (those of Java, Python
//! and Go show no owner), since one of
//! them may be the accepting one after all, and when an event loop runs without the listener, since
//! that may be a deliberate pause: compare the number of open connections with the program's own
//! limit.
//!
//! # What to do
//! Look at the program's log for the moment at which the accepting thread ended, take a dump of its
//! threads if you need the reason, then restart it. End a child that holds an inherited listener,
//! and open listeners with SOCK_CLOEXEC. Let a program that loses its accepting thread end as a
//! whole. Where another port of the program answers, let health checks ask for something on the port
//! that clients use, and wait for the answer.
//!
//! # What not to do
//! A larger backlog only lets more clients wait. Probes of another port, or probes that only
//! connect, do not notice: the kernel completes the handshake.
//!
//! # Sources
//! - `net/ipv4/inet_connection_sock.c inet_csk_accept`
//! - `/proc/PID/task/TID/syscall`, `/proc/PID/fdinfo/FD` (`tfd`, `events`, `ino` of an epoll set)
//! - `/proc/PID/mem` and the tables in `.eh_frame`: the stacks, copied while the threads do not move
//! - epoll_ctl(2), EPOLLONESHOT; fcntl(2), FD_CLOEXEC

use halfopen_evidence::Via;

use crate::analysis::blocked_report::{doing, place_fact};
use crate::analysis::cause::StallCause;
use crate::analysis::goroutine_report;
use crate::analysis::nobody::{InEpoll, NobodyWaits, ServesAnother};
use crate::analysis::stall_report::{self, Told};
use crate::words::{count, process_name};
use crate::{Context, Fact, FindingId, SubjectKind, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        let told = match &stalled.cause {
            StallCause::NobodyWaits(nobody) => tell(nobody),
            StallCause::GoroutineGone(gone) => goroutine_report::tell_gone(gone),
            _ => continue,
        };
        let id = FindingId::AcceptThreadMissing;
        verdicts.find(stall_report::finding(id, context, view, stalled, told));
    }
}

fn tell(nobody: &NobodyWaits) -> Told {
    Told {
        cause: cause(nobody),
        confidence: nobody.confidence,
        evidence: facts(nobody),
        refuted_by: refuted_by(nobody).to_owned(),
        remedies: remedies(nobody),
        useless: vec![
            "waiting: clients that the kernel has connected get no answer, and new ones are \
             refused once the queue is full"
                .to_owned(),
        ],
    }
}

fn cause(nobody: &NobodyWaits) -> String {
    let why = nobody_does(nobody);
    match nobody.elsewhere.first() {
        Some(other) if other.answers && !nobody.stray => {
            let (thread, at) = (&other.thread, SubjectKind::Endpoint(other.endpoint));
            format!("{why}; {thread} still serves {at}, so a probe of that port notices nothing")
        }
        _ => why,
    }
}

fn nobody_does(nobody: &NobodyWaits) -> String {
    let who = names(nobody);
    if nobody.stray {
        return format!(
            "the listener is held only by {who}, which is no server: the program that opened it is \
             gone and this child has inherited it"
        );
    }
    match (nobody.epoll, &nobody.event_loop) {
        (InEpoll::Disarmed, _) => format!(
            "{who} has switched the listener off in its epoll set (no EPOLLIN): it was not armed \
             again, or the program pauses on purpose"
        ),
        (InEpoll::Armed, _) => format!(
            "the listener is in an epoll set of {who}, but no thread waits on that set any more"
        ),
        (InEpoll::No, Some(event_loop)) => format!(
            "no thread of {who} waits for the listener; {} {event_loop}, and the listener is not \
             among them: the accepting thread is gone, or the program pauses on purpose",
            event_loop.thread
        ),
        (InEpoll::No, None) => format!(
            "no thread of {who} waits for the listener by any means: the accepting thread is \
             gone{}",
            or_else(nobody)
        ),
    }
}

/// Where the accepting thread may be, if it is not gone.
fn or_else(nobody: &NobodyWaits) -> String {
    let locks = match nobody.ownerless {
        0 => None,
        1 => Some("is the one that waits for a lock or for work".to_owned()),
        n => Some(format!("is one of the {n} that wait for a lock or for work")),
    };
    let busy = (!nobody.busy.is_empty()).then(|| "is busy with something else".to_owned());
    locks.into_iter().chain(busy).map(|place| format!(", or {place}")).collect()
}

fn facts(nobody: &NobodyWaits) -> Vec<Fact> {
    let threads = u64::try_from(nobody.threads).unwrap_or(u64::MAX);
    let who = match threads {
        1 => "the one thread does not wait".to_owned(),
        n => format!("none of {n} threads waits"),
    };
    let none = format!("{who} for the listener (accept, poll, select, epoll, io_uring)");
    let mut facts = vec![Fact::number("threads", threads, none), stacks(nobody)];
    facts.extend(nobody.elsewhere.iter().map(serves_another));
    if nobody.ownerless > 0 {
        let futex = u64::try_from(nobody.ownerless).unwrap_or(u64::MAX);
        let text = format!(
            "{} in futex for work or for a lock whose owner cannot be read",
            count(futex, "thread")
        );
        facts.push(Fact::number("futex-threads", futex, text));
    }
    for suspect in &nobody.busy {
        let words = format!("{} {}", suspect.doing.thread, doing(suspect));
        facts.push(Fact::words("busy-thread", words));
        facts.extend(place_fact(&suspect.doing));
    }
    facts
}

fn stacks(nobody: &NobodyWaits) -> Fact {
    let read = u64::try_from(nobody.stacks.read).unwrap_or(u64::MAX);
    let mut text = match (read, &nobody.stacks.unread) {
        (0, _) => "no stack was read".to_owned(),
        (1, None) => "the stack of the one thread is not in code that accepts for it".to_owned(),
        (n, None) => {
            format!("none of the stacks of all {n} threads is in code that accepts for it")
        }
        (n, Some(_)) => format!("none of {n} stacks is in code that accepts for it"),
    };
    if let Some(why) = &nobody.stacks.unread {
        text.push_str(&format!("; that of another thread is {why}"));
    }
    Fact::number("stacks", read, text)
}

fn serves_another(other: &ServesAnother) -> Fact {
    let (thread, at) = (&other.thread, SubjectKind::Endpoint(other.endpoint));
    let how = match other.via {
        Via::Accept => "in accept",
        Via::Poll => "in poll",
        Via::Select => "in select",
        Via::EpollLevel | Via::EpollEdge => "through an epoll set",
        Via::IoUring => "through an io_uring",
    };
    let answers = if other.answers { ", where nothing stands" } else { "" };
    Fact::words("other-listener", format!("{thread} waits {how} for {at}{answers}"))
}

fn refuted_by(nobody: &NobodyWaits) -> &'static str {
    if nobody.epoll == InEpoll::Disarmed || nobody.event_loop.is_some() {
        "an accept in the next window, or a limit of connections that the program has reached"
    } else if nobody.busy.is_empty() && nobody.ownerless > 0 {
        "a dump of the threads that shows one on its way to accept, waiting for a lock"
    } else if nobody.busy.is_empty() {
        "a thread in accept, poll or epoll on this listener, or an accept in the next window"
    } else {
        "one of the busy threads coming back to accept"
    }
}

fn remedies(nobody: &NobodyWaits) -> Vec<String> {
    if nobody.stray {
        let pids: Vec<String> =
            nobody.processes.iter().map(|process| process.pid.to_string()).collect();
        return vec![
            format!("end {} and start the server again", pids.join(", ")),
            "let the server open its listener with SOCK_CLOEXEC, so that children do not get it"
                .to_owned(),
        ];
    }
    let mut remedies = Vec::new();
    if nobody.epoll == InEpoll::Disarmed || nobody.event_loop.is_some() {
        remedies.push(
            "compare its open connections with its own limit: it may have paused on purpose"
                .to_owned(),
        );
    }
    if nobody.ownerless > 0 || !nobody.busy.is_empty() {
        remedies.push(
            "take a dump of its threads: it tells whether one is on its way to accept".to_owned(),
        );
    }
    remedies.push(format!(
        "search the log of {} for the error that ended the accepting thread",
        names(nobody)
    ));
    remedies.push("restart it, after a dump of its threads if you need the reason".to_owned());
    if nobody.elsewhere.iter().any(|other| other.answers) {
        remedies.push(
            "let its health check ask for something on the port that clients use, and wait for the \
             answer"
                .to_owned(),
        );
    }
    remedies
}

fn names(nobody: &NobodyWaits) -> String {
    let mut names: Vec<String> = nobody
        .processes
        .iter()
        .take(3)
        .map(|process| process_name(&process.comm, process.pid))
        .collect();
    if nobody.processes.len() > 3 {
        names.push(format!("{} more", nobody.processes.len() - 3));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{CallTarget, Missing, Process, Reading, SyncKind, Thread, Tid, Via};

    use super::*;
    use crate::Confidence;
    use crate::fixture::Scene;
    use crate::fixture::{
        blocked, endpoint, held, in_epoll, in_futex, inode, listener, process, registered, thread,
        waiting_for, within,
    };

    fn scene(process: Process) -> Scene {
        let pid = process.pid.0;
        Scene::window()
            .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 128), &[pid])]))
            .process(process)
    }

    fn health() -> Thread {
        let accepts = blocked("accept4", CallTarget::Descriptor { fd: 5, what: "x".to_owned() });
        waiting_for(thread(813, "health", accepts), inode(2), Via::Accept)
    }

    fn joins() -> Thread {
        thread(812, "app", blocked("futex", CallTarget::ThreadExit { tid: Tid(813) }))
    }

    #[test]
    fn a_dead_acceptor_is_missed() {
        let finding =
            scene(process(812, [joins(), health()])).finding(FindingId::AcceptThreadMissing);
        assert_eq!(finding.confidence, Confidence::Probable, "no stack was read");
        assert!(finding.cause.contains("app[812]"), "{}", finding.cause);
        let with_worker = process(812, [joins(), health(), thread(814, "worker", in_futex())]);
        let finding = scene(with_worker).finding(FindingId::AcceptThreadMissing);
        assert_eq!(finding.confidence, Confidence::Possible);
        assert!(
            finding.cause.ends_with("is gone, or is the one that waits for a lock or for work"),
            "{}",
            finding.cause
        );
    }

    #[test]
    fn a_health_port_that_answers_is_told_from_the_port_that_does_not() {
        let app = process(812, [joins(), health()]);
        let probed = endpoint("0.0.0.0:8081", [held(listener(2, 0, 128), &[812])]);
        let finding = scene(app.clone()).endpoint(probed).finding(FindingId::AcceptThreadMissing);
        assert!(
            finding.cause.ends_with(
                "the accepting thread is gone; thread \"health\" (tid 813) of app[812] still serves \
                 *:8081, so a probe of that port notices nothing"
            ),
            "{}",
            finding.cause
        );
        let stands = endpoint("0.0.0.0:8081", [held(listener(2, 6, 128), &[812])]);
        let finding = scene(app).endpoint(stands).finding(FindingId::AcceptThreadMissing);
        assert!(finding.cause.ends_with("is gone"), "{}", finding.cause);
        let other = finding.evidence.iter().find(|fact| fact.name == "other-listener");
        let other = other.map(|fact| &*fact.text);
        assert_eq!(
            other,
            Some("thread \"health\" (tid 813) of app[812] waits in accept for *:8081")
        );
    }

    #[test]
    fn the_stacks_of_all_threads_prove_it() {
        let cond = CallTarget::Futex { address: 0x7f00_2000, kind: SyncKind::Condition };
        let pool = within(thread(814, "worker", blocked("futex", cond)), "take_job()");
        let whole = [within(joins(), "main"), within(health(), "health_loop()")];
        for (threads, confidence) in [
            (whole.to_vec(), Confidence::Certain),
            ([&whole[..], &[pool]].concat(), Confidence::Probable),
            (vec![whole[0].clone(), health()], Confidence::Probable),
        ] {
            let of = threads.len();
            let finding = scene(process(812, threads)).finding(FindingId::AcceptThreadMissing);
            assert_eq!(finding.confidence, confidence, "{of} threads: {finding:#?}");
        }
        let accepts = within(thread(814, "worker", in_futex()), "accept_loop()");
        let app = process(812, [&whole[..], &[accepts]].concat());
        assert!(scene(app).is_silent_about(FindingId::AcceptThreadMissing));
    }

    #[test]
    fn a_thread_that_waits_or_one_that_explains_it_keeps_it_silent() {
        let waits = waiting_for(thread(815, "acceptor", in_epoll()), inode(1), Via::EpollEdge);
        let app = process(812, [joins(), health(), waits]);
        assert!(scene(app).is_silent_about(FindingId::AcceptThreadMissing));
        let fsync = thread(815, "worker", blocked("fsync", CallTarget::Unknown));
        let app = process(812, [joins(), health(), fsync]);
        assert!(scene(app).is_silent_about(FindingId::AcceptThreadMissing));
    }

    #[test]
    fn a_listener_that_is_switched_off_may_be_a_deliberate_pause() {
        let mut app = process(812, [thread(812, "app", in_epoll()), health()]);
        app.epoll = Reading::Known(vec![registered(inode(1), 0x4000_0000)]);
        let finding = scene(app).finding(FindingId::AcceptThreadMissing);
        assert_eq!(finding.confidence, Confidence::Possible);
        assert!(finding.cause.contains("on purpose"), "{}", finding.cause);
    }

    #[test]
    fn an_inherited_listener_names_the_child() {
        let naps = thread(900, "sleep", blocked("clock_nanosleep", CallTarget::Time));
        let child = Process { comm: "sleep".to_owned(), ..process(900, [naps]) };
        let finding = scene(child).finding(FindingId::AcceptThreadMissing);
        assert!(finding.cause.contains("sleep[900], which is no server"), "{}", finding.cause);
    }

    #[test]
    fn unreadable_threads_leave_it_open() {
        let mut app = process(812, []);
        app.threads = Missing::needs("CAP_SYS_PTRACE").into();
        assert!(scene(app).is_silent_about(FindingId::AcceptThreadMissing));
    }
}
