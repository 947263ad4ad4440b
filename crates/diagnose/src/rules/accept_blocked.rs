//! # What it sees
//! Connections wait on a listener, none is taken, and the thread that serves the listener sits in
//! another system call, or does not come back from a computation.
//!
//! # Why it happens
//! One thread accepts and does something else as well: it waits for a lock that another thread
//! holds (for good, if that one waits for it too: `accept-deadlock`), connects to a database that does not answer,
//! reads from a client that says nothing, writes to a full disk or pipe, waits for a child, sleeps
//! between retries. Until that ends, nobody accepts, while the kernel goes on connecting clients.
//!
//! # How sure
//! Certain if the process has one thread only, or if the thread was seen waiting for the listener
//! before. Probable if the listener is in an epoll set of the process and the thread must be its
//! event loop's, if each process that could accept has one such thread, if it is the only thread in
//! a call that idle threads do not sit in, if its name or a function on its stack says that it
//! accepts, or if all suspects wait for the same thread in the end. Possible if there are several, or if another listener of
//! the process stalls as well; the finding lists them. Threads that wait for work, for other
//! sockets or for another thread's end are not suspects. Of a Go program the goroutines
//! are read: probable if none waits for the listener and one is in a function that says that it accepts.
//!
//! # What to do
//! End what it waits for: the finding names the lock's owner, or the descriptor. Give calls that
//! the accepting thread must make a time-out, or move them to another thread. A dump of the threads
//! before a restart keeps the evidence.
//!
//! # What not to do
//! A larger backlog only lets more clients wait. More worker threads help only if the accepting
//! thread is not the one that sits.
//!
//! # Sources
//! - `/proc/PID/task/TID/syscall`: the call and its arguments of a thread that is off the CPU
//! - glibc `nptl`: a mutex that is waited for stores its owner's tid eight bytes after the futex
//!   word
//! - `/proc/PID/task/TID/schedstat`: equal figures at two looks prove that a thread has not run

use halfopen_evidence::{Activity, CallTarget};

use crate::analysis::blocked_report::{self, has_cycle};
use crate::analysis::cause::{Blocked, StallCause};
use crate::analysis::goroutine_report;
use crate::analysis::serving::Suspect;
use crate::analysis::stall_report;
use crate::words::harmless;
use crate::{Context, FindingId, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        if let StallCause::Goroutine(goroutine) = &stalled.cause {
            let told = goroutine_report::tell(goroutine);
            let id = FindingId::AcceptBlocked;
            verdicts.find(stall_report::finding(id, context, view, stalled, told));
        }
        if let StallCause::Blocked(blocked) = &stalled.cause
            && !has_cycle(&blocked.suspects)
        {
            let told = blocked_report::tell(blocked, remedies(blocked));
            let id = FindingId::AcceptBlocked;
            verdicts.find(stall_report::finding(id, context, view, stalled, told));
        }
    }
}

fn remedies(blocked: &Blocked) -> Vec<String> {
    let mut remedies = Vec::new();
    let pid = blocked.suspects.first().map_or(0, |suspect| suspect.doing.thread.pid.0);
    if let Some(owner) = blocked.suspects.iter().find_map(last_owner) {
        remedies.push(format!("look at {owner}: it holds the lock"));
    } else if let Some(first) = blocked.suspects.first() {
        remedies.push(first_step(first));
    }
    remedies.push(format!(
        "keep a dump of the threads before a restart: halfopen stacks {pid} --lines > threads.txt"
    ));
    remedies.push("give the call a time-out, or move it out of the thread that accepts".to_owned());
    remedies
}

/// What to look at, by what the thread waits for.
fn first_step(suspect: &Suspect) -> String {
    let tid = suspect.doing.thread.tid;
    let call = match suspect.doing.activity.get() {
        Some(Activity::Running) => {
            return match suspect
                .doing
                .site
                .as_ref()
                .and_then(|site| blocked_report::place(&site.frame))
            {
                Some(place) => format!("see why it spends its time in {place}"),
                None => format!("see what it computes: perf top --tid {tid}"),
            };
        }
        Some(Activity::Blocked(call)) => call,
        None => return format!("see what tid {tid} waits for"),
    };
    match &call.target {
        CallTarget::Descriptor { what, .. } if !what.is_empty() => {
            let what = harmless(what);
            if is_file_lock(&call.name, &what) {
                format!("see who holds the lock on {what} (/proc/locks)")
            } else {
                format!("see why {what} does not answer, and end that wait")
            }
        }
        CallTarget::Lock { owner, .. } => format!("see why tid {owner} keeps the lock"),
        CallTarget::Child => "end the child process that it waits for".to_owned(),
        CallTarget::Time => "see why the code that should accept sleeps".to_owned(),
        CallTarget::Futex { .. } => {
            "see which lock or event it waits for, and who owes it".to_owned()
        }
        _ => format!("see what {} waits for", harmless(&call.name)),
    }
}

