//! Backups taken while the store is written: each holds a whole prefix of the batches, and opens clean.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod store_support;

use bytes::Bytes;
use corestore_core::storage::{
    CoreSlot, Durability, ReadBatch, RecordKey, StorageOp, StorageReply, Store, WriteBatch, WriteOp,
};
use corestore_peer::store::{BackupError, BackupFiles, FileStore, OpenError, StoreOptions, backup};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use store_support::tiny;

const CORE: CoreSlot = CoreSlot(0);
/// Blocks that stay; those before are deleted, so that segments die and blocks move.
const KEPT: u64 = 200;

fn length_key() -> RecordKey {
    RecordKey(b"length".to_vec())
}

fn block(index: u64) -> Bytes {
    let length = usize::try_from(index * 37 % 900).unwrap();
    Bytes::from(index.to_le_bytes().iter().copied().cycle().take(length).collect::<Vec<u8>>())
}

fn append(store: &mut FileStore, index: u64) {
    let mut ops = vec![
        WriteOp::PutBlocks { core: CORE, start: index, blocks: vec![block(index)] },
        WriteOp::PutRecord(length_key(), Bytes::copy_from_slice(&(index + 1).to_le_bytes())),
    ];
    // Every tenth of the old ones stays, so that blocks have to move.
    if index >= KEPT && !(index - KEPT).is_multiple_of(10) {
        ops.push(WriteOp::DeleteBlocks { core: CORE, range: index - KEPT..index - KEPT + 1 });
    }
    store.execute(StorageOp::Write(WriteBatch { ops, durability: Durability::Durable })).unwrap();
}

/// Whether the store holds exactly its first `length` batches; gives that length.
fn check(store: &mut FileStore) -> u64 {
    let read = |store: &mut FileStore, blocks: Vec<(CoreSlot, u64)>| {
        let read = ReadBatch { records: vec![length_key()], blocks, nodes: Vec::new() };
        match store.execute(StorageOp::Read(read)).unwrap() {
            StorageReply::Read(reply) => reply,
            other => panic!("{other:?}"),
        }
    };
    let record = read(store, Vec::new()).records.remove(0);
    let length = record.map_or(0, |bytes| u64::from_le_bytes(bytes.as_ref().try_into().unwrap()));
    let found = read(store, (0..length + 5).map(|index| (CORE, index)).collect()).blocks;
    for (index, found) in (0..).zip(found) {
        let gone = index + KEPT < length && index % 10 != 0;
        let expected = (index < length && !gone).then(|| block(index));
        assert!(found == expected, "block {index} of {length}");
    }
    let report = store.check().unwrap();
    assert!(report.is_whole(), "{report:?}");
    length
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_taken_while_writing_holds_whole_batches_and_opens_clean() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("store");
    // Small enough for a checkpoint every few milliseconds, and for segments that come and go all the time.
    let mut options = tiny();
    options.log_segment_bytes = 128 << 10;
    options.dirty_bytes = 64 << 10;
    let mut store = FileStore::open(&from, &options).unwrap();
    (0..400).for_each(|index| append(&mut store, index));
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(400));
    let store = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut index = 400;
            while !stop.load(Ordering::Relaxed) && index < 400_000 {
                append(&mut store, index);
                index += 1;
                acknowledged.store(index, Ordering::Release);
                std::thread::sleep(Duration::from_micros(100));
            }
            store
        });
        // Also when this fails.
        let stops = Stops(&stop);
        let mut linked = 0;
        for round in 0..12 {
            let to = folder.path().join(format!("backup {round}"));
            let before = acknowledged.load(Ordering::Acquire);
            let files = if round % 2 == 0 { BackupFiles::Copied } else { BackupFiles::Linked };
            let made = backup(&from, &to, files).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(made.report.is_whole() && made.copied_bytes > 0, "{made:?}");
            assert!(made.linked_files == 0 || files == BackupFiles::Linked, "{made:?}");
            linked += made.linked_files;
            let after = acknowledged.load(Ordering::Acquire) + 1;
            let mut copy = FileStore::open(&to, &tiny()).unwrap();
            assert_eq!(copy.stats().unwrap().dropped_bytes, 0);
            let length = check(&mut copy);
            assert!((before..=after).contains(&length), "round {round}: {length} of {before}–{after}");
            // A life of its own, of which the store hears nothing.
            (length..length + 300).for_each(|index| append(&mut copy, index));
            copy.reclaim().unwrap();
            assert_eq!(check(&mut copy), length + 300);
        }
        assert!(linked > 0, "no backup shares a file");
        drop(stops);
        writing.join().unwrap()
    });
    let mut store = store;
    assert_eq!(check(&mut store), acknowledged.load(Ordering::Acquire));
    store.close().unwrap();
}

#[test]
fn a_store_at_rest_and_one_that_was_killed_are_backed_up_too() {
    let folder = tempfile::tempdir().unwrap();
    for (name, batches, closed) in [("empty", 0, true), ("young", 3, false), ("old", 500, false), ("rest", 500, true)] {
        let (from, to) = (folder.path().join(name), folder.path().join(format!("{name} backup")));
        let mut store = FileStore::open(&from, &tiny()).unwrap();
        (0..batches).for_each(|index| append(&mut store, index));
        if closed {
            store.close().unwrap();
        } else {
            // As a killed process leaves it, in the middle of an entry.
            std::mem::forget(store);
            let last = fs::read_dir(from.join("log")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
            fs::write(&last, [fs::read(&last).unwrap().as_slice(), &[1; 17]].concat()).unwrap();
        }
        backup(&from, &to, BackupFiles::Copied).unwrap();
        let mut copy = FileStore::open(&to, &StoreOptions::default()).unwrap();
        assert_eq!(copy.stats().unwrap().dropped_bytes, 0, "{name}");
        assert_eq!(check(&mut copy), batches, "{name}");
    }
}

#[test]
fn what_stands_in_a_backups_way_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("store"), folder.path().join("backup"));
    let error = backup(&from, &to, BackupFiles::Copied).unwrap_err();
    assert!(matches!(&error, BackupError::Store(OpenError::Missing { path }) if *path == from), "{error}");
    assert!(!to.exists());
    let mut store = FileStore::open(&from, &tiny()).unwrap();
    (0..60).for_each(|index| append(&mut store, index));
    store.close().unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(to.join("letter"), "dear").unwrap();
    let error = backup(&from, &to, BackupFiles::Copied).unwrap_err();
    assert!(matches!(&error, BackupError::NotEmpty { path } if *path == to), "{error}");
    assert_eq!(fs::read(to.join("letter")).unwrap(), b"dear");
    fs::remove_file(to.join("letter")).unwrap();
    // A block that is damaged in the store is reported, and the rest is there.
    flip(&from.join("log/00000001"), 200);
    let made = backup(&from, &to, BackupFiles::Copied).unwrap();
    assert_eq!(made.report.damaged.len(), 1, "{made:?}");
    assert_eq!(made.report.damaged[0].file, "log/00000001");
    // Damage in what was not checkpointed yet is that of the store.
    let mut store = FileStore::open(&from, &StoreOptions::default()).unwrap();
    (60..80).for_each(|index| append(&mut store, index));
    std::mem::forget(store);
    let last = fs::read_dir(from.join("log")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let middle = fs::metadata(&last).unwrap().len() - 700;
    flip(&last, usize::try_from(middle).unwrap());
    let error = backup(&from, &folder.path().join("another"), BackupFiles::Copied).unwrap_err();
    assert!(
        matches!(&error, BackupError::Store(OpenError::Damaged { file, .. }) if file.starts_with(&from)),
        "{error}"
    );
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}
