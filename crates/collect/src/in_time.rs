//! Work that may get stuck, with a deadline for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
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
    let (sender, receiver) = mpsc::channel();
    let queue: Vec<K> = items.iter().rev().copied().collect();
    let shared = Arc::new((Mutex::new(queue), work));
    for _ in 0..items.len().min(workers) {
        let (shared, sender) = (Arc::clone(&shared), sender.clone());
        let read = move || {
            let (queue, work) = &*shared;
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while Instant::now() < deadline
                && let Some(item) = next()
            {
                // Nobody listens any more if it took too long.
                let _ = sender.send((item, work(item)));
            }
        };
        // If there can be no more threads, the others do it.
        let _ = thread::Builder::new().name("reader".to_owned()).spawn(read);
    }
    drop(sender);
    let left = || deadline.saturating_duration_since(Instant::now());
    std::iter::from_fn(|| receiver.recv_timeout(left()).ok()).collect()
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
