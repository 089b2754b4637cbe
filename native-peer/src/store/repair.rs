//! Repairing an index with damaged pages.
//!
//! A log that still has every entry says all that the index said, so the index is made anew from it. Once segments of the
//! log were given back, what their entries said of lost keys is known from nowhere: a core of others that may have had such
//! keys is given up, to be fetched again from peers; one of our own must never go on from an older head, so that nothing is
//! changed then. The new index is written beside the old one and takes its place in one step, as any checkpoint.

use super::check::DamagedPlace;
use super::disk::{Directory, Disk};
use super::error::OpenError;
use super::fault::Fault;
use super::index::checkpoint::{self, Checkpoint, Draft};
use super::index::items::{Item, PageId, PlacedBlock, page_key, record_tree_key};
use super::index::merge::{Change, Merge};
use super::index::overlay::Overlay;
use super::index::pager::Pager;
use super::index::salvage::{self, LostPage};
use super::index::writer::{TreeEnd, TreeWriter};
use super::log::segment::{self, Kind};
use super::log::{Entries, LogOp, LogPosition, Replay, replay};
use super::options::StoreOptions;
use super::reading::Reading;
use super::units::len64;
use bytes::Bytes;
use corestore_core::crypto::CoreKey;
use corestore_core::encoding::{Decode, Encode};
use corestore_core::log::{Auth, StoredState};
use corestore_core::merkle::Node;
use corestore_core::storage::records::CoreEntry;
use corestore_core::storage::{CoreSlot, ReadBatch, ScanRecords, keys};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What a repair found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The damaged pages of the index.
    pub damaged: Vec<DamagedPlace>,
    /// What became of it.
    pub outcome: RepairOutcome,
}

/// What became of a store whose index was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepairOutcome {
    /// No page of the index is damaged; nothing was changed.
    Whole,
    /// The index was made anew from the log, and where that has gaps from what is left of the index: nothing is lost.
    Restored,
    /// The index was made anew. Of these cores, none of which we sign, everything but the key was lost or dropped: they are
    /// empty, and fetch their blocks again from peers. Values kept beside them may be lost.
    GivenUp(Vec<CoreKey>),
    /// Nothing was changed: of these cores, which we sign or may sign, something is lost that the log does not have any
    /// more; of the list of cores and names when there is none here. A backup has it.
    Refused(Vec<CoreKey>),
}

/// Repairs the index of the store in a directory, which nobody may have open. Can be stopped at any point and run again.
///
/// # Errors
/// [`OpenError`], also when the directory holds no store.
pub fn repair(directory: &Path, options: &StoreOptions) -> Result<Repair, OpenError> {
    let options = StoreOptions { read_only: false, must_exist: true, ..options.clone() };
    let opened = Directory::open(directory, &options).map_err(|error| Fault::io("", error));
    opened
        .and_then(|disk| repair_files(&(Arc::new(disk) as Arc<dyn Disk>), &options))
        .map_err(|fault| fault.into_open_error(directory))
}

/// As [`repair`], for a store on another disk than the file system.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(disk: &Arc<dyn Disk>, options: &StoreOptions) -> Result<Repair, OpenError> {
    repair_files(disk, options).map_err(|fault| fault.into_open_error(Path::new("")))
}

fn repair_files(disk: &Arc<dyn Disk>, options: &StoreOptions) -> Result<Repair, Fault> {
    let base = checkpoint::find(disk)?;
    let lost = salvage::walk(&mut Pager::new(Arc::clone(disk), 0), base.root, &mut |_, _| Ok(()))?;
    let damaged = lost.iter().filter_map(|page| DamagedPlace::of(&page.fault)).collect();
    if lost.is_empty() {
        return Ok(Repair { damaged, outcome: RepairOutcome::Whole });
    }
    let mut rebuild = Rebuild::new(disk, base, options)?;
    let mut tail = rebuild.replay()?;
    let outcome = if tail.first_sequence == 1 {
        let end = rebuild.replay_rest(&mut tail)?;
        rebuild.publish(end)?;
        RepairOutcome::Restored
    } else {
        rebuild.salvage(&lost, tail)?
    };
    Ok(Repair { damaged, outcome })
}

/// An index made anew, beside the old one.
struct Rebuild<'a> {
    disk: &'a Arc<dyn Disk>,
    options: &'a StoreOptions,
    /// The checkpoint with the damaged pages.
    old: Checkpoint,
    /// The new tree so far, under changes that are not in it yet.
    reading: Reading,
    writer: TreeWriter,
    first_segment: u32,
}

/// The end of the log without a gap, up to the old checkpoint.
#[derive(Default)]
struct Tail {
    first_sequence: u64,
    next_sequence: u64,
    /// Cores that were made in it: all that was ever stored of them is there.
    made: BTreeSet<CoreSlot>,
}

