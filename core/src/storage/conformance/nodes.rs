//! Tree nodes: any order, replacing, deleting, whole trees.

use super::suite::{Check, Exchange, Step, issue, read, value, write};
use crate::crypto::Hash;
use crate::merkle::{Node, TreeIndex};
use crate::storage::{CoreSlot, ReadBatch, ReadReply, WriteOp};
use alloc::vec::Vec;
use core::ops::Range;

const CORE: CoreSlot = CoreSlot(7);

pub(super) fn checks() -> Vec<Check> {
    Vec::from([
        Check { name: "nodes come back by position", steps: positions() },
        Check { name: "a node written again is replaced", steps: replaced() },
        Check { name: "deleted ranges of nodes are gone", steps: deleted() },
        Check { name: "twenty thousand nodes in one batch", steps: many() },
    ])
}

/// A node whose size and hash depend on index and version.
pub(super) fn node(index: u64, version: u64) -> Node {
    let mut hash = [0; 32];
    hash.copy_from_slice(&value(index.wrapping_mul(17).wrapping_add(version), 32));
    Node { index: TreeIndex(index), size: index.wrapping_mul(5).wrapping_add(version) >> 11, hash: Hash(hash) }
}

/// A read of one core's nodes.
pub(super) fn read_nodes(core: CoreSlot, due: impl IntoIterator<Item = (u64, Option<Node>)>) -> Exchange {
    let (indexes, nodes): (Vec<u64>, _) = due.into_iter().unzip();
    let asked = indexes.into_iter().map(|index| (core, TreeIndex(index))).collect();
    read(ReadBatch { nodes: asked, ..ReadBatch::default() }, ReadReply { nodes, ..ReadReply::default() })
}

fn put(indexes: impl IntoIterator<Item = u64>, version: u64) -> WriteOp {
    WriteOp::PutNodes { core: CORE, nodes: indexes.into_iter().map(|index| node(index, version)).collect() }
}

fn there(indexes: impl IntoIterator<Item = u64>, version: u64) -> Exchange {
    read_nodes(CORE, indexes.into_iter().map(|index| (index, Some(node(index, version)))))
}

fn gone(range: Range<u64>) -> Exchange {
    read_nodes(CORE, range.map(|index| (index, None)))
}

fn positions() -> Vec<Step> {
    Vec::from([
        issue([gone(0..2), write([put([8, 3, 1, 0, 2, 7], 1)])]),
        issue([there([0, 1, 2, 3, 7, 8], 1), there([3, 3, 0], 1), gone(4..7), gone(9..12)]),
        issue([read_nodes(CoreSlot(8), [(3, None)])]),
        Step::Reopen,
        issue([there([0, 1, 2, 3, 7, 8], 1), gone(4..7)]),
    ])
}

fn replaced() -> Vec<Step> {
    Vec::from([
        issue([write([put(0..9, 1)]), write([put([4, 4], 2), put([5], 3), put([5], 4)])]),
        issue([there(0..4, 1), there([4], 2), there([5], 4), there(6..9, 1)]),
        Step::Reopen,
        issue([there(0..4, 1), there([4], 2), there([5], 4), there(6..9, 1)]),
    ])
}

fn deleted() -> Vec<Step> {
    let cut = |range: Range<u64>| WriteOp::DeleteNodes { core: CORE, range };
    let (backwards, nothing) = (Range { start: 9, end: 4 }, 30..30);
    Vec::from([
        issue([write([put(0..200, 1)]), write([cut(10..20), cut(backwards), cut(nothing), cut(900..950)])]),
        issue([there(0..10, 1), gone(10..20), there(20..200, 1)]),
        issue([write([cut(100..u64::MAX), put([101, 15], 2)])]),
        Step::Reopen,
        issue([there(0..10, 1), gone(10..15), there([15], 2), gone(16..20), there(20..100, 1)]),
        issue([gone(100..101), there([101], 2), gone(102..300)]),
    ])
}

fn many() -> Vec<Step> {
    Vec::from([
        issue([write([put(0..20_000, 1)]), there((0..20_000).rev(), 1)]),
        Step::Reopen,
        issue([there(0..20_000, 1), gone(20_000..20_010)]),
    ])
}
