//! A map that forgets: what was not written for one or two spans goes, and so does the older half when it is full
//! (`xache`, `record-cache`).

use corestore_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Entries in two generations; a new one begins after a span, or when the present one is full.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    fresh: BTreeMap<K, V>,
    stale: BTreeMap<K, V>,
    fresh_weight: usize,
    /// Of one generation.
    max_weight: usize,
    max_count: usize,
    span: Duration,
    turns_at: Instant,
}

impl<K: Ord + Clone, V> Generations<K, V> {
    /// Keeps up to `max_count` entries of `max_weight` together, for two thirds to four thirds of `age`.
    pub(super) fn new(now: Instant, max_count: usize, max_weight: usize, age: Duration) -> Self {
        let span = age.saturating_mul(2) / 3;
        Self {
            fresh: BTreeMap::new(),
            stale: BTreeMap::new(),
            fresh_weight: 0,
            max_weight: max_weight / 2,
            max_count: (max_count / 2).max(1),
            span,
            turns_at: now.after(span),
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.fresh.get(key).or_else(|| self.stale.get(key))
    }

    /// Puts an entry, which weighs `weight`.
    pub(super) fn insert(&mut self, now: Instant, key: K, value: V, weight: usize) {
        self.turn_if_due(now);
        self.stale.remove(&key);
        if self.fresh.len() >= self.max_count || self.fresh_weight.saturating_add(weight) > self.max_weight {
            self.turn(now);
        }
        self.fresh_weight = self.fresh_weight.saturating_add(weight);
        self.fresh.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let stale = self.stale.remove(key);
        self.fresh.remove(key).or(stale)
    }

    /// Forgets what is too old.
    pub(super) fn turn_if_due(&mut self, now: Instant) {
        if now >= self.turns_at {
            let idle = now.since(self.turns_at) >= self.span;
            self.turn(now);
            if idle {
                self.turn(now);
            }
        }
    }

    fn turn(&mut self, now: Instant) {
        self.stale = std::mem::take(&mut self.fresh);
        self.fresh_weight = 0;
        self.turns_at = now.after(self.span);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.fresh.len().saturating_add(self.stale.len())
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
