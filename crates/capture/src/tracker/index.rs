//! The way from a key to the number of its flow: open addressing with linear probing, eight bytes per
//! place. A place holds the hash beside the number, so that flows are looked at only when the hash fits,
//! and neither growing nor removing looks at any.

use crate::prefetch::prefetch;

/// No flow.
pub(super) const NONE: u32 = u32::MAX;

const EMPTY: u64 = u64::MAX;
const SMALLEST: usize = 1024;

/// The part of the places that may be taken. When seven of eight are, a search that finds nothing
/// looks at 32 of them; when five of eight are, at four (Knuth, 6.4, theorem K).
const FULL: (usize, usize) = (5, 8);

/// Numbers of flows by hash.
#[derive(Debug)]
pub(super) struct Index {
    places: Vec<u64>,
    used: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { places: vec![EMPTY; SMALLEST], used: 0 }
    }

    /// The flow with this hash that `is_it` knows.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let place = self.places[at];
            if place == EMPTY {
                return None;
            }
            if hash_of(place) == hash && is_it(flow_of(place)) {
                return Some(flow_of(place));
            }
            at = self.next(at);
        }
    }

    /// Asks for the memory where the search for a hash begins.
    #[inline]
    pub(super) fn fetch(&self, hash: u32) {
        prefetch(&self.places[self.home(hash)]);
    }

    /// Adds a flow that is not there.
    pub(super) fn insert(&mut self, hash: u32, flow: u32) {
        if (self.used + 1) * FULL.1 > self.places.len() * FULL.0 {
            self.grow();
        }
        self.put(place(hash, flow));
        self.used += 1;
    }

    /// Takes a flow out, and moves those behind it up that were pushed on by it.
    pub(super) fn remove(&mut self, hash: u32, flow: u32) {
        let wanted = place(hash, flow);
        let mut gap = self.home(hash);
        while self.places[gap] != wanted {
            if self.places[gap] == EMPTY {
                return;
            }
            gap = self.next(gap);
        }
        self.used -= 1;
        let mut at = self.next(gap);
        while self.places[at] != EMPTY {
            let home = self.home(hash_of(self.places[at]));
            if self.distance(home, at) >= self.distance(gap, at) {
                self.places[gap] = self.places[at];
                gap = at;
            }
            at = self.next(at);
        }
        self.places[gap] = EMPTY;
    }

    /// Every flow, in no order.
    pub(super) fn flows(&self) -> impl Iterator<Item = u32> + '_ {
        self.places.iter().filter(|&&place| place != EMPTY).map(|&place| flow_of(place))
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<u64>()
    }

    fn grow(&mut self) {
        let larger = vec![EMPTY; self.places.len() * 2];
        for place in std::mem::replace(&mut self.places, larger) {
            if place != EMPTY {
                self.put(place);
            }
        }
    }

    fn put(&mut self, place: u64) {
        let mut at = self.home(hash_of(place));
        while self.places[at] != EMPTY {
            at = self.next(at);
        }
        self.places[at] = place;
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }
}

const fn place(hash: u32, flow: u32) -> u64 {
    (hash as u64) << 32 | flow as u64
}

const fn hash_of(place: u64) -> u32 {
    (place >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is wanted")]
const fn flow_of(place: u64) -> u32 {
    place as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, so that most of them collide.
        #[test]
        fn an_index_agrees_with_a_map(steps in prop::collection::vec((any::<bool>(), 0_u32..3000), 0..6000)) {
            let mut index = Index::new();
            let mut map = HashMap::new();
            for (insert, flow) in steps {
                let hash = flow % 37 * 29;
                if insert && map.insert(flow, ()).is_none() {
                    index.insert(hash, flow);
                } else if !insert && map.remove(&flow).is_some() {
                    index.remove(hash, flow);
                }
                prop_assert_eq!(index.used, map.len());
            }
            for flow in 0..3000 {
                let found = index.find(flow % 37 * 29, |it| it == flow);
                prop_assert_eq!(found.is_some(), map.contains_key(&flow));
            }
        }
    }
}
