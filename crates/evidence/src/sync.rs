//! Locks and other things that threads make each other wait by.

use serde::{Deserialize, Serialize};

use crate::Pid;

/// What a futex is part of, as far as its memory, its callers or its runtime tell.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum SyncKind {
    /// Not told.
    #[default]
    Unknown,
    /// `pthread_mutex_t`: normal, recursive, error-checking or adaptive.
    Mutex,
    /// `pthread_mutex_t`, robust; or a musl mutex that keeps its owner.
    RobustMutex,
    /// `pthread_mutex_t` with priority inheritance.
    PiMutex,
    /// `pthread_rwlock_t`.
    RwLock,
    /// The lock of a `FILE`.
    Stdio,
    /// `pthread_cond_t`, `Object.wait` of Java: who waits for it waits for work.
    Condition,
    /// `sem_t`, `java.util.concurrent.Semaphore`.
    Semaphore,
    /// `std::sync::Mutex` of Rust.
    RustMutex,
    /// `std::sync::RwLock` of Rust.
    RustRwLock,
    /// `std::sync::Condvar` of Rust, or a parked thread: it waits for work.
    RustPark,
    /// A lock of Rust's parking_lot.
    ParkingLot,
    /// A monitor of a Java object (`synchronized`).
    JavaMonitor,
    /// A lock of `java.util.concurrent`.
    JavaLock,
}

/// How the owner of a lock is known.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerBasis {
    /// The lock itself names it. Certain.
    #[default]
    Lock,
    /// The language's runtime names it. Certain.
    Runtime,
    /// It is the only other thread that has the lock's address on its stack. Probable: a guard holds
    /// that address, but who has given the lock back may have left it there.
    Stack,
}

/// The process of an owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnerProcess {
    /// Its pid.
    pub pid: Pid,
    /// Its name. Untrusted.
    pub comm: String,
}

/// Where the owner of a lock is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerPlace {
    /// It is a live thread of the process that waits.
    #[default]
    Here,
    /// It is a thread of another process, which has the memory of the lock mapped too.
    Elsewhere(Box<OwnerProcess>),
    /// It has ended without giving the lock back: nobody will. Its tid is that of its own pid
    /// namespace.
    Ended,
}

impl OwnerPlace {
    /// Whether it is a live thread of the process that waits.
    #[must_use]
    pub const fn is_here(&self) -> bool {
        matches!(self, Self::Here)
    }
}

impl SyncKind {
    /// With its article: `a mutex`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unknown => "a lock",
            Self::Mutex => "a mutex",
            Self::RobustMutex => "a robust mutex",
            Self::PiMutex => "a mutex with priority inheritance",
            Self::RwLock => "a rwlock",
            Self::Stdio => "the lock of a stdio stream",
            Self::Condition => "a condition variable",
            Self::Semaphore => "a semaphore",
            Self::RustMutex => "a Rust mutex",
            Self::RustRwLock => "a Rust rwlock",
            Self::RustPark => "work (a Rust condition variable or a parked thread)",
            Self::ParkingLot => "a parking_lot lock",
            Self::JavaMonitor => "a Java monitor",
            Self::JavaLock => "a java.util.concurrent lock",
        }
    }

    /// Whether it is held by somebody while others wait for it.
    #[must_use]
    pub const fn is_lock(self) -> bool {
        !matches!(self, Self::Unknown | Self::Condition | Self::Semaphore | Self::RustPark)
    }
}
