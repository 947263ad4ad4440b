//! Work that may get stuck, with a deadline for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What the work made of each item before the time was over. Some threads share the work; those
/// that are still at it then are left behind: reading another process's memory can block for as long
/// as that process is stuck in the kernel.
pub fn in_time<K, T>(
    patience: Duration,
    workers: usize,
    items: &BTreeSet<K>,
    work: impl Fn(K) -> T + Send + Sync + 'static,
) -> BTreeMap<K, T>
where
    K: Copy + Ord + Send + 'static,
    T: Send + 'static,
{
    let deadline = Instant::now() + patience;
    let left = items.iter().rev().copied().collect();
    let bench = Arc::new(Bench { left: Mutex::new(left), made: Mutex::default(), work });
    // Nothing is sent: the end of the last worker is what is waited for.
    let (at_work, all_done) = mpsc::channel::<Infallible>();
    for _ in 0..items.len().min(workers) {
        let (bench, at_work) = (Arc::clone(&bench), at_work.clone());
        let work = move || {
            bench.work_until(deadline);
            drop(at_work);
        };
        // If there can be no more threads, the others do it.
        let _ = thread::Builder::new().name("reader".to_owned()).spawn(work);
    }
    drop(at_work);
    let _ = all_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    std::mem::take(&mut *lock(&bench.made))
}

/// What the workers share.
struct Bench<K, T, W> {
    left: Mutex<Vec<K>>,
    made: Mutex<BTreeMap<K, T>>,
    work: W,
}

impl<K: Copy + Ord, T, W: Fn(K) -> T> Bench<K, T, W> {
    fn work_until(&self, deadline: Instant) {
        let next = || lock(&self.left).pop();
        while Instant::now() < deadline
            && let Some(item) = next()
        {
            let made = (self.work)(item);
            lock(&self.made).insert(item, made);
        }
    }
}

/// What a worker that panicked has left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Pid;

    use super::*;

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let (hold, until) = mpsc::channel::<()>();
        let until = Mutex::new(until);
        let pids: BTreeSet<Pid> = (0..20).map(Pid).collect();
        let begun = Instant::now();
        let read = in_time(Duration::from_millis(300), 32, &pids, move |pid| {
            if pid.0 % 2 == 0 {
                let _ = until.lock().map(|until| until.recv());
            }
            pid.0
        });
        assert!(begun.elapsed() < Duration::from_secs(3), "one deadline for all");
        assert_eq!(read.into_values().collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        drop(hold);
    }

    #[test]
    fn more_items_than_workers_are_all_done() {
        let pids: BTreeSet<Pid> = (0..1000).map(Pid).collect();
        let read = in_time(Duration::from_secs(60), 32, &pids, |pid| pid);
        assert_eq!(read.into_values().collect::<BTreeSet<_>>(), pids);
    }
}
