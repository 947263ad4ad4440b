//! Things that fall due, earliest first, and among equals in the order in which they were put in.
//!
//! Nearly everything in the model is due after one of a few delays: a time-out and its doublings, a
//! link's latency. What has the same delay falls due in the order in which it was put in, so each
//! delay has a plain queue, and nothing is ever sorted. Only when delays become many does a heap
//! take the rest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::{Span, Time};

/// Delays with a queue of their own.
const CLASSES: usize = 24;

/// Values by the time at which they are due.
#[derive(Clone, Debug)]
pub struct TimerQueue<T> {
    classes: Vec<Class<T>>,
    others: BinaryHeap<Reverse<Due<T>>>,
    put_in: u64,
    /// What comes first; it is asked for more often than anything is put in.
    first: Option<First>,
}

/// When something is due, the order in which it was put in, and its class; none for the heap.
type First = (Time, u64, Option<usize>);

#[derive(Clone, Debug)]
struct Class<T> {
    delay: Span,
    queue: VecDeque<Due<T>>,
}

#[derive(Clone, Debug)]
struct Due<T> {
    at: Time,
    order: u64,
    value: T,
}

impl<T> TimerQueue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { classes: Vec::new(), others: BinaryHeap::new(), put_in: 0, first: None }
    }

    /// Puts in a value that is due `delay` after `now`. `now` must not go backwards.
    pub fn put(&mut self, now: Time, delay: Span, value: T) {
        let due = self.due(now, delay, value);
        let (at, order) = (due.at, due.order);
        let class = if let Some(class) = self.classes.iter().position(|c| c.delay == delay) {
            self.classes[class].queue.push_back(due);
            Some(class)
        } else if self.classes.len() < CLASSES {
            self.classes.push(Class { delay, queue: VecDeque::from([due]) });
            Some(self.classes.len() - 1)
        } else if let Some(class) = self.classes.iter().position(|c| c.queue.is_empty()) {
            self.classes[class].delay = delay;
            self.classes[class].queue.push_back(due);
            Some(class)
        } else {
            self.others.push(Reverse(due));
            None
        };
        self.note_first(at, order, class);
    }

    /// Puts in a value whose delay is no usual one: it gets no queue of its own.
    pub fn put_once(&mut self, now: Time, delay: Span, value: T) {
        let due = self.due(now, delay, value);
        self.note_first(due.at, due.order, None);
        self.others.push(Reverse(due));
    }

    fn due(&mut self, now: Time, delay: Span, value: T) -> Due<T> {
        self.put_in += 1;
        Due { at: now + delay, order: self.put_in, value }
    }

    /// What was just put in comes after everything else of its time.
    fn note_first(&mut self, at: Time, order: u64, class: Option<usize>) {
        if self.first.is_none_or(|(first, ..)| at < first) {
            self.first = Some((at, order, class));
        }
    }

    /// When the next value is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Time> {
        self.first.map(|(at, ..)| at)
    }

    /// The next value and when it was due, if that is not after `now`.
    pub fn take_due(&mut self, now: Time) -> Option<(Time, T)> {
        let (at, _, class) = self.first?;
        if at > now {
            return None;
        }
        let due = match class {
            Some(class) => self.classes[class].queue.pop_front()?,
            None => self.others.pop()?.0,
        };
        self.first = self.earliest();
        Some((due.at, due.value))
    }

    /// Drops values at the front that are not wanted any more.
    pub fn forget_while(&mut self, mut is_stale: impl FnMut(Time, &T) -> bool) {
        let mut any = false;
        for class in &mut self.classes {
            while class.queue.front().is_some_and(|due| is_stale(due.at, &due.value)) {
                class.queue.pop_front();
                any = true;
            }
        }
        while self.others.peek().is_some_and(|due| is_stale(due.0.at, &due.0.value)) {
            self.others.pop();
            any = true;
        }
        if any {
            self.first = self.earliest();
        }
    }

    /// The front of the class that comes first; `None` is the heap.
    fn earliest(&self) -> Option<First> {
        let mut first: Option<First> = self.others.peek().map(|due| (due.0.at, due.0.order, None));
        for (index, class) in self.classes.iter().enumerate() {
            if let Some(due) = class.queue.front()
                && first.is_none_or(|(at, order, _)| (due.at, due.order) < (at, order))
            {
                first = Some((due.at, due.order, Some(index)));
            }
        }
        first
    }
}

impl<T> Default for TimerQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_by_time_and_then_by_order_with_few_delays_and_with_many() {
        for delays in [3_u64, 200] {
            let mut queue = TimerQueue::new();
            let mut expected = Vec::new();
            for number in 0..1000_u64 {
                let now = Time::from_micros(number / 7);
                let delay = Span::from_micros(number * 7919 % delays);
                if number % 5 == 0 {
                    queue.put_once(now, delay, number);
                } else {
                    queue.put(now, delay, number);
                }
                expected.push((now + delay, number));
            }
            expected.sort_unstable();
            let mut taken = Vec::new();
            while let Some(value) = queue.take_due(Time::NEVER) {
                taken.push(value);
            }
            assert_eq!(taken, expected, "{delays} delays");
        }
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let mut queue = TimerQueue::new();
        queue.put(Time::ZERO, Span::from_secs(1), 'a');
        assert_eq!(queue.take_due(Time::from_micros(999_999)), None);
        assert_eq!(queue.next_at(), Some(Time::from_micros(1_000_000)));
        queue.forget_while(|_, value| *value == 'a');
        assert_eq!(queue.next_at(), None);
    }
}
