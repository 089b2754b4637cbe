//! A reader that follows its writer over forks keeps what both share and nothing else.

use crate::proofs::fetch_all;
use crate::stored_log::{StoredLog, naive_roots};
use bytes::Bytes;
use corestore_core::merkle::{LoadedNodes, ProofRequest, Reorg, RequestUpgrade, Roots};
use proptest::prelude::*;

/// Blocks with so few contents that histories repeat themselves.
fn blocks(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Bytes>> {
    prop::collection::vec((0_u8..2).prop_map(|content| Bytes::from(vec![content; 3])), count)
}

/// A cut, new blocks, whether the reader follows at once, and a block it then fetches.
fn steps() -> impl Strategy<Value = Vec<(usize, Vec<Bytes>, bool, u64)>> {
    prop::collection::vec((any::<usize>(), blocks(0..20), any::<bool>(), any::<u64>()), 1..6)
}

fn upgrade(reader: &mut StoredLog, writer: &mut StoredLog) {
    let upgrade = Some(RequestUpgrade { start: 0, length: writer.length() });
    let proof = writer.prove(&ProofRequest { upgrade, ..ProofRequest::default() }).unwrap();
    let verified = reader.check(&proof).unwrap();
    reader.accept(verified);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_reader_ends_where_its_writer_is(
        first in blocks(1..40), held in prop::collection::vec(any::<u64>(), 0..40), all: bool, steps in steps(),
    ) {
        let (mut writer, mut reader) = (StoredLog::writer(), StoredLog::reader());
        let mut log = first;
        writer.append(&log);
        upgrade(&mut reader, &mut writer);
        let every: Vec<u64> = (0..log.len() as u64).collect();
        for index in if all { every } else { held.iter().map(|index| index % log.len() as u64).collect() } {
            if !reader.core.has(index) {
                reader.fetch(&mut writer, index).unwrap();
            }
        }
        let mut theirs = log.clone();
        for (cut, more, follow, fetch) in steps {
            let cut = cut % (log.len() + 1);
            log.truncate(cut);
            writer.truncate(cut as u64);
            log.extend(more.iter().cloned());
            writer.append(&more);
            if !follow || log.is_empty() {
                continue;
            }
            let shared = theirs.iter().zip(&log).take_while(|(a, b)| a == b).count() as u64;
            let ancestors = reader.follow_fork(&mut writer);
            prop_assert!(ancestors <= shared, "{} blocks are said to be shared, {} are", ancestors, shared);
            theirs = log.clone();
            prop_assert_eq!(&reader.core.head().roots, &naive_roots(writer.core.head().roots.fork, &log));
            for index in 0..log.len() as u64 {
                if reader.core.has(index) {
                    prop_assert_eq!(reader.block(index), Some(log[index as usize].clone()));
                }
            }
            let index = fetch % log.len() as u64;
            if !reader.core.has(index) {
                let fetched = reader.fetch(&mut writer, index);
                prop_assert!(fetched.is_ok(), "block {}: {:?}", index, fetched);
            }
        }
        if theirs == log && reader.core.head().roots.fork == writer.core.head().roots.fork {
            fetch_all(&mut reader, &mut writer, &log)?;
            // What it holds now serves a third.
            let mut third = StoredLog::reader();
            third.follow_fork(&mut reader);
            fetch_all(&mut third, &mut reader, &log)?;
        }
    }

    #[test]
    fn a_reader_that_holds_all_keeps_all_that_is_shared(first in blocks(1..60), cut: usize, more in blocks(1..30)) {
        let (mut writer, mut reader) = (StoredLog::writer(), StoredLog::reader());
        writer.append(&first);
        upgrade(&mut reader, &mut writer);
        fetch_all(&mut reader, &mut writer, &first)?;
        let cut = cut % (first.len() + 1);
        let log = [&first[..cut], &more].concat();
        writer.truncate(cut as u64);
        writer.append(&more);
        let shared = first.iter().zip(&log).take_while(|(a, b)| a == b).count() as u64;
        prop_assert_eq!(reader.follow_fork(&mut writer), shared);
        fetch_all(&mut reader, &mut writer, &log)?;
    }
}

/// Nodes over a cut stay in the store until they are written anew; they say nothing of the present tree.
#[test]
fn a_history_that_comes_back_does_not_vouch_for_the_one_in_between() {
    let block = |content: u8| Bytes::from(vec![content; 2]);
    let first: Vec<Bytes> = (0..32).map(block).collect();
    let (mut writer, mut reader) = (StoredLog::writer(), StoredLog::reader());
    writer.append(&first);
    upgrade(&mut reader, &mut writer);
    for index in 0..32 {
        reader.fetch(&mut writer, index).unwrap();
    }
    writer.truncate(11);
    reader.follow_fork(&mut writer);
    writer.append(&[block(100), block(101)]);
    let verified = {
        let upgrade = Some(RequestUpgrade { start: 11, length: 2 });
        let proof = writer.prove(&ProofRequest { upgrade, ..ProofRequest::default() }).unwrap();
        reader.check(&proof).unwrap()
    };
    reader.accept(verified);
    reader.fetch(&mut writer, 11).unwrap();
    writer.truncate(11);
    writer.append(&first[11..]);
    writer.append(&[block(200)]);
    assert_eq!(reader.follow_fork(&mut writer), 11);
    assert!(!reader.core.has(11));
}

/// The nodes that tell where a fork begins come from the same peer as everything else.
#[test]
fn a_bent_answer_ends_the_search() {
    let first: Vec<Bytes> = (0..20).map(|content| Bytes::from(vec![content; 2])).collect();
    let (mut writer, mut reader) = (StoredLog::writer(), StoredLog::reader());
    writer.append(&first);
    upgrade(&mut reader, &mut writer);
    writer.truncate(7);
    writer.append(&first[..9]);
    let upgrade = Some(RequestUpgrade { start: 0, length: 16 });
    let proof = writer.prove(&ProofRequest { upgrade, ..ProofRequest::default() }).unwrap();
    let verifier = reader.core.verifier().unwrap();
    let check = |roots: &Roots, signature: &[u8]| verifier.verify(roots, signature);
    let mut reorg = Reorg::new(&reader.core.head().roots, &proof, &check).unwrap();
    let needs = reorg.advance(&LoadedNodes::default());
    let loaded = reader.nodes(&needs);
    reorg.advance(&loaded);
    let good = writer.prove(&ProofRequest { hash: reorg.want(), ..ProofRequest::default() }).unwrap();
    for at in 0..good.hash.as_ref().unwrap().nodes.len() {
        let mut bent = good.clone();
        bent.hash.as_mut().unwrap().nodes[at].hash.0[0] ^= 1;
        assert!(reorg.clone().update(&bent).is_err(), "node {at}");
        let mut bent = good.clone();
        bent.hash.as_mut().unwrap().nodes[at].size += 1;
        assert!(reorg.clone().update(&bent).is_err(), "size of node {at}");
    }
    assert_eq!(reorg.update(&good), Ok(()));
}
