//! Reading ahead: small blocks that are read one after the other come from one piece of the log.

use super::Place;
use crate::store::disk::DiskFile;
use crate::store::units::{len64, to_usize};
use std::io;

/// The piece read last, and where the block read last ended.
#[derive(Debug, Default)]
pub(in crate::store) struct Ahead {
    segment: u32,
    start: u64,
    bytes: Vec<u8>,
    next: (u32, u64),
}

impl Ahead {
    /// Notes that a block is read; true when it lies behind the one before and is small.
    pub(in crate::store) fn follows(&mut self, place: Place) -> bool {
        let follows = self.next == (place.segment, place.offset);
        self.next = (place.segment, place.offset.saturating_add(u64::from(place.length)));
        follows && place.length <= LARGEST_BLOCK
    }

    /// A block's bytes, when they were read ahead. They may be older than what was written there since: check them.
    pub(in crate::store) fn get(&self, place: Place) -> Option<&[u8]> {
        let from = to_usize(place.offset.checked_sub(self.start).filter(|_| place.segment == self.segment)?);
        self.bytes.get(from..from.checked_add(to_usize(place.length))?)
    }

    /// Reads on from a block's place.
    pub(in crate::store) fn fill(&mut self, place: Place, file: &dyn DiskFile) -> io::Result<()> {
        let left = file.size()?.saturating_sub(place.offset);
        (self.segment, self.start) = (place.segment, place.offset);
        self.bytes.resize(to_usize(left.min(len64(PIECE_BYTES))), 0);
        let read = file.read_at(place.offset, &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }
}

const PIECE_BYTES: usize = 64 << 10;
const LARGEST_BLOCK: u32 = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl DiskFile for Bytes {
        fn size(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let from = to_usize(offset);
            buffer.copy_from_slice(&self.0[from..from + buffer.len()]);
            Ok(())
        }

        fn write_at(&self, _: u64, _: &mut [IoSlice<'_>]) -> io::Result<()> {
            Ok(())
        }

        fn set_size(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn place(segment: u32, offset: u64, length: u32) -> Place {
        Place { segment, offset, length, masked: false, crc: 0 }
    }

    #[test]
    fn only_what_follows_is_read_ahead() {
        let mut ahead = Ahead::default();
        assert!(!ahead.follows(place(1, 10, 10)));
        assert!(ahead.follows(place(1, 20, 10)));
        assert!(!ahead.follows(place(1, 31, 10)));
        assert!(!ahead.follows(place(2, 41, 10)));
        assert!(!ahead.follows(place(2, 51, LARGEST_BLOCK + 1)));
        assert!(ahead.follows(place(2, 52 + u64::from(LARGEST_BLOCK), 0)));
    }

    #[test]
    fn a_piece_ends_with_the_file_and_belongs_to_its_segment() {
        let file = Bytes((0..100).collect());
        let mut ahead = Ahead::default();
        assert_eq!(ahead.get(place(1, 0, 1)), None);
        ahead.fill(place(1, 40, 10), &file).unwrap();
        assert_eq!(ahead.get(place(1, 40, 10)), Some(&file.0[40..50]));
        assert_eq!(ahead.get(place(1, 90, 10)), Some(&file.0[90..]));
        assert_eq!(ahead.get(place(1, 91, 10)), None);
        assert_eq!(ahead.get(place(1, 39, 10)), None);
        assert_eq!(ahead.get(place(2, 40, 10)), None);
    }
}
