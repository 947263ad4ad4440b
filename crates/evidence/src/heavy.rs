//! Counts per key when there may be more keys than memory: the many keys with small counts are
//! forgotten, the few with large counts stay, and the possible error is known.

use std::collections::HashMap;
use std::hash::Hash;

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
    places: HashMap<K, usize>,
    values: Vec<(K, V)>,
    capacity: usize,
    undercount: u32,
}

impl<K: Eq + Hash + Clone, V: Weight + Default> HeavyKeys<K, V> {
    /// Room for so many keys that are kept for certain.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let (places, values) = (HashMap::new(), Vec::new());
        Self { places, values, capacity: capacity.max(1), undercount: 0 }
    }

    /// The value of a key, made if it is new.
    pub fn entry(&mut self, key: K) -> &mut V {
        if self.values.len() >= self.capacity * 2 && !self.places.contains_key(&key) {
            self.prune();
        }
        let place = self.place(key);
        self.at(place)
    }

    /// Forgets light keys if so many new ones would be too many.
    pub fn make_room(&mut self, new: usize) {
        if self.values.len() + new > self.capacity * 2 {
            self.prune();
        }
    }

    /// Where the value of a key is until room is made again; it is made if it is new, room or not.
    pub fn place(&mut self, key: K) -> usize {
        let values = &mut self.values;
        *self.places.entry(key).or_insert_with_key(|key| {
            values.push((key.clone(), V::default()));
            values.len() - 1
        })
    }

    /// The value at a place.
    pub fn at(&mut self, place: usize) -> &mut V {
        &mut self.values[place].1
    }

    /// By how much any weight may be too low.
    #[must_use]
    pub const fn undercount(&self) -> u32 {
        self.undercount
    }

    /// The keys that are there now, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.values.iter().map(|(key, _)| key)
    }

    /// Every key that is left, in no order.
    pub fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.values.into_iter()
    }

    /// Forgets the lighter half.
    fn prune(&mut self) {
        if self.values.is_empty() {
            return;
        }
        let mut weights: Vec<u32> = self.values.iter().map(|(_, value)| value.weight()).collect();
        let middle = weights.len() / 2;
        let (_, &mut median, _) = weights.select_nth_unstable(middle);
        self.values.retain(|(_, value)| value.weight() > median);
        self.places.clear();
        self.places.extend(self.values.iter().map(|(key, _)| key.clone()).zip(0..));
        self.undercount = self.undercount.saturating_add(median);
    }
}

#[cfg(test)]
mod tests {
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
            assert!(heavy.values.len() <= 200);
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
