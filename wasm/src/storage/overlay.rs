//! What was written and is not folded into pages yet, held in memory: reads look here first.

use super::journal::{Block, JournalOp};
use super::range_map::RangeMap;
use bytes::Bytes;
use core::ops::Range;
use corestore_core::merkle::Node;
use corestore_core::storage::{CoreSlot, RecordKey, WriteOp};
use std::collections::BTreeMap;

/// A core's slot and an index within the core.
pub(crate) type Place = (u32, u64);

/// The outcome of some journal records, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    pub(crate) records: Layer<RecordKey, Bytes>,
    pub(crate) nodes: Layer<Place, Node>,
    pub(crate) blocks: Layer<Place, Block>,
}

/// Puts over what lies below.
#[derive(Clone, Debug)]
pub(crate) struct Layer<K, V> {
    pub(crate) puts: BTreeMap<K, V>,
    pub(crate) below: RangeMap<K, Below>,
}

/// What a layer says of the places it has no put for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// Removed here: nothing below counts.
    Gone,
    /// Written to its page here: the page is newer than any layer below.
    Stored,
}

/// What a layer, or a stack of them, knows of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup<V> {
    Here(V),
    Gone,
    Stored,
    Unknown,
}

impl Overlay {
    /// Applies one change.
    pub(crate) fn apply(&mut self, op: &JournalOp) {
        match op {
            JournalOp::PutRecord(key, value) => {
                self.records.puts.insert(key.clone(), value.clone());
            }
            JournalOp::DeleteRecord(key) => {
                let mut end = key.clone();
                end.0.push(0);
                self.records.remove(key.clone()..end);
            }
            JournalOp::DeleteRecords(range) => self.records.remove(range.clone()),
            JournalOp::PutNodes { core, nodes } => {
                self.nodes.puts.extend(nodes.iter().map(|node| ((core.0, node.index.0), *node)));
            }
            JournalOp::DeleteNodes { core, range } => self.nodes.remove(places(*core, range)),
            JournalOp::PutBlocks { core, start, blocks } => {
                let blocks = (*start..).zip(blocks);
                self.blocks.puts.extend(blocks.map(|(index, block)| ((core.0, index), Block::Inline(block.clone()))));
            }
            JournalOp::PutLarge { core, index, length } => {
                // The bytes are in a row of their own already; a removal from before must not take them.
                self.blocks.stored(places(*core, &(*index..index.saturating_add(1))));
                self.blocks.puts.insert((core.0, *index), Block::Large(*length));
            }
            JournalOp::PutPage { core, range } => self.blocks.stored(places(*core, range)),
            JournalOp::DeleteBlocks { core, range } => self.blocks.remove(places(*core, range)),
        }
    }
}

impl Overlay {
    /// The same outcome in as few changes as possible: each key once, neighbouring blocks in one run. `None` when
    /// something was removed, since then the order counts.
    pub(crate) fn to_writes(&self) -> Option<Vec<WriteOp>> {
        if !(self.records.below.is_empty() && self.nodes.below.is_empty() && self.blocks.below.is_empty()) {
            return None;
        }
        let mut writes = Vec::new();
        for ((core, index), block) in &self.blocks.puts {
            let Block::Inline(block) = block else { return None };
            match writes.last_mut() {
                Some(WriteOp::PutBlocks { core: of, start, blocks })
                    if of.0 == *core && start.checked_add(blocks.len().try_into().ok()?) == Some(*index) =>
                {
                    blocks.push(block.clone());
                }
                _ => {
                    let (core, start) = (CoreSlot(*core), *index);
                    writes.push(WriteOp::PutBlocks { core, start, blocks: vec![block.clone()] });
                }
            }
        }
        for ((core, _), node) in &self.nodes.puts {
            match writes.last_mut() {
                Some(WriteOp::PutNodes { core: of, nodes }) if of.0 == *core => nodes.push(*node),
                _ => writes.push(WriteOp::PutNodes { core: CoreSlot(*core), nodes: vec![*node] }),
            }
        }
        let records = self.records.puts.iter();
        writes.extend(records.map(|(key, value)| WriteOp::PutRecord(key.clone(), value.clone())));
        Some(writes)
    }
}

impl<K, V> Default for Layer<K, V> {
    fn default() -> Self {
        Self { puts: BTreeMap::new(), below: RangeMap::default() }
    }
}

impl<K: Ord + Clone, V: Clone> Layer<K, V> {
    pub(crate) fn get(&self, key: &K) -> Lookup<V> {
        match (self.puts.get(key), self.below.get(key)) {
            (Some(value), _) => Lookup::Here(value.clone()),
            (None, Some(Below::Gone)) => Lookup::Gone,
            (None, Some(Below::Stored)) => Lookup::Stored,
            (None, None) => Lookup::Unknown,
        }
    }

