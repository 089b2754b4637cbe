//! Values of the tree that were looked up lately: reading goes on in the same page more often than not, and every proof
//! passes the same upper nodes.

use super::pager::Pager;
use super::tree::{self, Root};
use crate::store::fault::Fault;
use crate::store::units::to_usize;
use bytes::Bytes;

/// One value for each slot; a key has one slot it may be in.
#[derive(Debug, Default)]
pub(in crate::store) struct Recent {
    root: Root,
    slots: Vec<Option<Found>>,
}

#[derive(Clone, Debug)]
struct Found {
    key: PageKey,
    value: Option<Bytes>,
}

/// A key of a page of nodes or blocks.
type PageKey = [u8; 13];

impl Recent {
    /// The value of `key` in the tree under `root`.
    pub(in crate::store) fn get(
        &mut self,
        pager: &mut Pager,
        root: Root,
        key: PageKey,
    ) -> Result<Option<&Bytes>, Fault> {
        if self.root != root || self.slots.is_empty() {
            self.slots.clear();
            self.slots.resize(SLOTS, None);
            self.root = root;
        }
        let Some(slot) = self.slots.get_mut(slot_of(&key)) else { return Ok(None) };
        if slot.as_ref().is_none_or(|found| found.key != key) {
            *slot = Some(Found { key, value: tree::get(pager, root, &key)? });
        }
        Ok(slot.as_ref().and_then(|found| found.value.as_ref()))
    }
}

/// Neighbours have slots of their own, and so have nodes high up, whose pages lie far apart at even distances.
fn slot_of(key: &PageKey) -> usize {
    let [kind, core @ .., a, b, c, d, e, f, g, h] = *key;
    let core = u32::from_be_bytes(core);
    let page = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let mixed = page.wrapping_add(u64::from(core) << 32).wrapping_add(u64::from(kind) << 56).wrapping_mul(SPREAD);
    to_usize(mixed >> (u64::BITS - SLOTS.ilog2()))
}

/// A value keeps the page it lies in, 8 KiB or so, in memory: 2 MiB in all.
const SLOTS: usize = 256;
/// The golden ratio's fraction, whose products spread evenly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::items::{PageId, page_key};
    use corestore_core::merkle::Node;
    use corestore_core::storage::CoreSlot;
    use std::collections::BTreeSet;

    #[test]
    fn pages_at_any_even_distance_have_slots_of_their_own() {
        for core in [0, 1, u32::MAX] {
            for distance in (0..40).map(|power| 1_u64 << power) {
                let key = |at| page_key::<Node>(PageId { core: CoreSlot(core), page: at * distance });
                let slots: BTreeSet<usize> = (0..64).map(|at| slot_of(&key(at))).collect();
                assert!(
                    slots.len() > 32 && slots.iter().all(|slot| *slot < SLOTS),
                    "{core} {distance} {}",
                    slots.len()
                );
            }
        }
    }
}
