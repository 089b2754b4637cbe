//! A disk in memory that can fill up, stop at any step and lose what was not synced; and random work for a store.
#![allow(
    dead_code,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "shared by several tests, each of which may fail loudly"
)]

pub mod losing;

use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::merkle::{Node, TreeIndex};
use corestore_core::storage::{
    CoreSlot, Durability, ReadBatch, RecordKey, ScanRecords, StorageError, StorageOp, StorageReply, Store, WriteBatch,
    WriteOp,
};
use corestore_peer::store::StoreOptions;
use corestore_peer::store::disk::{Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Tiny limits, so that segments roll, checkpoints run and blocks move all the time.
pub fn tiny() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.log_segment_bytes = 8 << 10;
    options.tree_segment_bytes = 16 << 10;
    options.dirty_bytes = 6 << 10;
    options.cache_bytes = 8 << 10;
    options
}

/// A small generator with a seed.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

pub const CORES: u32 = 3;
pub const INDEXES: u64 = 260;
pub const RECORDS: u8 = 24;

pub fn record_key(number: u8) -> RecordKey {
    RecordKey(vec![number / 8, number])
}

/// A batch of one to four operations over a small universe of keys.
pub fn random_batch(dice: &mut Dice) -> WriteBatch {
    let count = 1 + dice.below(4);
    let ops = (0..count).map(|_| random_op(dice)).collect();
    let durability = if dice.below(3) == 0 { Durability::Buffered } else { Durability::Durable };
    WriteBatch { ops, durability }
}

fn random_op(dice: &mut Dice) -> WriteOp {
    let core = CoreSlot(dice.below(CORES.into()) as u32);
    let start = dice.below(INDEXES);
    let range = match dice.below(4) {
        0 => start..u64::MAX,
        1 => start..start,
        _ => start..(start + dice.below(150)),
    };
    let key = record_key(dice.below(RECORDS.into()) as u8);
    match dice.below(20) {
        0..=5 => {
            let count = 1 + dice.below(8).min(INDEXES - start);
            let block = |dice: &mut Dice| {
                let bytes: Vec<u8> = (0..dice.below(300)).map(|_| dice.below(256) as u8).collect();
                Bytes::from(bytes)
            };
            WriteOp::PutBlocks { core, start, blocks: (0..count).map(|_| block(dice)).collect() }
        }
        6..=9 => {
            let nodes = (0..1 + dice.below(6)).map(|_| Node {
                index: TreeIndex(dice.below(INDEXES)),
                size: dice.below(1 << 50),
                hash: Hash([dice.below(256) as u8; 32]),
            });
            WriteOp::PutNodes { core, nodes: nodes.collect() }
        }
        10..=14 => WriteOp::PutRecord(key, Bytes::from(vec![dice.below(256) as u8; dice.below(200) as usize])),
        15 => WriteOp::DeleteRecord(key),
        16 => WriteOp::DeleteRecords(key..record_key(dice.below(RECORDS.into()) as u8)),
        17 => WriteOp::DeleteNodes { core, range },
        _ => WriteOp::DeleteBlocks { core, range },
    }
}

/// All a store holds of the small universe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub records: Vec<(RecordKey, Bytes)>,
    pub by_key: Vec<Option<Bytes>>,
    pub nodes: Vec<Option<Node>>,
    pub blocks: Vec<Option<Bytes>>,
}

impl Contents {
    /// The first thing in which two differ.
    pub fn difference(&self, other: &Self) -> Option<String> {
        fn first<T: PartialEq + std::fmt::Debug>(what: &str, a: &[T], b: &[T]) -> Option<String> {
            let at =
                a.iter().zip(b).position(|(a, b)| a != b).or((a.len() != b.len()).then_some(a.len().min(b.len())))?;
            let mut text = format!("{what} {at}: {:?} and {:?}", a.get(at), b.get(at));
            text.truncate(400);
            Some(text)
        }
        first("record", &self.by_key, &other.by_key)
            .or_else(|| first("row", &self.records, &other.records))
            .or_else(|| first("node", &self.nodes, &other.nodes))
            .or_else(|| first("block", &self.blocks, &other.blocks))
    }
}

