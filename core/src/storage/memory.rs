//! A store in memory: the reference implementation of the contract, for tests and for programs that keep nothing.

use super::op::{
    CoreSlot, ReadBatch, ReadReply, RecordKey, ScanRecords, StorageError, StorageOp, StorageReply, Store, WriteOp,
};
use crate::merkle::{Node, TreeIndex};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// Everything in ordered maps.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: BTreeMap<RecordKey, Bytes>,
    nodes: BTreeMap<(CoreSlot, TreeIndex), Node>,
    blocks: BTreeMap<(CoreSlot, u64), Bytes>,
}

impl Store for MemoryStore {
    fn execute(&mut self, op: StorageOp) -> Result<StorageReply, StorageError> {
        Ok(match op {
            StorageOp::Read(batch) => StorageReply::Read(self.read(&batch)),
            StorageOp::Scan(scan) => self.scan(&scan),
            StorageOp::Write(batch) => {
                batch.ops.into_iter().for_each(|op| self.apply(op));
                StorageReply::Written
            }
        })
    }
}

impl MemoryStore {
    fn read(&self, batch: &ReadBatch) -> ReadReply {
        ReadReply {
            records: batch.records.iter().map(|key| self.records.get(key).cloned()).collect(),
            nodes: batch.nodes.iter().map(|key| self.nodes.get(key).copied()).collect(),
            blocks: batch.blocks.iter().map(|key| self.blocks.get(key).cloned()).collect(),
        }
    }

    fn scan(&self, scan: &ScanRecords) -> StorageReply {
        if scan.start >= scan.end {
            return StorageReply::Scanned { rows: Vec::new(), more: false };
        }
        let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
        let mut range = self.records.range(scan.start.clone()..scan.end.clone());
        let rows = range.by_ref().take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
        StorageReply::Scanned { rows, more: range.next().is_some() }
    }

    fn apply(&mut self, op: WriteOp) {
        match op {
            WriteOp::PutRecord(key, value) => {
                self.records.insert(key, value);
            }
            WriteOp::DeleteRecord(key) => {
                self.records.remove(&key);
            }
            WriteOp::DeleteRecords(range) => remove(&mut self.records, range),
            WriteOp::PutBlocks { core, start, blocks } => {
                self.blocks.extend((start..).zip(blocks).map(|(index, block)| ((core, index), block)));
            }
            WriteOp::DeleteBlocks { core, range } => {
                remove(&mut self.blocks, (core, range.start)..(core, range.end));
            }
            WriteOp::PutNodes { core, nodes } => {
                self.nodes.extend(nodes.into_iter().map(|node| ((core, node.index), node)));
            }
            WriteOp::DeleteNodes { core, range } => {
                remove(&mut self.nodes, (core, TreeIndex(range.start))..(core, TreeIndex(range.end)));
            }
        }
    }
}

fn remove<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, range: Range<K>) {
    if range.start < range.end {
        let keys: Vec<K> = map.range(range).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| {
            map.remove(key);
        });
    }
}
