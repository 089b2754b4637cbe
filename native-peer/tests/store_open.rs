//! Opening a store, and what stands in the way.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod store_support;

use bytes::Bytes;
use corestore_core::storage::{
    CoreSlot, Durability, ReadBatch, RecordKey, StorageError, StorageOp, StorageReply, Store, WriteBatch, WriteOp,
};
use corestore_peer::store::{FileStore, OpenError, StoreOptions};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use store_support::{FakeDisk, tiny};

fn open(path: &Path) -> Result<FileStore, OpenError> {
    FileStore::open(path, &StoreOptions::default())
}

fn open_read_only(path: &Path) -> Result<FileStore, OpenError> {
    let mut options = StoreOptions::default();
    options.read_only = true;
    FileStore::open(path, &options)
}

fn put(store: &mut FileStore, index: u64, bytes: usize) -> Result<StorageReply, StorageError> {
    let block = Bytes::from(vec![u8::try_from(index % 251).unwrap(); bytes]);
    let ops = vec![
        WriteOp::PutBlocks { core: CoreSlot(0), start: index, blocks: vec![block] },
        WriteOp::PutRecord(RecordKey(vec![1]), Bytes::copy_from_slice(&index.to_le_bytes())),
    ];
    store.execute(StorageOp::Write(WriteBatch { ops, durability: Durability::Durable }))
}

fn block(store: &mut FileStore, index: u64) -> Option<Bytes> {
    let read = ReadBatch { blocks: vec![(CoreSlot(0), index)], ..ReadBatch::default() };
    match store.execute(StorageOp::Read(read)).unwrap() {
        StorageReply::Read(mut reply) => reply.blocks.remove(0),
        other => panic!("{other:?}"),
    }
}

fn delete(store: &mut FileStore, range: std::ops::Range<u64>) {
    let ops = vec![WriteOp::DeleteBlocks { core: CoreSlot(0), range }];
    store.execute(StorageOp::Write(WriteBatch { ops, durability: Durability::Durable })).unwrap();
}

/// All bytes of a directory's files, by path.
fn snapshot(path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn one_process_owns_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked { path } if path == folder.path()), "{error}");
    assert!(matches!(open_read_only(folder.path()).unwrap_err(), OpenError::Locked { .. }));
    drop(store);
    let one = open_read_only(folder.path()).unwrap();
    let two = open_read_only(folder.path()).unwrap();
    assert!(matches!(open(folder.path()).unwrap_err(), OpenError::Locked { .. }));
    drop((one, two));
    open(folder.path()).unwrap();
}

#[test]
fn a_reader_sees_everything_and_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    put(&mut store, 0, 10).unwrap();
    store.close().unwrap();
    let mut store = open(folder.path()).unwrap();
    put(&mut store, 1, 20).unwrap();
    // As a killed process leaves it: the second block is only in the log, and half of a third.
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in snapshot(folder.path()) {
        let to = copy.path().join(path.strip_prefix(folder.path()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let torn: &[u8] = if to.ends_with("log/00000001") { &[1; 17] } else { &[] };
        fs::write(to, [bytes.as_slice(), torn].concat()).unwrap();
    }
    let before = snapshot(copy.path());
    let mut reader = open_read_only(copy.path()).unwrap();
    assert_eq!(block(&mut reader, 0).unwrap().len(), 10);
    assert_eq!(block(&mut reader, 1).unwrap().len(), 20);
    assert_eq!(reader.stats().unwrap().dropped_bytes, 17);
    let report = reader.check().unwrap();
    assert!(report.is_whole() && report.blocks == 2, "{report:?}");
    let error = put(&mut reader, 2, 1).unwrap_err();
    assert!(error.to_string().contains("open it for writing"), "{error}");
    reader.close().unwrap();
    assert_eq!(snapshot(copy.path()), before);
}

#[test]
fn what_is_no_store_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"text").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::NotADirectory { .. }), "{error:?}");
        assert!(matches!(open_read_only(&path).unwrap_err(), OpenError::NotADirectory { .. }));
    }
    let missing = folder.path().join("missing");
    let error = open_read_only(&missing).unwrap_err();
    assert!(matches!(&error, OpenError::Missing { path } if *path == missing), "{error:?}");
    assert!(!missing.exists());
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("closed");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write anywhere.
    if fs::write(path.join("probe"), b"").is_ok() {
        return;
    }
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Permission { .. }), "{error:?}");
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    put(&mut store, 0, 10).unwrap();
    store.close().unwrap();
    let head = folder.path().join("head");
    let mut bytes = fs::read(&head).unwrap();
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&head, bytes).unwrap();
    let before = snapshot(folder.path());
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerVersion { found: 7, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("use a newer program"));
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn a_newer_log_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    put(&mut store, 0, 10).unwrap();
    drop(store);
    let log = folder.path().join("log/00000001");
    let mut bytes = fs::read(&log).unwrap();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(&log, bytes).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerVersion { found: 2, known: 1, .. }), "{error:?}");
}

