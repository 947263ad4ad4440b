//! Who holds what in a thread dump.

use std::collections::BTreeMap;

use halfopen_evidence::{CallTarget, OwnerBasis, OwnerPlace, SyncKind, Tid};

use super::dump::{Dump, How, Wait};

/// The threads that hold objects, by the objects' addresses.
pub(super) struct Owners(BTreeMap<u64, Tid>);

impl Owners {
    /// What a dump says of it. An object that two threads are said to hold has no owner, nor one that
    /// is held by a thread whose name others have too.
    pub(super) fn of(dump: &Dump, tids: &BTreeMap<u32, Tid>) -> Self {
        let mut by_name: BTreeMap<&str, Option<Tid>> = BTreeMap::new();
        let mut owners: BTreeMap<u64, Option<Tid>> = BTreeMap::new();
        for thread in &dump.threads {
            let Some(&tid) = tids.get(&thread.tid) else { continue };
            by_name.entry(&thread.name).and_modify(|known| *known = None).or_insert(Some(tid));
            for &object in &thread.holds {
                owners.entry(object).and_modify(|known| *known = None).or_insert(Some(tid));
            }
        }
        for (&object, name) in &dump.deadlocked {
            let owner = by_name.get(&**name).copied().flatten();
            owners.entry(object).or_insert(owner);
        }
        Self(owners.into_iter().filter_map(|(object, owner)| Some((object, owner?))).collect())
    }

    /// What a thread waits for that waits so, and sits in a call on the futex at this address. `None`
    /// if that is nothing that can be named.
    pub(super) fn target(&self, wait: &Wait, futex: u64) -> Option<CallTarget> {
        let owner = wait.object.and_then(|object| self.0.get(&object)).copied();
        let kind = kind(wait, owner.is_some())?;
        if !kind.is_lock() {
            return Some(CallTarget::Futex { address: futex, kind });
        }
        let address = wait.object?;
        Some(match owner {
            Some(owner) => {
                let (basis, place) = (OwnerBasis::Runtime, OwnerPlace::Here);
                CallTarget::Lock { address, owner, kind, basis, place }
            }
            None => CallTarget::Futex { address, kind },
        })
    }
}

fn kind(wait: &Wait, is_owned: bool) -> Option<SyncKind> {
    let in_concurrent = wait.class.strip_prefix("java.util.concurrent.");
    match (wait.how, in_concurrent) {
        (How::Monitor, _) => Some(SyncKind::JavaMonitor),
        (How::Notify, _) => Some(SyncKind::Condition),
        (How::Park, _) if is_owned => Some(SyncKind::JavaLock),
        (How::Park, Some(class)) if class.ends_with("$ConditionObject") => {
            Some(SyncKind::Condition)
        }
        (How::Park, Some(class)) if class.starts_with("Semaphore$") => Some(SyncKind::Semaphore),
        // Held by readers, who leave no name.
        (How::Park, Some(class)) if class.starts_with("locks.") => Some(SyncKind::JavaLock),
        (How::Park, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::runtimes::java::dump::JavaThread;

    const FUTEX: u64 = 0x7f00;

    fn thread(name: &str, tid: u32, holds: &[u64]) -> JavaThread {
        let holds: BTreeSet<u64> = holds.iter().copied().collect();
        JavaThread { name: name.to_owned(), tid, holds, ..JavaThread::default() }
    }

    /// In a pid namespace that numbers threads otherwise.
    fn owners(threads: Vec<JavaThread>, deadlocked: &[(u64, &str)]) -> Owners {
        let tids = threads.iter().map(|thread| (thread.tid, Tid(thread.tid + 800))).collect();
        let deadlocked =
            deadlocked.iter().map(|&(object, name)| (object, name.to_owned())).collect();
        Owners::of(&Dump { threads, deadlocked }, &tids)
    }

    fn check(how: How, class: &str, object: Option<u64>, expected: Option<&CallTarget>) {
        let owners = owners(vec![thread("a", 1, &[0x10])], &[]);
        let wait = Wait { how, object, class: class.to_owned() };
        assert_eq!(owners.target(&wait, FUTEX).as_ref(), expected, "{wait:?}");
    }

    fn held(kind: SyncKind) -> CallTarget {
        let (owner, basis) = (Tid(801), OwnerBasis::Runtime);
        CallTarget::Lock { address: 0x10, owner, kind, basis, place: OwnerPlace::Here }
    }

    #[test]
    fn locks_have_the_address_of_their_object_and_the_owner_that_the_dump_tells() {
        check(How::Monitor, "X", Some(0x10), Some(&held(SyncKind::JavaMonitor)));
        check(How::Park, "my.Lock$Sync", Some(0x10), Some(&held(SyncKind::JavaLock)));
        let free = |kind| CallTarget::Futex { address: 0x20, kind };
        check(How::Monitor, "X", Some(0x20), Some(&free(SyncKind::JavaMonitor)));
        let readers = "java.util.concurrent.locks.ReentrantReadWriteLock$NonfairSync";
        check(How::Park, readers, Some(0x20), Some(&free(SyncKind::JavaLock)));
        check(How::Monitor, "X", None, None);
    }

    #[test]
    fn what_is_no_lock_keeps_the_address_of_its_futex() {
        let other = |kind| CallTarget::Futex { address: FUTEX, kind };
        check(How::Notify, "X", None, Some(&other(SyncKind::Condition)));
        let condition = "java.util.concurrent.locks.AbstractQueuedSynchronizer$ConditionObject";
        check(How::Park, condition, Some(0x20), Some(&other(SyncKind::Condition)));
        let semaphore = "java.util.concurrent.Semaphore$FairSync";
        check(How::Park, semaphore, Some(0x20), Some(&other(SyncKind::Semaphore)));
        check(How::Park, "java.util.concurrent.FutureTask", Some(0x20), None);
    }

    #[test]
    fn an_owner_that_is_in_doubt_is_none() {
        let two = vec![thread("a", 1, &[0x10]), thread("a", 2, &[0x10, 0x20])];
        let known = owners(two, &[(0x10, "a"), (0x30, "a"), (0x40, "nobody")]);
        assert_eq!(known.0, BTreeMap::from([(0x20, Tid(802))]));
        let native = owners(vec![thread("jni", 3, &[])], &[(0x30, "jni")]);
        assert_eq!(native.0, BTreeMap::from([(0x30, Tid(803))]), "told by the deadlock alone");
    }
}
