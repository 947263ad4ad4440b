//! The lock of a server's process: a pthread mutex, which names its owner as the locks of most
//! servers do. Those of Rust's standard library do not.

use std::cell::UnsafeCell;

struct Lock(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a pthread mutex is made to be used by several threads at once, and nothing but the C
// library touches it.
unsafe impl Sync for Lock {}

static LOCK: Lock = Lock(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));

/// Waits for the process's lock, and never gives it back. A thread that holds it already waits for
/// itself.
pub(crate) fn hold() {
    // SAFETY: the mutex is initialised and static.
    let failed = unsafe { libc::pthread_mutex_lock(LOCK.0.get()) };
    assert_eq!(failed, 0, "a normal mutex can be waited for");
}
