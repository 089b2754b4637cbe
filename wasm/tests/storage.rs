//! The IndexedDB store keeps core's contract, also while it folds, and keeps everything when it is opened again.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod common;

use bytes::Bytes;
use common::{TestStore, code, unique};
use corestore_core::storage::conformance::{Step, checks, compare};
use corestore_core::storage::{
    CoreSlot, Durability, OpId, ReadBatch, RecordKey, StorageOp, StorageReply, WriteBatch, WriteOp,
};
use corestore_wasm::storage::JOURNAL_BYTES;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

async fn conforms(journal_limit: usize) {
    for check in checks() {
        let name = unique("conformance");
        let mut store = TestStore::open(&name, journal_limit).await.unwrap();
        for (at, step) in check.steps.into_iter().enumerate() {
            match step {
                Step::Reopen => {
                    store.close();
                    store = TestStore::open(&name, journal_limit).await.unwrap();
                }
                Step::Issue(exchanges) => {
                    let ops = exchanges.iter().map(|exchange| store.issue(exchange.op.clone())).collect::<Vec<_>>();
                    for (exchange, op) in exchanges.iter().zip(ops) {
                        let reply = store.answer(op).await;
                        if let Err(what) = compare(&reply, &exchange.reply) {
                            panic!("{}, step {at}: {what}", check.name);
                        }
                    }
                }
            }
        }
        store.close();
        common::delete(&name).await;
    }
}

#[wasm_bindgen_test]
async fn keeps_the_contract() {
    conforms(JOURNAL_BYTES).await;
}

#[wasm_bindgen_test]
async fn keeps_the_contract_while_it_folds_all_the_time() {
    conforms(0).await;
}

#[wasm_bindgen_test]
async fn agrees_with_memory_over_random_histories() {
    use corestore_core::storage::{MemoryStore, Store as _};
    let mut seed = 11_u64;
    let mut next = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for journal_limit in [0, 3000, JOURNAL_BYTES] {
        let name = unique("random");
        let mut memory = MemoryStore::default();
        let mut store = TestStore::open(&name, journal_limit).await.unwrap();
        for round in 0..120_u64 {
            let core = CoreSlot(u32::try_from(next(2)).unwrap());
            let start = next(90);
            let size = usize::try_from([3, 200, 17_000][usize::try_from(next(3)).unwrap()]).unwrap();
            let byte = u8::try_from(round).unwrap();
            let blocks = (0..next(40)).map(|_| Bytes::from(vec![byte; size])).collect();
            let op = match next(4) {
                0 => WriteOp::DeleteBlocks { core, range: start..start + next(60) },
                _ => WriteOp::PutBlocks { core, start, blocks },
            };
            let batch = WriteBatch { ops: vec![op], durability: Durability::Buffered };
            memory.execute(StorageOp::Write(batch.clone())).unwrap();
            let written = store.issue(StorageOp::Write(batch));
            let blocks = (0..130).map(|index| (core, index)).collect();
            let read = StorageOp::Read(ReadBatch { blocks, ..ReadBatch::default() });
            let due = memory.execute(read.clone()).unwrap();
            let op = store.issue(read);
            assert!(matches!(store.answer(written).await, Ok(StorageReply::Written)));
            compare(&store.answer(op).await, &due).unwrap_or_else(|what| panic!("round {round}: {what}"));
            if next(20) == 0 {
                store.close();
                store = TestStore::open(&name, journal_limit).await.unwrap();
            }
        }
        store.close();
        common::delete(&name).await;
    }
}

#[wasm_bindgen_test]
async fn a_store_that_is_open_is_kept_from_a_second_owner() {
    let name = unique("locked");
    let store = TestStore::open(&name, 0).await.unwrap();
    let refused = TestStore::open(&name, 0).await.err().unwrap();
    assert_eq!(code(&refused), "STORAGE_LOCKED");
    store.close();
    TestStore::open(&name, 0).await.unwrap().close();
}

#[wasm_bindgen_test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let name = unique("newer");
    common::make_newer(&name).await;
    let refused = TestStore::open(&name, 0).await.err().unwrap();
    assert_eq!(code(&refused), "STORAGE_NEWER");
}

#[wasm_bindgen_test]
async fn a_damaged_page_is_named_and_gives_no_block() {
    let name = unique("damaged");
    let mut store = TestStore::open(&name, 0).await.unwrap();
    let blocks = vec![Bytes::from_static(b"sound"); 16];
    let batch = |ops| StorageOp::Write(WriteBatch { ops, durability: Durability::Durable });
    let op = store.issue(batch(vec![WriteOp::PutBlocks { core: CoreSlot(0), start: 0, blocks }]));
    store.answer(op).await.unwrap();
    store.close();
    common::put_row(&name, "blocks", &[0; 12], &[1, 16, 0, 9]).await;
    let mut store = TestStore::open(&name, 0).await.unwrap();
    let blocks = vec![(CoreSlot(0), 3)];
    let op: OpId = store.issue(StorageOp::Read(ReadBatch { blocks, ..ReadBatch::default() }));
    let error = store.answer(op).await.err().unwrap();
    assert!(error.to_string().contains("page 0 of core 0"), "{error}");
    let op = store.issue(batch(vec![WriteOp::PutRecord(RecordKey(vec![1]), Bytes::new())]));
    store.answer(op).await.unwrap();
    store.close();
}
