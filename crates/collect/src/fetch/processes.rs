//! State, limits and threads of processes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use halfopen_evidence::{Inode, Missing, Pid, Process, Reading, Snapshot};

use super::{name_sockets, targets_of};
use crate::bpf::TaskRow;
use crate::collector::Collector;
use crate::in_time::in_time;
use crate::proc::read_process_beside;

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
    let rows = rows(collector, pids);
    let mut read = in_time(PATIENCE, READERS_MAX, pids, move |pid| {
        let none = BTreeMap::new();
        read_process_beside(&root, pid, &listeners, rows.get(&pid).unwrap_or(&none))
    });
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
    name_sockets(collector, snapshot, targets_of(activities));
    snapshot.processes.extend(processes.into_iter().map(|process| (process.pid, process)));
}

/// What the kernel tells of their threads, where its program was loaded for that.
fn rows(collector: &mut Collector, pids: &BTreeSet<Pid>) -> BTreeMap<Pid, BTreeMap<u32, TaskRow>> {
    let Some(table) = collector.programs.loaded_tasks() else { return BTreeMap::new() };
    // Whoever is not in it is looked up in /proc.
    pids.iter().filter_map(|&pid| Some((pid, table.read(pid).ok()?))).collect()
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
        goroutines: Reading::not_collected(),
    }
}
