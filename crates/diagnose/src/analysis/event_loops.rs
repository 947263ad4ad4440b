//! Which thread of a process should wait on the epoll set that has its listener.
//!
//! A set that is armed with nobody waiting on it is no sign of a thread that ended: the loop's thread
//! is in the middle of something, be it a computation, a child that it waits for, or a sleep. Most
//! such programs run their loop on the main thread, beside helpers that wait in futexes.

use halfopen_evidence::{Activity, CallTarget, Inode, Process, Thread};

use super::serving::{Suspect, is_gone, is_idle_call, is_notification};
use crate::{Context, ListenerView};

/// Edge triggered (epoll_ctl(2)): the loop was told already, and its work goes on anywhere.
const EPOLLET: u32 = 1 << 31;

/// What keeps a thread from being taken for the event loop's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// It waits for work, for signals, for other listeners.
    No,
    /// It waits for descriptors or for the clock, as a main thread beside a loop may.
    Some,
    /// It is busy with something.
    Much,
}

/// The threads that should wait on the sets that have the listener armed; none if one of these
/// processes has no such thread.
pub(super) fn busy(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    processes: &[&Process],
) -> Vec<Suspect> {
    let inode = view.listener.inode;
    let armed = processes.iter().filter(|process| has_armed(process, inode));
    let found: Option<Vec<Suspect>> =
        armed.map(|process| Some(Suspect::of(context, process, its_thread(process)?))).collect();
    found.unwrap_or_default()
}

fn has_armed(process: &Process, inode: Inode) -> bool {
    process.epoll.get().into_iter().flatten().any(|registration| {
        registration.inode == inode && registration.is_armed() && registration.events & EPOLLET == 0
    })
}

fn its_thread(process: &Process) -> Option<&Thread> {
    let threads = process.threads.get()?.iter().filter(|thread| !is_gone(thread));
    let threads: Vec<(&Thread, Likeness)> =
        threads.map(|thread| (thread, likeness(thread))).collect();
    let main = threads.iter().find(|(thread, _)| thread.tid.0 == process.pid.0);
    let only = |least: Likeness| {
        let mut like = threads.iter().filter(|(_, likeness)| *likeness >= least);
        match (like.next(), like.next()) {
            (Some((thread, _)), None) => Some(*thread),
            _ => None,
        }
    };
    match main {
        Some((main, Likeness::Much)) => Some(main),
        Some((main, Likeness::Some)) => {
            let busy = threads.iter().any(|(_, likeness)| *likeness == Likeness::Much);
            if busy { only(Likeness::Much) } else { Some(main) }
        }
        Some((_, Likeness::No)) => only(Likeness::Much),
        // It has ended, so the loop's thread may have ended too.
        None => None,
    }
}

fn likeness(thread: &Thread) -> Likeness {
    if thread.waits.get().is_some_and(|waits| !waits.is_empty()) {
        return Likeness::No;
    }
    let call = match thread.activity.get() {
        None => return Likeness::No,
        Some(Activity::Running) => return Likeness::Much,
        Some(Activity::Blocked(call)) => call,
    };
    match &call.target {
        CallTarget::Futex { .. } | CallTarget::ThreadExit { .. } => Likeness::No,
        CallTarget::Descriptor { what, .. } if is_notification(what) => Likeness::No,
        CallTarget::Unknown if is_idle_call(&call.name) => Likeness::No,
        CallTarget::Time | CallTarget::Descriptors { .. } => Likeness::Some,
        CallTarget::Lock { .. }
        | CallTarget::Descriptor { .. }
        | CallTarget::Child
        | CallTarget::Unknown => Likeness::Much,
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Reading, Tid};

    use super::*;
    use crate::fixture::{blocked, in_epoll, in_futex, process, thread};

    fn check(threads: Vec<Thread>, expected: Option<u32>) {
        let process = process(10, threads);
        assert_eq!(its_thread(&process).map(|thread| thread.tid), expected.map(Tid));
    }

    #[test]
    fn the_main_thread_is_the_loop_unless_it_plainly_does_less_than_another() {
        let sleeps = || blocked("clock_nanosleep", CallTarget::Time);
        let fsyncs = || blocked("fsync", CallTarget::Unknown);
        let helper = || thread(11, "helper", in_futex());
        check(vec![thread(10, "node", Activity::Running), helper()], Some(10));
        check(vec![thread(10, "node", in_epoll()), helper()], Some(10));
        check(vec![thread(10, "redis", sleeps()), helper()], Some(10));
        check(vec![thread(10, "app", sleeps()), thread(11, "loop", fsyncs())], Some(11));
        check(vec![thread(10, "app", in_futex()), thread(11, "loop", fsyncs())], Some(11));
        check(vec![thread(10, "app", in_futex()), helper()], None);
        let two = (11..13).map(|tid| thread(tid, "loop", fsyncs()));
        check(two.chain([thread(10, "app", in_futex())]).collect(), None);
        check(vec![thread(11, "loop", fsyncs())], None);
    }

    #[test]
    fn a_set_that_wakes_nobody_or_only_once_tells_nothing() {
        let mut app = process(10, [thread(10, "app", Activity::Running)]);
        for (events, armed) in [(1, true), (0x4000_0000, false), (1 | EPOLLET, false)] {
            app.epoll = Reading::Known(vec![crate::fixture::registered(Inode(5), events)]);
            assert_eq!(has_armed(&app, Inode(5)), armed, "{events:#x}");
        }
    }
}
