//! Damaged pages of the index: made anew from the log; what the log has not is given up or refused, never guessed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;
mod store_support;

use bytes::Bytes;
use common::{all, in_time, join, store};
use corestore_core::storage::{StorageOp, Store};
use corestore_peer::store::disk::Disk;
use corestore_peer::store::{FileStore, OpenError, Repair, RepairOutcome, StoreOptions, repair_on};
use corestore_peer::{CoreKey, CoreOptions, Corestore, GetOptions, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use store_support::{Contents, Dice, FakeDisk, contents, random_batch, tiny};

const AT_HAND: GetOptions = GetOptions { wait: false, timeout_ms: 0, raw: false };
const SECRET: [u8; 32] = [7; 32];
/// Blocks of the cores of others.
const LENGTH: u64 = 300;

type Files = BTreeMap<String, Vec<u8>>;

/// Small pages of changes, and a log in one piece.
fn one_log() -> StoreOptions {
    let mut options = tiny();
    options.log_segment_bytes = 64 << 20;
    options
}

fn repair(disk: &FakeDisk, options: &StoreOptions) -> Result<Repair, OpenError> {
    repair_on(&(Arc::new(disk.clone()) as Arc<dyn Disk>), options)
}

fn open(disk: &FakeDisk, options: &StoreOptions) -> Corestore {
    let files = FileStore::open_on(Arc::new(disk.clone()), options).unwrap();
    Corestore::over_files(files, &Options::default()).unwrap()
}

fn is_whole(disk: &FakeDisk, options: &StoreOptions) -> bool {
    FileStore::open_on(Arc::new(disk.clone()), options).unwrap().check().unwrap().is_whole()
}

/// Every page and checkpoint of the index: its file, and its bytes there.
fn pages(files: &Files) -> Vec<(String, Range<usize>)> {
    let mut pages = Vec::new();
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("tree/")) {
        let mut at = 32;
        while let Some(length) = bytes.get(at..at + 4) {
            let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
            pages.push((name.clone(), at..at + 8 + length));
            at += 8 + length;
        }
    }
    pages
}

/// Each page of the index damaged in one way or another, each of its files cut.
fn damages(files: &Files) -> Vec<(String, Files)> {
    let mut damages = Vec::new();
    for (number, (name, place)) in pages(files).into_iter().enumerate() {
        let mut damaged = files.clone();
        let bytes = damaged.get_mut(&name).unwrap();
        match number % 4 {
            0 => bytes[place.clone()].fill(0),
            1 => bytes[place.start] ^= 1,
            _ => bytes[place.start + 8 + number % (place.len() - 8)] ^= 0x10,
        }
        damages.push((format!("{name} at {place:?}"), damaged));
    }
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("tree/")) {
        for length in [0, 40, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = files.clone();
            damaged.get_mut(name).unwrap().truncate(length);
            damages.push((format!("{name} cut at {length}"), damaged));
        }
        let mut damaged = files.clone();
        damaged.remove(name);
        damages.push((format!("{name} removed"), damaged));
    }
    damages
}

/// A store after many random batches, at rest or as a kill leaves it.
fn random_store(options: &StoreOptions, closed: bool) -> (Files, Contents) {
    let disk = FakeDisk::default();
    let mut files = FileStore::open_on(Arc::new(disk.clone()), options).unwrap();
    let mut dice = Dice(11);
    for _ in 0..150 {
        files.execute(StorageOp::Write(random_batch(&mut dice))).unwrap();
    }
    let contents = contents(&mut files).unwrap();
    let killed = disk.files();
    files.close().unwrap();
    (if closed { disk.files() } else { killed }, contents)
}

#[test]
fn an_index_damaged_anywhere_is_made_anew_from_a_whole_log() {
    let options = one_log();
    for closed in [true, false] {
        let (files, expected) = random_store(&options, closed);
        made_anew(&options, &files, &expected);
    }
}

