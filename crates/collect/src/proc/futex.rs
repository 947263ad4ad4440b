//! What a thread in `futex(2)` waits for, told from the arguments and a few words of memory.
//!
//! A kernel futex is an address and nothing more; the owner of a lock is known only to the library
//! that made it. glibc keeps the owner's tid beside the futex word of a mutex, and of a rwlock that
//! is held for writing; the lock of a stdio stream points to the owner's descriptor; `pthread_join`
//! waits for a word that is the tid itself. Each shape is taken only if everything around the word
//! fits and the owner is a live thread, so that a lock of another kind is not given an owner:
//! condition variables, semaphores, and the locks of Rust, Go and Java have none to be read. An owner
//! that does not live is believed of the shapes that leave no doubt. Layouts: glibc 2.25 to 2.42, nptl,
//! sysdeps/nptl/bits/struct_mutex.h and struct_rwlock.h, 64-bit.

use halfopen_evidence::{CallTarget, OwnerBasis, OwnerPlace, SyncKind, Tid};

/// The arguments that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FutexCall {
    pub(super) address: u64,
    pub(super) op: u32,
    pub(super) value: u32,
}

/// What is around the call. Tids are those of the process's own pid namespace.
pub(super) trait Surroundings {
    /// Fills the buffer from the process's memory, or fails.
    fn memory(&self, address: u64, buffer: &mut [u8]) -> Option<()>;

    /// The thread of the process with this tid, if it is alive.
    fn live_thread(&mut self, own_tid: u32) -> Option<Tid>;

    /// What has become of the owner of a lock at this address that is no thread of the process. `None`
    /// if that cannot be told.
    fn stranger(&mut self, own_tid: u32, lock: SharedLock) -> Option<(Tid, OwnerPlace)>;
}

/// Whether other processes can hold a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SharedLock {
    /// Only threads of the process.
    No,
    /// Any process that has the memory at this address mapped.
    At(u64),
}

/// What the memory around a futex word says that it is.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: SyncKind,
    owner: u32,
    /// Whether the shape alone proves the kind, the owner being alive or not.
    proven: bool,
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

/// PID_MAX_LIMIT of a 64-bit kernel (include/linux/threads.h): no tid is as high.
const PID_MAX: u32 = 1 << 22;

/// Lock, thread or plain futex: what the call waits for.
pub(super) fn target(call: FutexCall, around: &mut impl Surroundings) -> CallTarget {
    let FutexCall { address, .. } = call;
    let shapes = shapes(call, around);
    let shapes = || shapes.into_iter().flatten();
    // More than one shape can fit the words; only one of them names a live thread.
    let live = |shape: Shape| Some((shape.kind, around.live_thread(shape.owner)?));
    if let Some((kind, owner)) = shapes().find_map(live) {
        let (basis, place) = (OwnerBasis::Lock, OwnerPlace::Here);
        return CallTarget::Lock { address, owner, kind, basis, place };
    }
    if let Some(tid) = joined_thread(call, around) {
        return CallTarget::ThreadExit { tid };
    }
    let lock = if call.is_private() { SharedLock::No } else { SharedLock::At(address) };
    let stranger = |shape: Shape| Some((shape.kind, around.stranger(shape.owner, lock)?));
    let proven = shapes().filter(|shape| shape.proven && (1..PID_MAX).contains(&shape.owner));
    match proven.into_iter().find_map(stranger) {
        Some((kind, (owner, place))) => {
            CallTarget::Lock { address, owner, kind, basis: OwnerBasis::Lock, place }
        }
        None => CallTarget::Futex { address, kind: SyncKind::Unknown },
    }
}

impl FutexCall {
    const fn is_private(self) -> bool {
        self.op & PRIVATE != 0
    }
}

/// Every shape that the words fit.
fn shapes(call: FutexCall, around: &impl Surroundings) -> [Option<Shape>; 4] {
    match call.op & !(PRIVATE | CLOCK_REALTIME) {
        LOCK_PI | LOCK_PI2 => [pi_mutex(call, around), None, None, None],
        WAIT | WAIT_BITSET => [
            mutex(call, around),
            robust_mutex(call, around),
            write_locked(call, around),
            stdio_lock(call, around),
        ],
        _ => [None; 4],
    }
}

/// `pthread_mutex_t` with priority inheritance: the word is the owner's tid. The kernel's own call for
/// such locks leaves no doubt.
fn pi_mutex(call: FutexCall, around: &impl Surroundings) -> Option<Shape> {
    let owner = word(around, call.address)? & TID_MASK;
    Some(Shape { kind: SyncKind::PiMutex, owner, proven: true })
}

