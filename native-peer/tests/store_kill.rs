//! Real processes on real files: one that is killed while it writes loses nothing it acknowledged.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use bytes::Bytes;
use corestore_core::storage::{
    CoreSlot, Durability, ReadBatch, RecordKey, StorageOp, StorageReply, Store, WriteBatch, WriteOp,
};
use corestore_peer::store::{FileStore, StoreOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

const CORE: CoreSlot = CoreSlot(1);
const CHILD: &str = "STORE_KILL_CHILD";
const ROUNDS: u64 = 20;

fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.log_segment_bytes = 256 << 10;
    options.tree_segment_bytes = 64 << 10;
    options.dirty_bytes = 32 << 10;
    options
}

fn length_key() -> RecordKey {
    RecordKey(b"length".to_vec())
}

fn block(index: u64) -> Bytes {
    let length = usize::try_from(index * 37 % 2000).unwrap();
    Bytes::from(index.to_le_bytes().iter().copied().cycle().take(length).collect::<Vec<u8>>())
}

fn read(
    store: &mut FileStore,
    records: Vec<RecordKey>,
    blocks: Vec<(CoreSlot, u64)>,
) -> (Vec<Option<Bytes>>, Vec<Option<Bytes>>) {
    let read = ReadBatch { records, blocks, nodes: Vec::new() };
    match store.execute(StorageOp::Read(read)).unwrap() {
        StorageReply::Read(reply) => (reply.records, reply.blocks),
        other => panic!("{other:?}"),
    }
}

fn length(store: &mut FileStore) -> u64 {
    let (records, _) = read(store, vec![length_key()], Vec::new());
    records[0].as_ref().map_or(0, |bytes| u64::from_le_bytes(bytes.as_ref().try_into().unwrap()))
}

/// Appends, and drops old blocks now and then, until it is killed; says each length once it is acknowledged.
fn child(folder: &Path) {
    let mut store = FileStore::open(folder, &options()).unwrap();
    let mut out = std::io::stdout().lock();
    let mut next = length(&mut store);
    // Far more than a round lasts, so that the process ends even when nobody kills it.
    for _ in 0..2_000_000 {
        let end = next + 1 + next % 5;
        let blocks = (next..end).map(block).collect();
        let mut ops = vec![
            WriteOp::PutBlocks { core: CORE, start: next, blocks },
            WriteOp::PutRecord(length_key(), Bytes::copy_from_slice(&end.to_le_bytes())),
        ];
        if next.is_multiple_of(7) {
            ops.push(WriteOp::DeleteBlocks { core: CORE, range: 0..next.saturating_sub(KEPT) });
        }
        store.execute(StorageOp::Write(WriteBatch { ops, durability: Durability::Durable })).unwrap();
        next = end;
        if writeln!(out, "acknowledged {next}").is_err() {
            return;
        }
    }
}

const KEPT: u64 = 500;

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    if let Ok(folder) = std::env::var(CHILD) {
        child(Path::new(&folder));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_loses_nothing_it_acknowledged", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
        let wait = Duration::from_micros(u64::from(nanos) % 60_000);
        let mut killer = Some(move || {
            std::thread::sleep(wait);
            process.kill().unwrap();
            process.wait().unwrap();
        });
        let mut killing = None;
        for line in lines.map_while(Result::ok) {
            // The test harness of the child writes lines of its own, and a killed one may cut a line.
            if let Some(length) = line.strip_prefix("acknowledged ").and_then(|length| length.parse::<u64>().ok()) {
                acknowledged = acknowledged.max(length);
                if let Some(killer) = killer.take() {
                    killing = Some(std::thread::spawn(killer));
                }
            }
        }
        killing.unwrap().join().unwrap();
        check_round(folder.path(), round, acknowledged);
    }
}

fn check_round(folder: &Path, round: u64, acknowledged: u64) {
    // Every other round leaves the log as the kill left it.
    let mut options = options();
    options.read_only = round % 2 == 1;
    let mut store = FileStore::open(folder, &options).unwrap();
    let length = length(&mut store);
    assert!(length >= acknowledged, "round {round}: {length} blocks, {acknowledged} acknowledged");
    let indexes: Vec<u64> = (length.saturating_sub(KEPT)..length + 5).collect();
    let (_, blocks) = read(&mut store, Vec::new(), indexes.iter().map(|index| (CORE, *index)).collect());
    for (index, found) in indexes.into_iter().zip(blocks) {
        let expected = (index < length).then(|| block(index));
        assert!(found == expected, "round {round}: block {index} of {length}");
    }
    let report = store.check().unwrap();
    assert!(report.is_whole(), "round {round}: {report:?}");
    assert!(report.block_bytes < 8 << 20, "round {round}: old blocks stay");
    store.close().unwrap();
}