fn made_anew(options: &StoreOptions, files: &Files, expected: &Contents) {
    let mut restored = 0;
    for (what, damaged) in damages(files) {
        let disk = FakeDisk::of(damaged);
        let repair = repair(&disk, options).unwrap();
        match repair.outcome {
            RepairOutcome::Whole => assert!(repair.damaged.is_empty(), "{what}"),
            RepairOutcome::Restored => restored += 1,
            other => panic!("{what}: {other:?}"),
        }
        let mut opened = FileStore::open_on(Arc::new(disk.clone()), options).unwrap();
        assert_eq!(contents(&mut opened).unwrap().difference(expected), None, "{what}");
        assert!(opened.check().unwrap().is_whole(), "{what}");
        // It goes on as any store: what is written now is there after the next opening.
        opened.execute(StorageOp::Write(random_batch(&mut Dice(5)))).unwrap();
        let after = contents(&mut opened).unwrap();
        opened.close().unwrap();
        let mut again = FileStore::open_on(Arc::new(disk), options).unwrap();
        assert_eq!(contents(&mut again).unwrap().difference(&after), None, "{what}");
    }
    assert!(restored > 0, "{restored}");
}

#[test]
fn a_repair_that_is_killed_at_any_step_is_run_again() {
    let options = one_log();
    let (files, expected) = random_store(&options, false);
    let damaged = damages(&files).into_iter().map(|(_, damaged)| damaged);
    let mut damaged =
        damaged.filter(|files| repair(&FakeDisk::of(files.clone()), &options).unwrap().outcome != RepairOutcome::Whole);
    let damaged = damaged.next_back().unwrap();
    let mut dice = Dice(3);
    for steps in 0.. {
        let disk = FakeDisk::of(damaged.clone());
        disk.die_after(Some(steps));
        let done = repair(&disk, &options).is_ok();
        for left in [disk.after_kill(), disk.after_power_cut(&mut dice)] {
            let outcome = repair(&left, &options).unwrap().outcome;
            assert!(matches!(outcome, RepairOutcome::Restored | RepairOutcome::Whole), "{steps}: {outcome:?}");
            let mut opened = FileStore::open_on(Arc::new(left), &options).unwrap();
            assert_eq!(contents(&mut opened).unwrap().difference(&expected), None, "{steps}");
        }
        if done {
            assert!(steps > 5);
            return;
        }
    }
}

