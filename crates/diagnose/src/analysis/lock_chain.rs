//! Who holds the lock that a thread waits for, and what that one waits for in turn.

use halfopen_evidence::{Activity, Call, CallTarget, Process, Thread, Tid};

use super::serving::{Doing, ThreadName};

/// Longer chains than this are cut.
const LONGEST: usize = 16;

/// From a thread that waits for a lock to whoever stands at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockChain {
    /// The owner of the lock, then the owner of the lock that that one waits for, and so on.
    pub owners: Vec<Doing>,
    /// How it ends.
    pub end: ChainEnd,
}

/// How a chain of lock owners ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainEnd {
    /// With the last owner, which waits for no lock.
    Owner,
    /// It comes back to a thread of the chain.
    Cycle(Tid),
    /// With a thread that is not one of the process: it has ended, or lives in another process.
    Stranger(Tid),
    /// It goes on; it was cut.
    Cut,
}

impl LockChain {
    /// Follows the lock that a thread waits for, if it waits for one whose owner is known.
    #[must_use]
    pub fn of(process: &Process, thread: &Thread) -> Option<Self> {
        let threads = process.threads.get()?;
        let mut next = lock_owner(thread)?;
        let mut met = vec![thread.tid];
        let mut owners = Vec::new();
        let end = loop {
            if met.contains(&next) {
                break ChainEnd::Cycle(next);
            }
            let Some(owner) = threads.iter().find(|thread| thread.tid == next) else {
                break ChainEnd::Stranger(next);
            };
            if owners.len() == LONGEST {
                break ChainEnd::Cut;
            }
            met.push(owner.tid);
            owners.push(Doing::of(process, owner));
            match lock_owner(owner) {
                Some(owner) => next = owner,
                None => break ChainEnd::Owner,
            }
        };
        Some(Self { owners, end })
    }

    /// What names the end of the chain: chains with the same root are one trouble.
    #[must_use]
    pub fn root(&self, first: &ThreadName) -> Tid {
        let mut owners = self.owners.iter().map(|owner| owner.thread.tid);
        match self.end {
            ChainEnd::Stranger(tid) => tid,
            ChainEnd::Cycle(back) => {
                let members: Vec<Tid> = std::iter::once(first.tid).chain(owners).collect();
                let start = members.iter().position(|&tid| tid == back).unwrap_or(0);
                members.iter().skip(start).copied().min().unwrap_or(back)
            }
            ChainEnd::Owner | ChainEnd::Cut => owners.next_back().unwrap_or(first.tid),
        }
    }
}

fn lock_owner(thread: &Thread) -> Option<Tid> {
    match thread.activity.get()? {
        Activity::Blocked(Call { target: CallTarget::Lock { owner, .. }, .. }) => Some(*owner),
        Activity::Blocked(_) | Activity::Running => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{in_lock, on_descriptor, process, thread};

    fn check(threads: Vec<Thread>, owners: &[u32], end: ChainEnd, root: u32) {
        let process = process(1, threads);
        let first = &process.threads.get().expect("threads")[0];
        let chain = LockChain::of(&process, first).expect("a chain");
        let tids: Vec<u32> = chain.owners.iter().map(|owner| owner.thread.tid.0).collect();
        assert_eq!((tids.as_slice(), chain.end), (owners, end));
        assert_eq!(chain.root(&ThreadName::of(&process, first)), Tid(root));
    }

    #[test]
    fn chains_end_with_an_owner_a_cycle_or_a_stranger() {
        let connects = on_descriptor("connect", 9, "socket 10.0.0.5:41022 -> 10.0.0.7:3306");
        check(
            vec![thread(10, "a", in_lock(11)), thread(11, "b", connects)],
            &[11],
            ChainEnd::Owner,
            11,
        );
        check(
            vec![thread(12, "a", in_lock(11)), thread(11, "b", in_lock(12))],
            &[11],
            ChainEnd::Cycle(Tid(12)),
            11,
        );
        check(
            vec![
                thread(10, "a", in_lock(12)),
                thread(11, "b", in_lock(12)),
                thread(12, "c", in_lock(11)),
            ],
            &[12, 11],
            ChainEnd::Cycle(Tid(12)),
            11,
        );
        check(vec![thread(10, "a", in_lock(10))], &[], ChainEnd::Cycle(Tid(10)), 10);
        check(vec![thread(10, "a", in_lock(99))], &[], ChainEnd::Stranger(Tid(99)), 99);
    }

    #[test]
    fn a_long_chain_is_cut() {
        let threads: Vec<Thread> = (10..60).map(|tid| thread(tid, "t", in_lock(tid + 1))).collect();
        let process = process(1, threads);
        let first = &process.threads.get().expect("threads")[0];
        let chain = LockChain::of(&process, first).expect("a chain");
        assert_eq!((chain.owners.len(), chain.end), (LONGEST, ChainEnd::Cut));
    }
}
