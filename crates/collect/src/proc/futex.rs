//! What a thread in `futex(2)` waits for, told from the arguments and a few words of memory.
//!
//! A kernel futex is an address and nothing more; the owner of a lock is known only to the library
//! that made it. glibc keeps the owner's tid beside the futex word of a mutex, and of a rwlock that
//! is held for writing; `pthread_join` waits for a word that is the tid itself. Each shape is taken
//! only if everything around the word fits and the owner is a live thread of the same process, so
//! that a lock of another kind is not given an owner: condition variables, semaphores, and the
//! locks of Rust, Go and Java have none to be read. Layouts: glibc 2.25 to 2.42, nptl,
//! sysdeps/nptl/bits/struct_mutex.h and struct_rwlock.h, 64-bit.

use halfopen_evidence::{CallTarget, OwnerBasis, SyncKind, Tid};

/// The arguments that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FutexCall {
    pub(super) address: u64,
    pub(super) op: u32,
    pub(super) value: u32,
}

/// What is around the call.
pub(super) trait Surroundings {
    /// Fills the buffer from the process's memory, or fails.
    fn memory(&self, address: u64, buffer: &mut [u8]) -> Option<()>;

    /// The thread of the process with this tid in its own pid namespace, if it is alive.
    fn live_thread(&mut self, own_tid: u32) -> Option<Tid>;
}

const WAIT: u32 = 0;
const LOCK_PI: u32 = 6;
const WAIT_BITSET: u32 = 9;
const LOCK_PI2: u32 = 13;
const PRIVATE: u32 = 0x80;
const CLOCK_REALTIME: u32 = 0x100;

/// In the word of a robust or PI mutex: the owner, and that others wait.
const TID_MASK: u32 = 0x3fff_ffff;
const WAITERS: u32 = 0x8000_0000;

/// `__kind` of a mutex: robust, shared between processes, and every bit that it can have.
const KIND_ROBUST: u32 = 0x10;
const KIND_SHARED: u32 = 0x80;
const KIND_BITS: u32 = 0x3ff;

/// The word of a musl mutex that is not recursive: EBUSY in place of a tid.
const MUSL_NORMAL: u32 = 0x10;

/// Lock, thread or plain futex: what the call waits for.
pub(super) fn target(call: FutexCall, around: &mut impl Surroundings) -> CallTarget {
    let FutexCall { address, .. } = call;
    const NONE: (SyncKind, Option<u32>) = (SyncKind::Unknown, None);
    // More than one shape can fit the words; only one of them names a live thread.
    let owners = match call.op & !(PRIVATE | CLOCK_REALTIME) {
        LOCK_PI | LOCK_PI2 => {
            [(SyncKind::PiMutex, word(around, address).map(|word| word & TID_MASK)), NONE, NONE]
        }
        WAIT | WAIT_BITSET => [
            (SyncKind::Mutex, mutex_owner(call, around)),
            (SyncKind::RobustMutex, robust_owner(call, around)),
            (SyncKind::RwLock, rwlock_writer(call, around)),
        ],
        _ => [NONE; 3],
    };
    let live = |(kind, owner): (SyncKind, Option<u32>)| Some((kind, around.live_thread(owner?)?));
    if let Some((kind, owner)) = owners.into_iter().find_map(live) {
        return CallTarget::Lock { address, owner, kind, basis: OwnerBasis::Lock };
    }
    match joined_thread(call, around) {
        Some(tid) => CallTarget::ThreadExit { tid },
        None => CallTarget::Futex { address, kind: SyncKind::Unknown },
    }
}

/// `pthread_mutex_t`, normal, recursive, error-checking or adaptive: word 2 means that it is held
/// and others wait.
fn mutex_owner(call: FutexCall, around: &impl Surroundings) -> Option<u32> {
    let timed = WAIT_BITSET | CLOCK_REALTIME;
    let op = call.op & !PRIVATE;
    if call.value != 2 || !(op == WAIT || op == timed) {
        return None;
    }
    let [word, _count, owner, users, kind] = words(around, call.address)?;
    let shared = kind & KIND_SHARED != 0;
    let fits = word == 2 && users >= 1 && kind & !KIND_BITS == 0 && kind & KIND_ROBUST == 0;
    (fits && shared == (call.op & PRIVATE == 0)).then_some(owner)
}

