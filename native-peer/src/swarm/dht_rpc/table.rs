//! The routing table: buckets of up to k nodes by the length of the prefix they share with our id
//! (`kademlia-routing-table/index.js`).

use corestore_core::crypto::Hash;
use std::collections::BTreeMap;

/// Ids by the length of the prefix they share with ours, in bits.
#[derive(Debug)]
pub(super) struct Table {
    id: Hash,
    k: usize,
    rows: BTreeMap<usize, Vec<Hash>>,
}

/// What became of an id that was to be added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is in.
    New,
    /// It was in before.
    Known,
    /// Its bucket is full.
    Full,
}

impl Table {
    pub(super) fn new(id: Hash, k: usize) -> Self {
        Self { id, k, rows: BTreeMap::new() }
    }

    pub(super) fn id(&self) -> Hash {
        self.id
    }

    pub(super) fn add(&mut self, id: Hash) -> Added {
        let row = self.rows.entry(shared_prefix(&self.id, &id)).or_default();
        match row.binary_search(&id) {
            Ok(_) => Added::Known,
            Err(_) if row.len() >= self.k => Added::Full,
            Err(at) => {
                row.insert(at, id);
                Added::New
            }
        }
    }

    pub(super) fn remove(&mut self, id: &Hash) {
        let shared = shared_prefix(&self.id, id);
        if let Some(row) = self.rows.get_mut(&shared) {
            row.retain(|known| known != id);
            if row.is_empty() {
                self.rows.remove(&shared);
            }
        }
    }

    /// The ids in the bucket where `id` belongs.
    pub(super) fn bucket(&self, id: &Hash) -> &[Hash] {
        self.rows.get(&shared_prefix(&self.id, id)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// The id at a place below [`Table::len`].
    pub(super) fn nth(&self, place: usize) -> Option<Hash> {
        self.rows.values().flatten().nth(place).copied()
    }

    /// Up to `count` ids, the nearest to `target` first.
    pub(super) fn closest(&self, target: &Hash, count: usize) -> Vec<Hash> {
        let shared = shared_prefix(&self.id, target);
        let mut found = Vec::with_capacity(count);
        // Ids in the target's own bucket share more of its prefix than any others; then come those that share as
        // much as we do, which are all the buckets beyond; then ever shorter prefixes.
        let beyond = self.rows.range(shared.saturating_add(1)..).flat_map(|(_, row)| row).copied();
        let own = self.rows.get(&shared).into_iter().flatten().copied();
        extend_sorted(&mut found, own.collect(), target, count);
        if found.len() < count {
            extend_sorted(&mut found, beyond.collect(), target, count);
        }
        for (_, row) in self.rows.range(..shared).rev() {
            if found.len() >= count {
                break;
            }
            extend_sorted(&mut found, row.clone(), target, count);
        }
        found
    }
}

fn extend_sorted(found: &mut Vec<Hash>, mut ids: Vec<Hash>, target: &Hash, count: usize) {
    ids.sort_unstable_by_key(|id| distance(id, target));
    ids.truncate(count.saturating_sub(found.len()));
    found.extend(ids);
}

/// How far two points of the key space are apart; compares as a number.
pub(super) fn distance(a: &Hash, b: &Hash) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(a.0.iter().zip(&b.0)).for_each(|(out, (a, b))| *out = a ^ b);
    out
}

fn shared_prefix(a: &Hash, b: &Hash) -> usize {
    let mut bits = 0_usize;
    for byte in distance(a, b) {
        bits = bits.saturating_add(usize::try_from(byte.leading_zeros()).unwrap_or(8));
        if byte != 0 {
            break;
        }
    }
    bits.min(LAST_BUCKET)
}

const LAST_BUCKET: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn closest_is_what_sorting_everything_gives(
            own: [u8; 32], target: [u8; 32], near: bool, ids in prop::collection::vec(any::<[u8; 32]>(), 0..300),
        ) {
            let target = if near { let mut near = own; near[3] ^= 1; near } else { target };
            let mut table = Table::new(Hash(own), 20);
            let mut inside: Vec<Hash> =
                ids.into_iter().map(Hash).filter(|id| table.add(*id) == Added::New).collect();
            prop_assert_eq!(table.len(), inside.len());
            inside.sort_unstable_by_key(|id| distance(id, &Hash(target)));
            inside.truncate(20);
            prop_assert_eq!(table.closest(&Hash(target), 20), inside);
        }
    }

    #[test]
    fn a_bucket_is_full_at_k_and_takes_again_after_a_removal() {
        let mut table = Table::new(Hash([0; 32]), 3);
        let id = |byte: u8| Hash([0x80 | byte; 32]);
        assert!((0..3).all(|byte| table.add(id(byte)) == Added::New));
        assert_eq!((table.add(id(0)), table.add(id(9))), (Added::Known, Added::Full));
        table.remove(&id(1));
        assert_eq!((table.add(id(9)), table.len()), (Added::New, 3));
        assert_eq!(table.bucket(&id(7)), [id(0), id(2), id(9)]);
        assert!((0..3).all(|place| table.nth(place).is_some()));
    }
}
