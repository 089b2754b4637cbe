//! Nodes and block places as the index keeps them: pages of neighbours, holding only those that exist.

use crate::store::log::Place;
use crate::store::units::to_usize;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::encoding::{Reader, Writer};
use corestore_core::merkle::{Node, TreeIndex};
use corestore_core::storage::{CoreSlot, RecordKey};

/// Names a page of one core's nodes or block places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct PageId {
    pub(in crate::store) core: CoreSlot,
    pub(in crate::store) page: u64,
}

impl PageId {
    /// The page that holds an index.
    pub(in crate::store) fn of(core: CoreSlot, index: u64) -> Self {
        Self { core, page: index / PAGE_ITEMS }
    }
}

/// A block's index and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct PlacedBlock {
    pub(in crate::store) index: u64,
    pub(in crate::store) place: Place,
}

/// What a page holds.
pub(in crate::store) trait Item: Copy {
    /// First byte of the pages' keys.
    const KIND: u8;
    /// Bytes of one item in a stored page.
    const BYTES: usize;

    fn index(&self) -> u64;
    fn encode(&self, writer: &mut Writer);
    fn decode(bytes: &[u8], page: u64) -> Option<Self>;
}

impl Item for Node {
    const KIND: u8 = 1;
    const BYTES: usize = 41;

    fn index(&self) -> u64 {
        self.index.0
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u8(within(self.index.0));
        writer.u64(self.size);
        writer.raw(self.hash.as_ref());
    }

    fn decode(bytes: &[u8], page: u64) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            index: TreeIndex(index(reader.u8("index").ok()?, page)),
            size: reader.u64("size").ok()?,
            hash: Hash(reader.array("hash").ok()?),
        })
    }
}

impl Item for PlacedBlock {
    const KIND: u8 = 2;
    const BYTES: usize = 21;

    fn index(&self) -> u64 {
        self.index
    }

    fn encode(&self, writer: &mut Writer) {
        writer.u8(within(self.index));
        writer.u32(self.place.segment);
        writer.u64(self.place.offset);
        writer.u32(self.place.form());
        writer.u32(self.place.crc);
    }

    fn decode(bytes: &[u8], page: u64) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let index = index(reader.u8("index").ok()?, page);
        let (segment, offset) = (reader.u32("segment").ok()?, reader.u64("offset").ok()?);
        let (form, crc) = (reader.u32("length").ok()?, reader.u32("checksum").ok()?);
        Some(Self { index, place: Place::of(segment, offset, form, crc) })
    }
}

/// The bytes of a page; `items` ascend.
pub(in crate::store) fn encode_page<T: Item>(items: &[T]) -> Bytes {
    let mut writer = Writer::with_capacity(items.len().saturating_mul(T::BYTES));
    items.iter().for_each(|item| item.encode(&mut writer));
    Bytes::from(writer.into_vec())
}

/// All items of a stored page.
pub(in crate::store) fn decode_page<T: Item>(bytes: &[u8], page: u64) -> Vec<T> {
    bytes.chunks_exact(T::BYTES).filter_map(|item| T::decode(item, page)).collect()
}

/// One item of a stored page. Most pages lack none, so that an item lies where its index says: that is tried first, and
/// it never lies further on.
pub(in crate::store) fn find_in_page<T: Item>(bytes: &[u8], index: u64) -> Option<T> {
    let wanted = within(index);
    let (mut low, mut high) = (0, (bytes.len() / T::BYTES).min(usize::from(wanted).saturating_add(1)));
    let mut at = high.checked_sub(1)?;
    while low < high {
        let item = bytes.get(at.saturating_mul(T::BYTES)..)?;
        match item.first()?.cmp(&wanted) {
            std::cmp::Ordering::Equal => return T::decode(item, index / PAGE_ITEMS),
            std::cmp::Ordering::Less => low = at.saturating_add(1),
            std::cmp::Ordering::Greater => high = at,
        }
        at = low.midpoint(high);
    }
    None
}

/// The key of a page in the tree.
pub(in crate::store) fn page_key<T: Item>(id: PageId) -> [u8; 13] {
    let [a, b, c, d] = id.core.0.to_be_bytes();
    let [e, f, g, h, i, j, k, l] = id.page.to_be_bytes();
    [T::KIND, a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The page that a key made by [`page_key`] names.
pub(in crate::store) fn page_of_key<T: Item>(key: &[u8]) -> Option<PageId> {
    let rest = key.strip_prefix(&[T::KIND])?;
    let (core, page) = rest.split_first_chunk()?;
    let page = page.first_chunk().filter(|_| page.len() == 8)?;
    Some(PageId { core: CoreSlot(u32::from_be_bytes(*core)), page: u64::from_be_bytes(*page) })
}

/// The key of a record in the tree.
pub(in crate::store) fn record_tree_key(key: &RecordKey) -> Bytes {
    let mut bytes = Vec::with_capacity(key.0.len().saturating_add(1));
    bytes.push(RECORD_KIND);
    bytes.extend_from_slice(&key.0);
    Bytes::from(bytes)
}

fn within(index: u64) -> u8 {
    u8::try_from(index % PAGE_ITEMS).unwrap_or_default()
}

fn index(within: u8, page: u64) -> u64 {
    page.saturating_mul(PAGE_ITEMS).saturating_add(u64::from(within))
}

/// Bytes in memory that one item of a page counts for.
pub(in crate::store) fn memory_of<T: Item>(items: usize) -> usize {
    items.saturating_mul(to_usize(size_of::<T>()))
}

/// Positions in one page.
pub(in crate::store) const PAGE_ITEMS: u64 = 64;
/// First byte of the records' keys.
pub(in crate::store) const RECORD_KIND: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use corestore_core::crypto::Hash;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_item_is_found_when_it_is_there(places in prop::collection::btree_set(0_u64..PAGE_ITEMS, 0..64), full: bool) {
            let places: Vec<u64> = if full { (0..PAGE_ITEMS).collect() } else { places.into_iter().collect() };
            let node = |at: &u64| Node { index: TreeIndex(7 * PAGE_ITEMS + at), size: *at, hash: Hash([1; 32]) };
            let page = encode_page(&places.iter().map(node).collect::<Vec<_>>());
            for at in 0..PAGE_ITEMS {
                let found = find_in_page::<Node>(&page, 7 * PAGE_ITEMS + at);
                prop_assert_eq!(found, places.contains(&at).then(|| node(&at)));
            }
        }
    }
}
