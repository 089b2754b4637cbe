//! Announcements by target, in two generations (`record-cache/index.js`).

use super::spans::Spans;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::PeerRecord;
use corestore_core::entropy::Entropy;
use corestore_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Who is announced under which target.
#[derive(Debug)]
pub(super) struct Records {
    spans: Spans<Generation>,
    max_count: usize,
    max_per_target: usize,
}

#[derive(Debug, Default)]
struct Generation {
    by_target: BTreeMap<Hash, Vec<PeerRecord>>,
    count: usize,
}

impl Generation {
    fn remove(&mut self, target: &Hash, key: &PublicKey) {
        let Some(records) = self.by_target.get_mut(target) else { return };
        let before = records.len();
        records.retain(|record| record.public_key != *key);
        self.count = self.count.saturating_sub(before.saturating_sub(records.len()));
        if records.is_empty() {
            self.by_target.remove(target);
        }
    }

    fn add(&mut self, target: &Hash, record: PeerRecord, max: usize) {
        let records = self.by_target.entry(*target).or_default();
        if records.len() >= max {
            // The one that waited longest.
            records.remove(0);
            self.count = self.count.saturating_sub(1);
        }
        records.push(record);
        self.count = self.count.saturating_add(1);
    }

    fn of(&self, target: &Hash) -> &[PeerRecord] {
        self.by_target.get(target).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Records {
    pub(super) fn new(now: Instant, max_count: usize, max_per_target: usize, age: Duration) -> Self {
        Self { spans: Spans::new(now, age), max_count: (max_count / 2).max(1), max_per_target }
    }

    /// Adds a record, or renews it.
    pub(super) fn add(&mut self, now: Instant, target: &Hash, record: PeerRecord) {
        self.spans.turn_if_due(now);
        self.remove(target, &record.public_key);
        if self.spans.fresh.count >= self.max_count {
            self.spans.turn(now);
        }
        self.spans.fresh.add(target, record, self.max_per_target);
    }

    pub(super) fn remove(&mut self, target: &Hash, key: &PublicKey) {
        self.spans.fresh.remove(target, key);
        self.spans.stale.remove(target, key);
    }

    /// Up to `count` records of a target, by chance.
    pub(super) fn pick(&mut self, now: Instant, target: &Hash, count: usize, entropy: &mut Entropy) -> Vec<PeerRecord> {
        self.spans.turn_if_due(now);
        let mut places: Vec<&PeerRecord> =
            self.spans.fresh.of(target).iter().chain(self.spans.stale.of(target)).collect();
        let mut picked = Vec::new();
        while picked.len() < count && !places.is_empty() {
            let left = u64::try_from(places.len()).unwrap_or(1);
            let place = usize::try_from(entropy.u64() % left).unwrap_or_default();
            picked.push(places.swap_remove(place).clone());
        }
        picked
    }

    pub(super) fn turn_if_due(&mut self, now: Instant) {
        self.spans.turn_if_due(now);
    }

    pub(super) fn len(&self) -> usize {
        self.spans.fresh.count.saturating_add(self.spans.stale.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> PeerRecord {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        PeerRecord { public_key: PublicKey(key), relay_addresses: Vec::new() }
    }

    #[test]
    fn a_million_records_stay_within_the_limits() {
        let now = Instant::ZERO;
        let mut records = Records::new(now, 1000, 100, Duration::from_secs(1200));
        for number in 0..1_000_000 {
            let target = Hash([u8::try_from(number % 3).unwrap(); 32]);
            records.add(now, &target, record(number));
        }
        assert!(records.spans.fresh.count + records.spans.stale.count <= 1000);
        assert!(records.spans.fresh.of(&Hash([0; 32])).len() <= 100);
        let count: usize = records.spans.fresh.by_target.values().map(Vec::len).sum();
        assert_eq!(records.spans.fresh.count, count);
    }

    #[test]
    fn a_pick_has_no_record_twice_and_age_ends_them() {
        let (now, target) = (Instant::ZERO, Hash([1; 32]));
        let mut entropy = Entropy::from_seed([1; 32]);
        let mut records = Records::new(now, 1000, 100, Duration::from_secs(30));
        (0..30).for_each(|number| records.add(now, &target, record(number)));
        records.add(now, &target, record(3));
        let mut picked = records.pick(now, &target, 20, &mut entropy);
        picked.sort_by_key(|record| record.public_key);
        picked.dedup();
        assert_eq!(picked.len(), 20);
        assert_eq!(records.pick(now, &target, 99, &mut entropy).len(), 30);
        let later = now.after(Duration::from_secs(21));
        assert_eq!(records.pick(later, &target, 99, &mut entropy).len(), 30);
        assert!(records.pick(now.after(Duration::from_secs(60)), &target, 99, &mut entropy).is_empty());
    }
}