impl<'a> Rebuild<'a> {
    fn new(disk: &'a Arc<dyn Disk>, old: Checkpoint, options: &'a StoreOptions) -> Result<Self, Fault> {
        let last = segment::list(disk.as_ref(), Kind::Tree)?.into_keys().next_back().unwrap_or_default();
        // A segment of its own: behind a damaged page none would be found when the head is lost, too.
        let number = last.max(old.tree_end.segment).saturating_add(1);
        segment::create(disk.as_ref(), Kind::Tree, number, 0)?;
        let end = TreeEnd { segment: number, offset: len64(segment::HEADER_BYTES) };
        let writer = TreeWriter::open(Arc::clone(disk), end, options.tree_segment_bytes)?;
        let reading = Reading::new(disk, Checkpoint::none(), options.cache_bytes);
        Ok(Self { disk, options, old, reading, writer, first_segment: number })
    }

    /// Brings the tree to where the old checkpoint was, from the log alone.
    fn replay(&mut self) -> Result<Tail, Fault> {
        let end = self.old.log;
        let mut tail = Tail::default();
        let numbers = segment::list(self.disk.as_ref(), Kind::Log)?.into_keys();
        for number in numbers.take_while(|number| *number <= end.segment) {
            let stop = if number == end.segment { end.offset } else { u64::MAX };
            match Entries::open(self.disk.as_ref(), number) {
                Ok(entries) => self.replay_segment(entries.up_to(stop), &mut tail)?,
                Err(Fault::Damaged { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        if tail.next_sequence != end.sequence {
            self.forget();
            tail = Tail { first_sequence: end.sequence, next_sequence: end.sequence, made: BTreeSet::new() };
        }
        self.fold()?;
        Ok(tail)
    }

    fn replay_segment(&mut self, mut entries: Entries, tail: &mut Tail) -> Result<(), Fault> {
        if entries.first_sequence() != tail.next_sequence {
            // A gap: what was said before may have been unsaid in it.
            self.forget();
            let first = entries.first_sequence();
            *tail = Tail { first_sequence: first, next_sequence: first, made: BTreeSet::new() };
        }
        loop {
            match entries.next_entry() {
                Ok(None) => return Ok(()),
                Ok(Some(entry)) if entry.sequence == tail.next_sequence => {
                    tail.made.extend(entry.ops.iter().filter_map(made_core));
                    tail.next_sequence = tail.next_sequence.saturating_add(1);
                    self.add(entry.ops)?;
                }
                // The next segment's first entry does not follow.
                Ok(Some(_)) | Err(Fault::Damaged { .. }) => return Ok(()),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Brings the tree from where the old checkpoint was to the log's end, and that to the disk.
    fn replay_rest(&mut self, tail: &mut Tail) -> Result<LogPosition, Fault> {
        let disk = self.disk.as_ref();
        let (from, accept_loss) = (self.old.log, self.options.accept_loss);
        let segments = segment::list(disk, Kind::Log)?;
        let replayed = replay(&Replay { disk, segments: &segments, from, accept_loss }, &mut |ops| {
            tail.made.extend(ops.iter().filter_map(made_core));
            self.add(ops)
        })?;
        self.fold()?;
        for name in segments.range(from.segment..).map(|(number, _)| Kind::Log.name(*number)) {
            disk.open(&name).and_then(|file| file.sync()).map_err(|error| Fault::io(&name, error))?;
        }
        let folder = Kind::Log.folder();
        disk.sync_folder(folder).map_err(|error| Fault::io(folder, error))?;
        Ok(replayed.end)
    }

    /// Adds what the old tree still has, and gives up the cores whose lost keys the tail of the log does not tell.
    fn salvage(mut self, lost: &[LostPage], mut tail: Tail) -> Result<RepairOutcome, Fault> {
        let cores = record_tree_key(&keys::records_of(CoreSlot(0)).start);
        if lost.iter().any(|page| page.covers(&[], &cores)) {
            return self.refuse(Vec::new());
        }
        self.add_old()?;
        let end = self.replay_rest(&mut tail)?;
        let (mut given_up, mut refused) = (Vec::new(), Vec::new());
        for core in self.cores()? {
            if tail.made.contains(&core.slot) || !lost.iter().any(|page| concerns(page, core.slot)) {
                continue;
            }
            if self.is_of_others(core.slot)? {
                self.add(giving_up(core.slot))?;
                given_up.push(core.key);
            } else {
                refused.push(core.key);
            }
        }
        if !refused.is_empty() {
            return self.refuse(refused);
        }
        self.fold()?;
        self.publish(end)?;
        Ok(if given_up.is_empty() { RepairOutcome::Restored } else { RepairOutcome::GivenUp(given_up) })
    }

    /// Entries of the old tree replace what the tail of the log says: both are true, but a page in the tail may lack
    /// what it held before.
    fn add_old(&mut self) -> Result<(), Fault> {
        let (mut changes, mut bytes) = (Vec::new(), 0_usize);
        let mut pager = Pager::new(Arc::clone(self.disk), 0);
        let (root, most) = (self.old.root, self.options.dirty_bytes);
        salvage::walk(&mut pager, root, &mut |key, value| {
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            changes.push((key, Change::Put(value)));
            if bytes >= most {
                bytes = 0;
                self.merge(&std::mem::take(&mut changes), &[])?;
            }
            Ok(())
        })?;
        self.merge(&changes, &[])
    }

    fn cores(&mut self) -> Result<Vec<CoreEntry>, Fault> {
        let Range { start, end } = keys::cores();
        let (rows, _) = self.reading.scan(&ScanRecords { start, end, limit: u32::MAX })?;
        Ok(rows.iter().filter_map(|(_, value)| CoreEntry::from_bytes(value).ok()).collect())
    }

    /// True when it is known that we do not sign a core.
    fn is_of_others(&mut self, slot: CoreSlot) -> Result<bool, Fault> {
        let read = ReadBatch { records: vec![keys::auth(slot)], ..ReadBatch::default() };
        let found = self.reading.read(&read)?.records.into_iter().flatten().next();
        let auth = found.and_then(|bytes| Auth::from_bytes(&bytes).ok());
        Ok(auth.is_some_and(|auth| auth.key_pair.is_none()))
    }

    fn add(&mut self, ops: Vec<LogOp>) -> Result<(), Fault> {
        self.reading.replay(ops)?;
        if self.reading.dirty.bytes() < self.options.dirty_bytes { Ok(()) } else { self.fold() }
    }

    /// Brings the changes in memory into the tree.
    fn fold(&mut self) -> Result<(), Fault> {
        let (changes, cuts) = std::mem::take(&mut self.reading.dirty).to_changes();
        self.merge(&changes, &cuts)
    }

    fn merge(&mut self, changes: &[(Bytes, Change)], cuts: &[(Bytes, Bytes)]) -> Result<(), Fault> {
        let mut base = Checkpoint::clone(&self.reading.base);
        let (pager, writer) = (&mut self.reading.pager, &mut self.writer);
        base.root = Merge { pager, writer, usage: &mut base.usage, cuts }.run(base.root, changes)?;
        self.writer.sync()?;
        self.reading.base = Arc::new(base);
        Ok(())
    }

    /// Drops all that was added so far.
    fn forget(&mut self) {
        self.reading.dirty = Overlay::default();
        self.reading.base = Arc::new(Checkpoint::none());
    }

    /// Leaves everything as it was.
    fn refuse(self, cores: Vec<CoreKey>) -> Result<RepairOutcome, Fault> {
        let Self { disk, writer, first_segment, .. } = self;
        drop(writer);
        for number in segment::list(disk.as_ref(), Kind::Tree)?.into_keys().filter(|number| *number >= first_segment) {
            let name = Kind::Tree.name(number);
            disk.remove(&name).map_err(|error| Fault::io(&name, error))?;
        }
        Ok(RepairOutcome::Refused(cores))
    }

    fn publish(self, log: LogPosition) -> Result<(), Fault> {
        let Checkpoint { root, usage, .. } = Checkpoint::clone(&self.reading.base);
        let number = self.old.number.saturating_add(1);
        let draft = Draft { number, log, root, usage };
        draft.publish(self.disk.as_ref(), self.writer).map(drop)
    }
}

/// The core that an operation makes.
fn made_core(op: &LogOp) -> Option<CoreSlot> {
    let LogOp::PutRecord(key, value) = op else { return None };
    keys::discovery_key_of(key)?;
    CoreEntry::from_bytes(value).ok().map(|core| core.slot)
}

/// Whether something of a core may have been on a lost page.
fn concerns(page: &LostPage, slot: CoreSlot) -> bool {
    let Range { start, end } = keys::records_of(slot);
    page.covers(&record_tree_key(&start), &record_tree_key(&end))
        || covers_items::<Node>(page, slot)
        || covers_items::<PlacedBlock>(page, slot)
}

fn covers_items<T: Item>(page: &LostPage, core: CoreSlot) -> bool {
    let key = |number| page_key::<T>(PageId { core, page: number });
    page.covers(&key(0), &key(u64::MAX))
}

/// Leaves who the core is, and that it has no block.
fn giving_up(core: CoreSlot) -> Vec<LogOp> {
    let all = 0..u64::MAX;
    vec![
        LogOp::PutRecord(keys::state(core), Bytes::from(StoredState::default().to_bytes())),
        LogOp::DeleteRecords(keys::bitfield(core)),
        LogOp::DeleteNodes { core, range: all.clone() },
        LogOp::DeleteBlocks { core, range: all },
    ]
}
