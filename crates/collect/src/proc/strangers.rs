//! Owners of locks that are no thread of the process which waits.

use halfopen_evidence::{Missing, OwnerPlace, OwnerProcess, Pid};

use super::dir::Dir;
use super::futex::SharedLock;
use super::parse::{self, Mapping};
use super::subject::{Subject, shares_our_numbers};

/// Mappings of another process that are looked through.
const MAPPINGS_MAX: usize = 1 << 16;

/// What has become of the owner of a lock, who is no thread of the process. `None` if that cannot be
/// told: who shares memory across pid namespaces leaves numbers that mean different threads.
pub(super) fn place(subject: &Subject, own_tid: u32, lock: SharedLock) -> Option<OwnerPlace> {
    match lock {
        SharedLock::No => Some(OwnerPlace::Ended),
        SharedLock::At(_) if !shares_our_numbers(&subject.process) => None,
        SharedLock::At(address) => match elsewhere(subject, own_tid, address) {
            Ok(place) => Some(place),
            Err(Missing::Vanished) => Some(OwnerPlace::Ended),
            Err(_) => None,
        },
    }
}

/// A thread with this tid, if it shares the memory; the tid of one that has ended may be another's now.
fn elsewhere(subject: &Subject, tid: u32, address: u64) -> Result<OwnerPlace, Missing> {
    // Threads other than the first of a process are not listed there, but can be opened.
    let task = subject.root.process(Pid(tid))?;
    let file = |mapping: &Mapping| (mapping.device, mapping.inode);
    let lock = mapping(&subject.task, |mapping| (mapping.start..mapping.end).contains(&address))?;
    let Some(lock) = lock.as_ref().map(file).filter(|&(_, inode)| inode != 0) else {
        return Err(Missing::unreadable("what is mapped at the lock"));
    };
    if mapping(&task, |mapping| file(mapping) == lock)?.is_none() {
        return Ok(OwnerPlace::Ended);
    }
    let stat = task.parse("stat", parse::stat)?;
    if stat.has_exited() {
        return Ok(OwnerPlace::Ended);
    }
    let pid = task.parse("status", |text| parse::status(text).process)?;
    let process = subject.root.process(Pid(pid))?.parse("stat", parse::stat)?;
    Ok(OwnerPlace::Elsewhere(Box::new(OwnerProcess { pid: Pid(pid), comm: process.comm })))
}

/// The first mapping of a process that is wanted.
fn mapping(task: &Dir, wanted: impl Fn(&Mapping) -> bool) -> Result<Option<Mapping>, Missing> {
    let mut seen = 0;
    let mut found = None;
    task.lines("maps", |line| {
        seen += 1;
        if found.is_none() && seen <= MAPPINGS_MAX {
            found = parse::mapping(line).filter(&wanted);
        }
    })?;
    Ok(found)
}
