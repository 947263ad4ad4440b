//! What keeps a process from running: a stop signal, a tracer, a frozen control group.
//!
//! Each has its own sign, and the system call that a thread sits in is none: a stopped thread shows
//! the one that it was stopped in. Frozen with cgroup v2 it even shows state S, with v1 state D.

use halfopen_evidence::{Pid, Process, ProcessName, Reading};

use super::holders::{registers, rests, shows_waiter, waits_for_signals_or_children};
use crate::{Confidence, Context, ListenerView};

/// What keeps a process from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU.
    Signal,
    /// It is traced, and its tracer holds it.
    Traced {
        /// The tracer, where that was read.
        by: Option<Pid>,
    },
    /// Its control group is frozen.
    Frozen {
        /// The group's path. Untrusted.
        cgroup: String,
    },
}

/// Processes that should accept and are kept from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// They, and what keeps them.
    pub processes: Vec<(ProcessName, Stop)>,
    /// Others that hold the listener and run.
    pub running: Vec<ProcessName>,
    /// Whether these others only wait, for signals, children or other descriptors: masters.
    pub others_rest: bool,
    /// How sure it is that this is the cause.
    pub confidence: Confidence,
}

/// Those among the servers of a listener that are stopped.
pub(super) fn stopped(
    context: &Context<'_>,
    view: &ListenerView<'_>,
    servers: &[&Process],
    maybe_others: bool,
) -> Option<Stopped> {
    let inode = view.listener.inode;
    let mut stopped = Stopped {
        processes: Vec::new(),
        running: Vec::new(),
        others_rest: true,
        confidence: if maybe_others { Confidence::Probable } else { Confidence::Certain },
    };
    let (mut served, mut masters) = (false, true);
    for process in servers {
        let name = ProcessName::of_process(process);
        if let Some(stop) = stop(context, process) {
            served |= registers(process, inode) || shows_waiter(context, process, inode);
            stopped.processes.push((name, stop));
        } else {
            stopped.others_rest &= rests(context, view, process);
            masters &= waits_for_signals_or_children(process);
            stopped.running.push(name);
        }
    }
    // Beside one that rests, a stopped process may be a child that only inherited the listener.
    if !(stopped.others_rest && (served || masters)) {
        stopped.confidence = stopped.confidence.min(Confidence::Probable);
    }
    (!stopped.processes.is_empty()).then_some(stopped)
}

pub(super) fn stop(context: &Context<'_>, process: &Process) -> Option<Stop> {
    if let Some(cgroup) = process.cgroup.get()
        && cgroup.frozen.value() == Some(true)
    {
        return Some(Stop::Frozen { cgroup: cgroup.path.clone() });
    }
    let threads = process.threads.get().map(Vec::as_slice).unwrap_or_default();
    // The leader may have exited while other threads live on.
    let state = match (process.state, threads.iter().find(|thread| thread.state != 'Z')) {
        ('Z', Some(thread)) => thread.state,
        (state, _) => state,
    };
    match state {
        'T' => Some(Stop::Signal),
        // strace stops a thread for a moment at each system call; held is one that does not run.
        't' if !ran(context, process) => {
            Some(Stop::Traced { by: process.tracer.value().flatten() })
        }
        _ => None,
    }
}

fn ran(context: &Context<'_>, process: &Process) -> bool {
    let threads = process.threads.get().map(Vec::as_slice).unwrap_or_default();
    context.interval().is_some_and(|interval| {
        threads.iter().any(|thread| interval.ran(process, thread) == Reading::Known(true))
    })
}
