//! # What it sees
//! Connections wait on a listener, none is taken, and the thread that serves the listener waits for a
//! lock whose owner, directly or through others, waits for a lock that this thread holds.
//!
//! # Why it happens
//! Two threads take the same two locks in opposite order, each gets its first, and both wait for ever.
//! Or one thread takes a lock that it holds already. Which threads meet depends on load, so such a
//! program can run for months before it stands.
//!
//! # How sure
//! That there is a deadlock is certain where the locks themselves name their owners (pthread mutexes
//! and rwlocks, Java monitors), and probable where an owner was told by the stacks alone: Rust and
//! parking_lot locks name none, and the owner is the only other thread with the lock's address on its
//! stack. That the deadlocked thread is the one which should accept is as sure as for
//! `accept-blocked`.
//!
//! # What to do
//! Keep a dump of the threads, then restart the process: nothing else ends a deadlock. The finding
//! names the functions, and where debugging information is at hand the lines, in which each thread of
//! the circle waits: let all code take these locks in one order, or hold one at a time.
//!
//! # What not to do
//! A larger backlog only lets more clients wait. More threads wait for the same locks. Attaching a
//! debugger to look tells no more, and stops the process.
//!
//! # Sources
//! - `/proc/PID/task/TID/syscall`: the futex that each thread waits for
//! - glibc `nptl`: a mutex that is waited for stores its owner's tid eight bytes after the futex word
//! - `/proc/PID/mem` and the tables in `.eh_frame`: the stacks, copied while the threads do not move

use crate::analysis::blocked_report::{self, has_cycle, place};
use crate::analysis::cause::{Blocked, StallCause};
use crate::analysis::lock_chain::ChainEnd;
use crate::analysis::serving::Suspect;
use crate::analysis::stall_report;
use crate::{Context, FindingId, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        if let StallCause::Blocked(blocked) = &stalled.cause
            && has_cycle(&blocked.suspects)
        {
            let told = blocked_report::tell(blocked, remedies(blocked));
            let id = FindingId::AcceptDeadlock;
            verdicts.find(stall_report::finding(id, context, view, stalled, told));
        }
    }
}

fn remedies(blocked: &Blocked) -> Vec<String> {
    let in_circle = blocked.suspects.iter().find(|suspect| {
        suspect.chain.as_ref().is_some_and(|chain| matches!(chain.end, ChainEnd::Cycle(_)))
    });
    let Some(suspect) = in_circle else { return Vec::new() };
    let pid = suspect.doing.thread.pid;
    vec![
        format!("keep a dump of the threads: halfopen stacks {pid} --lines > threads.txt"),
        format!("restart {pid}; nothing else ends a deadlock"),
        match places(suspect).as_slice() {
            [] => "fix the order in which these locks are taken".to_owned(),
            [only] if waits_for_itself(suspect) => {
                format!("let {only} not take a lock that its caller may hold")
            }
            [only] => format!("fix the order in which {only} is asked for these locks"),
            several => format!("fix the order of locks in {}", several.join(" and ")),
        },
    ]
}

/// Whether the circle is of one thread.
fn waits_for_itself(suspect: &Suspect) -> bool {
    suspect.chain.as_ref().is_some_and(|chain| chain.owners.is_empty())
}

