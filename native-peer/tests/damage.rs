//! Damaged files under whole peers: never a wrong block; the reader is told, or other peers give what is lost.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;
mod store_support;

use bytes::Bytes;
use common::{all, in_time, join, store, until};
use corestore_peer::store::{FileStore, OpenError, StoreOptions};
use corestore_peer::{CoreKey, CoreOptions, Corestore, GetOptions, Hypercore, Options, ReadError, StorageError};
use std::collections::BTreeMap;
use std::sync::Arc;
use store_support::FakeDisk;

const AT_HAND: GetOptions = GetOptions { wait: false, timeout_ms: 0, raw: false };

type Files = BTreeMap<String, Vec<u8>>;

fn open(disk: &FakeDisk) -> Result<Corestore, OpenError> {
    let files = FileStore::open_on(Arc::new(disk.clone()), &StoreOptions::default())?;
    Ok(Corestore::over_files(files, &Options::default()).unwrap())
}

/// A core's key and its blocks.
type Log = (CoreKey, Vec<Bytes>);

/// A store of two cores, at rest or as a killed process leaves it.
async fn small_store(closed: bool) -> (Files, Vec<Log>) {
    let disk = FakeDisk::default();
    let store = open(&disk).unwrap();
    let mut logs = Vec::new();
    for name in ["one", "two"] {
        let core = store.get(name).await.unwrap();
        core.append_batch(["first", "second", "third"]).await.unwrap();
        core.truncate(2).await.unwrap();
        core.append_batch([format!("{name} again"), "x".repeat(300)]).await.unwrap();
        logs.push((core.key(), all(&core, 4).await));
    }
    let killed = disk.files();
    store.close().await.unwrap();
    (if closed { disk.files() } else { killed }, logs)
}

/// Reads everything: `Ok` when all is as it was, else the first error.
async fn read(disk: &FakeDisk, logs: &[Log], what: &str) -> Result<(), String> {
    let store = open(disk).map_err(|error| error.to_string())?;
    let mut result = Ok(());
    for (key, blocks) in logs {
        let core = match store.get(CoreOptions::key(*key).must_exist()).await {
            Ok(core) => core,
            Err(error) => {
                result = Err(error.to_string());
                continue;
            }
        };
        assert_eq!((core.length(), core.fork()), (4, 1), "{what}");
        for (index, block) in (0..).zip(blocks) {
            match core.get_with(index, AT_HAND).await {
                Ok(found) => assert_eq!(found.as_ref(), Some(block), "{what}: block {index}"),
                Err(error) => result = Err(error.to_string()),
            }
        }
    }
    drop(store.close().await);
    result
}

#[tokio::test]
async fn no_flipped_byte_of_any_file_is_ever_a_wrong_block() {
    for closed in [true, false] {
        let (files, logs) = small_store(closed).await;
        let (mut intact, mut named) = (0, 0);
        for (name, bytes) in &files {
            for at in 0..bytes.len() {
                let mut flipped = files.clone();
                // One bit, or all of them.
                flipped.get_mut(name).unwrap()[at] ^= if at % 4 == 3 { 0xff } else { 1 << (at % 8) };
                let what = format!("{name} byte {at}");
                match read(&FakeDisk::of(flipped), &logs, &what).await {
                    Ok(()) => intact += 1,
                    Err(error) => {
                        assert!(error.contains("damaged at byte"), "{what}: {error}");
                        named += 1;
                    }
                }
            }
        }
        println!("closed {closed}: {intact} flips changed nothing, {named} were named");
        assert!(named > 500);
    }
}

/// A store with a damaged block, its place in `core`, and a peer that has all of it.
async fn damaged(at: &[u8]) -> (FakeDisk, Hypercore, Corestore) {
    let disk = FakeDisk::default();
    let writer = open(&disk).unwrap();
    let core = writer.get("log").await.unwrap();
    core.append_batch((0..40).map(|index| format!("this is block {index:02}"))).await.unwrap();
    let reader = store();
    let copy = reader.get(core.key()).await.unwrap();
    join(&reader, &writer);
    assert_eq!(all(&copy, 40).await.len(), 40);
    writer.close().await.unwrap();
    let mut files = disk.files();
    let log = files.get_mut("log/00000001").unwrap();
    let place = log.windows(at.len()).position(|bytes| bytes == at).unwrap();
    log[place + at.len() - 1] ^= 4;
    (FakeDisk::of(files), copy, reader)
}

#[tokio::test]
async fn a_damaged_block_is_named_and_fetched_again_when_a_peer_has_it() {
    let (disk, copy, reader) = damaged(b"this is block 07").await;
    let writer = open(&disk).unwrap();
    let core = writer.get(CoreOptions::key(copy.key()).must_exist()).await.unwrap();
    for wait in [false, true] {
        // Alone, nothing is dropped: a later peer may help.
        let error = core.get_with(7, GetOptions { wait, ..AT_HAND }).await.unwrap_err();
        let damage = matches!(&error, ReadError::Storage(StorageError::Damaged(_)));
        assert!(damage && error.to_string().contains("log/00000001 is damaged at byte"), "{error}");
        assert!(core.has(7));
    }
    assert_eq!(core.get(8).await.unwrap(), "this is block 08");
    join(&reader, &writer);
    until(|| core.info().peers == 1).await;
    assert_eq!(in_time(core.get(7)).await.unwrap(), "this is block 07");
    assert_eq!(core.get_with(7, AT_HAND).await.unwrap().unwrap(), "this is block 07");
    assert_eq!(core.audit().await.unwrap().faults_found, 0);
    // The writer goes on, and nobody hears of it.
    core.append("more").await.unwrap();
    assert_eq!(in_time(copy.get(40)).await.unwrap(), "more");
    writer.close().await.unwrap();
    let mut files = FileStore::open_on(Arc::new(disk), &StoreOptions::default()).unwrap();
    assert!(files.check().unwrap().is_whole());
}
