//! State, limits and threads of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use halfopen_evidence::{Inode, Missing, Pid, Process, Reading, Snapshot};

use super::name_sockets;
use crate::collector::Collector;
use crate::proc::read_process;

/// How long the reading of all processes may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Processes read at a time. More than there are processors, since some may be stuck.
const READERS_MAX: usize = 32;

/// Reads the processes into the snapshot, and names the sockets that their threads wait for.
pub(super) fn fetch(collector: &mut Collector, snapshot: &mut Snapshot, pids: &BTreeSet<Pid>) {
    let listeners: BTreeSet<Inode> =
        snapshot.listeners().map(|(.., listener)| listener.inode).collect();
    let mut processes: Vec<Process> = Vec::with_capacity(pids.len());
    let root = collector.root.clone();
    let mut read = in_time(PATIENCE, pids, move |pid| read_process(&root, pid, &listeners));
    for &pid in pids {
        let read = read.remove(&pid).unwrap_or_else(|| {
            let seconds = PATIENCE.as_secs();
            let what = format!("process {pid}: the {seconds} s for reading processes were over");
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

/// What the work made of each process before the time was over. Some threads share the work; those
/// that are still at it then are left behind: reading another process's memory can block for as long
/// as that process is stuck in the kernel.
fn in_time<T: Send + 'static>(
    patience: Duration,
    pids: &BTreeSet<Pid>,
    work: impl Fn(Pid) -> T + Send + Sync + 'static,
) -> BTreeMap<Pid, T> {
    let deadline = Instant::now() + patience;
    let (sender, receiver) = mpsc::channel();
    let queue: Vec<Pid> = pids.iter().rev().copied().collect();
    let shared = Arc::new((Mutex::new(queue), work));
    for _ in 0..pids.len().min(READERS_MAX) {
        let (shared, sender) = (Arc::clone(&shared), sender.clone());
        let read = move || {
            let (queue, work) = &*shared;
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while Instant::now() < deadline
                && let Some(pid) = next()
            {
                // Nobody listens any more if it took too long.
                let _ = sender.send((pid, work(pid)));
            }
        };
        // If there can be no more threads, the others do it.
        let _ = thread::Builder::new().name("proc".to_owned()).spawn(read);
    }
    drop(sender);
    let left = || deadline.saturating_duration_since(Instant::now());
    std::iter::from_fn(|| receiver.recv_timeout(left()).ok()).collect()
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
        let until = Mutex::new(until);
        let pids: BTreeSet<Pid> = (0..20).map(Pid).collect();
        let begun = Instant::now();
        let read = in_time(Duration::from_millis(300), &pids, move |pid| {
            if pid.0 % 2 == 0 {
                let _ = until.lock().map(|until| until.recv());
            }
            pid.0
        });
        assert!(begun.elapsed() < Duration::from_secs(3), "one deadline for all");
        assert_eq!(read.into_values().collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        drop(hold);
    }

    #[test]
    fn more_processes_than_readers_are_all_read() {
        let pids: BTreeSet<Pid> = (0..1000).map(Pid).collect();
        let read = in_time(Duration::from_secs(60), &pids, |pid| pid);
        assert_eq!(read.into_values().collect::<BTreeSet<_>>(), pids);
    }
}
