//! One node of the tree, and sets of nodes that were loaded for a plan.

use crate::crypto::{Hash, leaf_hash, parent_hash};
pub use crate::flat_tree::TreeIndex;
use alloc::collections::BTreeMap;

/// A node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Position in the flat tree.
    pub index: TreeIndex,
    /// Bytes of all blocks below this node.
    pub size: u64,
    /// Leaf or parent hash.
    pub hash: Hash,
}

impl Node {
    /// The leaf of a block.
    pub fn leaf(index: u64, block: &[u8]) -> Self {
        let size = u64::try_from(block.len()).unwrap_or(u64::MAX);
        Self { index: TreeIndex::leaf(index), size, hash: leaf_hash(block) }
    }

    /// The node above two siblings, given in either order.
    pub fn parent(a: &Self, b: &Self) -> Self {
        let (left, right) = if a.index <= b.index { (a, b) } else { (b, a) };
        let size = left.size.saturating_add(right.size);
        Self { index: left.index.parent(), size, hash: parent_hash(size, &left.hash, &right.hash) }
    }

    /// Bytes below without `padding` bytes per block.
    pub fn unpadded_size(&self, padding: u64) -> u64 {
        let blocks = self.index.blocks();
        self.size.saturating_sub(padding.saturating_mul(blocks.end.saturating_sub(blocks.start)))
    }
}

/// Nodes loaded for a plan, by position.
#[derive(Clone, Debug, Default)]
pub struct LoadedNodes(BTreeMap<TreeIndex, Node>);

impl LoadedNodes {
    /// The node at `index`, if it was loaded.
    pub fn get(&self, index: TreeIndex) -> Option<&Node> {
        self.0.get(&index)
    }

    /// Every node.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }

    /// Adds every node of another set.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(index, node)| (*index, *node)));
    }

    /// Adds a node.
    pub fn insert(&mut self, node: Node) {
        self.0.insert(node.index, node);
    }
}

impl FromIterator<Node> for LoadedNodes {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        Self(nodes.into_iter().map(|node| (node.index, node)).collect())
    }
}

impl Extend<Node> for LoadedNodes {
    fn extend<I: IntoIterator<Item = Node>>(&mut self, nodes: I) {
        nodes.into_iter().for_each(|node| self.insert(node));
    }
}
