//! Requests to a store and their replies.

use crate::merkle::{Node, TreeIndex};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// Names one operation, so that its reply finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A core's place in the store; allotted once, in order, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreSlot(pub u32);

/// The key of a record; ordered by bytes. At most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub Vec<u8>);

/// One operation.
#[derive(Clone, Debug)]
pub enum StorageOp {
    /// Answered by [`StorageReply::Read`].
    Read(ReadBatch),
    /// Answered by [`StorageReply::Scanned`].
    Scan(ScanRecords),
    /// Answered by [`StorageReply::Written`].
    Write(WriteBatch),
}

/// What to load; answered by position.
#[derive(Clone, Debug, Default)]
pub struct ReadBatch {
    /// Records.
    pub records: Vec<RecordKey>,
    /// Tree nodes.
    pub nodes: Vec<(CoreSlot, TreeIndex)>,
    /// Blocks.
    pub blocks: Vec<(CoreSlot, u64)>,
}

/// Records with `start <= key < end`, ascending, at most `limit`.
#[derive(Clone, Debug)]
pub struct ScanRecords {
    /// First key.
    pub start: RecordKey,
    /// First key past the range.
    pub end: RecordKey,
    /// At most this many records in one reply.
    pub limit: u32,
}

/// Changes that take effect together or not at all.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    /// In order.
    pub ops: Vec<WriteOp>,
    /// When to answer.
    pub durability: Durability,
}

/// What a write's answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// May be lost, but only as a suffix: it can be fetched again.
    Buffered,
    /// Survives a killed process, and power loss where the store was opened for that.
    Durable,
}

/// One change.
#[derive(Clone, Debug)]
pub enum WriteOp {
    /// Sets a record.
    PutRecord(RecordKey, Bytes),
    /// Removes a record; removing none is fine.
    DeleteRecord(RecordKey),
    /// Removes the records with `start <= key < end`.
    DeleteRecords(Range<RecordKey>),
    /// Stores consecutive blocks from `start` on.
    PutBlocks {
        /// Whose.
        core: CoreSlot,
        /// Index of the first.
        start: u64,
        /// The blocks; an empty block is a block.
        blocks: Vec<Bytes>,
    },
    /// Removes blocks.
    DeleteBlocks {
        /// Whose.
        core: CoreSlot,
        /// Block indexes.
        range: Range<u64>,
    },
    /// Stores nodes.
    PutNodes {
        /// Whose.
        core: CoreSlot,
        /// The nodes, in any order; a later one replaces.
        nodes: Vec<Node>,
    },
    /// Removes nodes.
    DeleteNodes {
        /// Whose.
        core: CoreSlot,
        /// Tree indexes.
        range: Range<u64>,
    },
}

/// The answer to one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageReply {
    /// To a read.
    Read(ReadReply),
    /// To a scan: rows, and whether more lie in the range after the last.
    Scanned {
        /// Ascending.
        rows: Vec<(RecordKey, Bytes)>,
        /// True when `limit` cut the scan.
        more: bool,
    },
    /// To a write.
    Written,
}

/// Values by position; `None` where nothing is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadReply {
    /// Records.
    pub records: Vec<Option<Bytes>>,
    /// Nodes.
    pub nodes: Vec<Option<Node>>,
    /// Blocks.
    pub blocks: Vec<Option<Bytes>>,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// No room: nothing of the batch was written; free space and try again.
    Full,
    /// What was asked for is not as it was written; the text says where. Everything else can still be read.
    Damaged(String),
    /// The store is damaged or gone; the text says where and how.
    Broken(String),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the store is full: free some space and try again"),
            Self::Damaged(what) => f.write_str(what),
            Self::Broken(why) => write!(f, "the store cannot be used: {why}"),
        }
    }
}

impl core::error::Error for StorageError {}

/// For stores that can answer at once (memory, files). Asynchronous stores need no trait: they receive the same
/// [`StorageOp`] and hand back the same result.
pub trait Store {
    /// Carries out one operation before any later one.
    ///
    /// # Errors
    /// [`StorageError`] as the contract says.
    fn execute(&mut self, op: StorageOp) -> Result<StorageReply, StorageError>;
}
