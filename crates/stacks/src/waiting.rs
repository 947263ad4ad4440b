//! What a futex is part of, told by the functions that a thread waits in.
//!
//! None of them calls code of the program while it waits, so the innermost one counts.

use halfopen_evidence::SyncKind;

/// Frames that are looked at: builds without optimisation have many small ones.
const FRAMES_MAX: usize = 24;

/// A way to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) kind: SyncKind,
    pub(crate) lock: LockAt,
}

/// Where the lock is whose owner is to be found by the stacks of other threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockAt {
    /// There is none: what is waited for has no owner, or it would be in memory.
    Nowhere,
    /// There was one: the mutex of a condition, given back by the very functions that wait.
    GivenBack,
    /// So many bytes before the futex word.
    Before(u64),
    /// In a variable beside the futex word.
    Beside(Parked),
}

/// The state that a lock of parking_lot shows while threads wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    /// parking_lot/src/raw_mutex.rs, LOCKED_BIT and PARKED_BIT.
    Mutex,
    /// parking_lot/src/raw_rwlock.rs, PARKED_BIT; or WRITER_PARKED_BIT, for a writer that has the lock
    /// and waits for readers by the address after it.
    RwLock,
}

impl Parked {
    /// The lock, if the pointer beside the futex is to one whose word is `state`.
    pub(crate) fn lock(self, pointer: u64, state: u64) -> Option<u64> {
        let lock = pointer & !1;
        let is_parked = match self {
            Self::Mutex => pointer == lock && state & 0xff == 0b11,
            Self::RwLock if pointer == lock => state & 0b01 != 0,
            Self::RwLock => state & 0b10 != 0,
        };
        is_parked.then_some(lock)
    }
}

/// The way to wait that the innermost of these functions is, and at which frame. `frames` has the
/// functions of each frame.
pub(crate) fn way<'n, F: IntoIterator<Item = &'n str>>(
    frames: impl IntoIterator<Item = F>,
) -> Option<(usize, Way)> {
    let functions_of = |functions: F| functions.into_iter().find_map(of_function);
    let ways = frames.into_iter().take(FRAMES_MAX).map(functions_of);
    ways.enumerate().find_map(|(frame, way)| Some((frame, way?)))
}

fn of_function(name: &str) -> Option<Way> {
    let plain = name.trim_start_matches(['<', '_']);
    if plain.starts_with("std::") {
        of_rust_std(plain)
    } else if plain.starts_with("parking_lot::") {
        of_parking_lot(plain)
    } else {
        of_libc(plain)
    }
}

/// Rust's std on Linux (library/std/src/sys/sync, since 1.62; the modules were named otherwise at
/// first).
fn of_rust_std(name: &str) -> Option<Way> {
    let way = |kind, lock| Some(Way { kind, lock });
    match last_two(name)? {
        ("Mutex", "lock_contended") => way(SyncKind::RustMutex, LockAt::Before(0)),
        // Readers wait on the first word of the lock, writers on the second.
        ("RwLock", "read_contended") => way(SyncKind::RustRwLock, LockAt::Before(0)),
        ("RwLock", "write_contended") => way(SyncKind::RustRwLock, LockAt::Before(4)),
        ("Condvar", _) => way(SyncKind::RustPark, LockAt::GivenBack),
        (_, "park" | "park_timeout") => way(SyncKind::RustPark, LockAt::Nowhere),
        _ => None,
    }
}

/// parking_lot 0.11 and 0.12.
fn of_parking_lot(name: &str) -> Option<Way> {
    let locked = |parked| Some(Way { kind: SyncKind::ParkingLot, lock: LockAt::Beside(parked) });
    match last_two(name)? {
        ("RawMutex", "lock_slow") => locked(Parked::Mutex),
        ("RawRwLock", _) => locked(Parked::RwLock),
        ("Condvar", _) => Some(Way { kind: SyncKind::RustPark, lock: LockAt::GivenBack }),
        _ => None,
    }
}

