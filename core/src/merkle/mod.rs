//! The Merkle tree over a core's blocks: roots, proofs, verification (`hypercore/lib/merkle-tree.js`).

mod node;
mod proof;
mod roots;

pub use node::{LoadedNodes, Node, TreeIndex};
pub use proof::{
    DataBlock, DataHash, DataSeek, DataUpgrade, Proof, ProofRequest, RequestBlock, RequestSeek, RequestUpgrade,
};
pub use roots::Roots;
