//! State, limits and threads of processes.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use halfopen_evidence::{Inode, Missing, Pid, Process, Reading, Snapshot};

use super::name_sockets;
use crate::collector::Collector;
use crate::proc::read_process;

/// How long the reading of one process may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads the processes into the snapshot, and names the sockets that their threads wait for.
pub(super) fn fetch(collector: &mut Collector, snapshot: &mut Snapshot, pids: &BTreeSet<Pid>) {
    let listeners: BTreeSet<Inode> =
        snapshot.listeners().map(|(.., listener)| listener.inode).collect();
    let mut processes: Vec<Process> = Vec::with_capacity(pids.len());
    for &pid in pids {
        let (root, listeners) = (collector.root.clone(), listeners.clone());
        let read = in_time(PATIENCE, move || read_process(&root, pid, &listeners));
        let read = read.unwrap_or_else(|| {
            let seconds = PATIENCE.as_secs();
            let what = format!("process {pid}: it could not be read within {seconds} s");
            Missing::unreadable(what).into()
        });
        processes.push(match read {
            Reading::Known(process) => process,
            Reading::Missing(why) => unread(pid, snapshot, &why),
        });
    }
    let activities = processes
        .iter_mut()
        .flat_map(|process| process.threads.get_mut().into_iter().flatten())
        .filter_map(|thread| thread.activity.get_mut());
    name_sockets(collector, snapshot, activities);
    snapshot.processes.extend(processes.into_iter().map(|process| (process.pid, process)));
}

/// Runs something on a thread of its own; `None` if it does not end in time. Then the thread is left
/// behind: reading another process's memory can block for as long as that process is stuck in the
/// kernel.
fn in_time<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(work());
    };
    thread::Builder::new().name("proc".to_owned()).spawn(work).ok()?;
    receiver.recv_timeout(patience).ok()
}

/// A process of which nothing could be read but that somebody asked for it: so that nobody asks
/// again. `X` is the kernel's letter for a dead one.
fn unread(pid: Pid, snapshot: &Snapshot, why: &Missing) -> Process {
    let holder = snapshot
        .listeners()
        .filter_map(|(.., listener)| listener.holders.get())
        .flat_map(|holders| &holders.found)
        .find(|holder| holder.pid == pid);
    Process {
        pid,
        comm: holder.map(|holder| holder.comm.clone()).unwrap_or_default(),
        start_ticks: holder.map_or(0, |holder| holder.start_ticks),
        state: if *why == Missing::Vanished { 'X' } else { '?' },
        uid: why.clone().into(),
        tracer: why.clone().into(),
        fds: why.clone().into(),
        cgroup: why.clone().into(),
        epoll: why.clone().into(),
        threads: why.clone().into(),
        threads_omitted: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let (hold, until) = mpsc::channel::<()>();
        let stuck = in_time(Duration::from_millis(20), move || until.recv().is_ok());
        assert_eq!(stuck, None);
        drop(hold);
        assert_eq!(in_time(Duration::from_secs(60), || 7), Some(7));
    }
}