pub fn contents(store: &mut dyn Store) -> Result<Contents, StorageError> {
    let places = || (0..CORES).flat_map(|core| (0..INDEXES + 10).map(move |index| (CoreSlot(core), index)));
    let read = ReadBatch {
        records: (0..RECORDS).map(record_key).collect(),
        nodes: places().map(|(core, index)| (core, TreeIndex(index))).collect(),
        blocks: places().collect(),
    };
    let StorageReply::Read(reply) = store.execute(StorageOp::Read(read))? else { panic!("not a read's reply") };
    let scan = ScanRecords { start: RecordKey(vec![]), end: RecordKey(vec![255]), limit: u32::MAX };
    let StorageReply::Scanned { rows, .. } = store.execute(StorageOp::Scan(scan))? else { panic!("not a scan's") };
    Ok(Contents { records: rows, by_key: reply.records, nodes: reply.nodes, blocks: reply.blocks })
}

/// A disk in memory.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Arc<Mutex<State>>, Arc<Condvar>);

type Names = BTreeMap<String, Arc<Mutex<Contained>>>;
/// A file that was made, or `None` when the name was removed.
type NameChange = (String, Option<Arc<Mutex<Contained>>>);

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Arc<Mutex<Contained>>>,
    /// By folder: the names that survive a power cut, and what was done to them since, in order.
    durable: BTreeMap<String, Names>,
    pending: BTreeMap<String, Vec<NameChange>>,
    /// Bytes that still fit.
    room: Option<u64>,
    /// Changes until the process dies.
    steps: Option<u64>,
    /// Syncs wait.
    held: bool,
    /// Syncs fail.
    unsyncable: bool,
    /// Nothing can be changed.
    read_only: bool,
    /// Files synced so far.
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Contained {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Since the last sync: offset and bytes written, or a new size.
    unsynced: Vec<(u64, Result<Vec<u8>, ()>)>,
}

#[derive(Debug)]
struct FakeFile {
    contained: Arc<Mutex<Contained>>,
    disk: FakeDisk,
}

impl FakeDisk {
    pub fn set_room(&self, room: Option<u64>) {
        self.0.lock().unwrap().room = room;
    }

    /// The process dies at the change after this many: a write then is done in part, and nothing works any more.
    pub fn die_after(&self, steps: Option<u64>) {
        self.0.lock().unwrap().steps = steps;
    }

    /// Makes every sync wait from here on, or lets them go.
    pub fn hold_syncs(&self, held: bool) {
        self.0.lock().unwrap().held = held;
        self.1.notify_all();
    }

    /// Makes every sync fail from here on, or not.
    pub fn fail_syncs(&self, fail: bool) {
        self.0.lock().unwrap().unsyncable = fail;
    }

    /// Nothing can be changed from here on, or again.
    pub fn set_read_only(&self, read_only: bool) {
        self.0.lock().unwrap().read_only = read_only;
    }

    /// Files synced so far.
    pub fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    fn step(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        match &mut state.steps {
            Some(0) => Err(io::Error::other("the process is dead")),
            Some(steps) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What another process finds after this one was killed.
    pub fn after_kill(&self) -> Self {
        let state = self.0.lock().unwrap();
        let files = state.files.iter().map(|(name, file)| {
            let bytes = file.lock().unwrap().bytes.clone();
            (name.clone(), bytes)
        });
        Self::of(files.collect())
    }

    /// What is left after a power cut: of each folder's new and removed names the first few, and of each unsynced
    /// write all, nothing, or some sectors.
    pub fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let state = self.0.lock().unwrap();
        let mut left = BTreeMap::new();
        let folders: BTreeSet<&String> = state.durable.keys().chain(state.pending.keys()).collect();
        for folder in folders {
            let mut names = state.durable.get(folder).cloned().unwrap_or_default();
            let pending = state.pending.get(folder).cloned().unwrap_or_default();
            let kept = dice.below(pending.len() as u64 + 1) as usize;
            for (name, file) in pending.into_iter().take(kept) {
                match file {
                    Some(file) => names.insert(name, file),
                    None => names.remove(&name),
                };
            }
            left.extend(names.iter().map(|(name, file)| (name.clone(), lose(&file.lock().unwrap(), dice))));
        }
        Self::of(left)
    }

    pub fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (name, bytes) in files {
            let contained = Contained { synced: bytes.clone(), bytes, unsynced: Vec::new() };
            let contained = Arc::new(Mutex::new(contained));
            state.durable.entry(folder_of(&name).to_owned()).or_default().insert(name.clone(), Arc::clone(&contained));
            state.files.insert(name, contained);
        }
        Self(Arc::new(Mutex::new(state)), Arc::default())
    }

    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        state.files.iter().map(|(name, file)| (name.clone(), file.lock().unwrap().bytes.clone())).collect()
    }
}

