//! How many bytes of each segment are still referred to.

use super::items::{PlacedBlock, decode_page};
use super::page::PagePlace;
use std::collections::BTreeMap;

/// Live bytes by segment; a segment without any is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Usage {
    /// Of the log: what its live blocks would take if each had an entry of its own.
    pub(in crate::store) log: BTreeMap<u32, u64>,
    /// Of the tree: bytes of pages with their frames.
    pub(in crate::store) tree: BTreeMap<u32, u64>,
}

impl Usage {
    pub(super) fn add_page(&mut self, place: PagePlace) {
        add(&mut self.tree, place.segment, place.frame_bytes());
    }

    pub(super) fn remove_page(&mut self, place: PagePlace) {
        remove(&mut self.tree, place.segment, place.frame_bytes());
    }

    pub(super) fn add_blocks(&mut self, page: &[u8]) {
        for block in decode_page::<PlacedBlock>(page, 0) {
            add(&mut self.log, block.place.segment, cost(&block));
        }
    }

    pub(super) fn remove_blocks(&mut self, page: &[u8]) {
        for block in decode_page::<PlacedBlock>(page, 0) {
            remove(&mut self.log, block.place.segment, cost(&block));
        }
    }
}

/// With less than what moving one takes, a segment of moved small blocks would seem to be worth emptying again.
fn cost(block: &PlacedBlock) -> u64 {
    u64::from(block.place.length).saturating_add(BLOCK_COST)
}

const BLOCK_COST: u64 = 32;

fn add(live: &mut BTreeMap<u32, u64>, segment: u32, bytes: u64) {
    let entry = live.entry(segment).or_default();
    *entry = entry.saturating_add(bytes);
}

fn remove(live: &mut BTreeMap<u32, u64>, segment: u32, bytes: u64) {
    if let Some(entry) = live.get_mut(&segment) {
        *entry = entry.saturating_sub(bytes);
        if *entry == 0 {
            live.remove(&segment);
        }
    }
}