/// Where the threads of the circle wait.
fn places(suspect: &Suspect) -> Vec<String> {
    let owners = suspect.chain.iter().flat_map(|chain| &chain.owners);
    let all = std::iter::once(&suspect.doing).chain(owners);
    let mut places: Vec<String> =
        all.filter_map(|doing| place(&doing.site.as_ref()?.frame)).collect();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Frame, Missing, Process, SourceLine, Stack, StackEnd, Thread};

    use super::*;
    use crate::Confidence;
    use crate::fixture::{
        Scene, blocked, endpoint, held, in_futex, in_lock, listener, process, thread,
    };

    fn scene(process: Process) -> Scene {
        let pid = process.pid.0;
        Scene::window()
            .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 128), &[pid])]))
            .process(process)
    }

    fn within(mut thread: Thread, function: &str, line: u32) -> Thread {
        let frame = |function: &str, module: &str, line| Frame {
            function: Some(function.to_owned()),
            module: module.to_owned(),
            address: 0x1200,
            line,
        };
        let at = SourceLine { file: "/src/sessions.cc".to_owned(), line };
        let frames =
            vec![frame("pthread_mutex_lock", "libc.so.6", None), frame(function, "app", Some(at))];
        thread.stack = halfopen_evidence::Reading::Known(Stack { frames, end: StackEnd::Root });
        thread
    }

    fn circle() -> [Thread; 2] {
        [
            within(thread(813, "acceptor", in_lock(814)), "register_session(int)", 88),
            within(thread(814, "reloader", in_lock(813)), "reload()", 120),
        ]
    }

    #[test]
    fn a_circle_of_lock_owners_names_both_threads_and_both_places() {
        let finding = scene(process(812, circle())).finding(FindingId::AcceptDeadlock);
        assert_eq!(finding.confidence, Confidence::Probable, "by the thread's name");
        assert!(finding.cause.contains("\"acceptor\" (tid 813)"), "{}", finding.cause);
        assert!(finding.cause.contains("held by tid 814"), "{}", finding.cause);
        assert!(finding.cause.contains("held by tid 813: a deadlock"), "{}", finding.cause);
        let code: Vec<&str> =
            finding.evidence.iter().filter(|f| f.name == "code").map(|f| &*f.text).collect();
        let expected = [
            "tid 813 is in register_session(int) at sessions.cc:88",
            "tid 814 is in reload() at sessions.cc:120",
        ];
        assert_eq!(code, expected);
        assert_eq!(
            finding.remedies.last().map(String::as_str),
            Some(
                "fix the order of locks in register_session(int) at sessions.cc:88 and reload() at \
                 sessions.cc:120"
            )
        );
    }

    #[test]
    fn a_thread_that_waits_for_itself_is_a_circle_of_one() {
        let alone = within(thread(812, "app", in_lock(812)), "lock()", 9);
        let finding = scene(process(812, [alone])).finding(FindingId::AcceptDeadlock);
        assert_eq!(finding.confidence, Confidence::Certain);
        let advice = finding.remedies.last().map(String::as_str);
        assert_eq!(
            advice,
            Some("let lock() at sessions.cc:9 not take a lock that its caller may hold")
        );
    }

    #[test]
    fn threads_that_wait_in_one_place_have_asked_for_locks_in_different_orders() {
        let circle = [(813, 814), (814, 813)];
        let circle =
            circle.map(|(tid, owner)| within(thread(tid, "worker", in_lock(owner)), "lock()", 9));
        let finding = scene(process(812, circle)).finding(FindingId::AcceptDeadlock);
        let advice = finding.remedies.last().map(String::as_str);
        assert_eq!(
            advice,
            Some("fix the order in which lock() at sessions.cc:9 is asked for these locks")
        );
    }

    #[test]
    fn a_chain_that_ends_is_no_deadlock() {
        let naps =
            thread(814, "slow", blocked("clock_nanosleep", halfopen_evidence::CallTarget::Time));
        let app = process(812, [thread(813, "acceptor", in_lock(814)), naps]);
        assert!(scene(app.clone()).is_silent_about(FindingId::AcceptDeadlock));
        assert!(!scene(app).is_silent_about(FindingId::AcceptBlocked));
    }

    #[test]
    fn a_deadlock_of_other_threads_is_not_the_listener_s() {
        let [one, other] = circle();
        let accepts = thread(815, "main", in_futex());
        let mut app = process(812, [one, other, accepts]);
        for thread in app.threads.get_mut().into_iter().flatten() {
            thread.name = "worker".to_owned();
            thread.stack = Missing::NotOnThisKernel.into();
        }
        let finding = scene(app).finding(FindingId::AcceptDeadlock);
        assert!(finding.confidence < Confidence::Certain, "which of them should accept is open");
    }

    #[test]
    fn unreadable_threads_leave_it_open() {
        let mut app = process(812, circle());
        app.threads = Missing::needs("root").into();
        assert!(scene(app).is_silent_about(FindingId::AcceptDeadlock));
    }
}