/// Exported functions of C libraries. Where a mutex or a rwlock names its owner, its memory has told
/// so before.
fn of_libc(name: &str) -> Option<Way> {
    // The compiler names copies of a function that it made `NAME.constprop.0`.
    let (name, _) = name.split_once('.').unwrap_or((name, ""));
    let kind = match name {
        "pthread_cond_wait" | "pthread_cond_timedwait" | "pthread_cond_clockwait" => {
            SyncKind::Condition
        }
        // The slow path is jumped to, and not exported.
        "sem_wait" | "new_sem_wait" | "new_sem_wait_slow64" | "sem_timedwait" | "sem_clockwait" => {
            SyncKind::Semaphore
        }
        "pthread_mutex_lock" | "pthread_mutex_timedlock" | "pthread_mutex_clocklock" => {
            SyncKind::Mutex
        }
        "pthread_rwlock_rdlock"
        | "pthread_rwlock_wrlock"
        | "pthread_rwlock_timedrdlock"
        | "pthread_rwlock_timedwrlock"
        | "pthread_rwlock_clockrdlock"
        | "pthread_rwlock_clockwrlock" => SyncKind::RwLock,
        _ => return None,
    };
    Some(Way { kind, lock: LockAt::Nowhere })
}

/// Type and method: of `<std::sync::Mutex>::lock` as of `std::sync::Mutex::lock`.
fn last_two(name: &str) -> Option<(&str, &str)> {
    let (path, method) = name.rsplit_once("::")?;
    let (_, owner) = path.rsplit_once("::")?;
    Some((owner.trim_end_matches('>'), method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<(SyncKind, LockAt)>) {
        let expected = expected.map(|(kind, lock)| Way { kind, lock });
        assert_eq!(of_function(name), expected, "{name}");
    }

    #[test]
    fn functions_that_wait_tell_what_for() {
        let mutex = Some((SyncKind::RustMutex, LockAt::Before(0)));
        check("<std::sys::sync::mutex::futex::Mutex>::lock_contended", mutex);
        check("std::sys::sync::mutex::futex::Mutex::lock_contended", mutex);
        check("std::sys_common::mutex::Mutex::lock", None);
        let writer = Some((SyncKind::RustRwLock, LockAt::Before(4)));
        check("std::sys::sync::rwlock::futex::RwLock::write_contended", writer);
        let condition = Some((SyncKind::RustPark, LockAt::GivenBack));
        check("<std::sys::sync::condvar::futex::Condvar>::wait_timeout", condition);
        check("std::thread::functions::park", Some((SyncKind::RustPark, LockAt::Nowhere)));
        let slow = Some((SyncKind::ParkingLot, LockAt::Beside(Parked::Mutex)));
        check("parking_lot::raw_mutex::RawMutex::lock_slow", slow);
        check("parking_lot_core::parking_lot::park", None);
        check("___pthread_cond_wait", Some((SyncKind::Condition, LockAt::Nowhere)));
        let semaphore = Some((SyncKind::Semaphore, LockAt::Nowhere));
        check("__new_sem_wait_slow64.constprop.0", semaphore);
        check("pthread_mutex_lock", Some((SyncKind::Mutex, LockAt::Nowhere)));
        check("app::Mutex::lock_contended", None);
        check("std::", None);
    }

    #[test]
    fn the_innermost_function_that_waits_counts() {
        let frames = [vec!["syscall"], vec![], vec!["sem_wait"], vec!["pthread_mutex_lock"]];
        let (frame, way) = way(frames).expect("a way to wait");
        assert_eq!((frame, way.kind), (2, SyncKind::Semaphore));
        assert_eq!(super::way([["main"]]), None);
    }

    #[test]
    fn a_lock_of_parking_lot_is_known_by_its_state() {
        assert_eq!(Parked::Mutex.lock(0x1000, 0xff03), Some(0x1000));
        assert_eq!(Parked::Mutex.lock(0x1000, 1), None);
        assert_eq!(Parked::Mutex.lock(0x1001, 3), None);
        assert_eq!(Parked::RwLock.lock(0x1000, 0b1001), Some(0x1000));
        assert_eq!(Parked::RwLock.lock(0x1001, 0b1010), Some(0x1000));
        assert_eq!(Parked::RwLock.lock(0x1001, 0b1001), None);
    }
}
