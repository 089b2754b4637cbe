//! What a commit stores, and what becomes true once it is stored.

use super::Head;
use crate::crypto::{CoreKey, LazyKeyPair};
use crate::manifest::Manifest;
use crate::merkle::Node;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// Names a commit of one core; commits are applied in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// One stored change of one core. Keys and byte forms are the storage floor's matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Consecutive blocks from `start` on.
    PutBlocks {
        /// Index of the first block.
        start: u64,
        /// The blocks.
        blocks: Vec<Bytes>,
    },
    /// Drops blocks.
    DeleteBlocks(Range<u64>),
    /// Tree nodes.
    PutNodes(Vec<Node>),
    /// Drops tree nodes, by tree index.
    DeleteNodes(Range<u64>),
    /// The head and what goes with it.
    PutState(StoredState),
    /// Who may sign.
    PutAuth(Auth),
    /// One part of the bitfield.
    PutPart {
        /// Its number: bits `part * 4,096` and on.
        part: u64,
        /// 512 bytes, least significant bit first.
        bits: Box<[u8; super::bitfield::PART_BYTES]>,
    },
    /// Drops parts of the bitfield.
    DeleteParts(Range<u64>),
    /// Drops the pages that earlier stores kept the bitfield in.
    DeleteOldPages,
}

/// The part of a core that changes with every commit, small enough to rewrite each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredState {
    /// Tree and signature.
    pub head: Arc<Head>,
    /// Blocks from 0 on without a gap; only bits past it are kept in parts.
    pub contiguous_length: u64,
    /// A conflict was found.
    pub frozen: bool,
}

/// Who a core is and who may sign it.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Key.
    pub key: CoreKey,
    /// Known from the start for own cores, learnt from peers otherwise.
    pub manifest: Option<Manifest>,
    /// What we sign with, for cores we may append to; its seed is stored. A secret.
    pub key_pair: Option<LazyKeyPair>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("key", &self.key)
            .field("manifest", &self.manifest)
            .field("writable", &self.key_pair.is_some())
            .finish()
    }
}

/// Changes to store together. Inert until [`super::Hypercore::apply`].
#[derive(Clone, Debug)]
pub struct Commit {
    /// For `apply`.
    pub id: CommitId,
    /// In order.
    pub changes: Vec<Change>,
    /// Must survive before it is published to anyone (own appends, truncations); downloads may be fetched again.
    pub durable: bool,
}

/// What became true when a commit was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Set when the log was cut: blocks that stayed.
    pub truncated_to: Option<u64>,
    /// Set when the length grew: the length before (after the cut, if any).
    pub grew_from: Option<u64>,
    /// Blocks stored now that were not before, with their bytes.
    pub added: Vec<(u64, Vec<Bytes>)>,
    /// Blocks dropped by a clear.
    pub cleared: Option<Range<u64>>,
    /// The manifest became known.
    pub manifest: bool,
    /// The core was frozen.
    pub frozen: bool,
}
