//! The store alone: what a write and a read cost.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may fail loudly")]

use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::merkle::{Node, TreeIndex};
use corestore_core::storage::{
    CoreSlot, Durability, ReadBatch, RecordKey, StorageOp, Store, WriteBatch, WriteOp, keys,
};
use corestore_peer::store::{FileStore, StoreOptions};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const CORE: CoreSlot = CoreSlot(0);

/// What appending `count` blocks at `start` writes: the blocks, two nodes each, and the head.
fn append(start: u64, count: u64, block: &Bytes) -> StorageOp {
    let node = |index| Node { index: TreeIndex(index), size: 1024, hash: Hash([7; 32]) };
    let blocks = (0..count).map(|_| block.clone()).collect();
    let nodes = (start * 2..(start + count) * 2).map(node).collect();
    let state = WriteOp::PutRecord(keys::state(CORE), Bytes::from_static(&[1; 180]));
    let ops = vec![WriteOp::PutBlocks { core: CORE, start, blocks }, WriteOp::PutNodes { core: CORE, nodes }, state];
    StorageOp::Write(WriteBatch { ops, durability: Durability::Durable })
}

fn read(index: u64) -> StorageOp {
    StorageOp::Read(ReadBatch { blocks: vec![(CORE, index)], ..ReadBatch::default() })
}

fn appends(c: &mut Criterion) {
    for (name, count, size) in
        [("append 1 KiB", 1, 1 << 10), ("append 1000 x 1 KiB", 1000, 1 << 10), ("append 64 x 64 KiB", 64, 64 << 10)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut store = FileStore::open(folder.path(), &StoreOptions::default()).unwrap();
        let block = Bytes::from(vec![5; size]);
        let mut group = c.benchmark_group("store");
        group.throughput(Throughput::Elements(count));
        let mut next = 0;
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let op = append(next, count, &block);
                    next += count;
                    op
                },
                |op| store.execute(op).unwrap(),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

fn gets(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(folder.path(), &StoreOptions::default()).unwrap();
    let block = Bytes::from(vec![5; 1 << 10]);
    for batch in 0..BLOCKS / 1000 {
        store.execute(append(batch * 1000, 1000, &block)).unwrap();
    }
    store.close().unwrap();
    let mut store = FileStore::open(folder.path(), &StoreOptions::default()).unwrap();
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let mut index = 0_u64;
    group.bench_function("get 1 KiB at random", |b| {
        b.iter(|| {
            index = index.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(7919);
            let index = (index >> 33) % BLOCKS;
            black_box(store.execute(read(index)).unwrap())
        });
    });
    group.bench_function("get 1 KiB in order", |b| {
        b.iter(|| {
            index = (index + 1) % BLOCKS;
            black_box(store.execute(read(index)).unwrap())
        });
    });
    let key = RecordKey(keys::state(CORE).0);
    group.bench_function("read a record", |b| {
        b.iter(|| {
            let read = ReadBatch { records: vec![key.clone()], ..ReadBatch::default() };
            black_box(store.execute(StorageOp::Read(read)).unwrap())
        });
    });
    group.finish();
}

const BLOCKS: u64 = 200_000;

criterion_group!(benches, appends, gets);
criterion_main!(benches);
