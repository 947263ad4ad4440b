//! The locks of a server's process: pthread mutexes, which name their owners as the locks of most
//! servers do. Those of Rust's standard library do not.

use std::cell::UnsafeCell;
use std::collections::BTreeMap;

use halfopen_scenario::ThreadPlan;

/// A lock, in a place of its own: a mutex that was used must not be moved.
struct Lock(Box<UnsafeCell<libc::pthread_mutex_t>>);

// SAFETY: a pthread mutex is made to be used by several threads at once, and nothing but the C
// library touches it.
unsafe impl Send for Lock {}
// SAFETY: as above.
unsafe impl Sync for Lock {}

/// The locks of a process, by name.
#[derive(Default)]
pub(crate) struct Locks(BTreeMap<String, Lock>);

impl Locks {
    /// Those that the threads of a process hold.
    pub(crate) fn of(threads: &[ThreadPlan]) -> Self {
        let names = threads.iter().filter_map(|thread| thread.holds.clone());
        let lock = || Lock(Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)));
        Self(names.map(|name| (name, lock())).collect())
    }

    /// Waits for a lock, and never gives it back. A thread that holds it already waits for itself. A
    /// lock that nobody holds is one that the scenario does not have.
    pub(crate) fn take(&self, name: &str) {
        let Some(Lock(mutex)) = self.0.get(name) else { return };
        // SAFETY: the mutex is initialised, and stays where it is as long as this value lives.
        let failed = unsafe { libc::pthread_mutex_lock(mutex.get()) };
        assert_eq!(failed, 0, "a normal mutex can be waited for");
    }
}
