//! Which value each key of an ordered space has, kept as ranges: a later range overrides what it covers.

use core::ops::Range;
use std::collections::BTreeMap;

/// Disjoint ranges, each with a value.
#[derive(Clone, Debug)]
pub(crate) struct RangeMap<K, V>(BTreeMap<K, (K, V)>);

impl<K, V> Default for RangeMap<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Copy> RangeMap<K, V> {
    /// Gives every key of `range` this value.
    pub(crate) fn insert(&mut self, range: Range<K>, value: V) {
        if range.start < range.end {
            self.cut(&range);
            self.0.insert(range.start, (range.end, value));
        }
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let (_, (end, value)) = self.0.range(..=key).next_back()?;
        (key < end).then_some(*value)
    }

    /// True when no key has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every range, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<K>, V)> + '_ {
        self.0.iter().map(|(start, (end, value))| (start.clone()..end.clone(), *value))
    }

    /// True when some key of `range` has a value.
    pub(crate) fn touches(&self, range: &Range<K>) -> bool {
        let before = self.0.range(..&range.end).next_back();
        range.start < range.end && before.is_some_and(|(_, (end, _))| *end > range.start)
    }

    /// Takes `range` out of every range it overlaps.
    fn cut(&mut self, range: &Range<K>) {
        while let Some((start, (end, value))) = self.0.range(..&range.end).next_back() {
            if *end <= range.start {
                return;
            }
            let (start, end, value) = (start.clone(), end.clone(), *value);
            self.0.remove(&start);
            if range.end < end {
                self.0.insert(range.end.clone(), (end, value));
            }
            if start < range.start {
                self.0.insert(start, (range.start.clone(), value));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn agrees_with_one_value_per_key() {
        let mut seed = 7_u32;
        let mut next = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for _ in 0..200 {
            let mut map = RangeMap::default();
            let mut slow = [None; 40];
            for step in 0..12 {
                let (a, b) = (next(41), next(41));
                map.insert(a..b, step);
                (a..b).for_each(|key| slow[key as usize] = Some(step));
            }
            for key in 0..40 {
                assert_eq!(map.get(&key), slow[key as usize]);
                let end = key + next(5);
                let touched = (key..end.min(40)).any(|key| slow[key as usize].is_some());
                assert_eq!(map.touches(&(key..end.min(40))), touched);
            }
        }
    }
}
