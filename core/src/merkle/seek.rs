//! From bytes to blocks: which block holds a byte, and where a block begins
//! (`hypercore/lib/merkle-tree.js`, `ByteSeeker` and `byteOffset`).

use super::node::{LoadedNodes, TreeIndex};
use super::roots::Roots;
use alloc::vec::Vec;

/// Looks for the block that holds a byte. The only plan whose next node depends on the last one.
#[derive(Clone, Debug)]
pub struct ByteSeek {
    roots: Roots,
    bytes: u64,
    padding: u64,
}

impl ByteSeek {
    /// A seek for byte `bytes` (counted without `padding` bytes per block); `None` when the tree ends before it.
    pub fn new(roots: &Roots, bytes: u64, padding: u64) -> Option<Self> {
        let size = roots.byte_length.saturating_sub(roots.length.saturating_mul(padding));
        (bytes <= size).then(|| Self { roots: roots.clone(), bytes, padding })
    }

    /// The byte looked for.
    pub fn byte_offset(&self) -> u64 {
        self.bytes
    }

    /// Padding bytes per block.
    pub fn padding(&self) -> u64 {
        self.padding
    }

    /// Nodes to load next; empty when the block is found.
    pub fn needs(&self, loaded: &LoadedNodes) -> Vec<TreeIndex> {
        self.descend(loaded).err().into_iter().collect()
    }

    /// The block that holds the byte and the byte's offset in it; the block past the end for the byte past the end.
    pub fn found(&self, loaded: &LoadedNodes) -> Option<(u64, u64)> {
        self.descend(loaded).ok()
    }

    /// The block, or the node that is needed to go on.
    fn descend(&self, loaded: &LoadedNodes) -> Result<(u64, u64), TreeIndex> {
        let mut bytes = self.bytes;
        if bytes == 0 {
            return Ok((0, 0));
        }
        for root in &self.roots.nodes {
            let size = root.unpadded_size(self.padding);
            if bytes == size {
                return Ok((root.index.blocks().end, 0));
            }
            if bytes < size {
                return self.descend_from(root.index, bytes, loaded);
            }
            bytes = bytes.saturating_sub(size);
        }
        Ok((self.roots.length, bytes))
    }

    fn descend_from(&self, root: TreeIndex, bytes: u64, loaded: &LoadedNodes) -> Result<(u64, u64), TreeIndex> {
        let (mut node, mut bytes) = (root, bytes);
        while let Some((left, right)) = node.children() {
            let size = loaded.get(left).ok_or(left)?.unpadded_size(self.padding);
            if size == bytes {
                return Ok((left.blocks().end, 0));
            }
            if size > bytes {
                node = left;
            } else {
                bytes = bytes.saturating_sub(size);
                node = right;
            }
        }
        Ok((node.0 / 2, bytes))
    }
}

/// The nodes whose sizes add up to the byte offset of `block`: roots and left siblings before it.
pub fn byte_offset_nodes(roots: &Roots, block: u64) -> Vec<TreeIndex> {
    let mut nodes = Vec::new();
    let leaf = TreeIndex::leaf(block);
    for root in &roots.nodes {
        if root.index.blocks().end <= block {
            nodes.push(root.index);
            continue;
        }
        let mut node = root.index;
        while let Some((left, right)) = node.children() {
            if left.blocks().end <= block {
                nodes.push(left);
                node = right;
            } else {
                node = left;
            }
        }
        debug_assert_eq!(node, leaf);
        break;
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::append;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_found_where_it_lies(sizes in prop::collection::vec(0_usize..9, 1..40), padding in 0_u64..2) {
            let padding = padding * 8;
            let blocks: Vec<Bytes> =
                sizes.iter().map(|n| alloc::vec![0; *n + padding as usize].into()).collect();
            let (roots, nodes) = append(&Roots::default(), &blocks);
            let loaded: LoadedNodes = nodes.into_iter().collect();
            let mut at = 0_u64;
            for (index, size) in sizes.iter().enumerate() {
                let offset: u64 = byte_offset_nodes(&roots, index as u64)
                    .iter()
                    .map(|node| loaded.get(*node).unwrap().unpadded_size(padding))
                    .sum();
                prop_assert_eq!(offset, at);
                for inside in 0..*size as u64 {
                    let seek = ByteSeek::new(&roots, at + inside, padding).unwrap();
                    prop_assert!(seek.needs(&loaded).is_empty());
                    let (found, rest) = seek.found(&loaded).unwrap();
                    // Empty blocks before the byte may be named in its stead, as the reference does.
                    prop_assert!(found <= index as u64 && sizes[found as usize..index].iter().all(|n| *n == 0));
                    prop_assert_eq!(rest, inside);
                }
                at += *size as u64;
            }
            prop_assert!(ByteSeek::new(&roots, at + 1, padding).is_none());
        }
    }
}
