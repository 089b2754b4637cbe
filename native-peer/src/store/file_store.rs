//! The store: opens, answers, checkpoints, closes.

use super::compact::Compaction;
use super::disk::{Directory, Disk};
use super::error::OpenError;
use super::fault::Fault;
use super::index::checkpoint::{self, Checkpoint, Job, Sizes};
use super::index::overlay::Touched;
use super::log::segment::{self, Kind};
use super::log::{LogPosition, LogWriter, Replay, Unsynced, replay};
use super::options::{DurabilityLevel, StoreOptions};
use super::reading::Reading;
use corestore_core::storage::{Durability, StorageError, StorageOp, StorageReply, Store, WriteBatch, WriteOp};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// A store in a directory, owned by one process. Answers where it is called; only checkpoints have a thread.
#[derive(Debug)]
pub struct FileStore {
    pub(super) options: StoreOptions,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) reading: Reading,
    /// `None` when read-only.
    pub(super) log: Option<LogWriter>,
    pub(super) compaction: Compaction,
    /// The checkpoint of the frozen changes; kept until it is done.
    job: Option<Arc<Job>>,
    running: Option<JoinHandle<Made>>,
    /// Bytes of the log since the changes were last frozen.
    log_bytes: u64,
    dropped_bytes: u64,
    /// Where opening found the log's end.
    found_end: LogPosition,
    broken: Option<StorageError>,
}

/// What a job came to.
type Made = Result<(Checkpoint, Sizes), Fault>;

/// Figures of a store, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// The log's files.
    pub log_bytes: u64,
    /// The index's files.
    pub tree_bytes: u64,
    /// What blocks that can still be read need of the log, as of the last checkpoint: their bytes and 32 for each.
    pub live_log_bytes: u64,
    /// Files of log and index.
    pub segments: u64,
    /// Pages of the index in memory.
    pub cached_bytes: u64,
    /// Changes that wait in memory for the next checkpoint.
    pub dirty_bytes: u64,
    /// Bytes at the log's end that opening found never fully written, and dropped.
    pub dropped_bytes: u64,
}

/// How an operation stands.
#[derive(Debug)]
pub(crate) enum Begun {
    Answered(Result<StorageReply, StorageError>),
    Syncing(Syncing),
}

/// A write that waits for the disk; any thread may do the waiting.
#[derive(Debug)]
pub(crate) struct Syncing(Arc<Unsynced>);

/// What a sync came to.
#[derive(Debug)]
pub(crate) struct Synced(Result<(), Fault>);

impl Syncing {
    /// Waits until the write survives a power cut, and all that were written before.
    pub(crate) fn run(&self) -> Synced {
        Synced(self.0.sync())
    }
}

impl FileStore {
    /// Opens the store in `directory`, making it when there is none (unless read-only, or it must exist).
    ///
    /// # Errors
    /// [`OpenError`] names what is wrong and what to do.
    pub fn open(directory: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        let opened = Directory::open(directory, options).map_err(|error| Fault::io("", error));
        opened
            .and_then(|disk| Self::open_files(Arc::new(disk), options.clone()))
            .map_err(|fault| fault.into_open_error(directory))
    }

