//! The entries of one segment from front to back, each header and its operations checked, its blocks passed over.

use super::entry::{self, HEADER_BYTES, Header, LogOp};
use super::segment::{self, Kind};
use super::window::Window;
use crate::store::disk::Disk;
use crate::store::fault::Fault;
use crate::store::units::len64;

/// Goes through a segment's entries.
#[derive(Debug)]
pub(in crate::store) struct Entries {
    segment: u32,
    window: Window,
    offset: u64,
    end: u64,
    first_sequence: u64,
}

/// An entry whose header and operations are whole.
#[derive(Debug)]
pub(in crate::store) struct FoundEntry {
    pub(in crate::store) sequence: u64,
    pub(in crate::store) ops: Vec<LogOp>,
}

impl Entries {
    /// Begins at a segment's first entry; its header must be whole.
    pub(in crate::store) fn open(disk: &dyn Disk, segment: u32) -> Result<Self, Fault> {
        let name = Kind::Log.name(segment);
        let io = |error| Fault::read(&name, 0, error);
        let mut window = Window::new(disk.open(&name).map_err(io)?).map_err(io)?;
        let header = window.get(0, len64(segment::HEADER_BYTES)).map_err(io)?.unwrap_or_default();
        let first_sequence = segment::check_header(header, Kind::Log, segment)?;
        let end = window.size();
        Ok(Self { segment, window, offset: len64(segment::HEADER_BYTES), end, first_sequence })
    }

    /// Nothing from `end` on is looked at.
    #[must_use]
    pub(in crate::store) fn up_to(mut self, end: u64) -> Self {
        self.end = self.end.min(end);
        self
    }

    /// The number of the segment.
    pub(in crate::store) fn segment(&self) -> u32 {
        self.segment
    }

    /// The sequence number of the first entry.
    pub(in crate::store) fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// Where the next entry is.
    pub(in crate::store) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes back to an offset that [`Entries::offset`] gave.
    pub(in crate::store) fn go_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The next entry; `None` at the end. After a damaged one the next can be asked for: there is none when it is the
    /// header that was damaged, which says where the next begins.
    pub(in crate::store) fn next_entry(&mut self) -> Result<Option<FoundEntry>, Fault> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let (offset, name) = (self.offset, Kind::Log.name(self.segment));
        let io = |error| Fault::read(&name, offset, error);
        let damaged = || Fault::damaged(&name, offset, "an entry fails its checksum");
        self.offset = self.end;
        let header = self.window.get(offset, len64(HEADER_BYTES)).map_err(io)?.and_then(Header::from_bytes);
        let header = header.ok_or_else(damaged)?;
        self.offset = offset.saturating_add(header.size());
        let start = offset.saturating_add(len64(HEADER_BYTES));
        let bytes = self.window.get(start, u64::from(header.ops_bytes)).map_err(io)?;
        let bytes = bytes.filter(|bytes| crc32c::crc32c(bytes) == header.ops_crc).ok_or_else(damaged)?;
        let data = start.saturating_add(u64::from(header.ops_bytes));
        let ops = entry::decode(bytes, self.segment, data).map_err(|_| damaged())?;
        Ok(Some(FoundEntry { sequence: header.sequence, ops }))
    }
}
