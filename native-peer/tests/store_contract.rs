//! The store against the store in memory, on random work.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, reason = "a test may fail loudly")]

mod store_support;

use corestore_core::storage::conformance;
use corestore_core::storage::{MemoryStore, RecordKey, ScanRecords, StorageOp, StorageReply, Store};
use corestore_peer::store::{FileStore, StoreOptions};
use proptest::prelude::*;
use std::cell::Cell;
use std::sync::Arc;
use store_support::{Dice, FakeDisk, contents, random_batch, record_key, tiny};

/// Runs `writes` random batches on both stores, reopening now and then.
fn same_as_memory(seed: u64, writes: u64, options: &StoreOptions) {
    let mut dice = Dice(seed);
    let disk = FakeDisk::default();
    let mut store = FileStore::open_on(Arc::new(disk.clone()), options).unwrap();
    let mut memory = MemoryStore::default();
    for write in 0..writes {
        let batch = random_batch(&mut dice);
        memory.execute(StorageOp::Write(batch.clone())).unwrap();
        store.execute(StorageOp::Write(batch)).unwrap();
        match dice.below(24) {
            0 => {
                store.close().unwrap();
                store = FileStore::open_on(Arc::new(disk.clone()), options).unwrap();
            }
            1 => store.reclaim().unwrap(),
            2..6 => assert_eq!(differ(&mut store, &mut memory), None, "write {write}"),
            6..9 => same_scan(&mut dice, &mut store, &mut memory),
            _ => {}
        }
    }
    let report = store.check().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(differ(&mut store, &mut memory), None);
    store.close().unwrap();
    let mut store = FileStore::open_on(Arc::new(disk), options).unwrap();
    let report = store.check().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(differ(&mut store, &mut memory), None);
}

fn differ(store: &mut dyn Store, memory: &mut dyn Store) -> Option<String> {
    contents(store).unwrap().difference(&contents(memory).unwrap())
}

fn same_scan(dice: &mut Dice, store: &mut FileStore, memory: &mut MemoryStore) {
    let mut key = || RecordKey(record_key(u8::try_from(dice.below(26)).unwrap()).0);
    let scan = ScanRecords { start: key(), end: key(), limit: 3 };
    let rows = |store: &mut dyn Store| match store.execute(StorageOp::Scan(scan.clone())).unwrap() {
        StorageReply::Scanned { rows, more } => (rows, more),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows(store), rows(memory));
}

#[test]
fn the_contract_holds_on_files_and_with_tiny_limits() {
    for options in [StoreOptions::default(), tiny()] {
        let folders = tempfile::tempdir().unwrap();
        let count = Cell::new(0);
        let path = || folders.path().join(count.get().to_string());
        let fresh = || {
            count.set(count.get() + 1);
            FileStore::open(&path(), &options).unwrap()
        };
        let reopen = |store: FileStore| {
            store.close().unwrap();
            FileStore::open(&path(), &options).unwrap()
        };
        let ran = conformance::run(fresh, reopen);
        assert!(ran.as_ref().is_ok_and(|ran| *ran > 0), "{ran:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_store_with_tiny_limits_is_the_store_in_memory(seed: u64) {
        same_as_memory(seed, 250, &tiny());
    }

    #[test]
    fn a_store_with_usual_limits_is_the_store_in_memory(seed: u64) {
        same_as_memory(seed, 60, &StoreOptions::default());
    }
}
