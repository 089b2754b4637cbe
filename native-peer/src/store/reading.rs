//! Reading: the newest changes first, then those a checkpoint is writing, then the tree and the log.

use super::disk::Disk;
use super::fault::Fault;
use super::index::checkpoint::Checkpoint;
use super::index::items::{PageId, PlacedBlock, decode_page, find_in_page, page_key};
use super::index::overlay::{Known, Overlay, Paged, Touched};
use super::index::pager::Pager;
use super::index::recent::Recent;
use super::index::scan::{Layers, Rows};
use super::index::tree;
use super::log::segment::{Kind, Segments};
use super::log::{Ahead, LogOp, Place, mask};
use super::units::to_usize;
use bytes::Bytes;
use corestore_core::merkle::Node;
use corestore_core::storage::{CoreSlot, ReadBatch, ReadReply, RecordKey, ScanRecords};
use std::sync::Arc;

/// Everything that answers reads.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) dirty: Overlay,
    pub(super) frozen: Option<Arc<Overlay>>,
    pub(super) base: Arc<Checkpoint>,
    pub(super) pager: Pager,
    pub(super) log: Segments,
    ahead: Ahead,
    recent: Recent,
}

impl Reading {
    pub(super) fn new(disk: &Arc<dyn Disk>, base: Checkpoint, cache_bytes: usize) -> Self {
        Self {
            dirty: Overlay::default(),
            frozen: None,
            base: Arc::new(base),
            pager: Pager::new(Arc::clone(disk), cache_bytes),
            log: Segments::new(Arc::clone(disk), Kind::Log),
            ahead: Ahead::default(),
            recent: Recent::default(),
        }
    }

    pub(super) fn read(&mut self, batch: &ReadBatch) -> Result<ReadReply, Fault> {
        Ok(ReadReply {
            records: batch.records.iter().map(|key| self.record(key)).collect::<Result<_, _>>()?,
            nodes: batch
                .nodes
                .iter()
                .map(|(core, index)| self.item::<Node>(*core, index.0))
                .collect::<Result<_, _>>()?,
            blocks: batch.blocks.iter().map(|(core, index)| self.block(*core, *index)).collect::<Result<_, _>>()?,
        })
    }

    fn record(&mut self, key: &RecordKey) -> Result<Option<Bytes>, Fault> {
        let layers = Layers { overlays: [Some(&self.dirty), self.frozen.as_deref()], root: self.base.root };
        layers.record(&mut self.pager, key)
    }

    pub(super) fn scan(&mut self, scan: &ScanRecords) -> Result<Rows, Fault> {
        let layers = Layers { overlays: [Some(&self.dirty), self.frozen.as_deref()], root: self.base.root };
        layers.scan(&mut self.pager, scan)
    }

    fn item<T: Paged>(&mut self, core: CoreSlot, index: u64) -> Result<Option<T>, Fault> {
        for overlay in std::iter::once(&self.dirty).chain(self.frozen.as_deref()) {
            match T::pages(overlay).item(core, index) {
                Known::Value(item) => return Ok(Some(item)),
                Known::Gone => return Ok(None),
                Known::Unknown => {}
            }
        }
        let page = self.page(page_key::<T>(PageId::of(core, index)))?;
        Ok(page.and_then(|page| find_in_page(page, index)))
    }

    fn page(&mut self, key: [u8; 13]) -> Result<Option<&Bytes>, Fault> {
        self.recent.get(&mut self.pager, self.base.root, key)
    }

    /// Where a block is now.
    pub(super) fn place(&mut self, core: CoreSlot, index: u64) -> Result<Option<Place>, Fault> {
        Ok(self.item::<PlacedBlock>(core, index)?.map(|block| block.place))
    }

    fn block(&mut self, core: CoreSlot, index: u64) -> Result<Option<Bytes>, Fault> {
        self.place(core, index)?.map(|place| self.block_at(place)).transpose()
    }

    /// A block's bytes, checked.
    pub(super) fn block_at(&mut self, place: Place) -> Result<Bytes, Fault> {
        if self.ahead.follows(place) {
            if self.ahead.get(place).is_none() {
                // What cannot be read so is read by itself, which names the fault.
                drop(self.ahead.fill(place, self.log.get(place.segment)?.as_ref()));
            }
            if let Some(bytes) = self.ahead.get(place).filter(|bytes| crc32c::crc32c(bytes) == place.crc) {
                return Ok(unmasked(bytes.to_vec(), place));
            }
        }
        let bytes = self.log.read(place.segment, place.offset, to_usize(place.length))?;
        if crc32c::crc32c(&bytes) == place.crc {
            return Ok(unmasked(bytes, place));
        }
        Err(Fault::damaged(&Kind::Log.name(place.segment), place.offset, "a block fails its checksum"))
    }

    /// Loads what operations need in the newest overlay.
    pub(super) fn prepare(&mut self, touched: &Touched) -> Result<(), Fault> {
        touched.nodes.iter().try_for_each(|id| self.load::<Node>(*id))?;
        touched.blocks.iter().try_for_each(|id| self.load::<PlacedBlock>(*id))
    }

    fn load<T: Paged>(&mut self, id: PageId) -> Result<(), Fault> {
        let items = match T::pages(&self.dirty).page(id) {
            Known::Value(_) => return Ok(()),
            Known::Gone => Vec::new(),
            Known::Unknown => match self.frozen.as_deref().map(|overlay| T::pages(overlay).page(id)) {
                Some(Known::Value(items)) => items.to_vec(),
                Some(Known::Gone) => Vec::new(),
                Some(Known::Unknown) | None => {
                    let page = tree::get(&mut self.pager, self.base.root, &page_key::<T>(id))?;
                    page.map_or_else(Vec::new, |page| decode_page(&page, id.page))
                }
            },
        };
        self.dirty.load(id, items);
        Ok(())
    }

    /// Applies operations that the log already holds.
    pub(super) fn replay(&mut self, ops: Vec<LogOp>) -> Result<(), Fault> {
        let mut touched = Touched::default();
        ops.iter().for_each(|op| touched.by_log(op));
        self.prepare(&touched)?;
        ops.into_iter().for_each(|op| self.dirty.apply(op));
        Ok(())
    }
}

fn unmasked(mut bytes: Vec<u8>, place: Place) -> Bytes {
    if place.masked {
        mask::flip(&mut bytes);
    }
    Bytes::from(bytes)
}
