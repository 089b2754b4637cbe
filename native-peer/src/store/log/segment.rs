//! Segment files: their names, their first bytes, and those that are open.

use crate::store::disk::{Disk, DiskFile};
use crate::store::fault::Fault;
use corestore_core::encoding::{Reader, Writer};
use std::collections::{BTreeMap, HashMap};
use std::io::IoSlice;
use std::sync::Arc;

/// What a folder's segments hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Log,
    Tree,
}

impl Kind {
    pub(in crate::store) fn folder(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Tree => "tree",
        }
    }

    /// A segment's file name within the store.
    pub(in crate::store) fn name(self, number: u32) -> String {
        format!("{}/{number:08}", self.folder())
    }

    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Log => b"corelog\0",
            Self::Tree => b"coretree",
        }
    }
}

/// A new segment with its first bytes written.
pub(in crate::store) fn create(
    disk: &dyn Disk,
    kind: Kind,
    number: u32,
    sequence: u64,
) -> Result<Arc<dyn DiskFile>, Fault> {
    let name = kind.name(number);
    let file = disk.create(&name).map_err(|error| Fault::io(&name, error))?;
    let mut writer = Writer::new();
    writer.raw(kind.magic());
    writer.u32(VERSION);
    writer.u32(number);
    writer.u64(sequence);
    writer.u32(0);
    writer.u32(crc32c::crc32c(writer.as_slice()));
    if let Err(error) = file.write_at(0, &mut [IoSlice::new(writer.as_slice())]) {
        // The name is free again for the next attempt, which empties the file if this fails too.
        drop(disk.remove(&name));
        return Err(Fault::io(&name, error));
    }
    Ok(file)
}

/// Checks a segment's first bytes and gives the sequence number of its first entry.
pub(in crate::store) fn check_header(bytes: &[u8], kind: Kind, number: u32) -> Result<u64, Fault> {
    let damaged = |what| Fault::damaged(&kind.name(number), 0, what);
    let mut reader = Reader::new(bytes);
    let mut parse = || -> Result<_, corestore_core::encoding::DecodeError> {
        let magic = reader.array::<8>("magic")?;
        let (version, segment) = (reader.u32("version")?, reader.u32("number")?);
        let (sequence, _reserved, crc) = (reader.u64("sequence")?, reader.u32("reserved")?, reader.u32("checksum")?);
        Ok((magic, version, segment, sequence, crc))
    };
    let (magic, version, segment, sequence, crc) = parse().map_err(|_| damaged("the segment's header is cut off"))?;
    let covered = bytes.get(..HEADER_BYTES.saturating_sub(4)).unwrap_or_default();
    if crc32c::crc32c(covered) != crc {
        return Err(damaged("the segment's header fails its checksum"));
    }
    if magic != *kind.magic() || segment != number {
        return Err(damaged("the segment's header belongs to another file"));
    }
    if version > VERSION {
        return Err(Fault::Newer { found: version, known: VERSION });
    }
    Ok(sequence)
}

/// The numbers and sizes of a folder's segments.
pub(in crate::store) fn list(disk: &dyn Disk, kind: Kind) -> Result<BTreeMap<u32, u64>, Fault> {
    let names = disk.list(kind.folder()).map_err(|error| Fault::io(kind.folder(), error))?;
    let numbered = names.into_iter().filter(|(name, _)| name.len() == 8);
    Ok(numbered.filter_map(|(name, size)| Some((name.parse().ok()?, size))).collect())
}

/// Segments open for reading, opened when first asked for.
#[derive(Debug)]
pub(in crate::store) struct Segments {
    disk: Arc<dyn Disk>,
    kind: Kind,
    open: HashMap<u32, Arc<dyn DiskFile>>,
}

impl Segments {
    pub(in crate::store) fn new(disk: Arc<dyn Disk>, kind: Kind) -> Self {
        Self { disk, kind, open: HashMap::new() }
    }

    pub(in crate::store) fn get(&mut self, number: u32) -> Result<&Arc<dyn DiskFile>, Fault> {
        if !self.open.contains_key(&number) {
            if self.open.len() >= MOST_OPEN {
                self.open.clear();
            }
            let name = self.kind.name(number);
            let file = self.disk.open(&name).map_err(|error| Fault::read(&name, 0, error))?;
            self.open.insert(number, file);
        }
        self.open.get(&number).ok_or(Fault::Full)
    }

    pub(in crate::store) fn read(&mut self, number: u32, offset: u64, length: usize) -> Result<Vec<u8>, Fault> {
        let kind = self.kind;
        let file = self.get(number)?;
        file.read_new(offset, length).map_err(|error| Fault::read(&kind.name(number), offset, error))
    }

    /// Closes every file; some may be removed then.
    pub(in crate::store) fn close(&mut self) {
        self.open.clear();
    }
}

/// Every segment begins with this many bytes of header.
pub(in crate::store) const HEADER_BYTES: usize = 32;
/// The format this code writes, and the newest it reads.
pub(in crate::store) const VERSION: u32 = 1;
/// Most segments of one folder open at once; a process may often open no more than 1,024 files.
const MOST_OPEN: usize = 128;
