//! The power level: a block is acknowledged, and told to peers, when its sync is done; whoever appends meanwhile shares
//! the next sync.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;
mod store_support;

use common::{all, in_time, join, store, until};
use corestore_peer::store::{DurabilityLevel, FileStore, StoreOptions};
use corestore_peer::{Corestore, Options, WriteError};
use std::sync::Arc;
use store_support::FakeDisk;

fn power() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.durability = DurabilityLevel::Power;
    options
}

fn open(disk: &FakeDisk) -> Corestore {
    let files = FileStore::open_on(Arc::new(disk.clone()), &power()).unwrap();
    Corestore::over_files(files, &Options::default()).unwrap()
}

#[tokio::test]
async fn appends_that_wait_share_one_sync_and_nobody_else_waits() {
    let (disk, reader) = (FakeDisk::default(), store());
    let writer = open(&disk);
    let core = writer.get("log").await.unwrap();
    core.append("first").await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    join(&reader, &writer);
    assert_eq!(all(&copy, 1).await, ["first"]);
    let before = disk.syncs();
    disk.hold_syncs(true);
    let appends: Vec<_> = (0..50)
        .map(|at| {
            let core = core.clone();
            tokio::spawn(async move { core.append(format!("block {at}")).await })
        })
        .collect();
    // Every append is under way, and this thread is free.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!((core.length(), copy.length()), (1, 1));
    assert!(appends.iter().all(|append| !append.is_finished()));
    assert_eq!(in_time(core.get(0)).await.unwrap(), "first");
    disk.hold_syncs(false);
    for append in appends {
        in_time(append).await.unwrap().unwrap();
    }
    assert_eq!(disk.syncs() - before, 2);
    until(|| copy.length() == 51).await;
    assert_eq!(all(&copy, 51).await.len(), 51);
    // Nothing acknowledged needs more than what is synced.
    let lost = disk.after_power_cut(&mut store_support::Dice(3));
    assert_eq!(open(&lost).get("log").await.unwrap().length(), 51);
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing_then_or_later() {
    let disk = FakeDisk::default();
    let writer = open(&disk);
    let core = writer.get("log").await.unwrap();
    core.append("first").await.unwrap();
    disk.fail_syncs(true);
    assert!(matches!(core.append("second").await, Err(WriteError::Storage(_))));
    disk.fail_syncs(false);
    assert!(matches!(core.append("third").await, Err(WriteError::Storage(_))));
    assert_eq!(core.length(), 1);
    assert_eq!(core.get(0).await.unwrap(), "first");
}
