//! The end of the tree's segments, where new pages are added.

use super::page::PagePlace;
use super::pager::frame_of;
use crate::store::disk::{Disk, DiskFile};
use crate::store::fault::Fault;
use crate::store::log::segment::{self, HEADER_BYTES, Kind};
use crate::store::units::len64;
use std::io::IoSlice;
use std::sync::Arc;

/// Where the next page goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct TreeEnd {
    /// The last segment; 0 before the first.
    pub(in crate::store) segment: u32,
    /// Its end.
    pub(in crate::store) offset: u64,
}

/// Adds pages, gathered into large writes.
#[derive(Debug)]
pub(in crate::store) struct TreeWriter {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    end: TreeEnd,
    file: Option<Arc<dyn DiskFile>>,
    buffer: Vec<u8>,
}

impl TreeWriter {
    /// Goes on at `end`; whatever an attempt before left there is dropped.
    pub(in crate::store) fn open(disk: Arc<dyn Disk>, end: TreeEnd, segment_bytes: u64) -> Result<Self, Fault> {
        for number in segment::list(disk.as_ref(), Kind::Tree)?.into_keys().filter(|number| *number > end.segment) {
            let name = Kind::Tree.name(number);
            disk.remove(&name).map_err(|error| Fault::io(&name, error))?;
        }
        let name = Kind::Tree.name(end.segment);
        let file = if end.segment == 0 {
            None
        } else {
            let file = disk.open(&name).map_err(|error| Fault::read(&name, 0, error))?;
            file.set_size(end.offset).map_err(|error| Fault::io(&name, error))?;
            Some(file)
        };
        Ok(Self { disk, segment_bytes, end, file, buffer: Vec::new() })
    }

    /// Where the next page goes, unless the segment is full by then.
    pub(in crate::store) fn end(&self) -> TreeEnd {
        self.end
    }

    /// Adds a page. It can be read back after [`TreeWriter::sync`].
    pub(in crate::store) fn put(&mut self, payload: &[u8]) -> Result<PagePlace, Fault> {
        if self.file.is_none() || self.end.offset >= self.segment_bytes {
            self.roll()?;
        }
        let place = PagePlace {
            segment: self.end.segment,
            offset: self.end.offset,
            length: u32::try_from(payload.len()).map_err(|_| Fault::Full)?,
            crc: crc32c::crc32c(payload),
        };
        self.buffer.extend_from_slice(&frame_of(place));
        self.buffer.extend_from_slice(payload);
        self.end.offset = self.end.offset.saturating_add(place.frame_bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(place)
    }

    fn roll(&mut self) -> Result<(), Fault> {
        self.sync()?;
        let number = self.end.segment.saturating_add(1);
        self.file = Some(segment::create(self.disk.as_ref(), Kind::Tree, number, 0)?);
        self.end = TreeEnd { segment: number, offset: len64(HEADER_BYTES) };
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let (Some(file), false) = (&self.file, self.buffer.is_empty()) else { return Ok(()) };
        let offset = self.end.offset.saturating_sub(len64(self.buffer.len()));
        let name = Kind::Tree.name(self.end.segment);
        file.write_at(offset, &mut [IoSlice::new(&self.buffer)]).map_err(|error| Fault::io(&name, error))?;
        self.buffer.clear();
        Ok(())
    }

    /// Makes all pages added so far survive a power cut.
    pub(in crate::store) fn sync(&mut self) -> Result<(), Fault> {
        self.flush()?;
        let Some(file) = &self.file else { return Ok(()) };
        file.sync().map_err(|error| Fault::io(&Kind::Tree.name(self.end.segment), error))?;
        let folder = Kind::Tree.folder();
        self.disk.sync_folder(folder).map_err(|error| Fault::io(folder, error))
    }
}

/// Pages that are written together, in bytes.
const BUFFER_BYTES: usize = 512 << 10;