fn folder_of(name: &str) -> &str {
    name.split_once('/').map_or("", |(folder, _)| folder)
}

fn lose(file: &Contained, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = file.synced.clone();
    let fate = dice.below(3);
    for (offset, write) in &file.unsynced {
        let offset = *offset as usize;
        match write {
            Err(()) if fate > 0 => bytes.resize(offset, 0),
            Err(()) => {}
            Ok(written) => {
                for (at, byte) in written.iter().enumerate() {
                    let sector = (offset + at) / 512;
                    let kept = match fate {
                        0 => false,
                        1 => true,
                        _ => Dice(sector as u64 ^ dice.0).below(3) > 0,
                    };
                    if kept {
                        let end = offset + at + 1;
                        bytes.resize(bytes.len().max(end), 0);
                        bytes[end - 1] = *byte;
                    }
                }
            }
        }
    }
    bytes
}

impl Disk for FakeDisk {
    fn list(&self, folder: &str) -> io::Result<BTreeMap<String, u64>> {
        let state = self.0.lock().unwrap();
        let prefix = format!("{folder}/");
        let listed = state.files.iter().filter_map(|(name, file)| {
            let name = name.strip_prefix(&prefix)?.to_owned();
            Some((name, file.lock().unwrap().bytes.len() as u64))
        });
        Ok(listed.collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.step()?;
        let contained = Arc::new(Mutex::new(Contained::default()));
        let mut state = self.0.lock().unwrap();
        state.files.insert(name.to_owned(), Arc::clone(&contained));
        let pending = state.pending.entry(folder_of(name).to_owned()).or_default();
        pending.push((name.to_owned(), Some(Arc::clone(&contained))));
        Ok(Arc::new(FakeFile { contained, disk: self.clone() }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.0.lock().unwrap();
        let contained = Arc::clone(state.files.get(name).ok_or(io::ErrorKind::NotFound)?);
        Ok(Arc::new(FakeFile { contained, disk: self.clone() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        let mut state = self.0.lock().unwrap();
        state.pending.entry(folder_of(name).to_owned()).or_default().push((name.to_owned(), None));
        state.files.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.step()?;
        let mut state = self.0.lock().unwrap();
        let within = |(name, file): (&String, &Arc<Mutex<Contained>>)| {
            (folder_of(name) == folder).then(|| (name.clone(), Arc::clone(file)))
        };
        let names = state.files.iter().filter_map(within).collect();
        state.durable.insert(folder.to_owned(), names);
        state.pending.remove(folder);
        Ok(())
    }
}

impl DiskFile for FakeFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.contained.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let contained = self.contained.lock().unwrap();
        let from = offset as usize;
        let bytes = contained.bytes.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let died = self.disk.step();
        let mut state = self.disk.0.lock().unwrap();
        let mut contained = self.contained.lock().unwrap();
        let grows = (offset + all.len() as u64).saturating_sub(contained.bytes.len() as u64);
        let fits = state.room.is_none_or(|room| grows <= room);
        let written = match (&died, fits) {
            (Err(_), _) if state.steps == Some(0) && !contained.bytes.is_empty() => all.len() / 2,
            (Err(_), _) => 0,
            (Ok(()), true) => all.len(),
            (Ok(()), false) => all.len() / 3,
        };
        if let (Some(room), true) = (&mut state.room, fits) {
            *room -= grows;
        }
        let written = &all[..written];
        let end = offset as usize + written.len();
        let length = contained.bytes.len().max(end);
        if !written.is_empty() {
            contained.bytes.resize(length, 0);
            contained.bytes[offset as usize..end].copy_from_slice(written);
            contained.unsynced.push((offset, Ok(written.to_vec())));
        }
        died?;
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.disk.step()?;
        let mut contained = self.contained.lock().unwrap();
        contained.bytes.resize(size as usize, 0);
        contained.unsynced.push((size, Err(())));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        while state.held {
            state = self.disk.1.wait_timeout(state, Duration::from_secs(60)).unwrap().0;
        }
        if state.unsyncable {
            return Err(io::Error::other("the disk failed"));
        }
        state.syncs += 1;
        drop(state);
        self.disk.step()?;
        let mut contained = self.contained.lock().unwrap();
        contained.synced = contained.bytes.clone();
        contained.unsynced.clear();
        Ok(())
    }
}
