//! Between the log's typed changes and the store's operations.

use super::keys;
use super::op::{CoreSlot, Durability, ReadBatch, ReadReply, RecordKey, WriteBatch, WriteOp};
use crate::crypto::DiscoveryKey;
use crate::encoding::Encode;
use crate::log::{Change, Commit, StoredState};
use crate::merkle::{LoadedNodes, TreeIndex};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

/// Commits gathered into one write.
#[derive(Debug)]
pub struct Gathering {
    batch: WriteBatch,
    /// The newest state of each core; only that one is written.
    states: BTreeMap<CoreSlot, StoredState>,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { batch: WriteBatch { ops: Vec::new(), durability: Durability::Buffered }, states: BTreeMap::new() }
    }
}

impl Gathering {
    /// Adds a commit of the core in `slot`.
    pub fn add_commit(&mut self, slot: CoreSlot, commit: Commit) {
        if commit.durable {
            self.batch.durability = Durability::Durable;
        }
        for change in commit.changes {
            match change {
                Change::PutState(state) => drop(self.states.insert(slot, state)),
                change => add_change(&mut self.batch.ops, slot, change),
            }
        }
    }

    /// Adds the removal of the core in `slot`: its entry, and all that is stored of it.
    pub fn add_purge(&mut self, slot: CoreSlot, discovery_key: &DiscoveryKey) {
        self.states.remove(&slot);
        self.batch.durability = Durability::Durable;
        self.batch.ops.extend([
            WriteOp::DeleteRecord(keys::core(discovery_key)),
            WriteOp::DeleteRecords(keys::records_of(slot)),
            WriteOp::DeleteBlocks { core: slot, range: 0..u64::MAX },
            WriteOp::DeleteNodes { core: slot, range: 0..u64::MAX },
        ]);
    }

    /// Adds an operation of its own.
    pub fn add(&mut self, op: WriteOp) {
        self.batch.ops.push(op);
    }

    /// Everything, in order.
    pub fn into_batch(self) -> WriteBatch {
        let Self { mut batch, states } = self;
        let states = states.into_iter();
        batch.ops.extend(states.map(|(slot, state)| WriteOp::PutRecord(keys::state(slot), state.to_bytes().into())));
        batch
    }
}

fn add_change(ops: &mut Vec<WriteOp>, core: CoreSlot, change: Change) {
    match change {
        Change::PutBlocks { start, blocks } => put_blocks(ops, core, start, blocks),
        Change::DeleteBlocks(range) => ops.push(WriteOp::DeleteBlocks { core, range }),
        Change::PutNodes(nodes) => put_nodes(ops, core, nodes),
        Change::DeleteNodes(range) => ops.push(WriteOp::DeleteNodes { core, range }),
        Change::PutState(state) => put_record(ops, keys::state(core), state.to_bytes()),
        Change::PutAuth(auth) => put_record(ops, keys::auth(core), auth.to_bytes()),
        Change::PutPart { part, bits } => put_record(ops, keys::part(core, part), <[u8]>::into_vec(bits)),
        Change::DeleteParts(parts) => {
            ops.push(WriteOp::DeleteRecords(keys::part(core, parts.start)..keys::part(core, parts.end)));
        }
        Change::DeleteOldPages => ops.push(WriteOp::DeleteRecords(keys::old_pages(core))),
    }
}

/// Blocks that follow the last run join it, unless blocks were deleted in between.
fn put_blocks(ops: &mut Vec<WriteOp>, core: CoreSlot, start: u64, mut blocks: Vec<Bytes>) {
    let run = ops.iter_mut().rev().take(4).find_map(|op| match op {
        WriteOp::PutBlocks { core: of, start: first, blocks: run }
            if *of == core && first.checked_add(u64::try_from(run.len()).unwrap_or(u64::MAX)) == Some(start) =>
        {
            Some(Some(run))
        }
        WriteOp::DeleteBlocks { .. } => Some(None),
        _ => None,
    });
    match run.flatten() {
        Some(run) => run.append(&mut blocks),
        None => ops.push(WriteOp::PutBlocks { core, start, blocks }),
    }
}

