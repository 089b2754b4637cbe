//! One node of the tree, and sets of nodes that were loaded for a plan.

use crate::crypto::Hash;
use alloc::collections::BTreeMap;

/// A node's position in the flat tree: block `i` is leaf `2 i`. Never a block index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeIndex(pub u64);

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

/// Nodes loaded for a plan, by position.
#[derive(Clone, Debug, Default)]
pub struct LoadedNodes(BTreeMap<TreeIndex, Node>);

impl LoadedNodes {
    /// The node at `index`, if it was loaded.
    pub fn get(&self, index: TreeIndex) -> Option<&Node> {
        self.0.get(&index)
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
