//! What local callers want: blocks, ranges, seeks, a longer log.

use super::effect::DemandId;
use crate::log::Bitfield;
use crate::merkle::TreeIndex;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Blocks to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// `start..end`; without an end it follows the log and never finishes.
    Span {
        /// First block.
        start: u64,
        /// First block past the range.
        end: Option<u64>,
        /// In order.
        linear: bool,
    },
    /// These blocks.
    Blocks(Vec<u64>),
}

/// A span that is being downloaded.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: Option<u64>,
    pub(super) linear: bool,
    /// Everything of the span before this is stored.
    pub(super) progress: u64,
}

impl Span {
    /// Moves past what is stored; true when the span is complete.
    pub(super) fn advance(&mut self, bitfield: &Bitfield) -> bool {
        self.progress = bitfield.first_unset(self.progress);
        self.end.is_some_and(|end| self.progress >= end)
    }
}

/// A byte that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seek {
    pub(super) bytes: u64,
    pub(super) padding: u64,
    /// The lowest node we know to hold the byte.
    pub(super) below: TreeIndex,
    /// It is asked for, or its answer is on its way to the store.
    pub(super) busy: bool,
}

/// What a demand was for that was dropped.
#[derive(Debug)]
pub(super) enum Cancelled {
    /// A span.
    Span,
    /// A seek.
    Seek,
    /// Single blocks that nobody wants by name any more.
    Blocks(Vec<u64>),
}

/// Everything wanted.
#[derive(Debug, Default)]
pub(super) struct Demands {
    /// Single blocks, each with everyone who wants it.
    blocks: BTreeMap<u64, BTreeSet<DemandId>>,
    /// Those of them that nobody is asked for yet.
    pub(super) queue: BTreeSet<u64>,
    by_demand: BTreeMap<DemandId, BTreeSet<u64>>,
    pub(super) spans: BTreeMap<DemandId, Span>,
    pub(super) seeks: BTreeMap<DemandId, Seek>,
    pub(super) upgrades: BTreeSet<DemandId>,
}

impl Demands {
    /// Adds single blocks that are not stored; false when all are.
    pub(super) fn add_blocks(&mut self, demand: DemandId, blocks: Vec<u64>) -> bool {
        if blocks.is_empty() {
            return false;
        }
        for block in &blocks {
            self.blocks.entry(*block).or_default().insert(demand);
            self.queue.insert(*block);
        }
        self.by_demand.insert(demand, blocks.into_iter().collect());
        true
    }

    /// True when someone wants this very block.
    pub(super) fn wants_block(&self, index: u64) -> bool {
        self.blocks.contains_key(&index)
    }

    /// A block is stored: gives the demands that are complete by it.
    pub(super) fn block_stored(&mut self, index: u64) -> Vec<DemandId> {
        self.queue.remove(&index);
        let demands = self.blocks.remove(&index).unwrap_or_default();
        let mut done = Vec::new();
        for demand in demands {
            if let Some(left) = self.by_demand.get_mut(&demand) {
                left.remove(&index);
                if left.is_empty() {
                    self.by_demand.remove(&demand);
                    done.push(demand);
                }
            }
        }
        done
    }

    /// A block is to be asked for again.
    pub(super) fn requeue(&mut self, index: u64) {
        if self.blocks.contains_key(&index) {
            self.queue.insert(index);
        }
    }

    /// True when nothing is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.spans.is_empty() && self.seeks.is_empty() && self.upgrades.is_empty()
    }

    /// Drops a demand and says what nobody may want any more.
    pub(super) fn cancel(&mut self, demand: DemandId) -> Cancelled {
        self.upgrades.remove(&demand);
        if self.spans.remove(&demand).is_some() {
            return Cancelled::Span;
        }
        if self.seeks.remove(&demand).is_some() {
            return Cancelled::Seek;
        }
        let mut unwanted = Vec::new();
        for block in self.by_demand.remove(&demand).unwrap_or_default() {
            if let Some(wanters) = self.blocks.get_mut(&block) {
                wanters.remove(&demand);
                if wanters.is_empty() {
                    self.blocks.remove(&block);
                    self.queue.remove(&block);
                    unwanted.push(block);
                }
            }
        }
        Cancelled::Blocks(unwanted)
    }

    /// True when a span covers this block.
    pub(super) fn spans_over(&self, index: u64) -> bool {
        self.spans.values().any(|span| span.progress <= index && span.end.is_none_or(|end| index < end))
    }

    /// True when someone waited for the newest of `length` blocks by name, or for blocks past it: it is being followed.
    pub(super) fn follow(&self, length: u64) -> bool {
        length.checked_sub(1).is_some_and(|newest| self.wants_block(newest))
            || self.spans.values().any(|span| span.end.is_none_or(|end| end > length))
    }

    /// The log was cut: spans begin again where it was.
    pub(super) fn truncated(&mut self, length: u64) {
        self.spans.values_mut().for_each(|span| span.progress = span.progress.min(length).max(span.start));
    }
}
