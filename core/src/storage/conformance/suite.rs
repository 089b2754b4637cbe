//! Checks as data, and the runner for stores that answer at once.

use super::{blocks, edges, history, nodes, records};
use crate::storage::{
    CoreSlot, Durability, ReadBatch, ReadReply, RecordKey, ScanRecords, StorageError, StorageOp, StorageReply, Store,
    WriteBatch, WriteOp,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// One sentence of the contract, as steps on a fresh store.
#[derive(Clone, Debug)]
pub struct Check {
    /// What holds when it passes.
    pub name: &'static str,
    /// In order.
    pub steps: Vec<Step>,
}

/// One step of a check.
#[derive(Clone, Debug)]
pub enum Step {
    /// Issue every operation, in this order, **before** waiting for the first reply; then compare each reply.
    Issue(Vec<Exchange>),
    /// Close the store in good order and open it again; a store that keeps nothing goes on as it is.
    Reopen,
}

/// One operation and the reply due.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// To issue.
    pub op: StorageOp,
    /// Due.
    pub reply: StorageReply,
}

/// A store broke the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check's name.
    pub check: &'static str,
    /// Which step, counted from 0.
    pub step: usize,
    /// What was wrong there.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, step {}: {}", self.check, self.step, self.what)
    }
}

impl core::error::Error for Failure {}

/// Every check of the suite.
pub fn checks() -> Vec<Check> {
    [records::checks(), blocks::checks(), nodes::checks(), edges::checks(), history::checks()].concat()
}

/// Runs every check on stores made by `fresh`; `reopen` closes a store and opens the same one again. Gives the number
/// of checks that ran.
///
/// # Errors
/// The first [`Failure`].
pub fn run<S: Store>(mut fresh: impl FnMut() -> S, mut reopen: impl FnMut(S) -> S) -> Result<usize, Failure> {
    let checks = checks();
    for check in &checks {
        let mut store = fresh();
        for (step, action) in check.steps.iter().enumerate() {
            match action {
                Step::Reopen => store = reopen(store),
                Step::Issue(exchanges) => {
                    for exchange in exchanges {
                        let reply = store.execute(exchange.op.clone());
                        compare(&reply, &exchange.reply).map_err(|what| Failure { check: check.name, step, what })?;
                    }
                }
            }
        }
    }
    Ok(checks.len())
}

/// Compares a reply with the one due.
///
/// # Errors
/// A short text on the first difference.
pub fn compare(reply: &Result<StorageReply, StorageError>, due: &StorageReply) -> Result<(), String> {
    match (reply, due) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(StorageReply::Written), StorageReply::Written) => Ok(()),
        (Ok(StorageReply::Read(ours)), StorageReply::Read(theirs)) => {
            compare_lists("record", &ours.records, &theirs.records)?;
            compare_lists("node", &ours.nodes, &theirs.nodes)?;
            compare_lists("block", &ours.blocks, &theirs.blocks)
        }
        (Ok(StorageReply::Scanned { rows, more }), StorageReply::Scanned { rows: due_rows, more: due_more }) => {
            compare_lists("row", rows, due_rows)?;
            if more == due_more { Ok(()) } else { Err(format!("`more` is {more}")) }
        }
        _ => Err("the reply belongs to another kind of operation".to_string()),
    }
}

fn compare_lists<T: PartialEq + fmt::Debug>(what: &str, ours: &[T], due: &[T]) -> Result<(), String> {
    if ours.len() != due.len() {
        return Err(format!("{} {what}s instead of {}", ours.len(), due.len()));
    }
    match ours.iter().zip(due).enumerate().find(|(_, (ours, due))| ours != due) {
        None => Ok(()),
        Some((at, (ours, due))) => Err(format!("{what} {at} is {} instead of {}", short(ours), short(due))),
    }
}

fn short<T: fmt::Debug>(value: &T) -> String {
    let text = format!("{value:?}");
    if text.chars().count() > 120 { text.chars().take(120).chain(['…']).collect() } else { text }
}

/// A step that issues these.
pub(super) fn issue(exchanges: impl IntoIterator<Item = Exchange>) -> Step {
    Step::Issue(exchanges.into_iter().collect())
}

