//! The end of the log, where entries are added.

use super::entry::{self, Encoded, LogOp, VECTORED_BYTES};
use super::segment::{self, HEADER_BYTES, Kind};
use crate::store::disk::{Disk, DiskFile};
use crate::store::fault::Fault;
use crate::store::units::len64;
use corestore_core::storage::WriteOp;
use std::io::{Error, ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A place between two entries of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct LogPosition {
    /// The segment's number.
    pub(in crate::store) segment: u32,
    /// Offset in it; a new segment's first entry comes after its header.
    pub(in crate::store) offset: u64,
    /// The sequence number of the entry that comes there.
    pub(in crate::store) sequence: u64,
}

impl LogPosition {
    /// Where the first entry of a store goes.
    pub(in crate::store) fn start() -> Self {
        Self { segment: 1, offset: len64(HEADER_BYTES), sequence: 1 }
    }
}

/// Appends entries to the last segment.
#[derive(Debug)]
pub(in crate::store) struct LogWriter {
    disk: Arc<dyn Disk>,
    tail: Arc<dyn DiskFile>,
    end: LogPosition,
    segment_bytes: u64,
    /// The tail's room on the disk is asked for up to here.
    reserved: u64,
    /// Segments written to since the last sync, the tail not among them.
    unsynced: Vec<(u32, Arc<dyn DiskFile>)>,
    new_names: bool,
    /// What was handed out last to be synced.
    handed_out: Option<Arc<Unsynced>>,
}

impl LogWriter {
    /// Goes on at `end`, which must be the end of the last segment, or begins the log.
    pub(in crate::store) fn open(disk: Arc<dyn Disk>, end: LogPosition, segment_bytes: u64) -> Result<Self, Fault> {
        let name = Kind::Log.name(end.segment);
        let tail = if end.offset > len64(HEADER_BYTES) {
            disk.open(&name).map_err(|error| Fault::read(&name, 0, error))?
        } else if let Some(file) = begun(disk.as_ref(), end)? {
            file
        } else {
            let file = segment::create(disk.as_ref(), Kind::Log, end.segment, end.sequence)?;
            file.sync().map_err(|error| Fault::io(&name, error))?;
            sync_names(disk.as_ref())?;
            file
        };
        cut(tail.as_ref(), end.offset).map_err(|error| Fault::io(&name, error))?;
        Ok(Self {
            disk,
            tail,
            end,
            segment_bytes,
            reserved: 0,
            unsynced: Vec::new(),
            new_names: true,
            handed_out: None,
        })
    }

    /// Where the next entry goes.
    pub(in crate::store) fn end(&self) -> LogPosition {
        self.end
    }

    /// Writes one entry. On any error nothing of it remains; one that leaves the log unusable is not [`Fault::Full`].
    pub(in crate::store) fn append(&mut self, ops: Vec<WriteOp>) -> Result<Vec<LogOp>, Fault> {
        if self.end.offset >= self.segment_bytes {
            self.roll()?;
        }
        let mut encoded = entry::encode(ops, self.end.sequence)?;
        self.reserve(self.end.offset.saturating_add(encoded.size()));
        if let Err(error) = self.write(&mut encoded) {
            let name = Kind::Log.name(self.end.segment);
            cut(self.tail.as_ref(), self.end.offset).map_err(|error| Fault::Io { file: name.clone(), error })?;
            return Err(Fault::io(&name, error));
        }
        encoded.place(self.end.segment, self.end.offset);
        self.end.offset = self.end.offset.saturating_add(encoded.size());
        self.end.sequence = self.end.sequence.saturating_add(1);
        Ok(encoded.ops)
    }

    /// Small blocks are copied behind the operations, so that the entry is one plain write.
    fn write(&self, encoded: &mut Encoded) -> std::io::Result<()> {
        let offset = self.end.offset;
        let average = encoded.data_bytes.checked_div(len64(encoded.data.len())).unwrap_or_default();
        if average >= VECTORED_BLOCK_BYTES && encoded.data_bytes >= len64(VECTORED_BYTES) {
            let blocks = encoded.data.iter().filter(|block| !block.is_empty()).map(|block| IoSlice::new(block));
            let mut parts: Vec<IoSlice<'_>> = std::iter::once(IoSlice::new(&encoded.head)).chain(blocks).collect();
            return self.tail.write_at(offset, &mut parts);
        }
        let head = encoded.head.len();
        encoded.data.iter().for_each(|block| encoded.head.extend_from_slice(block));
        let written = self.tail.write_at(offset, &mut [IoSlice::new(&encoded.head)]);
        encoded.head.truncate(head);
        written
    }

    /// Room is asked for ahead, more the longer the segment is: a write into blocks that the file has already does not
    /// wait while a sync, or the system by itself, finds blocks for what was written before it.
    fn reserve(&mut self, end: u64) {
        if end > self.reserved {
            let ahead = self.end.offset.max(LEAST_RESERVED_BYTES).saturating_mul(2).min(self.segment_bytes);
            self.reserved = ahead.max(end);
            self.tail.reserve(self.reserved);
        }
    }

    /// Gives back the room that was asked for ahead, also by an owner before that was killed.
    pub(in crate::store) fn release(self) {
        // Room that stays is used by whoever opens the store next.
        drop(self.tail.set_size(self.end.offset));
    }

    /// Ends the last segment and begins another.
    pub(in crate::store) fn roll(&mut self) -> Result<(), Fault> {
        // Room that was asked for ahead is given back.
        if self.reserved > self.end.offset {
            drop(self.tail.set_size(self.end.offset));
        }
        let number = self.end.segment.saturating_add(1);
        let file = segment::create(self.disk.as_ref(), Kind::Log, number, self.end.sequence)?;
        let full = std::mem::replace(&mut self.tail, file);
        self.unsynced.push((self.end.segment, full));
        self.new_names = true;
        self.reserved = 0;
        self.end = LogPosition { segment: number, offset: len64(HEADER_BYTES), sequence: self.end.sequence };
        Ok(())
    }

    /// What must be synced for everything written so far to survive a power cut.
    pub(in crate::store) fn take_unsynced(&mut self) -> Arc<Unsynced> {
        let mut files = std::mem::take(&mut self.unsynced);
        files.push((self.end.segment, Arc::clone(&self.tail)));
        let disk = std::mem::take(&mut self.new_names).then(|| Arc::clone(&self.disk));
        let before = self.handed_out.take().filter(|before| !before.done.load(Ordering::Acquire));
        let unsynced =
            Arc::new(Unsynced { files, disk, before, done: AtomicBool::new(false), failed: Mutex::new(false) });
        self.handed_out = Some(Arc::clone(&unsynced));
        unsynced
    }
}

/// Files to sync, on any thread.
#[derive(Debug)]
pub(in crate::store) struct Unsynced {
    files: Vec<(u32, Arc<dyn DiskFile>)>,
    disk: Option<Arc<dyn Disk>>,
    /// What was not synced yet when this was handed out.
    before: Option<Arc<Self>>,
    done: AtomicBool,
    /// Locked by whoever syncs.
    failed: Mutex<bool>,
}

impl Unsynced {
    /// Syncs them, and what was handed out before, unless that was done already. Once that failed it is not tried again:
    /// the system forgets what it could not write, and would say that all is well.
    pub(in crate::store) fn sync(&self) -> Result<(), Fault> {
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        self.before.as_ref().map_or(Ok(()), |before| before.sync())?;
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        let again = || Fault::Io { file: Kind::Log.folder().to_owned(), error: Error::other("a sync failed before") };
        let synced = if *failed { Err(again()) } else { self.sync_files() };
        *failed = synced.is_err();
        self.done.store(synced.is_ok(), Ordering::Release);
        synced
    }

    fn sync_files(&self) -> Result<(), Fault> {
        for (number, file) in &self.files {
            let name = Kind::Log.name(*number);
            file.sync().map_err(|error| Fault::Io { file: name, error })?;
        }
        self.disk.iter().try_for_each(|disk| sync_names(disk.as_ref()))
    }
}

/// The segment that begins at `end`, when it is there. It is never made anew: a checkpoint may name it, and a power cut
/// would leave it empty.
fn begun(disk: &dyn Disk, end: LogPosition) -> Result<Option<Arc<dyn DiskFile>>, Fault> {
    let name = Kind::Log.name(end.segment);
    let file = match disk.open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io(&name, error)),
    };
    let mut header = [0; HEADER_BYTES];
    match file.read_at(0, &mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(Fault::io(&name, error)),
    }
    let begins = segment::check_header(&header, Kind::Log, end.segment).is_ok_and(|first| first == end.sequence);
    Ok(begins.then_some(file))
}

/// Cuts off what lies past `end`, for good: it must not come back behind entries written there later.
fn cut(file: &dyn DiskFile, end: u64) -> std::io::Result<()> {
    if file.size()? == end {
        return Ok(());
    }
    file.set_size(end)?;
    file.sync()
}

/// Makes the names of the log's files, and of their folder, survive a power cut.
fn sync_names(disk: &dyn Disk) -> Result<(), Fault> {
    [Kind::Log.folder(), ""]
        .into_iter()
        .try_for_each(|folder| disk.sync_folder(folder).map_err(|error| Fault::Io { file: folder.to_owned(), error }))
}

/// Half of what is asked for first.
const LEAST_RESERVED_BYTES: u64 = 256 << 10;

/// Blocks of this average size on are handed to the system where they are, when they are [`VECTORED_BYTES`] together.
const VECTORED_BLOCK_BYTES: u64 = 1 << 10;