/// A robust `pthread_mutex_t`, or musl's recursive and error-checking ones: the word is the owner's
/// tid, marked as waited for.
fn robust_owner(call: FutexCall, around: &impl Surroundings) -> Option<u32> {
    let owner = call.value & TID_MASK;
    if call.value != WAITERS | owner || word(around, call.address)? & TID_MASK != owner {
        return None;
    }
    let robust = || {
        let [.., kind] = words::<5>(around, call.address)?;
        Some(kind & !KIND_BITS == 0 && kind & KIND_ROBUST != 0)
    };
    (owner != MUSL_NORMAL || robust() == Some(true)).then_some(owner)
}

/// A `pthread_rwlock_t` that is held for writing. A thread waits on its third word for the phase to
/// change, or on its fourth for another writer. Readers leave no name.
fn rwlock_writer(call: FutexCall, around: &impl Surroundings) -> Option<u32> {
    const WRITE_LOCKED: u32 = 2;
    if call.op & !PRIVATE != WAIT_BITSET | CLOCK_REALTIME || !matches!(call.value, 2 | 3) {
        return None;
    }
    let shared_expected = u32::from(call.op & PRIVATE == 0);
    [8, 12].into_iter().find_map(|offset| {
        let base = call.address.checked_sub(offset)?;
        // readers, writers, wrphase_futex, writers_futex, pad3, pad4, cur_writer, shared,
        // rwelision and pads (4 words), flags
        let lock: [u32; 13] = words(around, base)?;
        let [readers, _, phase, writers, _, _, writer, shared, .., flags] = lock;
        let waited_for = if offset == 8 { phase } else { writers };
        let fits = readers & WRITE_LOCKED != 0
            && waited_for == call.value
            && shared == shared_expected
            && flags <= 2;
        fits.then_some(writer)
    })
}

/// `pthread_join`: the kernel clears the tid in the thread's descriptor when the thread is gone.
/// glibc waits with the clock bit since 2.31 and without it before.
fn joined_thread(call: FutexCall, around: &mut impl Surroundings) -> Option<Tid> {
    let join = [WAIT_BITSET | CLOCK_REALTIME, WAIT];
    if !join.contains(&call.op) || word(around, call.address)? != call.value {
        return None;
    }
    around.live_thread(call.value)
}

fn word(around: &impl Surroundings, address: u64) -> Option<u32> {
    words::<1>(around, address).map(|[word]| word)
}

