//! What a reader asks for and what it gets; the wire's `request` and `data` carry these parts as they are.

use super::node::{Node, TreeIndex};
use alloc::vec::Vec;
use bytes::Bytes;

/// "Block `index`, with `nodes` uncles above it." For `hash`, `index` is a tree index instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBlock {
    /// Block index in a block request, tree index in a hash request.
    pub index: u64,
    /// How many parent steps lead to a node the asker already has.
    pub nodes: u64,
}

/// "The nodes that lead to the block holding this byte."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSeek {
    /// Byte offset in the core, padding included.
    pub bytes: u64,
    /// Padding bytes per block of an encrypted core.
    pub padding: u64,
}

/// "Prove the tree from `start` on for `length` more blocks."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestUpgrade {
    /// The asker's length in blocks.
    pub start: u64,
    /// How many blocks to add.
    pub length: u64,
}

/// Everything one proof may be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProofRequest {
    /// A block and its uncles.
    pub block: Option<RequestBlock>,
    /// A tree node and its uncles (`index` is a tree index).
    pub hash: Option<RequestBlock>,
    /// The path to a byte offset.
    pub seek: Option<RequestSeek>,
    /// A longer tree.
    pub upgrade: Option<RequestUpgrade>,
}

/// A block with its uncles, bottom up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataBlock {
    /// Block index.
    pub index: u64,
    /// The block as stored (ciphertext in an encrypted core).
    pub value: Bytes,
    /// Uncles, bottom up.
    pub nodes: Vec<Node>,
}

/// A tree node with its uncles, bottom up. The first of `nodes` is the asked node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataHash {
    /// The asked node.
    pub index: TreeIndex,
    /// Node, then uncles.
    pub nodes: Vec<Node>,
}

/// The nodes that lead to a byte offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSeek {
    /// The asked byte offset.
    pub bytes: u64,
    /// Nodes in the order the reference sends them.
    pub nodes: Vec<Node>,
}

/// The nodes that lengthen the asker's tree, and the signature over the answerer's **full** length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataUpgrade {
    /// The asker's length in blocks.
    pub start: u64,
    /// How many blocks are added.
    pub length: u64,
    /// New roots from `start` to `start + length`, without what the block part re-derives.
    pub nodes: Vec<Node>,
    /// New roots from there to the signed length.
    pub additional_nodes: Vec<Node>,
    /// Signature bytes (64 or multi-signature form); empty when the prologue vouches.
    pub signature: Vec<u8>,
}

/// A proof as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The fork all parts belong to.
    pub fork: u64,
    /// A block and its uncles.
    pub block: Option<DataBlock>,
    /// A node and its uncles.
    pub hash: Option<DataHash>,
    /// The path to a byte offset.
    pub seek: Option<DataSeek>,
    /// A longer tree.
    pub upgrade: Option<DataUpgrade>,
}
