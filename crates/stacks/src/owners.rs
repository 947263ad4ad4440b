//! Owners of locks that do not name them.
//!
//! The locks of Rust's std and of parking_lot hold a few bits of state and no owner. But who holds one
//! has a guard, and the guard is the lock's address: the owner has that address in a frame of a function
//! that has not returned. It is taken for the owner if no other thread has. What speaks against it:
//!
//! - a function that has given the lock back may have left the address in its frame, as may one that
//!   only has a reference to the lock (an `Arc` points before it). Two such threads, and nobody is named.
//! - a thread that waits for a condition variable has the address of its mutex, and does not hold it. The
//!   address is in the frames of the waiting itself then.
//! - an owner may run and have no copy of its stack. As long as the stack of any thread is not known
//!   whole, nobody is named.
//! - an owner may have the address in a register that no function has saved, or, of a lock that is a
//!   static, in its code. Then nobody is named, or a thread of the first kind.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{
    Activity, Call, CallTarget, OwnerBasis, OwnerPlace, StackEnd, SyncKind, Thread, Tid,
};

use crate::copy::ThreadCopy;
use crate::waiting::{self, LockAt, Parked, Way};
use crate::walk::Walk;

/// How far from its futex word a thread of parking_lot has the address of the lock that it waits for
/// (`ThreadData`, parking_lot_core/src/parking_lot.rs), in bytes.
const BESIDE: u64 = 64;

/// A thread whose stack was copied and unwound.
pub(crate) struct Seen<'a> {
    copy: &'a ThreadCopy,
    /// Where the frames of the functions that have not returned end.
    end: u64,
    is_whole: bool,
    way: Option<Way>,
    /// Where the frames end whose locks were given back to wait.
    given_back_to: u64,
}

impl<'a> Seen<'a> {
    /// `functions` names the functions at an address.
    pub(crate) fn new<'n, F: IntoIterator<Item = &'n str>>(
        copy: &'a ThreadCopy,
        walk: &Walk,
        functions: impl Fn(u64) -> F,
    ) -> Self {
        let found = waiting::way(walk.addresses.iter().map(|&address| functions(address)));
        let gives_back = |&(_, way): &(usize, Way)| way.lock == LockAt::GivenBack;
        let end_of = |(frame, _): (usize, Way)| walk.frame_ends.get(frame).copied();
        let unknown = copy.sp.saturating_add(copy.bytes.len() as u64);
        let end = match walk.end {
            StackEnd::Root => walk.frame_ends.last().copied().unwrap_or(unknown),
            StackEnd::Lost | StackEnd::Cut => unknown,
        };
        Self {
            copy,
            end,
            is_whole: walk.end == StackEnd::Root || !copy.is_cut,
            way: found.map(|(_, way)| way),
            given_back_to: found.filter(gives_back).and_then(end_of).unwrap_or(copy.sp),
        }
    }
}

/// A lock whose address is in a variable beside a futex word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beside {
    futex: u64,
    parked: Parked,
}

impl Beside {
    /// Where the lock may be. `word` is the 64-bit word at an address of the process's memory.
    pub(crate) fn locks(self, word: impl Fn(u64) -> Option<u64>) -> BTreeSet<u64> {
        let first = (self.futex & !7).saturating_sub(BESIDE);
        let variables = (first..=first.saturating_add(2 * BESIDE)).step_by(8);
        variables
            .filter_map(&word)
            .filter_map(|pointer| self.parked.lock(pointer, word(pointer & !1)?))
            .collect()
    }
}

/// What has to be read of the process's memory before [`refine`].
pub(crate) fn wanted(threads: &[Thread], seen: &BTreeMap<Tid, Seen<'_>>) -> BTreeMap<Tid, Beside> {
    let beside = |thread: &Thread| match waiting(thread, seen)? {
        (futex, Way { lock: LockAt::Beside(parked), .. }) => {
            Some((thread.tid, Beside { futex, parked }))
        }
        _ => None,
    };
    threads.iter().filter_map(beside).collect()
}

/// What threads wait for, where their stacks tell more than [`Thread::activity`] does. `beside` has the
/// locks that were [`wanted`]. Of the threads that were `omitted` nothing is known.
pub(crate) fn refine(
    threads: &[Thread],
    omitted: u32,
    seen: &BTreeMap<Tid, Seen<'_>>,
    beside: &BTreeMap<Tid, BTreeSet<u64>>,
) -> BTreeMap<Tid, CallTarget> {
    let waiter = |thread: &Thread| {
        let (address, Way { kind, lock }) = waiting(thread, seen)?;
        let locks = match lock {
            LockAt::Nowhere | LockAt::GivenBack => BTreeSet::new(),
            LockAt::Before(bytes) => address.checked_sub(bytes).into_iter().collect(),
            LockAt::Beside(_) => beside.get(&thread.tid).cloned().unwrap_or_default(),
        };
        Some((thread.tid, Waiter { address, kind, locks }))
    };
    let waiters: BTreeMap<Tid, Waiter> = threads.iter().filter_map(waiter).collect();
    let locks: BTreeSet<u64> = waiters.values().flat_map(|waiter| &waiter.locks).copied().collect();
    let is_seen = |thread: &Thread| seen.get(&thread.tid).is_some_and(|seen| seen.is_whole);
    let all_seen = omitted == 0 && threads.iter().all(is_seen);
    let holders = if all_seen { holders(&locks, seen, &waiters) } else { BTreeMap::new() };
    waiters.into_iter().map(|(tid, waiter)| (tid, waiter.target(&holders))).collect()
}

