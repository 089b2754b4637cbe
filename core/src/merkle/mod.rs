//! The Merkle tree over a core's blocks: roots, proofs, verification (`hypercore/lib/merkle-tree.js`).

mod list;
mod lookup;
mod missing;
mod node;
mod proof;
mod prove;
mod recent;
mod reorg;
mod roots;
mod seek;
mod verify;

pub(crate) use list::{decode_nodes, encode_nodes};
pub use missing::missing_nodes;
pub use node::{LoadedNodes, Node, TreeIndex};
pub use proof::{
    DataBlock, DataHash, DataSeek, DataUpgrade, Proof, ProofRequest, RequestBlock, RequestSeek, RequestUpgrade,
};
pub use prove::{BuildError, InvalidRequest, ProofPlan, upgrade_places};
pub use recent::RecentNodes;
pub use reorg::Reorg;
pub use roots::{Roots, append};
pub use seek::{ByteSeek, byte_offset_nodes};
pub use verify::{Anchor, InvalidProof, Unanchored, Verified, VerifiedUpgrade, upgrade_roots, verify, verify_all};
