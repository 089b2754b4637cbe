//! Checking proofs: from claimed nodes to nodes that are surely the writer's
//! (`hypercore/lib/merkle-tree.js`, `verifyTree` and `verifyUpgrade`).

use super::node::{Node, TreeIndex};
use super::proof::{DataUpgrade, Proof};
use super::roots::Roots;
use crate::crypto::leaf_hashes;
use crate::flat_tree::full_roots;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// What a proof claims is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidProof {
    /// Another node was due at this place, or none more was given.
    UnexpectedNode {
        /// The node that was due.
        expected: TreeIndex,
    },
    /// A hash does not match the one we have.
    HashMismatch {
        /// Where.
        node: TreeIndex,
    },
    /// The signature does not cover this tree.
    Signature {
        /// The length it should cover.
        length: u64,
    },
    /// The upgrade ends before our tree does, or beyond any tree.
    UpgradeOutOfBounds,
    /// The block lies past the tree.
    BlockOutOfBounds,
    /// The proof proves nothing.
    Empty,
    /// The proof belongs to another fork.
    WrongFork,
}

impl fmt::Display for InvalidProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedNode { expected } => write!(f, "the proof lacks tree node {}", expected.0),
            Self::HashMismatch { node } => write!(f, "the proof's hash of tree node {} is wrong", node.0),
            Self::Signature { length } => write!(f, "the signature over length {length} is wrong"),
            Self::UpgradeOutOfBounds => f.write_str("the proof's upgrade does not lengthen our tree"),
            Self::BlockOutOfBounds => f.write_str("the proof's block lies past the tree"),
            Self::Empty => f.write_str("the proof proves nothing"),
            Self::WrongFork => f.write_str("the proof belongs to another fork"),
        }
    }
}

impl core::error::Error for InvalidProof {}

/// A longer tree whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedUpgrade {
    /// Our length before, in blocks.
    pub from: u64,
    /// The signed tree.
    pub roots: Roots,
    /// Its signature.
    pub signature: Vec<u8>,
}

/// What a proof proved. Only this floor can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    fork: u64,
    nodes: Vec<Node>,
    upgrade: Option<VerifiedUpgrade>,
    blocks: Vec<(u64, Bytes)>,
}

impl Verified {
    pub(super) fn new(fork: u64, nodes: Vec<Node>, upgrade: Option<VerifiedUpgrade>) -> Self {
        Self { fork, nodes, upgrade, blocks: Vec::new() }
    }

    /// Proof of nothing at all: for data that holds only a manifest.
    pub fn nothing(fork: u64) -> Self {
        Self::new(fork, Vec::new(), None)
    }

    /// Its nodes and its blocks.
    pub fn into_parts(self) -> (Vec<Node>, Vec<(u64, Bytes)>) {
        (self.nodes, self.blocks)
    }

    /// Adds what another proof proved of the same tree; gives it back when either leads to a longer tree, or they
    /// belong to different forks.
    #[must_use]
    pub fn join(&mut self, other: Self) -> Option<Self> {
        if self.fork != other.fork || self.upgrade.is_some() || other.upgrade.is_some() {
            return Some(other);
        }
        self.nodes.extend(other.nodes);
        self.blocks.extend(other.blocks);
        None
    }

    /// The fork it belongs to.
    pub fn fork(&self) -> u64 {
        self.fork
    }

    /// Nodes to store.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A longer tree.
    pub fn upgrade(&self) -> Option<&VerifiedUpgrade> {
        self.upgrade.as_ref()
    }

    /// Blocks: index and bytes as stored.
    pub fn blocks(&self) -> &[(u64, Bytes)] {
        &self.blocks
    }
}

/// What is left to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Nothing.
    Verified(Verified),
    /// One hash against a node we have stored.
    Stored(Unanchored),
}

/// A proof that holds if one stored node has the right hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanchored {
    top: Node,
    verified: Verified,
}

impl Unanchored {
    /// The stored node it hangs on.
    pub fn needs(&self) -> TreeIndex {
        self.top.index
    }

    /// Bytes of the block that is to be proven; 0 without one.
    pub fn block_bytes(&self) -> usize {
        self.verified.blocks.iter().map(|(_, value)| value.len()).fold(0, usize::saturating_add)
    }