/// The futex without an owner that a thread waits for, and in which way it waits.
fn waiting(thread: &Thread, seen: &BTreeMap<Tid, Seen<'_>>) -> Option<(u64, Way)> {
    let Activity::Blocked(Call { target, .. }) = thread.activity.get()? else { return None };
    let &CallTarget::Futex { address, kind: SyncKind::Unknown } = target else { return None };
    Some((address, seen.get(&thread.tid)?.way?))
}

/// A thread that waits for a futex without an owner, in a way that is known.
struct Waiter {
    address: u64,
    kind: SyncKind,
    /// Where the lock may be.
    locks: BTreeSet<u64>,
}

/// Per lock, the threads that have its address.
type Holders = BTreeMap<u64, BTreeSet<Tid>>;

impl Waiter {
    fn target(self, holders: &Holders) -> CallTarget {
        let Self { address, kind, locks } = self;
        let held =
            |&lock: &u64| holders.get(&lock).into_iter().flatten().map(move |&owner| (lock, owner));
        let mut owners = locks.iter().flat_map(held);
        match (owners.next(), owners.next()) {
            (Some((address, owner)), None) => {
                let (basis, place) = (OwnerBasis::Stack, OwnerPlace::Here);
                CallTarget::Lock { address, owner, kind, basis, place }
            }
            _ => CallTarget::Futex { address, kind },
        }
    }
}

