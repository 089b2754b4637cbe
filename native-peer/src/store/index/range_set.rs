//! A set of keys given as ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint ranges in order.
#[derive(Clone, Debug)]
pub(super) struct RangeSet<K>(BTreeMap<K, K>);

impl<K> Default for RangeSet<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> RangeSet<K> {
    /// Adds a range; ranges that touch become one.
    pub(super) fn insert(&mut self, range: Range<K>) {
        if range.start >= range.end {
            return;
        }
        let mut merged = range;
        while let Some((start, end)) = self.0.range(..=&merged.end).next_back() {
            if *end < merged.start {
                break;
            }
            let (start, end) = (start.clone(), end.clone());
            self.0.remove(&start);
            merged.start = merged.start.min(start);
            merged.end = merged.end.max(end);
        }
        self.0.insert(merged.start, merged.end);
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.end_of(key).is_some()
    }

    /// The end of the range that `key` lies in.
    pub(super) fn end_of(&self, key: &K) -> Option<&K> {
        self.0.range(..=key).next_back().map(|(_, end)| end).filter(|end| key < *end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &K)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_exactly_what_was_put_in(ranges in prop::collection::vec((0u8..40, 0u8..40), 0..12)) {
            let mut set = RangeSet::default();
            for (start, end) in &ranges {
                set.insert(*start..*end);
            }
            for key in 0..41 {
                let expected = ranges.iter().any(|(start, end)| (*start..*end).contains(&key));
                prop_assert_eq!(set.contains(&key), expected);
            }
            let all: Vec<(u8, u8)> = set.iter().map(|(start, end)| (*start, *end)).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
