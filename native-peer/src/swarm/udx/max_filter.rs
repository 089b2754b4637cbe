//! The maximum of the last rounds.

use std::collections::VecDeque;

/// A sliding maximum; holds at most one value a round.
#[derive(Debug)]
pub(super) struct MaxFilter {
    rounds: u64,
    /// Rounds ascending, values descending.
    values: VecDeque<(u64, u64)>,
}

impl MaxFilter {
    /// A filter over `rounds` rounds.
    pub(super) fn new(rounds: u64) -> Self {
        Self { rounds, values: VecDeque::new() }
    }

    /// Takes a value seen in `round`.
    pub(super) fn update(&mut self, round: u64, value: u64) {
        while self.values.back().is_some_and(|&(_, smaller)| smaller <= value) {
            self.values.pop_back();
        }
        if self.values.back().is_none_or(|&(last, _)| last < round) {
            self.values.push_back((round, value));
        }
        while self.values.front().is_some_and(|&(first, _)| first + self.rounds <= round) {
            self.values.pop_front();
        }
    }

    /// The largest value of the window; 0 when it is empty.
    pub(super) fn max(&self) -> u64 {
        self.values.front().map_or(0, |&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_the_windows_maximum(steps in proptest::collection::vec((0u64..3, 0u64..100), 1..200)) {
            let (mut filter, mut round, mut all) = (MaxFilter::new(10), 0, Vec::new());
            for (advance, value) in steps {
                round += advance;
                all.push((round, value));
                filter.update(round, value);
                let expected = all.iter().filter(|(then, _)| then + 10 > round).map(|&(_, value)| value).max();
                prop_assert_eq!(Some(filter.max()), expected);
                prop_assert!(filter.values.len() <= 10);
            }
        }
    }
}
