//! Work on many items, shared among a few threads that all end before it does.
//!
//! Whoever must answer in time calls it under [`crate::in_time`](fn@crate::in_time): a thread that is
//! stuck holds up the whole.

use std::num::NonZero;
use std::thread;

/// Threads at most. The kernel's own locks let few more be of use.
const THREADS_MAX: usize = 4;

/// Items for which a thread is worth its while.
const ITEMS_MIN: usize = 64;

/// What the work made of each item, in their order.
pub(super) fn shared<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let most = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let share = items.len().div_ceil(most).max(ITEMS_MIN);
    let mut shares = items.chunks(share);
    let own = shares.next().unwrap_or_default();
    thread::scope(|scope| {
        let helpers: Vec<_> = shares
            .map(|share| {
                let do_it = || share.iter().map(&work).collect::<Vec<R>>();
                let name = thread::Builder::new().name("reader".to_owned());
                (share, name.spawn_scoped(scope, do_it))
            })
            .collect();
        let mut made: Vec<R> = own.iter().map(&work).collect();
        for (share, helper) in helpers {
            match helper.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(part)) => made.extend(part),
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                // There can be no more threads.
                Err(_) => made.extend(share.iter().map(&work)),
            }
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_its_place() {
        for length in [0, 1, ITEMS_MIN, ITEMS_MIN + 1, 1000] {
            let items: Vec<usize> = (0..length).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 3).collect();
            assert_eq!(shared(&items, |item| item * 3), expected);
        }
    }
}
