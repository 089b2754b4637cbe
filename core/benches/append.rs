//! What an append costs: hashing its blocks, and the whole commit.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]

use bytes::Bytes;
use corestore_core::crypto::{KeyPair, leaf_hash, leaf_hashes};
use corestore_core::log::{Auth, Hypercore};
use corestore_core::manifest::Manifest;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn blocks(count: usize, size: usize) -> Vec<Bytes> {
    (0..count).map(|at| Bytes::from(vec![u8::try_from(at % 251).unwrap(); size])).collect()
}

fn writer() -> Hypercore {
    let pair = KeyPair::from_seed(&[1; 32]);
    let manifest = Manifest::single(1, pair.public_key());
    let auth = Auth { key: manifest.key(), manifest: Some(manifest), key_pair: Some(pair.into()) };
    let (mut core, commit) = Hypercore::create(auth).unwrap();
    core.apply(commit.id).unwrap();
    core
}

fn hashing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("leaf hashes of 256 blocks");
    for size in [32, 128, 1024, 65_536] {
        let blocks = blocks(256, size);
        group.throughput(Throughput::Bytes(u64::try_from(256 * size).unwrap()));
        group.bench_with_input(BenchmarkId::new("one by one", size), &blocks, |bench, blocks| {
            bench.iter(|| blocks.iter().map(|block| leaf_hash(block)).collect::<Vec<_>>());
        });
        group.bench_with_input(BenchmarkId::new("as a batch", size), &blocks, |bench, blocks| {
            bench.iter(|| leaf_hashes(blocks));
        });
    }
    group.finish();
}

fn appending(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for count in [1, 64, 1024] {
        let blocks = blocks(count, 1024);
        group.throughput(Throughput::Elements(u64::try_from(count).unwrap()));
        group.bench_with_input(BenchmarkId::from_parameter(count), &blocks, |bench, blocks| {
            let fresh = || (writer(), blocks.clone());
            bench.iter_batched(fresh, |(mut core, blocks)| core.append(blocks, None).unwrap(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, hashing, appending);
criterion_main!(benches);
