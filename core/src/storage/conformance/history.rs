//! Random batches, and which prefix of them a store holds after a crash.

use super::nodes::node;
use super::suite::{Check, Exchange, Step, compare, issue, key, value};
use crate::merkle::TreeIndex;
use crate::storage::{
    CoreSlot, Durability, MemoryStore, ReadBatch, RecordKey, StorageError, StorageOp, StorageReply, Store, WriteBatch,
    WriteOp,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(super) fn checks() -> Vec<Check> {
    Vec::from([Check { name: "random batches give what the model gives", steps: against_the_model() }])
}

/// Write batches that depend on a seed only. Each also counts itself in a record, so that a store can be asked how
/// many it holds.
#[derive(Clone, Debug)]
pub struct History {
    batches: Vec<WriteBatch>,
}

impl History {
    /// `length` batches, with a few `Durable` ones among them.
    pub fn new(seed: u64, length: usize) -> Self {
        let mut random = Random(seed);
        let batches = (1_u64..).take(length).map(|number| batch(number, &mut random)).collect();
        Self { batches }
    }

    /// The batches, to be written in this order.
    pub fn batches(&self) -> &[WriteBatch] {
        &self.batches
    }

    /// How many batches a store holds, whose contents are exactly those of that prefix of the history.
    ///
    /// After a crash this must be at least the number of batches up to the last acknowledged `Durable` one.
    ///
    /// # Errors
    /// A text on what does not belong to that prefix, or the store's error.
    pub fn held_by(&self, store: &mut dyn Store) -> Result<usize, String> {
        self.held(&mut |op| store.execute(op))
    }

    /// As [`Self::held_by`], for stores that are no [`Store`]: `replies` are the answers to [`Self::probes`].
    ///
    /// # Errors
    /// As there.
    pub fn held_by_replies(&self, replies: Vec<Result<StorageReply, StorageError>>) -> Result<usize, String> {
        let mut replies = replies.into_iter();
        let missing = || StorageError::Broken("a reply is missing".into());
        self.held(&mut |_| replies.next().unwrap_or_else(|| Err(missing())))
    }

    /// The reads that show everything a history may have written.
    pub fn probes() -> Vec<StorageOp> {
        let cores = || (0..CORES).map(CoreSlot);
        let everything = ReadBatch {
            records: (0..KEYS).map(record_key).collect(),
            nodes: cores().flat_map(|core| (0..INDEXES).map(move |index| (core, TreeIndex(index)))).collect(),
            blocks: cores().flat_map(|core| (0..INDEXES).map(move |index| (core, index))).collect(),
        };
        let counter = ReadBatch { records: Vec::from([counter_key()]), ..ReadBatch::default() };
        Vec::from([StorageOp::Read(counter), StorageOp::Read(everything)])
    }

    fn held(&self, execute: &mut dyn FnMut(StorageOp) -> Result<StorageReply, StorageError>) -> Result<usize, String> {
        let replies: Vec<_> = Self::probes().into_iter().map(execute).collect();
        let held = match replies.first() {
            Some(Ok(StorageReply::Read(reply))) => match reply.records.first() {
                Some(Some(bytes)) => bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
                _ => Some(0),
            },
            _ => None,
        };
        let held = held.and_then(|held| usize::try_from(held).ok()).filter(|held| *held <= self.batches.len());
        let held = held.ok_or_else(|| format!("the counter cannot be read: {:?}", replies.first()))?;
        let mut model = MemoryStore::default();
        for batch in self.batches.iter().take(held) {
            model.execute(StorageOp::Write(batch.clone())).map_err(|error| format!("{error}"))?;
        }
        for (reply, probe) in replies.iter().zip(Self::probes()) {
            let due = model.execute(probe).map_err(|error| format!("{error}"))?;
            compare(reply, &due).map_err(|what| format!("{held} batches are held, but {what}"))?;
        }
        Ok(held)
    }
}

fn against_the_model() -> Vec<Step> {
    let mut model = MemoryStore::default();
    let mut steps = Vec::new();
    for (at, batch) in History::new(0x5eed, 400).batches.into_iter().enumerate() {
        let probes = if at % 8 == 7 { History::probes() } else { Vec::new() };
        let ops = core::iter::once(StorageOp::Write(batch)).chain(probes);
        steps.push(issue(ops.filter_map(|op| {
            let reply = model.execute(op.clone()).ok()?;
            Some(Exchange { op, reply })
        })));
        if at % 50 == 47 {
            steps.push(Step::Reopen);
        }
    }
    steps
}

fn batch(number: u64, random: &mut Random) -> WriteBatch {
    let count = random.below(6);
    let mut ops: Vec<WriteOp> =
        (0..count).map(|at| operation(number.wrapping_mul(8).wrapping_add(at), random)).collect();
    let counter = WriteOp::PutRecord(counter_key(), number.to_le_bytes().to_vec().into());
    ops.insert(usize::try_from(random.below(count.saturating_add(1))).unwrap_or(0), counter);
    let durability = if random.below(5) == 0 { Durability::Durable } else { Durability::Buffered };
    WriteBatch { ops, durability }
}

fn operation(tag: u64, random: &mut Random) -> WriteOp {
    let core = CoreSlot(u32::try_from(random.below(u64::from(CORES))).unwrap_or(0));
    let start = random.below(INDEXES);
    let longest = if random.below(4) == 0 { INDEXES } else { 5 };
    let length = random.below(longest);
    let end = start.saturating_add(length).min(INDEXES);
    let size = usize::try_from(random.below(300)).unwrap_or(0);
    match random.below(9) {
        0 | 1 => WriteOp::PutRecord(record_key(random.below(KEYS)), value(tag, size)),
        2 => WriteOp::DeleteRecord(record_key(random.below(KEYS))),
        3 => {
            let first = random.below(KEYS);
            WriteOp::DeleteRecords(record_key(first)..record_key(first.saturating_add(random.below(4))))
        }
        4 | 5 => {
            let blocks = (start..end).map(|index| value(tag ^ index.rotate_right(9), size)).collect();
            WriteOp::PutBlocks { core, start, blocks }
        }
        6 => WriteOp::DeleteBlocks { core, range: start..end },
        7 => WriteOp::PutNodes { core, nodes: (start..end).rev().map(|index| node(index, tag)).collect() },
        _ => WriteOp::DeleteNodes { core, range: start..end },
    }
}

fn counter_key() -> RecordKey {
    key(b"number of batches")
}

fn record_key(number: u64) -> RecordKey {
    RecordKey([b"record ".as_slice(), &number.to_be_bytes()].concat())
}

/// SplitMix64: the same seed gives the same history everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

const CORES: u32 = 3;
const KEYS: u64 = 24;
const INDEXES: u64 = 150;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_recognised_and_half_a_batch_is_not() {
        let history = History::new(7, 60);
        let mut store = MemoryStore::default();
        assert_eq!(history.held_by(&mut store), Ok(0));
        for (held, batch) in (1..).zip(history.batches()) {
            store.execute(StorageOp::Write(batch.clone())).unwrap();
            assert_eq!(history.held_by(&mut store), Ok(held));
        }
        let half = WriteOp::PutBlocks { core: CoreSlot(1), start: 9, blocks: Vec::from([value(99, 301)]) };
        let batch = WriteBatch { ops: Vec::from([half]), durability: Durability::Buffered };
        store.execute(StorageOp::Write(batch)).unwrap();
        assert!(history.held_by(&mut store).is_err());
    }
}
