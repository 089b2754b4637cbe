//! A set of packet numbers as disjoint ranges. Adding a range costs what it newly covers plus what it joins, so a
//! peer that repeats itself buys no work.

use core::ops::Range;
use std::collections::BTreeMap;

/// Disjoint, non-adjacent ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSet {
    /// Start to end (exclusive).
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds `range`; gives the parts that were not yet in the set, ascending.
    pub(super) fn insert(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut added = Vec::new();
        let before = self.ranges.range(..=range.start).next_back();
        if range.is_empty() || before.is_some_and(|(_, &end)| end >= range.end) {
            return added;
        }
        let touching = self.ranges.range(..=range.end).rev().take_while(|&(_, &end)| end >= range.start);
        let touching: Vec<(u64, u64)> = touching.map(|(&start, &end)| (start, end)).collect();
        let (mut joined, mut cursor) = (range.clone(), range.start);
        for (start, end) in touching.into_iter().rev() {
            if cursor < start {
                added.push(cursor..start);
            }
            cursor = cursor.max(end);
            joined = joined.start.min(start)..joined.end.max(end);
            self.ranges.remove(&start);
        }
        if cursor < range.end {
            added.push(cursor..range.end);
        }
        self.ranges.insert(joined.start, joined.end);
        added
    }

    /// Forgets everything below `floor`.
    pub(super) fn remove_below(&mut self, floor: u64) {
        while let Some(entry) = self.ranges.first_entry()
            && *entry.key() < floor
        {
            let end = entry.remove();
            if end > floor {
                self.ranges.insert(floor, end);
            }
        }
    }

    /// The ranges, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// The ranges that start at `first` or later, ascending.
    pub(super) fn iter_from(&self, first: u64) -> impl Iterator<Item = Range<u64>> {
        self.ranges.range(first..).map(|(&start, &end)| start..end)
    }

    /// Whether nothing is in the set.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in proptest::collection::vec((0u64..60, 0u64..12, any::<bool>()), 0..60)) {
            let (mut ranges, mut slow) = (RangeSet::default(), BTreeSet::new());
            for (start, length, cut) in steps {
                if cut && length == 0 {
                    ranges.remove_below(start);
                    slow.retain(|&number| number >= start);
                } else {
                    let added: Vec<u64> = ranges.insert(start..start + length).into_iter().flatten().collect();
                    let expected: Vec<u64> = (start..start + length).filter(|number| slow.insert(*number)).collect();
                    prop_assert_eq!(added, expected);
                }
                prop_assert_eq!(ranges.iter().flatten().collect::<Vec<_>>(), slow.iter().copied().collect::<Vec<_>>());
                let list: Vec<_> = ranges.iter().collect();
                prop_assert!(list.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
