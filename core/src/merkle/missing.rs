//! How many uncles to ask for along with a block: as many as lead to a node we surely have. Needs no read.

use super::node::TreeIndex;
use core::ops::Range;

/// Parent steps from `node` to a node we have, in a tree of `length` blocks; 0 when `node` lies past it.
///
/// Storing a block stores its whole path of uncles. So we have a node when any block below its **parent** is stored,
/// or when it is a root; `stored` says whether any block of a range is. It is asked about each block once.
pub fn missing_nodes(node: TreeIndex, length: u64, stored: &mut dyn FnMut(Range<u64>) -> bool) -> u64 {
    if node.blocks().end > length {
        return 0;
    }
    let mut node = node;
    let mut steps = 0_u64;
    let mut below = stored(node.blocks());
    loop {
        let parent = node.parent();
        if parent.blocks().end > length || below || stored(node.sibling().blocks()) {
            return steps;
        }
        node = parent;
        below = false;
        steps = steps.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_at_roots_and_at_stored_paths() {
        let mut none = |_: Range<u64>| false;
        assert_eq!(missing_nodes(TreeIndex::leaf(0), 8, &mut none), 3);
        assert_eq!(missing_nodes(TreeIndex::leaf(0), 7, &mut none), 2);
        assert_eq!(missing_nodes(TreeIndex::leaf(6), 7, &mut none), 0);
        assert_eq!(missing_nodes(TreeIndex::leaf(9), 8, &mut none), 0);
        let mut third = |range: Range<u64>| range.contains(&3);
        assert_eq!(missing_nodes(TreeIndex::leaf(2), 8, &mut third), 0);
        assert_eq!(missing_nodes(TreeIndex::leaf(0), 8, &mut third), 1);
        assert_eq!(missing_nodes(TreeIndex::leaf(7), 8, &mut third), 2);
    }
}