/// `pthread_mutex_t`, normal, recursive, error-checking or adaptive: word 2 means that it is held
/// and others wait.
fn mutex(call: FutexCall, around: &impl Surroundings) -> Option<Shape> {
    let timed = WAIT_BITSET | CLOCK_REALTIME;
    let op = call.op & !PRIVATE;
    if call.value != 2 || !(op == WAIT || op == timed) {
        return None;
    }
    // Such a mutex is in no list.
    let [word, _count, owner, users, kind, _spins, list @ ..] = words::<10>(around, call.address)?;
    let fits = word == 2
        && users >= 1
        && kind & !KIND_BITS == 0
        && kind & KIND_ROBUST == 0
        && list == [0; 4]
        && (kind & KIND_SHARED == 0) == call.is_private();
    fits.then_some(Shape { kind: SyncKind::Mutex, owner, proven: users < PID_MAX })
}

/// A robust `pthread_mutex_t`, or musl's recursive and error-checking ones: the word is the owner's
/// tid, marked as waited for. The kernel takes robust ones from owners that end.
fn robust_mutex(call: FutexCall, around: &impl Surroundings) -> Option<Shape> {
    let owner = call.value & TID_MASK;
    if call.value != WAITERS | owner || word(around, call.address)? & TID_MASK != owner {
        return None;
    }
    let is_robust = || {
        let [.., kind] = words::<5>(around, call.address)?;
        Some(kind & !KIND_BITS == 0 && kind & KIND_ROBUST != 0)
    };
    let proven = is_robust() == Some(true);
    let fits = owner != MUSL_NORMAL || proven;
    fits.then_some(Shape { kind: SyncKind::RobustMutex, owner, proven })
}

/// A `pthread_rwlock_t` that is held for writing. A thread waits on its third word for the phase to
/// change, or on its fourth for another writer. Readers leave no name.
fn write_locked(call: FutexCall, around: &impl Surroundings) -> Option<Shape> {
    const WRITE_LOCKED: u32 = 2;
    if call.op & !PRIVATE != WAIT_BITSET | CLOCK_REALTIME || !matches!(call.value, 2 | 3) {
        return None;
    }
    let shared_expected = u32::from(!call.is_private());
    [8, 12].into_iter().find_map(|offset| {
        let base = call.address.checked_sub(offset)?;
        // readers, writers, wrphase_futex, writers_futex, pad3, pad4, cur_writer, shared,
        // rwelision and pads (4 words), flags
        let lock: [u32; 13] = words(around, base)?;
        let [readers, _, phase, writers, pad3, pad4, owner, shared, pads @ .., flags] = lock;
        let waited_for = if offset == 8 { phase } else { writers };
        let fits = readers & WRITE_LOCKED != 0
            && waited_for == call.value
            && shared == shared_expected
            && [pad3, pad4] == [0; 2]
            && pads == [0; 4]
            && flags <= 2;
        fits.then_some(Shape { kind: SyncKind::RwLock, owner, proven: true })
    })
}