#[test]
fn a_read_only_disk_is_named_and_can_be_read() {
    let disk = FakeDisk::default();
    let open = |read_only: bool| {
        let mut options = StoreOptions::default();
        options.read_only = read_only;
        FileStore::open_on(Arc::new(disk.clone()), &options)
    };
    let mut store = open(false).unwrap();
    put(&mut store, 0, 10).unwrap();
    // While the store is open: what is there can be read, and nothing is acknowledged any more, also not later.
    disk.set_read_only(true);
    let error = put(&mut store, 1, 10).unwrap_err();
    assert!(matches!(&error, StorageError::Broken(why) if why.contains("log/00000001")), "{error}");
    assert_eq!(block(&mut store, 0).unwrap().len(), 10);
    disk.set_read_only(false);
    assert!(put(&mut store, 1, 10).is_err());
    drop(store);
    disk.set_read_only(true);
    // A store at rest is opened without a byte being written, and refuses writes; one that is to be made cannot be.
    let mut store = open(true).unwrap();
    assert_eq!((block(&mut store, 0).unwrap().len(), block(&mut store, 1)), (10, None));
    drop(store);
    let fresh = FakeDisk::default();
    fresh.set_read_only(true);
    let error = FileStore::open_on(Arc::new(fresh), &StoreOptions::default()).unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("open the store read-only"), "{error}");
}

#[test]
fn a_key_the_index_cannot_hold_is_refused_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    let mut put_key = |length: usize| {
        let ops = vec![WriteOp::PutRecord(RecordKey(vec![1; length]), Bytes::new())];
        store.execute(StorageOp::Write(WriteBatch { ops, durability: Durability::Durable }))
    };
    put_key(64).unwrap();
    assert!(put_key(65).unwrap_err().to_string().contains("65 bytes is too long"));
    put_key(0).unwrap();
}

#[test]
fn a_lost_head_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(folder.path(), &tiny()).unwrap();
    (0..300).for_each(|index| drop(put(&mut store, index, 100).unwrap()));
    store.close().unwrap();
    fs::remove_file(folder.path().join("head")).unwrap();
    let mut store = FileStore::open(folder.path(), &tiny()).unwrap();
    assert!((0..300).all(|index| block(&mut store, index).is_some()));
    put(&mut store, 300, 100).unwrap();
    store.close().unwrap();
    let mut store = FileStore::open(folder.path(), &tiny()).unwrap();
    assert!((0..=300).all(|index| block(&mut store, index).is_some()));
}

