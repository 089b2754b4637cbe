//! What it costs to check a proof: a block under a known root, and a whole upgrade with its signature.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may fail loudly")]

use bytes::Bytes;
use corestore_core::crypto::KeyPair;
use corestore_core::manifest::{Manifest, Verifier};
use corestore_core::merkle::{
    LoadedNodes, ProofPlan, ProofRequest, RequestBlock, RequestUpgrade, Roots, append, verify,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LENGTH: u64 = 65_536;

fn verifying(criterion: &mut Criterion) {
    let pair = KeyPair::from_seed(&[1; 32]);
    let manifest = Manifest::single(1, pair.public_key());
    let verifier = Verifier::new(manifest.clone(), &manifest.key()).unwrap();
    let blocks: Vec<Bytes> = (0..LENGTH).map(|_| Bytes::from_static(&[7; 1024])).collect();
    let (roots, nodes) = append(&Roots::default(), &blocks);
    let loaded: LoadedNodes = nodes.into_iter().collect();
    let signature = verifier.sign(&roots, &pair).unwrap();
    let block = Some(RequestBlock { index: 54_321, nodes: 16 });
    let upgrade = Some(RequestUpgrade { start: 0, length: LENGTH });
    let cases = [
        ("block", roots.clone(), ProofRequest { block, ..ProofRequest::default() }),
        ("upgrade", Roots::default(), ProofRequest { upgrade, ..ProofRequest::default() }),
    ];
    let check = |roots: &Roots, signature: &[u8]| verifier.verify(roots, signature);
    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Elements(1));
    for (name, before, request) in cases {
        let mut plan = ProofPlan::new(&roots, &request, None).unwrap();
        plan.needs(&roots, &loaded);
        let proof = plan.build(&roots, &loaded, Some(blocks[0].clone()), &signature).unwrap();
        group.bench_function(name, |bench| bench.iter(|| verify(&before, &proof, &check).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, verifying);
criterion_main!(benches);
