//! The roots of a tree: all of it that must stay in memory, log2(length) nodes.

use super::node::{Node, TreeIndex};
use crate::crypto::{Hash, ROOTS, blake2b, leaf_hashes};
use crate::flat_tree;
use alloc::vec::Vec;
use bytes::Bytes;

/// A tree of some length on some fork, as its roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Rises with every truncation.
    pub fork: u64,
    /// Blocks.
    pub length: u64,
    /// Bytes of all blocks.
    pub byte_length: u64,
    /// Full roots of `length`, left to right.
    pub nodes: Vec<Node>,
}

impl Roots {
    /// Where the roots of a tree of `length` blocks are.
    pub fn indices(length: u64) -> Vec<TreeIndex> {
        flat_tree::full_roots(length)
    }

    /// The tree of `length` blocks with these roots; `None` when they are others' places or their sizes overflow.
    pub fn from_nodes(fork: u64, length: u64, nodes: Vec<Node>) -> Option<Self> {
        let places = Self::indices(length);
        if places.len() != nodes.len() || places.iter().zip(&nodes).any(|(place, node)| *place != node.index) {
            return None;
        }
        let byte_length = nodes.iter().try_fold(0_u64, |sum, node| sum.checked_add(node.size))?;
        Some(Self { fork, length, byte_length, nodes })
    }

    /// The hash that is signed: over the roots with their places and sizes.
    pub fn tree_hash(&self) -> Hash {
        let mut bytes = Vec::with_capacity(self.nodes.len().saturating_mul(48));
        for node in &self.nodes {
            bytes.extend_from_slice(node.hash.as_ref());
            bytes.extend_from_slice(&node.index.0.to_le_bytes());
            bytes.extend_from_slice(&node.size.to_le_bytes());
        }
        blake2b(&[&ROOTS, &bytes])
    }

    /// The root over `index`, if the tree has one.
    pub fn root_over(&self, index: TreeIndex) -> Option<&Node> {
        self.nodes.iter().find(|root| root.index.contains(index))
    }

    /// Adds the next root on the right and merges equal neighbours; every node this makes goes to `made`.
    pub(super) fn push(&mut self, node: Node, made: &mut Vec<Node>) {
        let blocks = node.index.blocks();
        self.length = blocks.end;
        self.byte_length = self.byte_length.saturating_add(node.size);
        made.push(node);
        self.nodes.push(node);
        while let [.., left, right] = self.nodes.as_slice() {
            if left.index.sibling() != right.index || !left.index.is_left() {
                break;
            }
            let parent = Node::parent(left, right);
            self.nodes.truncate(self.nodes.len().saturating_sub(2));
            self.nodes.push(parent);
            made.push(parent);
        }
    }
}

/// The tree with `blocks` appended (same fork), and every node to store, in order. Needs no read.
pub fn append(roots: &Roots, blocks: &[Bytes]) -> (Roots, Vec<Node>) {
    let levels = new_levels(roots, blocks);
    let made = in_order(levels, roots.length);
    let count = u64::try_from(blocks.len()).unwrap_or(u64::MAX);
    let length = roots.length.saturating_add(count);
    let node = |index| {
        let new = made.binary_search_by_key(&index, |node: &Node| node.index).ok().and_then(|at| made.get(at));
        new.or_else(|| roots.nodes.iter().find(|root| root.index == index)).copied()
    };
    let nodes: Vec<Node> = Roots::indices(length).into_iter().filter_map(node).collect();
    let byte_length = nodes.iter().map(|node| node.size).fold(0, u64::saturating_add);
    (Roots { fork: roots.fork, length, byte_length, nodes }, made)
}

/// The nodes that `blocks` add behind a tree, level by level from the leaves up.
fn new_levels(roots: &Roots, blocks: &[Bytes]) -> Vec<Vec<Node>> {
    let leaves = (roots.length..).zip(blocks).zip(leaf_hashes(blocks)).map(|((index, block), hash)| {
        let size = u64::try_from(block.len()).unwrap_or(u64::MAX);
        Node { index: TreeIndex::leaf(index), size, hash }
    });
    let mut level: Vec<Node> = leaves.collect();
    let mut levels = Vec::new();
    while let Some(first) = level.first() {
        // A right child that comes first has its sibling among the old roots.
        let left =
            (!first.index.is_left()).then(|| roots.nodes.iter().find(|root| root.index == first.index.sibling()));
        let parents = match left.flatten() {
            Some(left) => Node::parents(&[&[*left], level.as_slice()].concat()),
            None => Node::parents(&level),
        };
        levels.push(core::mem::replace(&mut level, parents));
    }
    levels
}

/// All levels' nodes by position; they follow a tree of `length` blocks.
fn in_order(levels: Vec<Vec<Node>>, length: u64) -> Vec<Node> {
    let mut made = Vec::with_capacity(levels.iter().map(Vec::len).sum());
    let leaves = levels.first().map_or(0, |leaves| u64::try_from(leaves.len()).unwrap_or(u64::MAX));
    let (first, last) = (TreeIndex::leaf(length), TreeIndex::leaf(length.saturating_add(leaves)));
    let mut levels: Vec<_> = levels.into_iter().map(|level| level.into_iter().peekable()).collect();
    // One node a level at most reaches back over the old tree.
    made.extend(levels.iter_mut().filter_map(|level| level.next_if(|node| node.index < first)));
    made.sort_by_key(|node: &Node| node.index);
    made.extend((first.0..last.0).map(TreeIndex).filter_map(|index| {
        let level = usize::try_from(index.depth()).ok().and_then(|depth| levels.get_mut(depth));
        level.and_then(|level| level.next_if(|node| node.index == index))
    }));
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    /// The same tree, by the definition.
    fn naive(index: TreeIndex, blocks: &[Bytes]) -> Node {
        match index.children() {
            None => Node::leaf(index.0 / 2, &blocks[usize::try_from(index.0 / 2).unwrap()]),
            Some((left, right)) => Node::parent(&naive(left, blocks), &naive(right, blocks)),
        }
    }

    #[test]
    fn the_empty_tree_has_a_hash() {
        let hash = Roots::default().tree_hash().to_string();
        assert_eq!(hash, "bb30a42c1e62f0afda5f0a4e8a562f7a13a24cea00ee81917b86b89e801314aa");
    }

    proptest! {
        #[test]
        fn any_batches_give_the_tree_of_the_definition(sizes in prop::collection::vec(0_usize..20, 0..70), cut: usize) {
            let blocks: Vec<Bytes> = sizes.iter().enumerate().map(|(i, n)| alloc::vec![i as u8; *n].into()).collect();
            let cut = cut % (blocks.len() + 1);
            let (first, mut made) = append(&Roots::default(), &blocks[..cut]);
            let (both, more) = append(&first, &blocks[cut..]);
            made.extend(more);
            prop_assert_eq!(both.length, blocks.len() as u64);
            prop_assert_eq!(&Roots::from_nodes(0, both.length, both.nodes.clone()).unwrap(), &both);
            for node in made.iter().chain(&both.nodes) {
                prop_assert_eq!(node, &naive(node.index, &blocks));
            }
        }
    }
}
