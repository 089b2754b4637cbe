//! Reading a file from front to back in large pieces.

use crate::store::disk::DiskFile;
use crate::store::units::{len64, to_usize};
use std::io;
use std::sync::Arc;

/// A piece of a file in memory, moved along as needed.
#[derive(Debug)]
pub(in crate::store) struct Window {
    file: Arc<dyn DiskFile>,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(in crate::store) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, size, start: 0, bytes: Vec::new() })
    }

    pub(in crate::store) fn size(&self) -> u64 {
        self.size
    }

    /// `length` bytes at `offset`; `None` when the file ends before.
    pub(in crate::store) fn get(&mut self, offset: u64, length: u64) -> io::Result<Option<&[u8]>> {
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.size) else { return Ok(None) };
        if offset < self.start || end > self.start.saturating_add(len64(self.bytes.len())) {
            let piece = length.max(PIECE_BYTES).min(self.size.saturating_sub(offset));
            self.bytes.resize(to_usize(piece), 0);
            self.bytes.shrink_to(to_usize(PIECE_BYTES));
            self.start = offset;
            self.file.read_at(offset, &mut self.bytes)?;
        }
        let from = to_usize(offset.saturating_sub(self.start));
        Ok(self.bytes.get(from..from.saturating_add(to_usize(length))))
    }
}

const PIECE_BYTES: u64 = 256 << 10;
