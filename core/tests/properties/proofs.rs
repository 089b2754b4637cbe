//! Proofs that were made hold, lead to the same tree and blocks, and tolerate no change.

use crate::stored_log::{StoredLog, naive_node, naive_roots};
use bytes::Bytes;
use corestore_core::merkle::{ProofRequest, RequestBlock, RequestSeek, RequestUpgrade, TreeIndex, missing_nodes};
use corestore_core::replication::{Data, Message};
use proptest::prelude::*;

/// Blocks, how many of them the reader knows already, and which of these it holds.
fn situation() -> impl Strategy<Value = (Vec<Bytes>, usize, Vec<usize>)> {
    let blocks = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12).prop_map(Bytes::from), 1..80);
    (blocks, any::<usize>(), prop::collection::vec(any::<usize>(), 0..6)).prop_map(|(blocks, known, held)| {
        let known = known % (blocks.len() + 1);
        let held = held.into_iter().filter(|_| known > 0).map(|at| at % known.max(1)).collect();
        (blocks, known, held)
    })
}

fn prepare(blocks: &[Bytes], known: usize, held: &[usize]) -> (StoredLog, StoredLog) {
    let (mut writer, mut reader) = (StoredLog::writer(), StoredLog::reader());
    writer.append(&blocks[..known]);
    if known > 0 {
        let upgrade = Some(RequestUpgrade { start: 0, length: known as u64 });
        let proof = writer.prove(&ProofRequest { upgrade, ..ProofRequest::default() }).unwrap();
        let verified = reader.check(&proof).unwrap();
        reader.accept(verified);
    }
    for index in held {
        if !reader.core.has(*index as u64) {
            reader.fetch(&mut writer, *index as u64).unwrap();
        }
    }
    writer.append(&blocks[known..]);
    (writer, reader)
}

/// A request that makes sense for this reader.
fn request(reader: &StoredLog, length: u64, choice: (u8, u64, u64, u64), bytes: u64) -> ProofRequest {
    let (kind, to, index, seek) = choice;
    let known = reader.length();
    let more = length - known;
    let upgrade =
        (more > 0 && (kind & 1 == 0 || known == 0)).then(|| RequestUpgrade { start: known, length: 1 + to % more });
    let reach = upgrade.map_or(known, |upgrade| upgrade.start + upgrade.length);
    let index = index % reach;
    let leaf = TreeIndex::leaf(index);
    let nodes = if index < known { reader.missing(leaf) } else { 0 };
    let (mut block, mut hash) = (None, None);
    match kind / 2 % 3 {
        0 => block = Some(RequestBlock { index, nodes }),
        1 => hash = Some(RequestBlock { index: leaf.0, nodes }),
        _ => {}
    }
    let fits = upgrade.is_none() || (block.is_none() && hash.is_none());
    let seek = (kind & 8 != 0 && fits && bytes > 0).then(|| RequestSeek { bytes: seek % bytes, padding: 0 });
    ProofRequest { block, hash, seek, upgrade }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_proven_holds(
        (blocks, known, held) in situation(), choice: (u8, u64, u64, u64), at: u64, bit in 0_u32..8,
    ) {
        let (mut writer, mut reader) = prepare(&blocks, known, &held);
        let length = blocks.len() as u64;
        let bytes = writer.core.head().roots.byte_length;
        let request = request(&reader, length, choice, bytes);
        // A seek may lie outside what is asked for; that is said and nothing breaks.
        let Ok(proof) = writer.prove(&request) else {
            prop_assert!(request.seek.is_some(), "{:?}", request);
            return Ok(());
        };
        if proof.block.is_none() && proof.hash.is_none() && proof.seek.is_none() && proof.upgrade.is_none() {
            return Ok(());
        }
        no_bent_byte_passes(&mut reader, &blocks, &Data { request: 1, proof: proof.clone(), manifest: None }, at, bit)?;
        let verified = reader.check(&proof);
        prop_assert!(verified.is_ok(), "{:?}: {:?}", request, verified);
        let verified = verified.unwrap();
        for node in verified.nodes() {
            prop_assert_eq!(node, &naive_node(node.index, &blocks));
        }
        reader.accept(verified);
        if request.upgrade.is_some() {
            prop_assert_eq!(&reader.core.head().roots, &naive_roots(0, &blocks));
        }
        if let Some(block) = request.block {
            prop_assert_eq!(reader.block(block.index), Some(blocks[block.index as usize].clone()));
        }
        fetch_all(&mut reader, &mut writer, &blocks)?;
    }

    #[test]
    fn uncles_are_asked_up_to_a_node_that_is_there((blocks, known, held) in situation()) {
        let (_, mut reader) = prepare(&blocks, known, &held);
        for index in (0..known as u64).filter(|index| !held.contains(&(*index as usize))) {
            let leaf = TreeIndex::leaf(index);
            let steps = missing_nodes(leaf, known as u64, &mut |range| held.iter().any(|at| range.contains(&(*at as u64))));
            prop_assert_eq!(steps, reader.missing(leaf));
            let ancestors: Vec<TreeIndex> = std::iter::successors(Some(leaf), |node| Some(node.parent())).take(8).collect();
            let there = |reader: &mut StoredLog, node: TreeIndex| {
                reader.core.head().roots.nodes.iter().any(|root| root.index == node) || reader.nodes(&[node]).get(node).is_some()
            };
            let slow = ancestors.iter().position(|node| there(&mut reader, *node)).unwrap();
            prop_assert_eq!(steps, slow as u64, "block {}", index);
        }
    }
}

/// One flipped bit anywhere: the copy cannot be read, is refused, or proves the very same.
fn no_bent_byte_passes(
    reader: &mut StoredLog,
    blocks: &[Bytes],
    data: &Data,
    at: u64,
    bit: u32,
) -> Result<(), TestCaseError> {
    let mut bytes = Message::Data(data.clone()).encode_payload();
    let at = (at % bytes.len() as u64) as usize;
    bytes[at] ^= 1 << bit;
    let Ok(Some(Message::Data(bent))) = Message::decode(3, &Bytes::from(bytes)) else { return Ok(()) };
    let Ok(verified) = reader.check(&bent.proof) else { return Ok(()) };
    for node in verified.nodes() {
        prop_assert_eq!(node, &naive_node(node.index, blocks));
    }
    if let Some((index, value)) = verified.blocks().first() {
        prop_assert_eq!(value, &blocks[*index as usize]);
    }
    if let Some(upgrade) = verified.upgrade() {
        prop_assert_eq!(&upgrade.roots, &naive_roots(0, &blocks[..upgrade.roots.length as usize]));
    }
    Ok(())
}

/// Every block that is still missing can be fetched, with the uncles the bitfield says are missing.
pub(crate) fn fetch_all(reader: &mut StoredLog, writer: &mut StoredLog, blocks: &[Bytes]) -> Result<(), TestCaseError> {
    if reader.length() < writer.length() {
        let upgrade = Some(RequestUpgrade { start: reader.length(), length: writer.length() - reader.length() });
        let proof = writer.prove(&ProofRequest { upgrade, ..ProofRequest::default() }).unwrap();
        let verified = reader.check(&proof).unwrap();
        reader.accept(verified);
    }
    for index in (0..reader.length()).rev() {
        if !reader.core.has(index) {
            let result = reader.fetch(writer, index);
            prop_assert!(result.is_ok(), "block {}: {:?}", index, result);
        }
        prop_assert_eq!(reader.block(index), Some(blocks[index as usize].clone()));
    }
    prop_assert_eq!(reader.core.contiguous_length(), blocks.len() as u64);
    Ok(())
}