    /// Checks the stored node.
    ///
    /// # Errors
    /// [`InvalidProof::HashMismatch`] when it is another one.
    pub fn confirm(self, stored: Option<&Node>) -> Result<Verified, InvalidProof> {
        match stored {
            Some(node) if node.hash == self.top.hash && node.size == self.top.size => Ok(self.verified),
            _ => Err(InvalidProof::HashMismatch { node: self.top.index }),
        }
    }
}

/// Checks a proof against the tree with these roots. `check` says whether a signature covers a tree.
///
/// # Errors
/// [`InvalidProof`] names the culprit; nothing of the proof may be used then.
pub fn verify(roots: &Roots, proof: &Proof, check: &dyn Fn(&Roots, &[u8]) -> bool) -> Result<Anchor, InvalidProof> {
    let leaf = proof.block.as_ref().map(|block| Node::leaf(block.index, &block.value));
    verify_from(leaf, roots, proof, check)
}

/// Checks many proofs as [`verify`] does, hashing their blocks together.
pub fn verify_all<'a>(
    roots: &Roots,
    proofs: impl Iterator<Item = &'a Proof> + Clone,
    check: &dyn Fn(&Roots, &[u8]) -> bool,
) -> Vec<Result<Anchor, InvalidProof>> {
    let blocks: Vec<Bytes> = proofs.clone().filter_map(|proof| Some(proof.block.as_ref()?.value.clone())).collect();
    let mut hashes = leaf_hashes(&blocks).into_iter();
    let verified = proofs.map(|proof| {
        let leaf = proof.block.as_ref().and_then(|block| {
            let size = u64::try_from(block.value.len()).unwrap_or(u64::MAX);
            Some(Node { index: TreeIndex::leaf(block.index), size, hash: hashes.next()? })
        });
        verify_from(leaf, roots, proof, check)
    });
    verified.collect()
}

/// `leaf` is the leaf of the proof's block.
fn verify_from(
    leaf: Option<Node>,
    roots: &Roots,
    proof: &Proof,
    check: &dyn Fn(&Roots, &[u8]) -> bool,
) -> Result<Anchor, InvalidProof> {
    if proof.fork != roots.fork {
        return Err(InvalidProof::WrongFork);
    }
    let mut nodes = Vec::new();
    let mut top = verify_tree(leaf, proof, &mut nodes)?;
    let mut upgrade = None;
    if let Some(data) = &proof.upgrade {
        let (longer, top_used) = verify_upgrade(roots, proof.fork, data, top, &mut nodes)?;
        if !check(&longer, &data.signature) {
            return Err(InvalidProof::Signature { length: longer.length });
        }
        if top_used {
            top = None;
        }
        upgrade = Some(VerifiedUpgrade { from: roots.length, roots: longer, signature: data.signature.clone() });
    } else if top.is_none() {
        return Err(InvalidProof::Empty);
    }
    let length = upgrade.as_ref().map_or(roots.length, |upgrade| upgrade.roots.length);
    if proof.block.as_ref().is_some_and(|block| block.index >= length) {
        return Err(InvalidProof::BlockOutOfBounds);
    }
    let blocks = proof.block.iter().map(|block| (block.index, block.value.clone())).collect();
    let verified = Verified { fork: proof.fork, nodes, upgrade, blocks };
    let Some(top) = top else { return Ok(Anchor::Verified(verified)) };
    let unanchored = Unanchored { top, verified };
    match roots.nodes.iter().find(|root| root.index == top.index) {
        Some(root) => unanchored.confirm(Some(root)).map(Anchor::Verified),
        None => Ok(Anchor::Stored(unanchored)),
    }
}

/// Nodes in the order they are due, with one derived node that may come at any place.
struct Queue<'a> {
    nodes: core::slice::Iter<'a, Node>,
    extra: Option<Node>,
}

impl Queue<'_> {
    fn shift(&mut self, expected: TreeIndex) -> Result<Node, InvalidProof> {
        if let Some(extra) = self.extra.take_if(|extra| extra.index == expected) {
            return Ok(extra);
        }
        match self.nodes.next() {
            Some(node) if node.index == expected => Ok(*node),
            _ => Err(InvalidProof::UnexpectedNode { expected }),
        }
    }

    fn is_empty(&self) -> bool {
        self.extra.is_none() && self.nodes.len() == 0
    }
}

