//! Pages: neighbouring blocks, or neighbouring tree nodes, in one row each. IndexedDB is paid by the row.

use super::journal::Block;
use bytes::Bytes;
use core::ops::Range;
use corestore_core::crypto::Hash;
use corestore_core::encoding::{DecodeError, Reader, Writer};
use corestore_core::merkle::{Node, TreeIndex};
use std::collections::BTreeMap;

/// Blocks whose indexes share a page.
pub(crate) const BLOCKS_PER_PAGE: u64 = 32;
/// Tree indexes that share a page.
pub(crate) const NODES_PER_PAGE: u64 = 256;

/// A row of items under their indexes, with a byte form.
pub(crate) trait Page: Clone + Default {
    /// An item.
    type Item: Clone;
    /// Indexes in a page.
    const SPAN: u64;

    /// Reads a page; items share its memory.
    fn decode(number: u64, bytes: &Bytes) -> Result<Self, DecodeError>;
    /// The page's bytes.
    fn encode(&self) -> Vec<u8>;
    /// The items by index.
    fn items(&self) -> &BTreeMap<u64, Self::Item>;
    /// The items by index.
    fn items_mut(&mut self) -> &mut BTreeMap<u64, Self::Item>;

    /// The indexes of a page.
    fn range(number: u64) -> Range<u64> {
        let start = number.saturating_mul(Self::SPAN);
        start..start.saturating_add(Self::SPAN)
    }

    /// The slot and page number of a slot and index.
    fn place_of((slot, index): (u32, u64)) -> (u32, u64) {
        (slot, index / Self::SPAN)
    }

    /// Takes out what was removed.
    fn remove(&mut self, range: &Range<u64>) {
        self.items_mut().retain(|index, _| !range.contains(index));
    }
}

/// Blocks of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockPage(BTreeMap<u64, Block>);

/// Nodes of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodePage(BTreeMap<u64, Node>);

impl BlockPage {
    /// A page of consecutive small blocks.
    pub(crate) fn of(start: u64, blocks: Vec<Bytes>) -> Self {
        Self((start..).zip(blocks.into_iter().map(Block::Inline)).collect())
    }

    /// The indexes of a page.
    pub(crate) fn range(number: u64) -> Range<u64> {
        <Self as Page>::range(number)
    }

    /// Bytes of its blocks.
    pub(crate) fn size(&self) -> usize {
        self.0.values().map(|block| if let Block::Inline(bytes) = block { bytes.len() } else { 0 }).sum()
    }
}

impl Page for BlockPage {
    type Item = Block;
    const SPAN: u64 = BLOCKS_PER_PAGE;

    fn decode(number: u64, bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = header(bytes, "page of blocks")?;
        let count = reader.count(2, "page of blocks: count")?;
        let start = Self::range(number).start;
        let mut blocks = BTreeMap::new();
        for _ in 0..count {
            let index = start.saturating_add(u64::from(reader.u8("page of blocks: index")?));
            let block = match reader.u8("page of blocks: kind")? {
                INLINE => Block::Inline(bytes.slice_ref(reader.buffer("page of blocks: block")?)),
                LARGE => Block::Large(reader.u32("page of blocks: length")?),
                _ => return Err(reader.error("page of blocks: kind")),
            };
            blocks.insert(index, block);
        }
        Ok(Self(blocks))
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.size().saturating_add(128));
        writer.u8(VERSION);
        writer.count(self.0.len());
        for (index, block) in &self.0 {
            writer.u8(offset::<Self>(*index));
            match block {
                Block::Inline(bytes) => {
                    writer.u8(INLINE);
                    writer.buffer(bytes);
                }
                Block::Large(length) => {
                    writer.u8(LARGE);
                    writer.u32(*length);
                }
            }
        }
        writer.into_vec()
    }

    fn items(&self) -> &BTreeMap<u64, Block> {
        &self.0
    }

    fn items_mut(&mut self) -> &mut BTreeMap<u64, Block> {
        &mut self.0
    }
}

impl Page for NodePage {
    type Item = Node;
    const SPAN: u64 = NODES_PER_PAGE;

    fn decode(number: u64, bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = header(bytes, "page of nodes")?;
        let count = reader.count(34, "page of nodes: count")?;
        let start = Self::range(number).start;
        let mut nodes = BTreeMap::new();
        for _ in 0..count {
            let index = start.saturating_add(u64::from(reader.u8("page of nodes: index")?));
            let size = reader.uint("page of nodes: size")?;
            let hash = Hash(reader.array("page of nodes: hash")?);
            nodes.insert(index, Node { index: TreeIndex(index), size, hash });
        }
        Ok(Self(nodes))
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.0.len().saturating_mul(42).saturating_add(8));
        writer.u8(VERSION);
        writer.count(self.0.len());
        for (index, node) in &self.0 {
            writer.u8(offset::<Self>(*index));
            writer.uint(node.size);
            writer.raw(node.hash.as_ref());
        }
        writer.into_vec()
    }

    fn items(&self) -> &BTreeMap<u64, Node> {
        &self.0
    }

    fn items_mut(&mut self) -> &mut BTreeMap<u64, Node> {
        &mut self.0
    }
}

fn header<'a>(bytes: &'a Bytes, what: &'static str) -> Result<Reader<'a>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8(what)? == VERSION { Ok(reader) } else { Err(reader.error(what)) }
}

/// Position in its page; a page spans at most 256 indexes.
fn offset<P: Page>(index: u64) -> u8 {
    u8::try_from(index % P::SPAN).unwrap_or(u8::MAX)
}

const VERSION: u8 = 1;
const INLINE: u8 = 0;
const LARGE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    fn a_page_of_blocks_comes_back_and_no_cut_of_it_does() {
        let mut page = BlockPage::of(32, vec![Bytes::from_static(b"a"), Bytes::new(), Bytes::from(vec![3; 300])]);
        page.items_mut().insert(47, Block::Large(1 << 20));
        let bytes = Bytes::from(page.encode());
        assert_eq!(BlockPage::decode(1, &bytes), Ok(page.clone()));
        (0..bytes.len()).for_each(|cut| assert_ne!(BlockPage::decode(1, &bytes.slice(..cut)), Ok(page.clone())));
        page.remove(&(33..48));
        assert_eq!(page.items().len(), 1);
    }

    #[wasm_bindgen_test]
    fn a_page_of_nodes_comes_back_and_no_cut_of_it_does() {
        let mut page = NodePage::default();
        for index in [256, 300, 511] {
            page.items_mut().insert(index, Node { index: TreeIndex(index), size: index * 1000, hash: Hash([9; 32]) });
        }
        let bytes = Bytes::from(page.encode());
        assert_eq!(NodePage::decode(1, &bytes), Ok(page.clone()));
        (0..bytes.len()).for_each(|cut| assert_ne!(NodePage::decode(1, &bytes.slice(..cut)), Ok(page.clone())));
    }
}
