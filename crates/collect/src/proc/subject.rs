//! One process under observation: its open directories, descriptors and epoll sets, kept between
//! samples.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{Inode, Missing, OwnerPlace, Pid, Tid};

use super::descriptors::Descriptors;
use super::dir::Dir;
use super::epoll::EpollSets;
use super::futex::{SharedLock, Surroundings};
use super::memory::Memory;
use super::parse::{self, Stat};
use super::root::ProcRoot;
use super::strangers;

/// Threads listed at most, to tell whether a tid is one of the process's.
pub(super) const TIDS_MAX: usize = 65_536;

/// A process under observation.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) root: ProcRoot,
    pub(super) pid: Pid,
    /// `/proc/PID`.
    pub(super) process: Dir,
    /// `/proc/PID/task`.
    pub(super) tasks: Dir,
    /// Where its descriptors and memory are: `/proc/PID`, or a thread's directory once the first
    /// thread has exited.
    pub(super) task: Dir,
    /// Its first thread's `stat`.
    pub(super) stat: Stat,
    pub(super) listeners: BTreeSet<Inode>,
    pub(super) descriptors: Result<Descriptors, Missing>,
    pub(super) memory: Memory,
    pub(super) sets: EpollSets,
    pub(super) tids: Tids,
}

/// The threads of a process at one time.
#[derive(Debug, Default)]
pub(super) struct Tids {
    /// Sorted.
    pub(super) live: Vec<u32>,
    /// By their number in the process's own pid namespace, once that was asked for.
    own: Option<BTreeMap<u32, u32>>,
}

impl Subject {
    pub(super) fn open(
        root: &ProcRoot,
        pid: Pid,
        listeners: &BTreeSet<Inode>,
    ) -> Result<Self, Missing> {
        let process = root.process(pid)?;
        let stat = process.parse("stat", parse::stat)?;
        let task = living(&process, &stat)?;
        Ok(Self {
            root: root.clone(),
            pid,
            tasks: process.dir("task")?,
            descriptors: Descriptors::read(&task, listeners),
            memory: Memory::open(&task),
            process,
            task,
            stat,
            listeners: listeners.clone(),
            sets: EpollSets::default(),
            tids: Tids::default(),
        })
    }

    /// Lists the threads anew, and lets epoll sets be read anew.
    pub(super) fn refresh(&mut self) -> Result<(), Missing> {
        let (live, _) = self.tasks.numbers(".", TIDS_MAX)?;
        // A process that has been reaped leaves an empty directory behind for who has it open.
        if live.is_empty() {
            return Err(Missing::Vanished);
        }
        if live != self.tids.live {
            self.tids = Tids { live, own: None };
        }
        self.sets.forget();
        Ok(())
    }

    /// Whether a thread has ended although it is still listed. Only the first one can be.
    fn has_exited(&self, tid: Tid) -> bool {
        let stat = || self.process.parse("stat", parse::stat);
        tid.0 == self.pid.0 && stat().is_ok_and(|stat| stat.has_exited())
    }
}

impl Tids {
    /// The thread with this tid in its own pid namespace, if it lives.
    fn resolve(&mut self, own_tid: u32, process: &Dir, tasks: &Dir) -> Option<Tid> {
        let own = self.own.get_or_insert_with(|| own_numbers(&self.live, process, tasks));
        own.get(&own_tid).copied().map(Tid)
    }
}

/// Where the descriptors and the memory of a process are: in its own directory, or in a thread's
/// once the first thread has exited.
pub(super) fn living(process: &Dir, stat: &Stat) -> Result<Dir, Missing> {
    if stat.has_exited() && stat.threads > 1 { live_thread(process) } else { process.dir(".") }
}

/// The directory of a thread that lives, of a process whose first thread has exited.
pub(super) fn live_thread(process: &Dir) -> Result<Dir, Missing> {
    let (tids, _) = process.numbers("task", TIDS_MAX)?;
    tids.into_iter()
        .filter_map(|tid| process.dir(&format!("task/{tid}")).ok())
        .find(|task| task.parse("stat", parse::stat).is_ok_and(|stat| !stat.has_exited()))
        .ok_or(Missing::Vanished)
}

/// Whether a process knows its threads by the numbers that the reader knows them by.
pub(super) fn shares_our_numbers(process: &Dir) -> bool {
    process.read("status").is_ok_and(|status| parse::status(&status).pid_depth <= 1)
}

/// In a pid namespace of its own, a process knows its threads by other numbers than the reader.
pub(super) fn own_numbers(live: &[u32], process: &Dir, tasks: &Dir) -> BTreeMap<u32, u32> {
    if shares_our_numbers(process) {
        return live.iter().map(|&tid| (tid, tid)).collect();
    }
    let own_number = |&tid: &u32| {
        let status = tasks.read(&format!("{tid}/status")).ok()?;
        Some((parse::status(&status).innermost_pid?, tid))
    };
    live.iter().filter_map(own_number).collect()
}

/// A process as a futex sees it.
pub(super) struct Around<'a>(pub(super) &'a mut Subject);

impl Surroundings for Around<'_> {
    fn memory(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.0.memory.read(address, buffer)
    }

    fn live_thread(&mut self, own_tid: u32) -> Option<Tid> {
        let Subject { tids, process, tasks, .. } = &mut *self.0;
        let tid = tids.resolve(own_tid, process, tasks)?;
        (!self.0.has_exited(tid)).then_some(tid)
    }

    fn stranger(&mut self, own_tid: u32, lock: SharedLock) -> Option<(Tid, OwnerPlace)> {
        // It may have begun since the threads were listed.
        let (now, _) = self.0.tasks.numbers(".", TIDS_MAX).ok()?;
        let now = own_numbers(&now, &self.0.process, &self.0.tasks);
        if now.get(&own_tid).is_some_and(|&tid| !self.0.has_exited(Tid(tid))) {
            return None;
        }
        strangers::place(self.0, own_tid, lock).map(|place| (Tid(own_tid), place))
    }
}