/// Hashes up from the block's leaf, the node or the seek; gives the topmost node.
pub(super) fn verify_tree(
    leaf: Option<Node>,
    proof: &Proof,
    nodes: &mut Vec<Node>,
) -> Result<Option<Node>, InvalidProof> {
    let mut seek_top = None;
    if let Some(first) = proof.seek.as_ref().and_then(|seek| seek.nodes.first()) {
        let given = proof.seek.as_ref().map(|seek| seek.nodes.as_slice()).unwrap_or_default();
        let mut queue = Queue { nodes: given.iter(), extra: None };
        let start = queue.shift(first.index)?;
        seek_top = Some(climb(start, &mut queue, nodes)?);
    }
    if let (Some(block), Some(leaf)) = (&proof.block, leaf) {
        let mut queue = Queue { nodes: block.nodes.iter(), extra: seek_top };
        return climb(leaf, &mut queue, nodes).map(Some);
    }
    if let Some(hash) = &proof.hash {
        let mut queue = Queue { nodes: hash.nodes.iter(), extra: seek_top };
        let start = queue.shift(hash.index)?;
        return climb(start, &mut queue, nodes).map(Some);
    }
    Ok(seek_top)
}

fn climb(start: Node, queue: &mut Queue<'_>, nodes: &mut Vec<Node>) -> Result<Node, InvalidProof> {
    let mut top = start;
    nodes.reserve(queue.nodes.len().saturating_mul(2).saturating_add(1));
    nodes.push(top);
    while !queue.is_empty() {
        let sibling = queue.shift(top.index.sibling())?;
        top = Node::parent(&top, &sibling);
        nodes.push(sibling);
        nodes.push(top);
    }
    Ok(top)
}

/// The signed tree that the upgrade leads to, and whether `top` became part of it.
pub(super) fn verify_upgrade(
    roots: &Roots,
    fork: u64,
    upgrade: &DataUpgrade,
    top: Option<Node>,
    nodes: &mut Vec<Node>,
) -> Result<(Roots, bool), InvalidProof> {
    let length = upgrade.start.checked_add(upgrade.length).ok_or(InvalidProof::UpgradeOutOfBounds)?;
    if length < roots.length {
        return Err(InvalidProof::UpgradeOutOfBounds);
    }
    let mut queue = Queue { nodes: upgrade.nodes.iter(), extra: top };
    let mut tree = Roots { fork, ..roots.clone() };
    let mut kept = 0_usize;
    for root in full_roots(length) {
        if tree.nodes.get(kept).is_some_and(|node| node.index == root) {
            kept = kept.saturating_add(1);
            continue;
        }
        while let Some(last) = tree.nodes.last().filter(|last| root.contains(last.index) && last.index != root) {
            let due = last.index.sibling();
            push(&mut tree, queue.shift(due)?, nodes)?;
        }
        if tree.nodes.last().is_none_or(|last| last.index != root) {
            push(&mut tree, queue.shift(root)?, nodes)?;
        }
        kept = tree.nodes.len();
    }
    for node in &upgrade.additional_nodes {
        let mut due = tree.nodes.last().ok_or(InvalidProof::UpgradeOutOfBounds)?.index.sibling();
        while due != node.index {
            due = due.children().ok_or(InvalidProof::UnexpectedNode { expected: due })?.0;
        }
        push(&mut tree, *node, nodes)?;
    }
    if queue.nodes.len() > 0 {
        return Err(InvalidProof::UpgradeOutOfBounds);
    }
    Ok((tree, queue.extra.is_none()))
}

/// The tree an upgrade leads to, its signature unchecked.
///
/// # Errors
/// [`InvalidProof`] when its nodes do not fit.
pub fn upgrade_roots(roots: &Roots, upgrade: &DataUpgrade) -> Result<Roots, InvalidProof> {
    verify_upgrade(roots, roots.fork, upgrade, None, &mut Vec::new()).map(|(longer, _)| longer)
}

fn push(tree: &mut Roots, node: Node, nodes: &mut Vec<Node>) -> Result<(), InvalidProof> {
    if node.index.blocks().start != tree.length {
        return Err(InvalidProof::UnexpectedNode { expected: node.index });
    }
    tree.push(node, nodes);
    Ok(())
}