/// Who has the addresses of these locks on its stack and neither waits for the lock nor has given it
/// back to wait for a condition.
fn holders(
    locks: &BTreeSet<u64>,
    seen: &BTreeMap<Tid, Seen<'_>>,
    waiters: &BTreeMap<Tid, Waiter>,
) -> Holders {
    let mut holders = Holders::new();
    for (&tid, thread) in seen {
        let mut given_back = BTreeSet::new();
        for (at, word) in thread.copy.words().take_while(|&(at, _)| at < thread.end) {
            if !locks.contains(&word) {
                continue;
            }
            if at < thread.given_back_to {
                given_back.insert(word);
            } else if !given_back.contains(&word)
                && waiters.get(&tid).is_none_or(|waiter| !waiter.locks.contains(&word))
            {
                holders.entry(word).or_default().insert(tid);
            }
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{Reading, Tid};

    use super::*;

    const LOCK: u64 = 0x5000;
    const SP: u64 = 0x7000;

    /// A thread: its tid, the function it waits in, the futex that it waits for, its stack.
    #[derive(Clone, Copy)]
    struct Case<'a>(u32, &'a str, Option<u64>, &'a [u64]);

    fn thread(case: Case<'_>) -> Thread {
        let target = match case.2 {
            Some(address) => CallTarget::Futex { address, kind: SyncKind::Unknown },
            None => CallTarget::Time,
        };
        Thread {
            tid: Tid(case.0),
            name: "t".to_owned(),
            state: 'S',
            wchan: Reading::not_collected(),
            activity: Reading::Known(Activity::Blocked(Call { name: "futex".to_owned(), target })),
            waits: Reading::not_collected(),
            sched: Reading::not_collected(),
            place: None,
            kernel: Reading::not_collected(),
            samples: Reading::not_collected(),
            managed: Reading::not_collected(),
            stack: Reading::not_collected(),
        }
    }

    /// Two frames: the waiting, of two words, and the rest.
    fn look(cases: &[Case<'_>], memory: impl Fn(u64) -> Option<u64>) -> BTreeMap<Tid, CallTarget> {
        let threads: Vec<Thread> = cases.iter().copied().map(thread).collect();
        let copy = |case: &Case<'_>| {
            let bytes = case.3.iter().flat_map(|word| word.to_ne_bytes()).collect();
            ThreadCopy::in_call(u64::from(case.0), SP, bytes)
        };
        let copies: Vec<ThreadCopy> = cases.iter().map(copy).collect();
        let end = |case: &Case<'_>| SP + 8 * case.3.len() as u64;
        let walk = |case: &Case<'_>| Walk {
            addresses: vec![0, 1, 2],
            frame_ends: vec![SP + 16, end(case)],
            end: StackEnd::Root,
        };
        let named = |case: &Case<'_>, copy| {
            let name = case.1;
            let functions = |address: u64| (address == 0).then_some(name);
            (Tid(case.0), Seen::new(copy, &walk(case), functions))
        };
        let seen = cases.iter().zip(&copies).map(|(case, copy)| named(case, copy)).collect();
        let wanted = wanted(&threads, &seen).into_iter();
        let beside = wanted.map(|(tid, beside)| (tid, beside.locks(&memory))).collect();
        refine(&threads, 0, &seen, &beside)
    }

    const MUTEX: &str = "std::sys::sync::mutex::futex::Mutex::lock_contended";
    const CONDVAR: &str = "std::sys::sync::condvar::futex::Condvar::wait";

    fn owner(found: &BTreeMap<Tid, CallTarget>, tid: u32) -> Option<(u64, u32)> {
        match found.get(&Tid(tid))? {
            CallTarget::Lock { address, owner, basis: OwnerBasis::Stack, .. } => {
                Some((*address, owner.0))
            }
            _ => None,
        }
    }

    fn check(cases: &[Case<'_>], expected: Option<u32>) {
        let found = look(cases, |_| None);
        assert_eq!(owner(&found, cases[0].0), expected.map(|tid| (LOCK, tid)), "{found:x?}");
    }

    const WAITER: Case<'_> = Case(1, MUTEX, Some(LOCK), &[0, LOCK, 0, LOCK]);

    #[test]
    fn the_only_other_thread_with_the_address_of_a_lock_is_its_owner() {
        check(&[WAITER, Case(2, "sleep", None, &[0, 0, LOCK, 0])], Some(2));
        let other_waiter = Case(3, MUTEX, Some(LOCK), &[0, 0, LOCK, 0]);
        check(&[WAITER, Case(2, "sleep", None, &[0, 0, 0, LOCK]), other_waiter], Some(2));
    }

    #[test]
    fn two_threads_with_the_address_or_none_leave_the_owner_open() {
        let holder = Case(2, "sleep", None, &[0, 0, LOCK, 0]);
        check(&[WAITER, holder, Case(3, "read", None, &[0, 0, LOCK, 0])], None);
        check(&[WAITER], None);
        check(&[WAITER, Case(2, "sleep", None, &[0, 0, LOCK + 16, 0])], None);
    }

    #[test]
    fn a_thread_that_gave_the_lock_back_to_wait_for_a_condition_does_not_hold_it() {
        let waits = Case(2, CONDVAR, Some(0x9000), &[0, LOCK, 0, LOCK]);
        check(&[WAITER, waits], None);
        check(&[WAITER, waits, Case(3, "sleep", None, &[0, 0, LOCK, 0])], Some(3));
        let holds_another = Case(2, CONDVAR, Some(0x9000), &[0, 0x6000, LOCK, 0]);
        check(&[WAITER, holds_another], Some(2));
    }

    #[test]
    fn nobody_is_named_while_a_thread_may_hold_the_lock_unseen() {
        let cases = [WAITER, Case(2, "sleep", None, &[0, 0, LOCK, 0])];
        let mut threads: Vec<Thread> = cases.iter().copied().map(thread).collect();
        threads.push(thread(Case(3, "", None, &[])));
        let copy = ThreadCopy::in_call(0, SP, LOCK.to_ne_bytes().to_vec());
        let walk = Walk { addresses: vec![0], frame_ends: vec![], end: StackEnd::Lost };
        let seen = |tid: u32| (Tid(tid), Seen::new(&copy, &walk, |_| [MUTEX]));
        let seen = BTreeMap::from([1, 2].map(seen));
        let expected = CallTarget::Futex { address: LOCK, kind: SyncKind::RustMutex };
        for (threads, omitted) in [(&threads[..], 0), (&threads[..2], 1)] {
            let found = refine(threads, omitted, &seen, &BTreeMap::new());
            assert_eq!(found, BTreeMap::from([(Tid(1), expected.clone())]));
        }
    }

    #[test]
    fn a_lock_of_parking_lot_is_found_beside_the_futex() {
        const SLOW: &str = "parking_lot::raw_mutex::RawMutex::lock_slow";
        let memory = |address: u64| match address {
            0x9028 => Some(LOCK),
            0x9030 => Some(0x6000),
            LOCK => Some(3),
            _ => None,
        };
        let waiter = Case(1, SLOW, Some(0x9004), &[0, LOCK, LOCK, 0]);
        let holder = Case(2, "sleep", None, &[0, 0, LOCK, 0]);
        assert_eq!(owner(&look(&[waiter, holder], memory), 1), Some((LOCK, 2)));
        let far = Case(1, SLOW, Some(0x9104), &[]);
        assert_eq!(owner(&look(&[far, holder], memory), 1), None);
    }

    #[test]
    fn kinds_without_owner_are_told() {
        let found = look(&[Case(1, "pthread_cond_wait", Some(LOCK), &[])], |_| None);
        let expected = CallTarget::Futex { address: LOCK, kind: SyncKind::Condition };
        assert_eq!(found, BTreeMap::from([(Tid(1), expected)]));
        assert!(look(&[Case(1, "main", Some(LOCK), &[])], |_| None).is_empty());
    }
}
