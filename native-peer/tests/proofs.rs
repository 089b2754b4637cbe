//! Proofs made in one store and checked in another.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::store;
use corestore_peer::{CoreOptions, GetOptions, Hypercore, ProofError, ProofRequest, RequestBlock, RequestUpgrade};

/// A core of `length` blocks, and the same core, empty, elsewhere.
async fn core_and_clone(length: u64) -> (Hypercore, Hypercore) {
    let core = store().get("log").await.unwrap();
    core.append_batch((0..length).map(|index| format!("block {index}"))).await.unwrap();
    let clone = store().get(CoreOptions::manifest(core.manifest().unwrap(), None)).await.unwrap();
    assert_eq!(clone.key(), core.key());
    (core, clone)
}

fn block(index: u64, nodes: u64) -> ProofRequest {
    ProofRequest { block: Some(RequestBlock { index, nodes }), ..ProofRequest::default() }
}

fn upgrade(length: u64) -> ProofRequest {
    ProofRequest { upgrade: Some(RequestUpgrade { start: 0, length }), ..ProofRequest::default() }
}

#[tokio::test]
async fn blocks_travel_as_proofs() {
    let (core, clone) = core_and_clone(100).await;
    assert_ne!(clone.tree_hash(), core.tree_hash());
    assert_eq!(clone.apply_proof(&core.proof(upgrade(100)).await.unwrap()).await.unwrap(), 100);
    assert_eq!(clone.length(), 100);
    assert_eq!(clone.tree_hash(), core.tree_hash());
    for index in [63, 0, 99, 64, 1, 62] {
        let proof = core.proof(block(index, clone.missing_nodes(index))).await.unwrap();
        assert_eq!(clone.apply_proof(&proof).await.unwrap(), 100);
        assert_eq!(clone.get(index).await.unwrap(), format!("block {index}"));
    }
    assert_eq!(clone.missing_nodes(0), 0);
    assert_eq!(clone.count(0..100), 6);
    assert!(clone.audit().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn verifying_stores_nothing() {
    let (core, clone) = core_and_clone(10).await;
    let request = ProofRequest { upgrade: upgrade(10).upgrade, ..block(4, 0) };
    assert_eq!(clone.verify_proof(&core.proof(request).await.unwrap()).await.unwrap(), 10);
    assert_eq!(clone.length(), 0);
    let local = GetOptions { wait: false, ..GetOptions::default() };
    assert_eq!(clone.get_with(4, local).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_false_is_stored() {
    let (core, clone) = core_and_clone(10).await;
    clone.apply_proof(&core.proof(upgrade(10)).await.unwrap()).await.unwrap();
    let good = core.proof(block(4, clone.missing_nodes(4))).await.unwrap();
    let mut forged = good.clone();
    forged.block.as_mut().unwrap().value = "another".into();
    assert!(matches!(clone.apply_proof(&forged).await, Err(ProofError::Invalid { .. })));
    assert!(matches!(clone.verify_proof(&forged).await, Err(ProofError::Invalid { .. })));
    assert!(!clone.has(4));
    let mut unsigned = core.proof(upgrade(10)).await.unwrap();
    unsigned.upgrade.as_mut().unwrap().signature[0] ^= 1;
    let (_, other) = core_and_clone(10).await;
    assert!(matches!(other.apply_proof(&unsigned).await, Err(ProofError::Invalid { .. })));
    assert_eq!(other.length(), 0);
    clone.apply_proof(&good).await.unwrap();
    assert!(clone.has(4));
}

#[tokio::test]
async fn what_cannot_be_proven_is_an_error() {
    let (core, clone) = core_and_clone(10).await;
    assert!(matches!(core.proof(block(10, 0)).await, Err(ProofError::InvalidRequest { .. })));
    assert!(matches!(core.proof(upgrade(11)).await, Err(ProofError::InvalidRequest { .. })));
    clone.apply_proof(&core.proof(upgrade(10)).await.unwrap()).await.unwrap();
    assert!(matches!(clone.proof(block(4, 0)).await, Err(ProofError::NotStored { .. })));
    core.clear(4..5).await.unwrap();
    assert!(matches!(core.proof(block(4, 0)).await, Err(ProofError::NotStored { .. })));
}