#[test]
fn deleted_blocks_give_their_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = tiny();
    options.log_segment_bytes = 64 << 10;
    let mut store = FileStore::open(folder.path(), &options).unwrap();
    (0..2000).for_each(|index| drop(put(&mut store, index, 1000).unwrap()));
    store.reclaim().unwrap();
    let full = store.stats().unwrap();
    assert!(full.log_bytes >= 2_000_000 && full.live_log_bytes == 2_064_000, "{full:?}");
    // All but each twentieth: no segment is dead as a whole.
    (0..100).for_each(|run| delete(&mut store, run * 20 + 1..run * 20 + 20));
    store.reclaim().unwrap();
    let sparse = store.stats().unwrap();
    assert_eq!(sparse.live_log_bytes, 103_200);
    assert!(sparse.log_bytes < 400_000, "{sparse:?}");
    assert!((0..2000).all(|index| block(&mut store, index).is_some() == (index % 20 == 0)));
    delete(&mut store, 0..u64::MAX);
    store.reclaim().unwrap();
    let empty = store.stats().unwrap();
    assert_eq!(empty.live_log_bytes, 0);
    assert!(empty.log_bytes < 4096 && empty.tree_bytes < 60_000, "{empty:?}");
    assert!(store.check().unwrap().is_whole());
}

#[test]
fn scattered_tiny_blocks_are_moved_once_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(folder.path(), &tiny()).unwrap();
    (0..3000).for_each(|index| drop(put(&mut store, index * 3, 0).unwrap()));
    store.reclaim().unwrap();
    let before = store.stats().unwrap();
    store.reclaim().unwrap();
    assert_eq!(store.stats().unwrap().log_bytes, before.log_bytes);
    assert!((0..3000).all(|index| block(&mut store, index * 3).is_some()));
}

#[test]
fn overwriting_a_record_for_ever_takes_bounded_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(folder.path(), &tiny()).unwrap();
    for index in 0..5000_u64 {
        put(&mut store, index % 50, 50).unwrap();
    }
    store.close().unwrap();
    let store = FileStore::open(folder.path(), &tiny()).unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.log_bytes < 80_000 && stats.tree_bytes < 120_000, "{stats:?}");
}

/// Bytes of disk that the log's first segment takes beyond those it holds.
fn room_ahead(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(folder.join("log/00000001")).unwrap();
    (metadata.blocks() * 512).saturating_sub(metadata.len().next_multiple_of(4096))
}

#[test]
fn room_ahead_of_the_log_is_given_back_by_closing_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    put(&mut store, 0, 10).unwrap();
    assert!(fs::metadata(folder.path().join("log/00000001")).unwrap().len() < 4096);
    // File systems that cannot reserve room have nothing to give back.
    let ahead = room_ahead(folder.path());
    assert!(ahead == 0 || ahead > 500 << 10, "{ahead}");
    // A copy of what a killed process leaves, with the same room ahead.
    let copy = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp").arg("-r").arg(folder.path().join(".")).arg(copy.path()).status();
    assert!(status.unwrap().success());
    let tail = fs::OpenOptions::new().write(true).open(copy.path().join("log/00000001")).unwrap();
    let size = tail.metadata().unwrap().len();
    if ahead > 0 {
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&tail, keep, size, 1 << 20).unwrap();
        assert!(room_ahead(copy.path()) > 500 << 10);
    }
    open(copy.path()).unwrap().close().unwrap();
    assert!(room_ahead(copy.path()) <= 4096);
    store.close().unwrap();
    assert!(room_ahead(folder.path()) <= 4096);
}

#[test]
fn a_segment_that_a_killed_owner_only_began_is_no_damage_to_readers() {
    // What a kill leaves between the making of a file and its header, and a power cut after that.
    for begun in [Vec::new(), vec![0; 20], vec![0; 32]] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        put(&mut store, 0, 10).unwrap();
        store.close().unwrap();
        fs::write(folder.path().join("log/00000002"), begun).unwrap();
        let mut store = open_read_only(folder.path()).unwrap();
        let report = store.check().unwrap();
        assert!(report.is_whole() && report.blocks == 1, "{report:?}");
        drop(store);
        let mut store = open(folder.path()).unwrap();
        put(&mut store, 1, 10).unwrap();
        let report = store.check().unwrap();
        assert!(report.is_whole() && report.blocks == 2, "{report:?}");
    }
}