/// Nodes join the last run of the same core, unless something was deleted in between.
fn put_nodes(ops: &mut Vec<WriteOp>, core: CoreSlot, mut nodes: Vec<crate::merkle::Node>) {
    let run = ops.iter_mut().rev().take(4).find_map(|op| match op {
        WriteOp::PutNodes { core: of, nodes: run } if *of == core => Some(Some(run)),
        WriteOp::DeleteNodes { .. } => Some(None),
        _ => None,
    });
    match run.flatten() {
        Some(run) => run.append(&mut nodes),
        None => ops.push(WriteOp::PutNodes { core, nodes }),
    }
}

/// A record written again in the same batch replaces what was to be written, unless a delete lies in between.
fn put_record(ops: &mut Vec<WriteOp>, key: RecordKey, value: Vec<u8>) {
    let earlier = ops.iter_mut().rev().take(8).find_map(|op| match op {
        WriteOp::PutRecord(of, bytes) if *of == key => Some(Some(bytes)),
        WriteOp::DeleteRecords(_) | WriteOp::DeleteRecord(_) => Some(None),
        _ => None,
    });
    match earlier.flatten() {
        Some(bytes) => *bytes = Bytes::from(value),
        None => ops.push(WriteOp::PutRecord(key, Bytes::from(value))),
    }
}

/// A read of one core's nodes and blocks.
pub fn read_core(core: CoreSlot, nodes: &[TreeIndex], blocks: &[u64]) -> ReadBatch {
    ReadBatch {
        records: Vec::new(),
        nodes: nodes.iter().map(|index| (core, *index)).collect(),
        blocks: blocks.iter().map(|index| (core, *index)).collect(),
    }
}

/// The nodes that a read found.
pub fn loaded_nodes(reply: &ReadReply) -> LoadedNodes {
    reply.nodes.iter().flatten().copied().collect()
}

/// The blocks that a read of `asked` found.
pub fn loaded_blocks(asked: &[u64], reply: ReadReply) -> BTreeMap<u64, Bytes> {
    asked.iter().zip(reply.blocks).filter_map(|(index, block)| block.map(|block| (*index, block))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::CommitId;

    fn commit(changes: Vec<Change>) -> Commit {
        Commit { id: CommitId(0), changes, durable: false }
    }

    #[test]
    fn neighbouring_commits_fold_into_one_run_and_one_head() {
        let mut batch = Gathering::default();
        for start in 0..3 {
            let blocks = Vec::from([Bytes::from_static(b"x")]);
            let state = StoredState { contiguous_length: start, ..StoredState::default() };
            let changes = Vec::from([Change::PutBlocks { start, blocks }, Change::PutState(state)]);
            batch.add_commit(CoreSlot(1), commit(changes));
        }
        let batch = batch.into_batch();
        assert_eq!(batch.ops.len(), 2);
        assert!(matches!(&batch.ops[0], WriteOp::PutBlocks { start: 0, blocks, .. } if blocks.len() == 3));
        let last = StoredState { contiguous_length: 2, ..StoredState::default() }.to_bytes();
        assert!(matches!(&batch.ops[1], WriteOp::PutRecord(_, bytes) if *bytes == last));
    }

    #[test]
    fn blocks_put_after_a_cut_do_not_join_the_run_before_it() {
        let mut batch = Gathering::default();
        let put = |start| Change::PutBlocks { start, blocks: Vec::from([Bytes::from_static(b"x")]) };
        batch.add_commit(CoreSlot(1), commit(Vec::from([put(0)])));
        batch.add_commit(CoreSlot(1), commit(Vec::from([Change::DeleteBlocks(1..9), put(1)])));
        let batch = batch.into_batch();
        assert_eq!(batch.ops.len(), 3);
    }

    #[test]
    fn a_part_put_after_its_delete_stays() {
        let mut batch = Gathering::default();
        let part = Change::PutPart { part: 0, bits: alloc::boxed::Box::new([1; 512]) };
        batch.add_commit(CoreSlot(1), commit(Vec::from([part.clone()])));
        batch.add_commit(CoreSlot(1), commit(Vec::from([Change::DeleteParts(0..1), part])));
        let batch = batch.into_batch();
        assert_eq!(batch.ops.len(), 3);
        assert!(matches!(batch.ops[2], WriteOp::PutRecord(..)));
    }
}