/// The 32-bit words from this address on.
fn words<const N: usize>(around: &impl Surroundings, address: u64) -> Option<[u32; N]> {
    let mut bytes = [[0; 4]; N];
    around.memory(address, bytes.as_flattened_mut())?;
    Some(bytes.map(u32::from_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x7000;
    const OWNER: u32 = 830;

    struct Words<'a>(&'a [u32]);

    impl Surroundings for Words<'_> {
        fn memory(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
            let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
            let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
            buffer.copy_from_slice(bytes.get(start..start + buffer.len())?);
            Some(())
        }

        fn live_thread(&mut self, own_tid: u32) -> Option<Tid> {
            matches!(own_tid, OWNER | MUSL_NORMAL).then_some(Tid(own_tid))
        }
    }

    fn check(op: u32, value: u32, offset: u64, memory: &[u32], expected: Option<SyncKind>) {
        let call = FutexCall { address: BASE + offset, op, value };
        let address = call.address;
        let expected = match expected {
            Some(kind) => {
                CallTarget::Lock { address, owner: Tid(OWNER), kind, basis: OwnerBasis::Lock }
            }
            None => CallTarget::Futex { address, kind: SyncKind::Unknown },
        };
        assert_eq!(target(call, &mut Words(memory)), expected, "{call:x?} {memory:x?}");
    }

    #[test]
    fn a_held_pthread_mutex_names_its_owner() {
        for kind in [0, 1, 2, 3, 0x103] {
            check(0x80, 2, 0, &[2, 0, OWNER, 1, kind], Some(SyncKind::Mutex));
        }
        check(0x00, 2, 0, &[2, 0, OWNER, 1, 0x80], Some(SyncKind::Mutex));
        check(0x189, 2, 0, &[2, 0, OWNER, 1, 0], Some(SyncKind::Mutex));
    }

    #[test]
    fn what_only_resembles_a_mutex_has_no_owner() {
        let held = [2, 0, OWNER, 1, 0];
        check(0x80, 1, 0, &held, None);
        check(0x89, 2, 0, &held, None);
        check(0x80, 2, 0, &held[..4], None);
        check(0x80, 2, 0, &[1, 0, OWNER, 1, 0], None);
        check(0x80, 2, 0, &[2, 0, OWNER, 0, 0], None);
        check(0x80, 2, 0, &[2, 0, OWNER, 1, 0x400], None);
        check(0x80, 2, 0, &[2, 0, OWNER, 1, 0x80], None);
        check(0x80, 2, 0, &[2, 0, OWNER + 1, 1, 0], None);
    }

    #[test]
    fn robust_and_pi_mutexes_hold_the_owner_in_their_word() {
        let word = WAITERS | OWNER;
        check(0x80, word, 0, &[word, 0, OWNER, 1, KIND_ROBUST], Some(SyncKind::RobustMutex));
        check(0x80, word, 0, &[word], Some(SyncKind::RobustMutex));
        check(0x86, 0, 0, &[word], Some(SyncKind::PiMutex));
        check(0x8d, 0, 0, &[OWNER], Some(SyncKind::PiMutex));
        check(0x80, u32::MAX, 0, &[u32::MAX], None);
        check(0x80, WAITERS | MUSL_NORMAL, 0, &[WAITERS | MUSL_NORMAL, 1, 0, 0, 0], None);
    }

    #[test]
    fn a_rwlock_held_for_writing_names_its_writer() {
        let mut lock = [2 | 1, 0, 3, 2, 0, 0, OWNER, 0, 0, 0, 0, 0, 0];
        check(0x189, 3, 8, &lock, Some(SyncKind::RwLock));
        check(0x189, 2, 12, &lock, Some(SyncKind::RwLock));
        check(0x109, 2, 12, &lock, None);
        lock[0] = 8;
        check(0x189, 2, 12, &lock, None);
    }

    #[test]
    fn a_condition_variable_before_a_mutex_is_no_rwlock() {
        // g_signals of the condition variable at words 10 and 11, the mutex behind it at word 12.
        let mut memory = [0; 40];
        memory[8] = 2;
        memory[10] = 2;
        memory[12..17].copy_from_slice(&[1, 0, OWNER, 1, 0]);
        check(0x189, 2, 40, &memory, None);
    }

    #[test]
    fn a_join_waits_for_a_live_thread_to_end() {
        for op in [0x109, 0x00] {
            let call = FutexCall { address: BASE, op, value: OWNER };
            let expected = CallTarget::ThreadExit { tid: Tid(OWNER) };
            assert_eq!(target(call, &mut Words(&[OWNER])), expected);
        }
        check(0x109, OWNER, 0, &[0], None);
        check(0x109, OWNER + 1, 0, &[OWNER + 1], None);
        check(0x189, OWNER, 0, &[OWNER], None);
    }

    #[test]
    fn addresses_at_the_ends_of_memory_are_harmless() {
        for address in [0, 1, u64::MAX - 1, u64::MAX] {
            for (op, value) in [(0x189, 3), (0x80, 2), (0x86, 0), (0x109, OWNER)] {
                let call = FutexCall { address, op, value };
                let plain = CallTarget::Futex { address, kind: SyncKind::Unknown };
                assert_eq!(target(call, &mut Words(&[])), plain);
            }
        }
    }
}
