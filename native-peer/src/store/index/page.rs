//! Pages of the tree: sorted keys with values, or with the places of the pages below.

use crate::store::units::{len64, to_usize};
use bytes::Bytes;
use corestore_core::encoding::{Reader, Writer};

/// Where a page is, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) struct PagePlace {
    pub(in crate::store) segment: u32,
    pub(in crate::store) offset: u64,
    pub(in crate::store) length: u32,
    pub(in crate::store) crc: u32,
}

/// A page that passed its checksum. Level 0 holds values, higher ones the places of pages one level down.
#[derive(Clone, Debug)]
pub(in crate::store) struct Page {
    bytes: Bytes,
    level: u8,
    count: usize,
}

impl Page {
    /// Reads a page's frame; `None` when it is none.
    pub(in crate::store) fn parse(bytes: Bytes) -> Option<Self> {
        let mut reader = Reader::new(&bytes);
        let level = reader.u8("level").ok().filter(|level| *level <= HIGHEST_LEVEL)?;
        let count = usize::from(reader.u16("count").ok()?);
        (reader.remaining() >= count.checked_mul(4)?).then_some(())?;
        Some(Self { bytes, level, count })
    }

    pub(in crate::store) fn level(&self) -> u8 {
        self.level
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.count
    }

    /// Bytes in memory.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// An entry's key and value.
    pub(in crate::store) fn entry(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let start = self.start(at)?;
        let end = self.start(at.checked_add(1)?)?;
        let (length, rest) = self.bytes.get(start..end)?.split_first()?;
        rest.split_at_checked(usize::from(*length))
    }

    /// As [`Page::entry`], sharing the page's bytes.
    pub(in crate::store) fn shared_entry(&self, at: usize) -> Option<(Bytes, Bytes)> {
        let (key, value) = self.entry(at)?;
        Some((self.bytes.slice_ref(key), self.bytes.slice_ref(value)))
    }

    /// An entry's value, sharing the page's bytes.
    pub(in crate::store) fn shared_value(&self, at: usize) -> Option<Bytes> {
        let (_, value) = self.entry(at)?;
        Some(self.bytes.slice_ref(value))
    }

    /// The entry of `key`, or where it would be.
    pub(in crate::store) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).unwrap_or_default().cmp(key) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// As [`Page::search`], looking at entry `guess` first.
    pub(in crate::store) fn search_near(&self, key: &[u8], guess: usize) -> Result<usize, usize> {
        if self.key(guess).is_some_and(|found| found == key) { Ok(guess) } else { self.search(key) }
    }

    /// Where `key` probably lies in child `at`: most pages of a core have neighbours' numbers at the ends of their keys.
    pub(in crate::store) fn guess_in_child(&self, at: usize, key: &[u8]) -> usize {
        let number = |key: &[u8]| key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let distance = self.key(at).and_then(number).zip(number(key)).and_then(|(first, key)| key.checked_sub(first));
        distance.map_or(0, to_usize)
    }

    /// The child that holds `key` if any does; keys before the first child's belong to the first.
    pub(in crate::store) fn child_for(&self, key: &[u8]) -> usize {
        self.search(key).unwrap_or_else(|at| at.saturating_sub(1))
    }

    /// The place of a child.
    pub(in crate::store) fn child(&self, at: usize) -> Option<PagePlace> {
        PagePlace::from_bytes(self.entry(at)?.1)
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        let (length, rest) = self.bytes.get(self.start(at)?..)?.split_first()?;
        rest.get(..usize::from(*length))
    }

    fn start(&self, at: usize) -> Option<usize> {
        if at >= self.count {
            return (at == self.count).then_some(self.bytes.len());
        }
        let from = FRONT_BYTES.saturating_add(at.saturating_mul(4));
        self.bytes.get(from..)?.first_chunk().map(|bytes| to_usize(u32::from_le_bytes(*bytes)))
    }
}

/// The bytes of a page of `entries`, which ascend.
pub(in crate::store) fn encode_page(level: u8, entries: &[(Bytes, Bytes)]) -> Vec<u8> {
    let size = entries.iter().map(|(key, value)| entry_bytes(key, value)).sum::<usize>();
    let mut writer = Writer::with_capacity(FRONT_BYTES.saturating_add(size));
    writer.u8(level);
    writer.u16(u16::try_from(entries.len()).unwrap_or(u16::MAX));
    let mut start = FRONT_BYTES.saturating_add(entries.len().saturating_mul(4));
    for (key, value) in entries {
        writer.u32(u32::try_from(start).unwrap_or(u32::MAX));
        start = start.saturating_add(entry_bytes(key, value).saturating_sub(4));
    }
    for (key, value) in entries {
        writer.u8(u8::try_from(key.len()).unwrap_or(u8::MAX));
        writer.raw(key);
        writer.raw(value);
    }
    writer.into_vec()
}

/// Bytes that an entry takes in a page.
pub(in crate::store) fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    key.len().saturating_add(value.len()).saturating_add(5)
}

impl PagePlace {
    pub(in crate::store) fn to_bytes(self) -> Bytes {
        let mut writer = Writer::with_capacity(20);
        self.encode(&mut writer);
        Bytes::from(writer.into_vec())
    }

    pub(in crate::store) fn encode(self, writer: &mut Writer) {
        writer.u32(self.segment);
        writer.u64(self.offset);
        writer.u32(self.length);
        writer.u32(self.crc);
    }

    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(&mut Reader::new(bytes))
    }

    pub(in crate::store) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            segment: reader.u32("segment").ok()?,
            offset: reader.u64("offset").ok()?,
            length: reader.u32("length").ok()?,
            crc: reader.u32("checksum").ok()?,
        })
    }

    /// Bytes in the segment, the frame included.
    pub(in crate::store) fn frame_bytes(self) -> u64 {
        u64::from(self.length).saturating_add(len64(FRAME_BYTES))
    }
}

/// Before each page in a segment: its length and checksum.
pub(in crate::store) const FRAME_BYTES: usize = 8;
const FRONT_BYTES: usize = 3;
/// More levels than any tree of 2^64 pages has.
const HIGHEST_LEVEL: u8 = 64;
/// First byte of a checkpoint, where a page has its level.
pub(in crate::store) const CHECKPOINT_LEVEL: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_are_found() {
        let entries: Vec<(Bytes, Bytes)> = (0..50u8).map(|i| (vec![i * 2].into(), vec![i; i.into()].into())).collect();
        let page = Page::parse(encode_page(3, &entries).into()).unwrap();
        assert_eq!((page.level(), page.len()), (3, 50));
        for (at, (key, value)) in entries.iter().enumerate() {
            assert_eq!(page.entry(at), Some((&key[..], &value[..])));
            assert_eq!(page.search(key), Ok(at));
            assert!((0..52).all(|guess| page.search_near(key, guess) == Ok(at)));
            assert!((0..52).all(|guess| page.search_near(&[key[0] + 1], guess) == Err(at + 1)));
            assert_eq!(page.search(&[key[0] + 1]), Err(at + 1));
            assert_eq!(page.child_for(&[key[0] + 1]), at);
        }
        assert_eq!(page.entry(50), None);
    }

    #[test]
    fn a_page_cut_anywhere_never_panics() {
        let entries: Vec<(Bytes, Bytes)> = (0..9u8).map(|i| (vec![i].into(), vec![i; 5].into())).collect();
        let bytes = encode_page(0, &entries);
        for end in 0..bytes.len() {
            if let Some(page) = Page::parse(bytes[..end].to_vec().into()) {
                let _: Vec<_> = (0..12).map(|at| page.entry(at)).collect();
            }
        }
    }
}