    /// Opens a store on another disk than the file system.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_files(disk, options.clone()).map_err(|fault| fault.into_open_error(Path::new("")))
    }

    fn open_files(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Self, Fault> {
        let base = checkpoint::find(&disk)?;
        let from = base.log;
        let segments = segment::list(disk.as_ref(), Kind::Log)?;
        let mut reading = Reading::new(&disk, base, options.cache_bytes);
        let plan = Replay { disk: disk.as_ref(), segments: &segments, from, accept_loss: options.accept_loss };
        let replayed = replay(&plan, &mut |ops| reading.replay(ops))?;
        let log = if options.read_only {
            None
        } else {
            remove_after(disk.as_ref(), &segments, replayed.end.segment)?;
            Some(LogWriter::open(Arc::clone(&disk), replayed.end, options.log_segment_bytes)?)
        };
        let log_bytes = segments.range(from.segment..).map(|(_, size)| *size).sum::<u64>().saturating_sub(from.offset);
        Ok(Self {
            options,
            disk,
            reading,
            log,
            compaction: Compaction::default(),
            job: None,
            running: None,
            log_bytes: log_bytes.saturating_sub(replayed.dropped_bytes),
            dropped_bytes: replayed.dropped_bytes,
            found_end: replayed.end,
            broken: None,
        })
    }

    /// What the answer to a durable write promises.
    pub fn durability(&self) -> DurabilityLevel {
        self.options.durability
    }

    /// Makes everything written so far survive a power cut.
    ///
    /// # Errors
    /// [`StorageError::Broken`] when the disk refuses.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.usable()?;
        let synced = self.log.as_mut().map_or(Ok(()), |log| log.take_unsynced().sync());
        synced.map_err(|fault| self.fail(&fault))
    }

    /// Brings the index up to date, so that the next opening replays nothing, and lets the store go.
    ///
    /// # Errors
    /// [`StorageError`] when the disk refuses; nothing acknowledged is lost by that.
    pub fn close(mut self) -> Result<(), StorageError> {
        self.finish()
    }

    /// Gives back the room of what was deleted: moves blocks out of mostly dead segments until none is left. Takes as
    /// long as there are such blocks.
    ///
    /// # Errors
    /// [`StorageError`] when the disk refuses.
    pub fn reclaim(&mut self) -> Result<(), StorageError> {
        if self.log.is_none() {
            return Ok(());
        }
        self.checkpoint_now()?;
        self.end_wasteful_segment()?;
        loop {
            self.checkpoint_now()?;
            let moved = self.compact_all().map_err(|fault| self.fail(&fault))?;
            if !moved {
                return self.remove_dead();
            }
        }
    }

    /// Begins a new segment when the log's last one is mostly dead, so that it can be emptied, too.
    fn end_wasteful_segment(&mut self) -> Result<(), StorageError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let end = log.end();
        let live = self.reading.base.usage.log.get(&end.segment).copied().unwrap_or_default();
        if live.saturating_mul(2) >= end.offset || end.offset < LEAST_WASTE {
            return Ok(());
        }
        let rolled = log.roll();
        // The next checkpoint names the new segment, which makes the old one one to empty.
        self.log_bytes = self.log_bytes.max(1);
        rolled.map_err(|fault| self.fail(&fault))
    }

    /// Figures of the store.
    ///
    /// # Errors
    /// [`StorageError::Broken`] when its files cannot be listed.
    pub fn stats(&self) -> Result<StoreStats, StorageError> {
        let list = |kind| segment::list(self.disk.as_ref(), kind).map_err(|fault| fault.to_storage_error());
        let (log, tree) = (list(Kind::Log)?, list(Kind::Tree)?);
        let count = log.len().saturating_add(tree.len());
        Ok(StoreStats {
            log_bytes: log.values().sum(),
            tree_bytes: tree.values().sum(),
            live_log_bytes: self.reading.base.usage.log.values().sum(),
            segments: super::units::len64(count),
            cached_bytes: super::units::len64(self.reading.pager.cached_bytes()),
            dirty_bytes: super::units::len64(self.reading.dirty.bytes()),
            dropped_bytes: self.dropped_bytes,
        })
    }

    /// Begins an operation. Only a write that has to be synced is not answered at once: others may follow it, and are
    /// answered before it, while [`Syncing::run`] waits for the disk; then [`FileStore::synced`] answers it.
    pub(crate) fn begin(&mut self, op: StorageOp) -> Begun {
        let told = |fault: Fault| fault.to_storage_error();
        let answer = match op {
            StorageOp::Read(batch) => self.reading.read(&batch).map(StorageReply::Read).map_err(told),
            StorageOp::Scan(scan) => {
                let scanned = self.reading.scan(&scan).map_err(told);
                scanned.map(|(rows, more)| StorageReply::Scanned { rows, more })
            }
            StorageOp::Write(batch) => match self.write(batch) {
                Ok(Some(unsynced)) => return Begun::Syncing(Syncing(unsynced)),
                Ok(None) => Ok(StorageReply::Written),
                Err(error) => Err(error),
            },
        };
        Begun::Answered(answer)
    }

    /// The answer to a write whose sync came to this.
    pub(crate) fn synced(&mut self, synced: Synced) -> Result<StorageReply, StorageError> {
        synced.0.map(|()| StorageReply::Written).map_err(|fault| self.fail(&fault))
    }

    /// Gives what must be synced before the write is answered, if anything.
    fn write(&mut self, batch: WriteBatch) -> Result<Option<Arc<Unsynced>>, StorageError> {
        self.usable()?;
        if batch.ops.is_empty() {
            return Ok(None);
        }
        if let Some(length) = too_long(&batch.ops) {
            let why = format!("a record's key of {length} bytes is too long; use at most {LONGEST_KEY}");
            return Err(StorageError::Broken(why));
        }
        self.make_room()?;
        self.append(batch.ops)?;
        let synced = batch.durability == Durability::Durable && self.options.durability == DurabilityLevel::Power;
        let unsynced = self.log.as_mut().filter(|_| synced).map(LogWriter::take_unsynced);
        // What follows concerns later writes: this one is in the log.
        self.after_write();
        Ok(unsynced)
    }

    /// Adds operations to the log, then to what reads see.
    pub(super) fn append(&mut self, ops: Vec<WriteOp>) -> Result<(), StorageError> {
        let mut touched = Touched::default();
        ops.iter().for_each(|op| touched.by_write(op));
        let prepared = self.reading.prepare(&touched);
        prepared.map_err(|fault| self.fail(&fault))?;
        let Some(log) = &mut self.log else { return Err(read_only()) };
        let before = log.end();
        match log.append(ops) {
            Ok(ops) => {
                self.log_bytes = self.log_bytes.saturating_add(distance(before, log.end()));
                ops.into_iter().for_each(|op| self.reading.dirty.apply(op));
                Ok(())
            }
            Err(fault) => Err(self.fail(&fault)),
        }
    }

    /// Where the log ends; files may go on past it when the store is open for reading only.
    pub(super) fn log_end(&self) -> LogPosition {
        self.log.as_ref().map_or(self.found_end, LogWriter::end)
    }

    /// Waits for a checkpoint that runs, so that no file goes away.
    pub(super) fn settle(&mut self) -> Result<(), StorageError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        self.install(joined(running)).or_else(|error| later(error, false))
    }

    fn usable(&self) -> Result<(), StorageError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// What the caller is told. Anything but a full disk ends writing.
    pub(super) fn fail(&mut self, fault: &Fault) -> StorageError {
        let error = match fault.to_storage_error() {
            StorageError::Damaged(what) => StorageError::Broken(what),
            error => error,
        };
        if error != StorageError::Full {
            self.broken = Some(error.clone());
        }
        error
    }

    /// Waits for a checkpoint when far too many changes wait for it.
    fn make_room(&mut self) -> Result<(), StorageError> {
        self.collect(false)?;
        let most = self.options.dirty_bytes.saturating_mul(4);
        if self.reading.dirty.bytes() >= most && self.job.is_some() {
            self.start_job();
            self.collect(true)?;
        }
        Ok(())
    }

    fn after_write(&mut self) {
        let full = self.reading.dirty.bytes() >= self.options.dirty_bytes;
        let long = self.log_bytes >= self.options.log_segment_bytes.saturating_mul(LONGEST_REPLAY);
        if (full || long) && self.job.is_none() {
            self.freeze();
            self.start_job();
        }
        match self.compact_step() {
            Ok(_) | Err(Fault::Full) => {}
            Err(fault) => drop(self.fail(&fault)),
        }
    }

    /// Sets the changes so far aside for a checkpoint.
    fn freeze(&mut self) {
        let Some(log) = &mut self.log else { return };
        let changes = Arc::new(std::mem::take(&mut self.reading.dirty));
        self.reading.frozen = Some(Arc::clone(&changes));
        self.log_bytes = 0;
        self.job = Some(Arc::new(Job {
            disk: Arc::clone(&self.disk),
            base: Arc::clone(&self.reading.base),
            changes,
            log: log.end(),
            unsynced: log.take_unsynced(),
            segment_bytes: self.options.tree_segment_bytes,
        }));
    }

    fn start_job(&mut self) {
        let (Some(job), None) = (&self.job, &self.running) else { return };
        let job = Arc::clone(job);
        let spawned = thread::Builder::new().name("corestore-checkpoint".to_owned()).spawn(move || job.run());
        self.running = spawned.ok();
    }

    /// Takes a checkpoint's result when it is there, or waits for it.
    fn collect(&mut self, wait: bool) -> Result<(), StorageError> {
        let done = self.running.take_if(|running| wait || running.is_finished());
        let result = match (done, &self.job) {
            (Some(done), _) => joined(done),
            (None, Some(job)) if wait => job.run(),
            (None, _) => return Ok(()),
        };
        self.install(result).or_else(|error| later(error, wait))
    }

    /// Takes the checkpoint that a job came to; the changes stay in memory when it failed.
    fn install(&mut self, result: Made) -> Result<(), StorageError> {
        let (checkpoint, sizes) = result.map_err(|fault| self.fail(&fault))?;
        self.reading.base = Arc::new(checkpoint);
        self.reading.frozen = None;
        self.job = None;
        self.reading.pager.close();
        self.reading.log.close();
        self.choose_compaction(&sizes);
        Ok(())
    }

    /// Brings the index up to date, here and now.
    pub(super) fn checkpoint_now(&mut self) -> Result<(), StorageError> {
        self.usable()?;
        if self.job.is_some() {
            self.collect(true)?;
        }
        if self.log_bytes > 0 || !self.reading.dirty.is_empty() {
            self.freeze();
            self.collect(true)?;
        }
        Ok(())
    }

    fn remove_dead(&mut self) -> Result<(), StorageError> {
        let removed = checkpoint::remove_dead(self.disk.as_ref(), &self.reading.base);
        removed.map_err(|fault| self.fail(&fault))
    }

    fn finish(&mut self) -> Result<(), StorageError> {
        if self.log.is_none() {
            return Ok(());
        }
        let result = self.checkpoint_now().and_then(|()| self.remove_dead());
        if let Some(running) = self.running.take() {
            drop(running.join());
        }
        if let Some(log) = self.log.take() {
            log.release();
        }
        result
    }
}

