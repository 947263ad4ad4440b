//! When flows are looked at again: a ring of lists, one for each second or so of the capture's time.
//! Each flow is in one list and is looked at every sixteen seconds, whatever happens on it, so that a
//! packet costs the clock nothing. Lists hold numbers and are not linked through the flows: so the
//! flows of a list can be fetched from memory side by side, and not one after the other.

const LISTS: usize = 16;
const LIST_BITS: u32 = 30;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Clock {
    lists: [Vec<u32>; LISTS],
    now: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { lists: Default::default(), now: i64::MIN >> LIST_BITS }
    }

    /// Adds a flow to the list that comes up last.
    pub(super) fn add(&mut self, flow: u32) {
        self.lists[list_of(self.now.wrapping_sub(1))].push(flow);
    }

    /// Whether a time lies in another list than the time before.
    #[inline]
    pub(super) const fn is_due(&self, time_ns: i64) -> bool {
        time_ns >> LIST_BITS > self.now
    }

    /// Goes on to a time, and gives the lists that came up.
    pub(super) fn advance(&mut self, time_ns: i64) -> Vec<Vec<u32>> {
        let then = time_ns >> LIST_BITS;
        let passed = self.now.max(then - 16) + 1..=then;
        self.now = then;
        passed.map(|second| std::mem::take(&mut self.lists[list_of(second)])).collect()
    }

    /// Takes out up to so many flows, those that come up first.
    pub(super) fn take_some(&mut self, most: usize) -> Vec<u32> {
        let mut taken = Vec::with_capacity(most);
        for ahead in 1..=16 {
            let list = &mut self.lists[list_of(self.now.wrapping_add(ahead))];
            let left = list.len().saturating_sub(most - taken.len());
            taken.extend(list.drain(left..).rev());
        }
        taken
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.lists.iter().map(|list| list.capacity() * size_of::<u32>()).sum()
    }
}

fn list_of(second: i64) -> usize {
    usize::try_from(second.rem_euclid(16)).unwrap_or(0)
}
