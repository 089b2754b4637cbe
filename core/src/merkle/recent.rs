//! Nodes seen lately, in a bounded memory: neighbouring proofs share most of theirs.

use super::node::{Node, TreeIndex};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The last few nodes of each level of one tree; it must be emptied when the tree is cut.
#[derive(Debug, Default)]
pub struct RecentNodes {
    levels: Vec<Option<Box<Level>>>,
}

type Level = [Option<Node>; PER_LEVEL];

impl RecentNodes {
    /// Remembers a node, in the place of an earlier one.
    pub fn insert(&mut self, node: Node) {
        let Ok(depth) = usize::try_from(node.index.depth()) else { return };
        if self.levels.len() <= depth {
            self.levels.resize_with(depth.saturating_add(1), || None);
        }
        let level = self.levels.get_mut(depth).map(|level| level.get_or_insert_with(|| Box::new([None; PER_LEVEL])));
        if let Some(slot) = level.and_then(|level| level.get_mut(place(node.index))) {
            *slot = Some(node);
        }
    }

    /// The node, if it is still remembered.
    pub fn get(&self, index: TreeIndex) -> Option<&Node> {
        let level = self.levels.get(usize::try_from(index.depth()).ok()?)?.as_ref()?;
        level.get(place(index))?.as_ref().filter(|node| node.index == index)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.levels = Vec::new();
    }
}

/// Where a node of a level is kept.
fn place(index: TreeIndex) -> usize {
    usize::try_from(index.offset()).unwrap_or(0) % PER_LEVEL
}

/// Nodes of one level: about as many as requests are under way at once.
const PER_LEVEL: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Hash;

    fn node(index: TreeIndex) -> Node {
        Node { index, size: index.0, hash: Hash([1; 32]) }
    }

    #[test]
    fn nodes_are_found_until_others_take_their_place() {
        let mut recent = RecentNodes::default();
        let slots = u64::try_from(PER_LEVEL).unwrap();
        for depth in [0, 3, 52] {
            (0..slots).for_each(|offset| recent.insert(node(TreeIndex::from_depth_offset(depth, offset))));
        }
        let known = TreeIndex::from_depth_offset(3, 1);
        assert_eq!(recent.get(known), Some(&node(known)));
        let later = TreeIndex::from_depth_offset(3, slots + 1);
        assert_eq!(recent.get(later), None);
        recent.insert(node(later));
        assert_eq!((recent.get(later), recent.get(known)), (Some(&node(later)), None));
        recent.clear();
        assert_eq!(recent.get(later), None);
    }
}
