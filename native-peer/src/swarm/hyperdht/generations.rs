//! A map that forgets: what was not written for one or two spans goes, and so does the older half when it is full
//! (`xache`, `record-cache`).

use super::spans::Spans;
use corestore_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Entries in two generations; a new one begins after a span, or when the present one is full.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    spans: Spans<Generation<K, V>>,
    /// Of one generation.
    max_weight: usize,
    max_count: usize,
}

#[derive(Debug)]
struct Generation<K, V> {
    entries: BTreeMap<K, V>,
    weight: usize,
}

impl<K, V> Default for Generation<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), weight: 0 }
    }
}

impl<K: Ord + Clone, V> Generations<K, V> {
    /// Keeps up to `max_count` entries of `max_weight` together, for two thirds to four thirds of `age`.
    pub(super) fn new(now: Instant, max_count: usize, max_weight: usize, age: Duration) -> Self {
        Self { spans: Spans::new(now, age), max_weight: max_weight / 2, max_count: (max_count / 2).max(1) }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.spans.fresh.entries.get(key).or_else(|| self.spans.stale.entries.get(key))
    }

    /// Puts an entry, which weighs `weight`.
    pub(super) fn insert(&mut self, now: Instant, key: K, value: V, weight: usize) {
        self.spans.turn_if_due(now);
        self.spans.stale.entries.remove(&key);
        let fresh = &self.spans.fresh;
        if fresh.entries.len() >= self.max_count || fresh.weight.saturating_add(weight) > self.max_weight {
            self.spans.turn(now);
        }
        self.spans.fresh.weight = self.spans.fresh.weight.saturating_add(weight);
        self.spans.fresh.entries.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let stale = self.spans.stale.entries.remove(key);
        self.spans.fresh.entries.remove(key).or(stale)
    }

    /// Forgets what is too old.
    pub(super) fn turn_if_due(&mut self, now: Instant) {
        self.spans.turn_if_due(now);
    }

    pub(super) fn len(&self) -> usize {
        self.spans.fresh.entries.len().saturating_add(self.spans.stale.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_live_one_to_two_spans_and_a_flood_ends_at_the_limit() {
        let (now, age) = (Instant::ZERO, Duration::from_secs(30));
        let mut map = Generations::new(now, 10, 1000, age);
        map.insert(now, 1, "a", 1);
        let later = |seconds| now.after(Duration::from_secs(seconds));
        map.turn_if_due(later(20));
        assert_eq!(map.get(&1), Some(&"a"));
        map.insert(later(21), 1, "b", 1);
        map.turn_if_due(later(41));
        assert_eq!(map.get(&1), Some(&"b"));
        map.turn_if_due(later(100));
        assert_eq!(map.get(&1), None);
        (0..1000).for_each(|key| map.insert(later(100), key, "c", 1));
        assert!(map.len() <= 10 && map.get(&999).is_some());
        (0..1000).for_each(|key| map.insert(later(100), key, "c", 400));
        assert!(map.len() <= 2);
        assert_eq!((map.remove(&999), map.remove(&999)), (Some("c"), None));
    }
}
