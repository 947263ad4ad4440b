//! Work that may get stuck, with a deadline for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Others are called in when nothing was made for so long: those at work are stuck.
const STUCK: Duration = Duration::from_millis(50);

/// What the work made of each item before the time was over. As many threads share the work as there are
/// processors, since more would only keep others from running, whom this looks at; when they are stuck,
/// others come, up to so many `workers`. Those that are still at it in the end are left behind: reading
/// another process's memory can block for as long as that process is stuck in the kernel.
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
    let left: Vec<K> = items.iter().rev().copied().collect();
    let workers = workers.min(left.len());
    let at_once = thread::available_parallelism().map_or(1, NonZero::get).min(workers);
    let books = Mutex::new(Books { left, made: BTreeMap::new(), at_work: 0 });
    let bench = Arc::new(Bench { books, is_free: Condvar::new(), work });
    let mut hired = 0;
    let mut made_before = None;
    while Instant::now() < deadline {
        let (made, at_work, is_done) = bench.progress();
        if at_work == 0 && (is_done || hired == workers) {
            break;
        }
        if at_work == 0 || made_before == Some(made) {
            let more = at_once.min(workers - hired);
            (0..more).for_each(|_| Bench::hire(&bench, deadline));
            hired += more;
        }
        made_before = Some(made);
        bench.wait(STUCK.min(deadline.saturating_duration_since(Instant::now())));
    }
    std::mem::take(&mut bench.books().made)
}

/// What the workers share.
struct Bench<K, T, W> {
    books: Mutex<Books<K, T>>,
    /// Nobody is at work.
    is_free: Condvar,
    work: W,
}

struct Books<K, T> {
    left: Vec<K>,
    made: BTreeMap<K, T>,
    at_work: usize,
}

impl<K, T, W> Bench<K, T, W> {
    /// What a worker that panicked has left behind is whole.
    fn books(&self) -> MutexGuard<'_, Books<K, T>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much was made, how many are at work, and whether nothing is left for others.
    fn progress(&self) -> (usize, usize, bool) {
        let books = self.books();
        (books.made.len(), books.at_work, books.left.is_empty())
    }

    /// Waits until nobody is at work, for so long at most.
    fn wait(&self, patience: Duration) {
        let is_busy = |books: &mut Books<K, T>| books.at_work > 0;
        // How it ended shows in the books.
        drop(self.is_free.wait_timeout_while(self.books(), patience, is_busy));
    }
}

impl<K, T, W> Bench<K, T, W>
where
    K: Copy + Ord + Send + 'static,
    T: Send + 'static,
    W: Fn(K) -> T + Send + Sync + 'static,
{
    fn hire(bench: &Arc<Self>, deadline: Instant) {
        let shift = Shift::begin(bench);
        // If there can be no more threads, the others do it.
        let _ = thread::Builder::new().name("reader".to_owned()).spawn(move || {
            shift.0.work_until(deadline);
            drop(shift);
        });
    }

    fn work_until(&self, deadline: Instant) {
        let next = || self.books().left.pop();
        while Instant::now() < deadline
            && let Some(item) = next()
        {
            let made = (self.work)(item);
            self.books().made.insert(item, made);
        }
    }
}

/// A worker's time at the bench, which ends also if it panics or cannot begin.
struct Shift<K, T, W>(Arc<Bench<K, T, W>>);

impl<K, T, W> Shift<K, T, W> {
    fn begin(bench: &Arc<Bench<K, T, W>>) -> Self {
        bench.books().at_work += 1;
        Self(Arc::clone(bench))
    }
}

impl<K, T, W> Drop for Shift<K, T, W> {
    fn drop(&mut self) {
        let mut books = self.0.books();
        books.at_work -= 1;
        if books.at_work == 0 {
            self.0.is_free.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::Pid;

    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_that_does_not_end_is_left_behind() {
        let (hold, until) = mpsc::channel::<()>();
        let until = Mutex::new(until);
        let pids: BTreeSet<Pid> = (0..20).map(Pid).collect();
        let begun = Instant::now();
        let read = in_time(Duration::from_secs(2), 32, &pids, move |pid| {
            if pid.0 % 2 == 0 {
                let _ = until.lock().map(|until| until.recv());
            }
            pid.0
        });
        assert!(begun.elapsed() < Duration::from_secs(20), "one deadline for all");
        assert_eq!(read.into_values().collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        drop(hold);
    }

    #[test]
    fn nothing_to_do_takes_no_time_and_a_panic_costs_one_item() {
        let none = in_time(Duration::from_secs(60), 8, &BTreeSet::new(), |pid: Pid| pid);
        assert!(none.is_empty());
        let pids: BTreeSet<Pid> = (0..8).map(Pid).collect();
        let read = in_time(Duration::from_secs(60), 8, &pids, |pid| {
            assert_ne!(pid, Pid(0), "this is meant to happen");
            pid
        });
        assert_eq!(read.into_values().collect::<Vec<_>>(), (1..8).map(Pid).collect::<Vec<_>>());
    }

    #[test]
    fn more_items_than_workers_are_all_done() {
        let pids: BTreeSet<Pid> = (0..1000).map(Pid).collect();
        let read = in_time(Duration::from_secs(60), 32, &pids, |pid| pid);
        assert_eq!(read.into_values().collect::<BTreeSet<_>>(), pids);
    }
}
