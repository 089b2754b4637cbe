//! What it costs to make a proof from nodes in memory.
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]

use bytes::Bytes;
use corestore_core::merkle::{LoadedNodes, ProofPlan, ProofRequest, RequestBlock, RequestUpgrade, Roots, append};
use criterion::{Criterion, criterion_group, criterion_main};

const LENGTH: u64 = 100_000;

fn proving(criterion: &mut Criterion) {
    let blocks: Vec<Bytes> = (0..LENGTH).map(|at| Bytes::copy_from_slice(&at.to_le_bytes())).collect();
    let (roots, nodes) = append(&Roots::default(), &blocks);
    let loaded: LoadedNodes = nodes.into_iter().collect();
    let block = ProofRequest { block: Some(RequestBlock { index: 54_321, nodes: 16 }), ..ProofRequest::default() };
    let upgrade =
        ProofRequest { upgrade: Some(RequestUpgrade { start: 0, length: LENGTH }), ..ProofRequest::default() };
    let both = ProofRequest {
        block: Some(RequestBlock { index: 54_321, nodes: 0 }),
        upgrade: Some(RequestUpgrade { start: 50_001, length: 30_000 }),
        ..ProofRequest::default()
    };
    for (name, request) in [("block", block), ("upgrade", upgrade), ("block and upgrade", both)] {
        criterion.bench_function(&format!("prove {name}"), |bench| {
            bench.iter(|| {
                let mut plan = ProofPlan::new(&roots, &request, None).unwrap();
                plan.needs(&roots, &loaded);
                plan.build(&roots, &loaded, Some(Bytes::from_static(b"block")), &[0; 64]).unwrap()
            });
        });
    }
}

criterion_group!(benches, proving);
criterion_main!(benches);