/// The lock of a `FILE` (`_IO_lock_t`, sysdeps/nptl/stdio-lock.h): word, count, and the descriptor of
/// the thread that holds it.
///
/// Where in `struct pthread` the tid is differs between versions and machines, but not what follows
/// it (nptl/descr.h): the list of robust mutexes, whose second field the kernel was told as well and
/// which is always the same.
fn stdio_lock(call: FutexCall, around: &impl Surroundings) -> Option<Shape> {
    const WORDS: usize = 0x400 / 8;
    /// From the tid to `robust_head.futex_offset`, in 64-bit words.
    const TO_FUTEX_OFFSET: usize = 3;
    /// From `__list.__next` of a `pthread_mutex_t` back to its word.
    const FUTEX_OFFSET: [u32; 2] = [(-32_i32).cast_unsigned(), u32::MAX];
    if (call.op, call.value) != (WAIT | PRIVATE, 2) {
        return None;
    }
    let [word, _count, low, high] = words(around, call.address)?;
    let descriptor = u64::from(high) << 32 | u64::from(low);
    let words = words::<{ WORDS * 2 }>(around, descriptor).filter(|_| word == 2)?;
    let (longs, _) = words.as_chunks::<2>();
    let at = longs.iter().position(|&long| long == FUTEX_OFFSET)?.checked_sub(TO_FUTEX_OFFSET)?;
    let owner = longs.get(at)?[0];
    Some(Shape { kind: SyncKind::Stdio, owner, proven: false })
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
    use halfopen_evidence::{OwnerProcess, Pid};

    use super::*;

    const BASE: u64 = 0x7000;
    const OWNER: u32 = 830;
    /// No thread of the process.
    const STRANGER: u32 = 900;

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

        fn stranger(&mut self, own_tid: u32, lock: SharedLock) -> Option<(Tid, OwnerPlace)> {
            let place = match lock {
                SharedLock::No => OwnerPlace::Ended,
                SharedLock::At(_) => elsewhere(),
            };
            (own_tid == STRANGER).then_some((Tid(own_tid), place))
        }
    }

    fn elsewhere() -> OwnerPlace {
        OwnerPlace::Elsewhere(Box::new(OwnerProcess { pid: Pid(7), comm: "other".to_owned() }))
    }

    fn check(op: u32, value: u32, offset: u64, memory: &[u32], expected: Option<SyncKind>) {
        let call = FutexCall { address: BASE + offset, op, value };
        let address = call.address;
        let expected = match expected {
            Some(kind) => owned(address, OWNER, kind, OwnerPlace::Here),
            None => CallTarget::Futex { address, kind: SyncKind::Unknown },
        };
        assert_eq!(target(call, &mut Words(memory)), expected, "{call:x?} {memory:x?}");
    }

    fn owned(address: u64, owner: u32, kind: SyncKind, place: OwnerPlace) -> CallTarget {
        CallTarget::Lock { address, owner: Tid(owner), kind, basis: OwnerBasis::Lock, place }
    }

    /// A whole `pthread_mutex_t` that begins with these words.
    fn mutex<const N: usize>(words: [u32; N]) -> [u32; 10] {
        let mut mutex = [0; 10];
        mutex[..N].copy_from_slice(&words);
        mutex
    }

    #[test]
    fn a_held_pthread_mutex_names_its_owner() {
        for kind in [0, 1, 2, 3, 0x103] {
            check(0x80, 2, 0, &mutex([2, 0, OWNER, 1, kind]), Some(SyncKind::Mutex));
        }
        check(0x00, 2, 0, &mutex([2, 0, OWNER, 1, 0x80]), Some(SyncKind::Mutex));
        check(0x189, 2, 0, &mutex([2, 0, OWNER, 1, 0]), Some(SyncKind::Mutex));
    }

    #[test]
    fn an_owner_that_has_ended_or_lives_elsewhere_is_named_by_locks_that_prove_themselves() {
        let check = |op, value, memory: &[u32], expected: Option<(SyncKind, OwnerPlace)>| {
            let call = FutexCall { address: BASE, op, value };
            let expected = match expected {
                Some((kind, place)) => owned(BASE, STRANGER, kind, place),
                None => CallTarget::Futex { address: BASE, kind: SyncKind::Unknown },
            };
            assert_eq!(target(call, &mut Words(memory)), expected, "{call:x?} {memory:x?}");
        };
        let ended = |kind| Some((kind, OwnerPlace::Ended));
        let elsewhere = |kind| Some((kind, elsewhere()));
        check(0x80, 2, &mutex([2, 0, STRANGER, 1, 0]), ended(SyncKind::Mutex));
        check(0x00, 2, &mutex([2, 0, STRANGER, 1, 0x80]), elsewhere(SyncKind::Mutex));
        check(0x06, 0, &[WAITERS | STRANGER], elsewhere(SyncKind::PiMutex));
        let word = WAITERS | STRANGER;
        let robust = mutex([word, 0, STRANGER, 1, KIND_ROBUST | KIND_SHARED]);
        check(0x00, word, &robust, elsewhere(SyncKind::RobustMutex));
        check(0x80, word, &[word, 0, 0, 0, 0], None);
        check(0x80, 2, &mutex([2, 0, STRANGER, PID_MAX, 0]), None);
        check(0x80, 2, &mutex([2, 0, PID_MAX, 1, 0]), None);
    }

    #[test]
    fn the_lock_of_a_stream_points_to_its_owners_descriptor() {
        let descriptor_at = |tid_at: usize| {
            let mut memory = vec![0; 4 + 256];
            memory[..4].copy_from_slice(&[2, 1, u32::try_from(BASE).expect("low") + 16, 0]);
            memory[4 + tid_at] = OWNER;
            memory[4 + tid_at + 6..][..2].copy_from_slice(&[(-32_i32).cast_unsigned(), u32::MAX]);
            memory
        };
        for tid_at in [0, 0xd0 / 4, 0x2d0 / 4] {
            check(0x80, 2, 0, &descriptor_at(tid_at), Some(SyncKind::Stdio));
        }
        let memory = descriptor_at(0x2d0 / 4);
        check(0x189, 2, 0, &memory, None);
        check(0x80, 2, 0, &memory[..200], None);
        let mut without_list = memory;
        without_list[4 + 0x2d0 / 4 + 6] = 0;
        check(0x80, 2, 0, &without_list, None);
    }

    #[test]
    fn what_only_resembles_a_mutex_has_no_owner() {
        let held = mutex([2, 0, OWNER, 1, 0]);
        check(0x80, 1, 0, &held, None);
        check(0x89, 2, 0, &held, None);
        check(0x80, 2, 0, &held[..9], None);
        check(0x80, 2, 0, &mutex([1, 0, OWNER, 1, 0]), None);
        check(0x80, 2, 0, &mutex([2, 0, OWNER, 0, 0]), None);
        check(0x80, 2, 0, &mutex([2, 0, OWNER, 1, 0x400]), None);
        check(0x80, 2, 0, &mutex([2, 0, OWNER, 1, 0x80]), None);
        check(0x80, 2, 0, &mutex([2, 0, OWNER + 1, 1, 0]), None);
        check(0x80, 2, 0, &mutex([2, 0, OWNER, 1, 0, 0, 1]), None);
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