/// A write that promises the most.
pub(super) fn write(ops: impl IntoIterator<Item = WriteOp>) -> Exchange {
    write_with(Durability::Durable, ops)
}

/// A write.
pub(super) fn write_with(durability: Durability, ops: impl IntoIterator<Item = WriteOp>) -> Exchange {
    let batch = WriteBatch { ops: ops.into_iter().collect(), durability };
    Exchange { op: StorageOp::Write(batch), reply: StorageReply::Written }
}

/// A read and its reply, pair by pair.
pub(super) fn read(batch: ReadBatch, reply: ReadReply) -> Exchange {
    Exchange { op: StorageOp::Read(batch), reply: StorageReply::Read(reply) }
}

/// A read of records.
pub(super) fn read_records(due: impl IntoIterator<Item = (RecordKey, Option<Bytes>)>) -> Exchange {
    let (keys, values) = due.into_iter().unzip();
    read(ReadBatch { records: keys, ..ReadBatch::default() }, ReadReply { records: values, ..ReadReply::default() })
}

/// A read of one core's blocks.
pub(super) fn read_blocks(core: CoreSlot, due: impl IntoIterator<Item = (u64, Option<Bytes>)>) -> Exchange {
    let (indexes, blocks): (Vec<u64>, _) = due.into_iter().unzip();
    let asked = indexes.into_iter().map(|index| (core, index)).collect();
    read(ReadBatch { blocks: asked, ..ReadBatch::default() }, ReadReply { blocks, ..ReadReply::default() })
}

/// A scan and its rows.
pub(super) fn scan(range: Range<RecordKey>, limit: u32, rows: &[(RecordKey, Bytes)], more: bool) -> Exchange {
    let scan = ScanRecords { start: range.start, end: range.end, limit };
    Exchange { op: StorageOp::Scan(scan), reply: StorageReply::Scanned { rows: rows.to_vec(), more } }
}

/// A record key.
pub(super) fn key(bytes: &[u8]) -> RecordKey {
    RecordKey(bytes.to_vec())
}

/// Bytes that tell which value they are: `length` bytes that depend on `tag`.
pub(super) fn value(tag: u64, length: usize) -> Bytes {
    let mut state = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length.saturating_add(8));
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStore;

    #[test]
    fn the_memory_store_keeps_the_contract() {
        let ran = run(MemoryStore::default, |store| store).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(ran, checks().len());
    }

    /// A store that lies in one way, to show that the suite can tell.
    struct Lying<F>(MemoryStore, F);

    impl<F: Fn(&mut StorageOp)> Store for Lying<F> {
        fn execute(&mut self, mut op: StorageOp) -> Result<StorageReply, StorageError> {
            (self.1)(&mut op);
            self.0.execute(op)
        }
    }

    fn caught(lie: impl Fn(&mut StorageOp) + Copy) {
        assert!(run(|| Lying(MemoryStore::default(), lie), |store| store).is_err());
    }

    #[test]
    fn stores_that_lie_are_caught() {
        caught(|op| {
            if let StorageOp::Write(batch) = op {
                batch.ops.reverse();
            }
        });
        caught(|op| {
            if let StorageOp::Write(batch) = op {
                batch.ops.retain(|op| !matches!(op, WriteOp::DeleteRecords(_)));
            }
        });
        caught(|op| {
            if let StorageOp::Write(batch) = op {
                batch.ops.iter_mut().for_each(|op| {
                    if let WriteOp::PutBlocks { blocks, .. } = op {
                        blocks.retain(|block| !block.is_empty());
                    }
                });
            }
        });
        caught(|op| {
            if let StorageOp::Scan(scan) = op {
                scan.limit = scan.limit.saturating_add(1);
            }
        });
        caught(|op| {
            if let StorageOp::Read(batch) = op {
                batch.nodes.iter_mut().for_each(|(core, _)| core.0 %= 256);
            }
        });
        caught(|op| {
            if let StorageOp::Write(batch) = op {
                batch.ops.iter_mut().for_each(|op| {
                    if let WriteOp::DeleteBlocks { range, .. } = op {
                        range.end = range.end.saturating_add(1);
                    }
                });
            }
        });
    }

    #[test]
    fn a_store_that_forgets_when_reopened_is_caught() {
        assert!(run(MemoryStore::default, |_| MemoryStore::default()).is_err());
    }
}
