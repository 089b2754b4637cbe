//! One node of the tree, and sets of nodes that were loaded for a plan.

use crate::crypto::{Hash, leaf_hash, parent_hash, parent_hashes};
pub use crate::flat_tree::TreeIndex;
use alloc::vec::Vec;

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

    /// The nodes above neighbours on one level, of which the first is a left child; a last one without its sibling is
    /// left out.
    pub(super) fn parents(level: &[Self]) -> Vec<Self> {
        let (pairs, _) = level.as_chunks::<2>();
        let size = |left: &Self, right: &Self| left.size.saturating_add(right.size);
        let hashes = parent_hashes(pairs.iter().map(|[left, right]| (size(left, right), left.hash, right.hash)));
        let parent = |([left, right], hash): (&[Self; 2], Hash)| Self {
            index: left.index.parent(),
            size: size(left, right),
            hash,
        };
        pairs.iter().zip(hashes).map(parent).collect()
    }

    /// Bytes below without `padding` bytes per block.
    pub fn unpadded_size(&self, padding: u64) -> u64 {
        let blocks = self.index.blocks();
        self.size.saturating_sub(padding.saturating_mul(blocks.end.saturating_sub(blocks.start)))
    }
}

/// Nodes loaded for a plan, ordered by position.
#[derive(Clone, Debug, Default)]
pub struct LoadedNodes(Vec<Node>);

impl LoadedNodes {
    /// The node at `index`, if it was loaded.
    pub fn get(&self, index: TreeIndex) -> Option<&Node> {
        let place = self.0.binary_search_by_key(&index, |node| node.index).ok()?;
        self.0.get(place)
    }

    /// Every node.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.iter()
    }

    /// Adds every node of another set.
    pub fn merge(&mut self, other: &Self) {
        self.extend(other.0.iter().copied());
    }

    /// Adds a node.
    pub fn insert(&mut self, node: Node) {
        match self.0.binary_search_by_key(&node.index, |other| other.index) {
            Ok(place) => self.0.get_mut(place).into_iter().for_each(|other| *other = node),
            Err(place) => self.0.insert(place, node),
        }
    }
}

impl FromIterator<Node> for LoadedNodes {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        let mut loaded = Self::default();
        loaded.extend(nodes);
        loaded
    }
}

impl Extend<Node> for LoadedNodes {
    fn extend<I: IntoIterator<Item = Node>>(&mut self, nodes: I) {
        self.0.extend(nodes);
        // Of two at one place the later one counts: equal ones keep their order, so it comes first when turned round.
        self.0.reverse();
        self.0.sort_by_key(|node| node.index);
        self.0.dedup_by_key(|node| node.index);
    }
}
