//! The way from a key's hash to the number of its value: open addressing with linear probing, eight bytes
//! per place. A place holds the hash beside the number, so that values are looked at only when the hash
//! fits, and neither growing nor removing looks at any. And it can be asked for memory ahead of a search,
//! which the standard library's map cannot.

use crate::prefetch;

const EMPTY: u64 = u64::MAX;
const SMALLEST: usize = 16;

/// The part of the places that may be taken. When seven of eight are, a search that finds nothing
/// looks at 32 of them; when five of eight are, at four (Knuth, 6.4, theorem K).
const FULL: (usize, usize) = (5, 8);

/// Numbers by hash. See the module's text.
#[derive(Clone, Debug)]
pub struct Index {
    places: Vec<u64>,
    used: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { places: vec![EMPTY; SMALLEST], used: 0 }
    }
}

impl Index {
    /// The number with this hash that `is_it` knows.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let place = self.places[at];
            if place == EMPTY {
                return None;
            }
            if hash_of(place) == hash && is_it(number_of(place)) {
                return Some(number_of(place));
            }
            at = self.next(at);
        }
    }

    /// Asks for the memory where the search for a hash begins.
    #[inline]
    pub fn fetch(&self, hash: u32) {
        prefetch(&self.places[self.home(hash)]);
    }

    /// Adds a number that is not there.
    pub fn insert(&mut self, hash: u32, number: u32) {
        if (self.used + 1) * FULL.1 > self.places.len() * FULL.0 {
            self.grow();
        }
        self.put(place(hash, number));
        self.used += 1;
    }

    /// Takes a number out, and moves those behind it up that were pushed on by it.
    pub fn remove(&mut self, hash: u32, number: u32) {
        let wanted = place(hash, number);
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

    /// Takes all out.
    pub fn clear(&mut self) {
        self.places.fill(EMPTY);
        self.used = 0;
    }

    /// Every number, in no order.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.places.iter().filter(|&&place| place != EMPTY).map(|&place| number_of(place))
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
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

const fn place(hash: u32, number: u32) -> u64 {
    (hash as u64) << 32 | number as u64
}

const fn hash_of(place: u64) -> u32 {
    (place >> 32) as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is wanted")]
const fn number_of(place: u64) -> u32 {
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
            let mut index = Index::default();
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
