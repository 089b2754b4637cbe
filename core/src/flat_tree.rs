//! The geometry of a binary tree laid out flat (`flat-tree/index.js`): leaf `i` at `2 i`, parents in between.
//!
//! Every function is total: indexes near the end of the number range saturate instead of overflowing.

use alloc::vec::Vec;
use core::ops::Range;

/// A node's position in the flat tree: block `i` is leaf `2 i`. Never a block index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeIndex(pub u64);

impl TreeIndex {
    /// The leaf of block `block`.
    pub const fn leaf(block: u64) -> Self {
        Self(block.saturating_mul(2))
    }

    /// The node `offset` from the left on level `depth` (leaves are level 0).
    pub const fn from_depth_offset(depth: u32, offset: u64) -> Self {
        Self(pow2(depth.saturating_add(1)).saturating_mul(offset).saturating_add(pow2(depth).saturating_sub(1)))
    }

    /// Level above the leaves.
    pub const fn depth(self) -> u32 {
        self.0.trailing_ones()
    }

    /// Position from the left on its level.
    pub const fn offset(self) -> u64 {
        match self.0.checked_shr(self.depth().saturating_add(1)) {
            Some(offset) => offset,
            None => 0,
        }
    }

    /// True for blocks' nodes.
    pub const fn is_leaf(self) -> bool {
        self.0 & 1 == 0
    }

    /// The node above.
    pub const fn parent(self) -> Self {
        Self::from_depth_offset(self.depth().saturating_add(1), self.offset() / 2)
    }

    /// The other child of the node above.
    pub const fn sibling(self) -> Self {
        Self::from_depth_offset(self.depth(), self.offset() ^ 1)
    }

    /// The sibling of the node above.
    pub const fn uncle(self) -> Self {
        self.parent().sibling()
    }

    /// True when this is its parent's left child.
    pub const fn is_left(self) -> bool {
        self.offset() & 1 == 0
    }

    /// Left and right child; `None` for a leaf.
    pub const fn children(self) -> Option<(Self, Self)> {
        match self.depth().checked_sub(1) {
            None => None,
            Some(below) => {
                let step = pow2(below);
                Some((Self(self.0.saturating_sub(step)), Self(self.0.saturating_add(step))))
            }
        }
    }

    /// The leftmost and the rightmost leaf below, as tree indexes.
    pub const fn spans(self) -> (Self, Self) {
        let half = pow2(self.depth()).saturating_sub(1);
        (Self(self.0.saturating_sub(half)), Self(self.0.saturating_add(half)))
    }

    /// The blocks below.
    pub const fn blocks(self) -> Range<u64> {
        let (left, right) = self.spans();
        left.0 / 2..(right.0 / 2).saturating_add(1)
    }

    /// Nodes below, itself included.
    pub const fn count(self) -> u64 {
        pow2(self.depth().saturating_add(1)).saturating_sub(1)
    }

    /// True when `index` lies in the subtree under this node, in the half-open sense of the reference's iterator.
    pub const fn contains(self, index: Self) -> bool {
        let half = pow2(self.depth());
        if index.0 > self.0 { index.0 < self.0.saturating_add(half) } else { index.0.saturating_add(half) > self.0 }
    }
}

/// The roots of a tree of `length` blocks, left to right: at most 64, the largest first.
pub fn full_roots(length: u64) -> Vec<TreeIndex> {
    let mut roots = Vec::new();
    let mut start = 0_u64;
    let mut left = length;
    while left > 0 {
        let depth = left.ilog2();
        roots.push(TreeIndex::from_depth_offset(depth, start.checked_shr(depth).unwrap_or(0)));
        start = start.saturating_add(pow2(depth));
        left = left.saturating_sub(pow2(depth));
    }
    roots
}

const fn pow2(exponent: u32) -> u64 {
    match 1_u64.checked_shl(exponent) {
        Some(power) => power,
        None => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_places() {
        assert_eq!(TreeIndex(5).parent(), TreeIndex(3));
        assert_eq!(TreeIndex(5).sibling(), TreeIndex(1));
        assert_eq!(TreeIndex(2).uncle(), TreeIndex(5));
        assert_eq!(TreeIndex(3).children(), Some((TreeIndex(1), TreeIndex(5))));
        assert_eq!(TreeIndex(3).blocks(), 0..4);
        assert_eq!(full_roots(7), [TreeIndex(3), TreeIndex(9), TreeIndex(12)]);
        assert_eq!(full_roots(0), []);
    }

    proptest! {
        #[test]
        fn parent_and_children_agree(depth in 0_u32..40, offset in 0_u64..(1 << 20)) {
            let index = TreeIndex::from_depth_offset(depth, offset);
            prop_assert_eq!((index.depth(), index.offset()), (depth, offset));
            let (left, right) = index.parent().children().unwrap();
            prop_assert!(left == index || right == index);
            prop_assert_eq!(left.sibling(), right);
            prop_assert!(index.parent().contains(index));
            prop_assert!(!index.contains(index.sibling()));
        }

        #[test]
        fn roots_cover_every_block_once(length in 0_u64..(1 << 45)) {
            let mut next = 0;
            for root in full_roots(length) {
                prop_assert_eq!(root.blocks().start, next);
                next = root.blocks().end;
            }
            prop_assert_eq!(next, length);
        }

        #[test]
        fn no_index_panics(index: u64) {
            let index = TreeIndex(index);
            let _ = (index.parent(), index.sibling(), index.children(), index.spans(), index.blocks(), index.count());
            let _ = (index.uncle(), index.contains(TreeIndex(7)), index.offset());
        }
    }
}
