//! What keeps a process from running: a stop signal, a tracer, a frozen control group.
//!
//! Each has its own sign, and the system call that a thread sits in is none: a stopped thread shows
//! the one that it was stopped in. Frozen with cgroup v2 it even shows state S, with v1 state D.

use halfopen_evidence::{Pid, Process, Reading};

use crate::{Context, ProcessName};

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

/// What stops every one of these processes.
pub(super) fn all_stopped(
    context: &Context<'_>,
    processes: &[&Process],
    some_unseen: bool,
) -> Option<Vec<(ProcessName, Stop)>> {
    let stops: Vec<(ProcessName, Stop)> = processes
        .iter()
        .filter_map(|process| Some((ProcessName::of_process(process), stop(context, process)?)))
        .collect();
    let all = !stops.is_empty() && stops.len() == processes.len() && !some_unseen;
    all.then_some(stops)
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