impl Store for FileStore {
    fn execute(&mut self, op: StorageOp) -> Result<StorageReply, StorageError> {
        match self.begin(op) {
            Begun::Answered(answer) => answer,
            Begun::Syncing(syncing) => self.synced(syncing.run()),
        }
    }
}

impl Drop for FileStore {
    /// As [`FileStore::close`], as far as it goes.
    fn drop(&mut self) {
        drop(self.finish());
    }
}

/// Removes the log's segments past its end, for good: they must not come back behind what is written from here on. The
/// last goes first, so that a power cut leaves no gap.
fn remove_after(disk: &dyn Disk, segments: &BTreeMap<u32, u64>, end: u32) -> Result<(), Fault> {
    let stale: Vec<u32> = segments.keys().rev().copied().take_while(|number| *number > end).collect();
    for number in &stale {
        let name = Kind::Log.name(*number);
        disk.remove(&name).map_err(|error| Fault::io(&name, error))?;
    }
    if stale.is_empty() {
        return Ok(());
    }
    let folder = Kind::Log.folder();
    disk.sync_folder(folder).map_err(|error| Fault::io(folder, error))
}

fn joined(running: JoinHandle<Made>) -> Made {
    running.join().unwrap_or_else(|_| Err(Fault::damaged("tree", 0, "a checkpoint failed")))
}

/// A full disk is no reason to fail now when there is room to go on in memory.
fn later(error: StorageError, wait: bool) -> Result<(), StorageError> {
    if error == StorageError::Full && !wait { Ok(()) } else { Err(error) }
}

fn read_only() -> StorageError {
    StorageError::Broken("it is open for reading only; open it for writing".to_owned())
}

/// The length of a record's key that the index could not hold.
fn too_long(ops: &[WriteOp]) -> Option<usize> {
    let keys = ops.iter().filter_map(|op| match op {
        WriteOp::PutRecord(key, _) => Some(key.0.len()),
        _ => None,
    });
    keys.filter(|length| *length > LONGEST_KEY).max()
}

fn distance(from: LogPosition, to: LogPosition) -> u64 {
    if from.segment == to.segment { to.offset.saturating_sub(from.offset) } else { to.offset }
}

/// The contract's limit, in bytes.
const LONGEST_KEY: usize = 64;
/// A last segment of fewer bytes is not worth a new one.
const LEAST_WASTE: u64 = 4 << 10;
/// Segments of the log that an opening replays at most, roughly.
const LONGEST_REPLAY: u64 = 4;
