//! Handshakes that one point has told and the other has not yet, found by their ends or by the client's
//! initial sequence number, which NAT leaves alone.

use std::collections::HashMap;

use super::crossing::Half;
use super::trace::{Ends, ends};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    halves: HashMap<u64, Half>,
    by_ends: HashMap<Ends, Vec<u64>>,
    by_isn: HashMap<u32, Vec<u64>>,
}

impl Waiting {
    pub(super) fn add(&mut self, number: u64, half: Half) {
        self.by_ends.entry(ends_of(&half)).or_default().push(number);
        if let Some(isn) = isn_of(&half) {
            self.by_isn.entry(isn).or_default().push(number);
        }
        self.halves.insert(number, half);
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Half> {
        let half = self.halves.remove(&number)?;
        forget(&mut self.by_ends, &ends_of(&half), number);
        if let Some(isn) = isn_of(&half) {
            forget(&mut self.by_isn, &isn, number);
        }
        Some(half)
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.halves.contains_key(&number)
    }

    /// The first that has the same ends or the same number of the client, and is right.
    pub(super) fn find(&self, like: &Half, is_right: impl Fn(&Half) -> bool) -> Option<u64> {
        let by_ends = self.by_ends.get(&ends_of(like)).into_iter().flatten();
        let by_isn = isn_of(like).and_then(|isn| self.by_isn.get(&isn)).into_iter().flatten();
        let mut candidates = by_ends.chain(by_isn);
        candidates.find(|number| self.halves.get(number).is_some_and(&is_right)).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.halves.len()
    }
}

fn ends_of(half: &Half) -> Ends {
    ends(half.handshake.client, half.handshake.server)
}

fn isn_of(half: &Half) -> Option<u32> {
    half.trace.as_ref().map(|trace| trace.client_isn)
}

fn forget<K: Eq + std::hash::Hash>(index: &mut HashMap<K, Vec<u64>>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.retain(|it| *it != number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}
