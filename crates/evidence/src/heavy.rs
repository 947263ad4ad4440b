//! Counts per key when there may be more keys than memory: the many keys with small counts are
//! forgotten, the few with large counts stay, and the possible error is known.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

use crate::{Index, prefetch};

/// A value that grows as a key is seen again.
pub trait Weight {
    /// How often the key was seen.
    fn weight(&self) -> u32;
}

/// At most `2 * capacity` keys; see the module's text.
#[derive(Clone, Debug)]
pub struct HeavyKeys<K, V> {
    /// Where the value of a key lies. Apart from the values, which may be large, so that looking for a
    /// key reads little memory.
    index: Index,
    entries: Vec<Entry<K, V>>,
    /// Random, so that nobody can choose keys with one hash; nothing that is told depends on it.
    hasher: RandomState,
    capacity: usize,
    undercount: u32,
}

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub struct Hashed<K> {
    key: K,
    hash: u32,
}

#[derive(Clone, Debug)]
struct Entry<K, V> {
    key: Hashed<K>,
    value: V,
}

impl<K: Eq + Hash, V: Weight + Default> HeavyKeys<K, V> {
    /// Room for so many keys that are kept for certain.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            index: Index::default(),
            entries: Vec::new(),
            hasher: RandomState::default(),
            capacity: capacity.max(1),
            undercount: 0,
        }
    }

    /// The value of a key, made if it is new.
    pub fn entry(&mut self, key: K) -> &mut V {
        self.entry_of(self.hashed(key))
    }

    /// The first step for many keys at a time: their hashes. Asks for the memory where each is looked for.
    pub fn hashed(&self, key: K) -> Hashed<K> {
        let hash = u32::try_from(self.hasher.hash_one(&key) >> 32).unwrap_or(0);
        self.index.fetch(hash);
        Hashed { key, hash }
    }

    /// The second step: the value that most likely is a key's, if there is one. It is told by the hash
    /// alone, so that its memory can be asked for; that of its key is.
    #[must_use]
    pub fn likely(&self, key: &Hashed<K>) -> Option<&V> {
        let place = self.index.find(key.hash, |_| true)?;
        let entry = self.entries.get(place as usize)?;
        prefetch(&entry.key);
        Some(&entry.value)
    }

    /// The last step: the value of a key, made if it is new.
    pub fn entry_of(&mut self, key: Hashed<K>) -> &mut V {
        let entries = &self.entries;
        let known = self.index.find(key.hash, |place| entries[place as usize].key.key == key.key);
        let place = known.unwrap_or_else(|| self.add(key));
        &mut self.entries[place as usize].value
    }

    /// By how much any weight may be too low.
    #[must_use]
    pub const fn undercount(&self) -> u32 {
        self.undercount
    }

    /// The keys that are there now, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|entry| &entry.key.key)
    }

    /// Every key that is left, in no order.
    pub fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.entries.into_iter().map(|entry| (entry.key.key, entry.value))
    }

    fn add(&mut self, key: Hashed<K>) -> u32 {
        if self.entries.len() >= self.capacity * 2 {
            self.prune();
        }
        // More would not fit any memory.
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.index.insert(key.hash, place);
        self.entries.push(Entry { key, value: V::default() });
        place
    }

    /// Forgets the lighter half.
    fn prune(&mut self) {
        let mut weights: Vec<u32> = self.entries.iter().map(|entry| entry.value.weight()).collect();
        let middle = weights.len() / 2;
        let (_, &mut median, _) = weights.select_nth_unstable(middle);
        self.entries.retain(|entry| entry.value.weight() > median);
        self.index.clear();
        for (entry, place) in self.entries.iter().zip(0..) {
            self.index.insert(entry.key.hash, place);
        }
        self.undercount = self.undercount.saturating_add(median);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    impl Weight for u32 {
        fn weight(&self) -> u32 {
            *self
        }
    }

    #[test]
    fn a_heavy_key_survives_any_number_of_light_ones_within_the_stated_error() {
        let mut heavy = HeavyKeys::<u64, u32>::new(100);
        for round in 0..10_000_u64 {
            *heavy.entry(u64::MAX) += 1;
            *heavy.entry(round) += 1;
            assert!(heavy.entries.len() <= 200);
        }
        let undercount = heavy.undercount();
        assert!(undercount > 0 && undercount < 200, "{undercount}");
        let found: HashMap<u64, u32> = heavy.into_entries().collect();
        assert!(found[&u64::MAX] + undercount >= 10_000);
    }

    #[test]
    fn counts_are_exact_while_all_keys_fit() {
        let mut heavy = HeavyKeys::<u64, u32>::new(100);
        for key in 0..200 {
            *heavy.entry(key) += 1;
        }
        assert_eq!((heavy.undercount(), heavy.into_entries().count()), (0, 200));
    }
}
