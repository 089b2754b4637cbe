//! Pages of the tree, read from their segments and kept in memory while they are in use.

use super::page::{FRAME_BYTES, Page, PagePlace};
use super::tree::unreadable;
use crate::store::disk::Disk;
use crate::store::fault::Fault;
use crate::store::log::segment::{Kind, Segments};
use crate::store::units::to_usize;
use bytes::Bytes;
use lru::LruCache;
use std::sync::Arc;

/// Reads pages through a cache.
#[derive(Debug)]
pub(in crate::store) struct Pager {
    segments: Segments,
    cache: LruCache<(u32, u64), Page>,
    cached_bytes: usize,
    cache_bytes: usize,
}

impl Pager {
    /// Keeps at most `cache_bytes` of pages.
    pub(in crate::store) fn new(disk: Arc<dyn Disk>, cache_bytes: usize) -> Self {
        let segments = Segments::new(disk, Kind::Tree);
        Self { segments, cache: LruCache::unbounded(), cached_bytes: 0, cache_bytes }
    }

    pub(in crate::store) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    pub(in crate::store) fn page(&mut self, place: PagePlace) -> Result<Page, Fault> {
        self.look(place).cloned()
    }

    /// As [`Pager::page`], without a handle of its own.
    pub(in crate::store) fn look(&mut self, place: PagePlace) -> Result<&Page, Fault> {
        let key = (place.segment, place.offset);
        if !self.cache.contains(&key) {
            let page = self.uncached(place)?;
            self.make_room(cost(&page));
            self.cache.put(key, page);
        }
        // Noting each use costs more than finding the page; while there is room nothing is dropped by it.
        let roomy = self.cached_bytes < self.cache_bytes / 2;
        let page = if roomy { self.cache.peek(&key) } else { self.cache.get(&key) };
        page.ok_or_else(|| unreadable(place))
    }

    /// Drops the pages that were not used for longest until `more` bytes fit; a page that alone is too much stays.
    fn make_room(&mut self, more: usize) {
        self.cached_bytes = self.cached_bytes.saturating_add(more);
        while self.cached_bytes > self.cache_bytes {
            let Some((_, old)) = self.cache.pop_lru() else { break };
            self.cached_bytes = self.cached_bytes.saturating_sub(cost(&old));
        }
    }

    fn uncached(&mut self, place: PagePlace) -> Result<Page, Fault> {
        Page::parse(self.payload(place)?).ok_or_else(|| unreadable(place))
    }

    /// The checked bytes at a place.
    pub(in crate::store) fn payload(&mut self, place: PagePlace) -> Result<Bytes, Fault> {
        let bytes = self.segments.read(place.segment, place.offset, to_usize(place.frame_bytes()))?;
        let damaged =
            || Fault::damaged(&Kind::Tree.name(place.segment), place.offset, "a page of the index fails its checksum");
        let (frame, payload) = bytes.split_first_chunk::<FRAME_BYTES>().ok_or_else(damaged)?;
        if *frame != frame_of(place) || crc32c::crc32c(payload) != place.crc {
            return Err(damaged());
        }
        Ok(Bytes::from(bytes).slice(FRAME_BYTES..))
    }

    /// Closes the segments' files.
    pub(in crate::store) fn close(&mut self) {
        self.segments.close();
    }
}

/// The bytes before a page in its segment.
pub(in crate::store) fn frame_of(place: PagePlace) -> [u8; FRAME_BYTES] {
    let [a, b, c, d] = place.length.to_le_bytes();
    let [e, f, g, h] = place.crc.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

/// The place of the frame with `frame` at `offset`.
pub(in crate::store) fn place_of(segment: u32, offset: u64, frame: [u8; FRAME_BYTES]) -> PagePlace {
    let [a, b, c, d, e, f, g, h] = frame;
    let (length, crc) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    PagePlace { segment, offset, length, crc }
}

fn cost(page: &Page) -> usize {
    page.bytes().saturating_add(PAGE_COST)
}

/// Bytes that a cached page takes beside its own.
const PAGE_COST: usize = 128;