    /// True when the layer says anything of a key in `range`.
    pub(crate) fn touches(&self, range: &Range<K>) -> bool {
        self.below.touches(range) || self.puts.range(range.start.clone()..range.end.clone()).next().is_some()
    }

    /// The part of the layer that says something of `range`.
    pub(crate) fn within(&self, range: &Range<K>) -> Self {
        let puts = self.puts.range(range.clone()).map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut below = RangeMap::default();
        let touching = self.below.iter().filter(|(part, _)| part.start < range.end && range.start < part.end);
        touching.for_each(|(part, value)| below.insert(part, value));
        Self { puts, below }
    }

    /// The ranges that were removed.
    pub(crate) fn gone(&self) -> impl Iterator<Item = Range<K>> + '_ {
        self.below.iter().filter(|(_, below)| *below == Below::Gone).map(|(range, _)| range)
    }

    fn remove(&mut self, range: Range<K>) {
        self.forget(&range);
        self.below.insert(range, Below::Gone);
    }

    fn stored(&mut self, range: Range<K>) {
        self.forget(&range);
        self.below.insert(range, Below::Stored);
    }

    fn forget(&mut self, range: &Range<K>) {
        if range.start < range.end {
            let keys: Vec<K> = self.puts.range(range.clone()).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| {
                self.puts.remove(key);
            });
        }
    }
}

/// A core's indexes as places.
pub(crate) fn places(core: CoreSlot, range: &Range<u64>) -> Range<Place> {
    (core.0, range.start)..(core.0, range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const CORE: CoreSlot = CoreSlot(3);

    fn put(overlay: &mut Overlay, start: u64, count: usize) {
        overlay.apply(&JournalOp::PutBlocks { core: CORE, start, blocks: vec![Bytes::from_static(b"x"); count] });
    }

    #[wasm_bindgen_test]
    fn the_last_change_of_a_place_counts() {
        let mut overlay = Overlay::default();
        put(&mut overlay, 0, 20);
        overlay.apply(&JournalOp::DeleteBlocks { core: CORE, range: 5..18 });
        put(&mut overlay, 6, 1);
        let get = |index| overlay.blocks.get(&(3, index));
        assert_eq!(get(4), Lookup::Here(Block::Inline(Bytes::from_static(b"x"))));
        assert_eq!(get(5), Lookup::Gone);
        assert_eq!(get(6), Lookup::Here(Block::Inline(Bytes::from_static(b"x"))));
        assert_eq!(get(20), Lookup::Unknown);
        assert_eq!(overlay.blocks.get(&(4, 5)), Lookup::Unknown);
    }

    #[wasm_bindgen_test]
    fn a_page_written_whole_hides_removals_before_it_but_not_after() {
        let mut overlay = Overlay::default();
        overlay.apply(&JournalOp::DeleteBlocks { core: CORE, range: 0..u64::MAX });
        overlay.apply(&JournalOp::PutPage { core: CORE, range: 16..32 });
        assert_eq!(overlay.blocks.get(&(3, 16)), Lookup::Stored);
        assert_eq!(overlay.blocks.gone().collect::<Vec<_>>(), [(3, 0)..(3, 16), (3, 32)..(3, u64::MAX)]);
        overlay.apply(&JournalOp::DeleteBlocks { core: CORE, range: 20..21 });
        assert_eq!(overlay.blocks.get(&(3, 20)), Lookup::Gone);
    }

    #[wasm_bindgen_test]
    fn puts_come_out_as_runs_and_removals_do_not() {
        let mut overlay = Overlay::default();
        for index in [4, 3, 9, 5] {
            put(&mut overlay, index, 1);
        }
        let record = RecordKey(vec![1]);
        for value in [&b"old"[..], b"new"] {
            overlay.apply(&JournalOp::PutRecord(record.clone(), Bytes::copy_from_slice(value)));
        }
        let writes = overlay.to_writes().expect("nothing was removed");
        let [WriteOp::PutBlocks { start: 3, blocks: run, .. }, WriteOp::PutBlocks { start: 9, .. }, last] = &writes[..]
        else {
            panic!("{writes:?}")
        };
        assert_eq!(run.len(), 3);
        assert!(matches!(last, WriteOp::PutRecord(_, value) if value == "new"));
        overlay.apply(&JournalOp::DeleteRecord(record));
        assert!(overlay.to_writes().is_none());
    }

    #[wasm_bindgen_test]
    fn a_large_block_is_not_taken_by_a_removal_before_it() {
        let mut overlay = Overlay::default();
        overlay.apply(&JournalOp::DeleteBlocks { core: CORE, range: 0..10 });
        overlay.apply(&JournalOp::PutLarge { core: CORE, index: 4, length: 70_000 });
        assert_eq!(overlay.blocks.get(&(3, 4)), Lookup::Here(Block::Large(70_000)));
        assert_eq!(overlay.blocks.gone().collect::<Vec<_>>(), [(3, 0)..(3, 4), (3, 5)..(3, 10)]);
    }
}
