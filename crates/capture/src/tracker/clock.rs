//! When flows are looked at again: a ring of lists, one for each second or so of the capture's time.
//! Each flow is in one list and is looked at every sixteen seconds, whatever happens on it, so that a
//! packet costs the clock nothing.

use super::index::NONE;
use super::store::Flows;

const LISTS: usize = 16;
const LIST_BITS: u32 = 30;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Clock {
    heads: [u32; LISTS],
    now: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { heads: [NONE; LISTS], now: i64::MIN >> LIST_BITS }
    }

    /// Adds a flow to the list that comes up last.
    pub(super) fn add(&mut self, flows: &mut Flows, flow: u32) {
        let list = list_of(self.now.wrapping_sub(1));
        flows.at(flow).link = self.heads[list];
        self.heads[list] = flow;
    }

    /// Whether a time lies in another list than the time before.
    #[inline]
    pub(super) const fn is_due(&self, time_ns: i64) -> bool {
        time_ns >> LIST_BITS > self.now
    }

    /// Goes on to a time, and gives the first flows of the lists that came up.
    pub(super) fn advance(&mut self, time_ns: i64) -> Due {
        let then = time_ns >> LIST_BITS;
        let passed = usize::try_from(then.saturating_sub(self.now)).unwrap_or(LISTS).min(LISTS);
        let first = then.saturating_sub(i64::try_from(passed).unwrap_or(0)).saturating_add(1);
        self.now = then;
        let mut due = Due { heads: [NONE; LISTS], count: passed };
        for (place, list) in due.heads[..passed].iter_mut().zip(first..) {
            *place = std::mem::replace(&mut self.heads[list_of(list)], NONE);
        }
        due
    }

    /// Takes out up to so many flows, those that come up first.
    pub(super) fn take_some(&mut self, flows: &Flows, most: usize) -> Vec<u32> {
        let mut taken = Vec::with_capacity(most);
        for ahead in 1..=16 {
            let head = &mut self.heads[list_of(self.now.wrapping_add(ahead))];
            while *head != NONE && taken.len() < most {
                taken.push(*head);
                *head = flows.get(*head).link;
            }
        }
        taken
    }
}

/// The first flows of lists that came up.
#[derive(Debug)]
pub(super) struct Due {
    heads: [u32; LISTS],
    count: usize,
}

impl Due {
    pub(super) fn heads(&self) -> &[u32] {
        &self.heads[..self.count]
    }
}

fn list_of(second: i64) -> usize {
    usize::try_from(second.rem_euclid(16)).unwrap_or(0)
}