/// Whether a call waits for a lock on a file.
fn is_file_lock(name: &str, what: &str) -> bool {
    name == "flock" || (name.starts_with("fcntl") && what.starts_with('/'))
}

fn last_owner(suspect: &Suspect) -> Option<String> {
    Some(suspect.chain.as_ref()?.owners.last()?.thread.to_string())
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Missing, Pid, Process, Reading, Thread, Via, Want};

    use super::*;
    use crate::Confidence;
    use crate::fixture::{
        Scene, blocked, endpoint, held, in_epoll, in_futex, in_lock, inode, listener,
        on_descriptor, process, registered, samples, thread, within,
    };

    fn scene(process: Process) -> Scene {
        let pid = process.pid.0;
        Scene::window()
            .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 128), &[pid])]))
            .process(process)
    }

    fn naps(tid: u32) -> Thread {
        thread(tid, "app", blocked("clock_nanosleep", CallTarget::Time))
    }

    fn connects(tid: u32) -> Thread {
        let to = "socket 10.0.0.5:41022 -> 10.0.0.7:3306";
        thread(tid, "db", on_descriptor("connect", 9, to))
    }

    fn check(threads: Vec<Thread>, confidence: Confidence, cause: &str) {
        let finding = scene(process(812, threads)).finding(FindingId::AcceptBlocked);
        assert_eq!(finding.confidence, confidence, "{}", finding.cause);
        assert!(finding.cause.contains(cause), "{}", finding.cause);
    }

    #[test]
    fn the_only_thread_of_a_process_is_the_one() {
        check(vec![naps(812)], Confidence::Certain, "sleeps in clock_nanosleep");
        check(
            vec![in_futex()].into_iter().map(|a| thread(812, "py", a)).collect(),
            Confidence::Certain,
            "owner cannot be read",
        );
        check(vec![thread(812, "app", Activity::Running)], Confidence::Probable, "runs on a CPU");
    }

    #[test]
    fn a_computation_is_told_with_the_place_that_samples_met_it_in() {
        let mut works = thread(812, "app", Activity::Running);
        works.samples = Reading::Known(samples(58, &[("recompute_index()", 41), ("reply()", 17)]));
        let finding = scene(process(812, [works])).finding(FindingId::AcceptBlocked);
        let code = finding.evidence.iter().find(|fact| fact.name == "code").expect("a place");
        assert_eq!(code.text, "tid 812 was in recompute_index() of app in 41 of 58 samples");
        assert_eq!(finding.remedies[0], "see why it spends its time in recompute_index() of app");
    }

    #[test]
    fn one_suspect_among_idle_threads_is_probably_it() {
        let idle = thread(813, "worker", in_futex());
        check(vec![idle, connects(814)], Confidence::Probable, "10.0.0.7:3306");
    }

    #[test]
    fn a_thread_that_waited_for_the_listener_before_is_the_one() {
        let app = process(812, [connects(812), connects(813)]);
        let before = blocked("epoll_wait", CallTarget::Descriptors { count: 2 });
        let finding = scene(app)
            .sighting((812, 813), before, &[(inode(1), Via::EpollLevel)])
            .finding(FindingId::AcceptBlocked);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.cause.contains("tid 813"), "{}", finding.cause);
    }

    #[test]
    fn lock_chains_are_followed_to_their_end() {
        let waits = thread(813, "a", in_lock(814));
        let also = thread(815, "b", in_lock(814));
        check(
            vec![waits, also, connects(814)],
            Confidence::Probable,
            "held by tid 814 (\"db\"), which sits in connect on descriptor 9",
        );
    }

    #[test]
    fn a_function_that_says_that_it_accepts_tells_the_thread() {
        let waits = within(thread(813, "worker", in_futex()), "accept_loop()");
        let idle = thread(814, "worker", in_futex());
        check(vec![waits, idle.clone()], Confidence::Probable, "(tid 813)");
        let handles = within(thread(813, "worker", in_futex()), "on_accepted(int)");
        assert!(scene(process(812, [handles, idle])).is_silent_about(FindingId::AcceptBlocked));
    }

    #[test]
    fn the_stacks_of_suspects_are_wanted_once() {
        let mut app = process(812, [naps(812)]);
        for thread in app.threads.get_mut().into_iter().flatten() {
            thread.stack = Reading::not_collected();
        }
        let wants = scene(app).diagnose().wants;
        assert_eq!(wants.into_iter().collect::<Vec<_>>(), [Want::Stacks { pid: Pid(812) }]);
        assert!(scene(process(812, [naps(812)])).diagnose().wants.is_empty());
    }

    #[test]
    fn a_thread_that_is_called_acceptor_is_it_whatever_it_waits_for() {
        let idle = thread(813, "worker", in_futex());
        let sleeps = blocked("clock_nanosleep", CallTarget::Time);
        let named = thread(814, "acceptor", in_futex());
        check(
            vec![idle, thread(815, "housekeeper", sleeps), named],
            Confidence::Probable,
            "thread \"acceptor\" (tid 814) of app[812] waits in futex",
        );
    }

    #[test]
    fn several_suspects_are_listed_and_none_is_accused() {
        let fsync = || blocked("fsync", CallTarget::Unknown);
        let threads = (820..828).map(|tid| thread(tid, "w", fsync())).collect();
        check(threads, Confidence::Possible, "may be one of 8");
    }

    #[test]
    fn a_handler_of_a_connection_is_no_suspect() {
        let reads = on_descriptor("read", 7, "socket 10.0.0.1:8080 -> 10.0.0.9:40000");
        let app = process(812, [thread(812, "app", in_futex()), thread(813, "conn", reads)]);
        assert!(scene(app).is_silent_about(FindingId::AcceptBlocked));
    }

    #[test]
    fn an_event_loop_that_is_busy_elsewhere_is_named() {
        for (main, cause) in [
            (Activity::Running, "runs on a CPU instead of waiting for connections (long work)"),
            (in_epoll(), "sits in epoll_wait on 3 descriptors instead of waiting"),
            (blocked("wait4", CallTarget::Child), "until a child process ends instead of waiting"),
            (blocked("clock_nanosleep", CallTarget::Time), "sleeps in clock_nanosleep instead"),
        ] {
            let helpers = (813..816).map(|tid| thread(tid, "libuv-worker", in_futex()));
            let mut node = process(812, helpers.chain([thread(812, "node", main)]));
            node.epoll = Reading::Known(vec![registered(inode(1), 1)]);
            let finding = scene(node).finding(FindingId::AcceptBlocked);
            assert_eq!(finding.confidence, Confidence::Probable);
            assert!(finding.cause.contains(cause), "{}", finding.cause);
        }
    }

    #[test]
    fn workers_that_all_sleep_are_named_and_their_master_is_not() {
        let selects = blocked("select", CallTarget::Descriptors { count: 1 });
        let helper = thread(821, "helper", in_futex());
        let sigwaits = blocked("rt_sigsuspend", CallTarget::Unknown);
        for (master, confidence) in [
            (process(810, [thread(810, "app", sigwaits)]), Confidence::Probable),
            (process(810, [thread(810, "app", selects), helper]), Confidence::Probable),
        ] {
            let shared = endpoint("0.0.0.0:8080", [held(listener(1, 6, 128), &[810, 811, 812])]);
            let finding = Scene::window()
                .endpoint(shared)
                .process(master)
                .process(process(811, [naps(811)]))
                .process(process(812, [naps(812)]))
                .finding(FindingId::AcceptBlocked);
            assert_eq!(finding.confidence, confidence, "{}", finding.cause);
            assert!(finding.cause.contains("(tid 811) of app[811] sleeps"), "{}", finding.cause);
        }
    }

    #[test]
    fn a_thread_is_not_blamed_for_two_listeners_by_its_name() {
        let (a, b) = (
            thread(814, "dl-acceptor", in_lock(815)),
            thread(815, "dl", blocked("clock_nanosleep", CallTarget::Time)),
        );
        for threads in [vec![a.clone(), b], vec![a]] {
            let joins = thread(812, "app", in_futex());
            let app = process(812, threads.into_iter().chain([joins]));
            let two = Scene::window()
                .endpoint(endpoint("0.0.0.0:9005", [held(listener(1, 6, 128), &[812])]))
                .endpoint(endpoint("0.0.0.0:9006", [held(listener(2, 6, 128), &[812])]))
                .process(app);
            let findings = two.diagnose().findings;
            let blocked = findings.iter().filter(|found| found.id == FindingId::AcceptBlocked);
            let sure: Vec<Confidence> = blocked.map(|found| found.confidence).collect();
            assert_eq!(sure, [Confidence::Possible, Confidence::Possible]);
        }
    }

    #[test]
    fn who_holds_a_file_lock_is_asked_rather_than_the_file() {
        let flocks = thread(812, "app", on_descriptor("flock", 5, "/run/app.lock"));
        let finding = scene(process(812, [flocks])).finding(FindingId::AcceptBlocked);
        assert_eq!(finding.remedies[0], "see who holds the lock on /run/app.lock (/proc/locks)");
    }

    #[test]
    fn unreadable_threads_leave_it_open() {
        let mut app = process(812, [naps(812)]);
        app.threads = Missing::needs("root").into();
        assert!(scene(app).is_silent_about(FindingId::AcceptBlocked));
    }
}