/// An own core's name, encryption key and blocks.
type Own = (&'static str, Option<[u8; 32]>, Vec<Bytes>);

struct Peers {
    files: Files,
    own: Vec<Own>,
    /// Keys of two cores of `writer`, and their blocks; of the second only some are stored.
    remote: Vec<(CoreKey, Vec<Bytes>)>,
    writer: Corestore,
}

/// A store with own, encrypted, remote and sparse cores. With `given_back` blocks are dropped and their room is given
/// back, so that the log has a gap.
async fn peers(options: &StoreOptions, given_back: bool) -> Peers {
    let (disk, writer) = (FakeDisk::default(), store());
    let opened = open(&disk, options);
    let mut own = Vec::new();
    for (name, secret) in [("plain", None), ("secret", Some(SECRET))] {
        let core = opened.get(CoreOptions::name(name).encryption_key(secret)).await.unwrap();
        core.append_batch((0..80).map(|index| format!("{name} {index} {}", "o".repeat(50)))).await.unwrap();
        own.push((name, secret, all(&core, 80).await));
    }
    join(&opened, &writer);
    let mut remote = Vec::new();
    for name in ["whole", "sparse"] {
        let core = writer.get(name).await.unwrap();
        core.append_batch((0..LENGTH).map(|index| format!("{name} {index} {}", "r".repeat(40)))).await.unwrap();
        let copy = opened.get(core.key()).await.unwrap();
        for index in (0..LENGTH).step_by(if name == "whole" { 1 } else { 37 }) {
            in_time(copy.get(index)).await.unwrap();
        }
        remote.push((core.key(), all(&core, LENGTH).await));
    }
    if given_back {
        let copy = opened.get(remote[0].0).await.unwrap();
        copy.clear(0..LENGTH / 2).await.unwrap();
    }
    opened.close().await.unwrap();
    let mut files = FileStore::open_on(Arc::new(disk.clone()), options).unwrap();
    if given_back {
        files.reclaim().unwrap();
    }
    files.close().unwrap();
    // Then some blocks come, and the process is killed: they are in the log only.
    let opened = open(&disk, options);
    join(&opened, &writer);
    for (key, _) in &remote {
        let copy = opened.get(*key).await.unwrap();
        for index in 1..4 {
            in_time(copy.get(index)).await.unwrap();
        }
    }
    let files = disk.files();
    opened.close().await.unwrap();
    Peers { files, own, remote, writer }
}

/// Own cores are as they were and go on; what is stored of others is right, and the rest comes from the peer.
async fn reads_right(disk: &FakeDisk, options: &StoreOptions, peers: &Peers, what: &str) {
    let opened = open(disk, options);
    for (name, secret, blocks) in &peers.own {
        let core = opened.get(CoreOptions::name(*name).encryption_key(*secret).must_exist()).await.unwrap();
        assert_eq!(&all(&core, 80).await, blocks, "{what}");
        assert_eq!(core.audit().await.unwrap().faults_found, 0, "{what}");
        core.append("more").await.unwrap();
    }
    for joined in [false, true] {
        if joined {
            join(&opened, &peers.writer);
        }
        for (key, blocks) in &peers.remote {
            let core = opened.get(*key).await.unwrap();
            for (index, block) in (0..).zip(blocks).step_by(31) {
                if joined {
                    assert_eq!(&in_time(core.get(index)).await.unwrap(), block, "{what}");
                } else if let Some(found) =
                    core.get_with(index, AT_HAND).await.unwrap_or_else(|error| panic!("{what}: {error}"))
                {
                    assert_eq!(&found, block, "{what}");
                }
            }
            assert_eq!(core.audit().await.unwrap().faults_found, 0, "{what}");
        }
    }
    opened.close().await.unwrap();
    assert!(is_whole(disk, options), "{what}");
}

#[tokio::test]
async fn cores_of_every_kind_read_as_before_after_a_repair() {
    let options = one_log();
    let peers = peers(&options, false).await;
    let mut restored = 0;
    for (what, damaged) in damages(&peers.files) {
        let disk = FakeDisk::of(damaged);
        if repair(&disk, &options).unwrap().outcome == RepairOutcome::Restored {
            restored += 1;
            reads_right(&disk, &options, &peers, &what).await;
        }
    }
    assert!(restored > 5, "{restored}");
}

#[tokio::test]
async fn what_the_log_has_not_any_more_is_given_up_or_refused_and_never_an_own_core() {
    let options = tiny();
    let peers = peers(&options, true).await;
    let segments: Vec<u32> = peers.files.keys().filter_map(|name| name.strip_prefix("log/")?.parse().ok()).collect();
    assert!(segments.windows(2).any(|pair| pair[0] + 1 < pair[1]), "the log has no gap: {segments:?}");
    let others: BTreeSet<CoreKey> = peers.remote.iter().map(|(key, _)| *key).collect();
    let (mut given_up, mut restored, mut refused) = (0, 0, 0);
    for (what, damaged) in damages(&peers.files) {
        let disk = FakeDisk::of(damaged.clone());
        match repair(&disk, &options).map(|repair| repair.outcome) {
            Ok(RepairOutcome::GivenUp(cores)) => {
                given_up += 1;
                assert!(!cores.is_empty() && cores.iter().all(|core| others.contains(core)), "{what}: {cores:?}");
                reads_right(&disk, &options, &peers, &what).await;
            }
            Ok(RepairOutcome::Refused(cores)) => {
                refused += 1;
                assert!(!cores.iter().any(|core| others.contains(core)), "{what}: {cores:?}");
                assert_eq!(disk.files(), damaged, "{what}");
            }
            Ok(RepairOutcome::Restored) => {
                restored += 1;
                reads_right(&disk, &options, &peers, &what).await;
            }
            Ok(RepairOutcome::Whole) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    println!("{given_up} given up, {restored} restored, {refused} refused");
    assert!(given_up > 1 && refused > 1, "{given_up} {restored} {refused}");
}
