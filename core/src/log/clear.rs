//! Dropping stored blocks to free space; the tree keeps their hashes, so they can be fetched again.

use super::bitfield::PART_BITS;
use super::change::{Applied, Change, Commit};
use super::hypercore::{Hypercore, LogError};
use alloc::vec::Vec;
use core::ops::Range;

impl Hypercore {
    /// Drops the blocks in `range`, as far as it lies within the log.
    ///
    /// # Errors
    /// [`LogError::OutOfBounds`] when the range ends before it starts.
    pub fn clear(&mut self, range: Range<u64>) -> Result<Commit, LogError> {
        if range.end < range.start {
            return Err(LogError::OutOfBounds);
        }
        let end = range.end.min(self.staged.head.roots.length);
        let range = range.start.min(end)..end;
        if !self.staged.bitfield.any(range.clone()) {
            return Ok(self.stage(Vec::new(), Applied::default(), false));
        }
        let contiguous = self.staged.contiguous_length;
        self.staged.bitfield.set_range(range.clone(), false);
        self.staged.contiguous_length = self.staged.bitfield.first_unset(0).min(contiguous);
        let mut changes = Vec::from([Change::DeleteBlocks(range.clone())]);
        // Bits below the old contiguous length were in no part: those past the hole must be from now on.
        let parts = range.start / PART_BITS..contiguous.max(range.end).div_ceil(PART_BITS);
        changes.push(Change::DeleteParts(parts.clone()));
        self.part_changes(self.staged.bitfield.parts(parts), &mut changes);
        let applied = Applied { cleared: Some(range), ..Applied::default() };
        Ok(self.stage(changes, applied, true))
    }
}
