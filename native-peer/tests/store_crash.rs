//! What a store holds after the process died or the power went: every acknowledged write, and no half of any.
#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod store_support;

use corestore_core::storage::{Durability, MemoryStore, StorageError, StorageOp, Store, WriteBatch};
use corestore_peer::store::{DurabilityLevel, FileStore, OpenError, StoreOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use store_support::{Contents, Dice, FakeDisk, contents, random_batch, tiny};

/// A run of random writes on a disk: what the store should hold after each, and how many were acknowledged.
struct Run {
    disk: FakeDisk,
    /// After 0, 1, 2 … batches.
    states: Vec<Contents>,
    acknowledged: usize,
    /// Of those acknowledged, the last that asked to be durable.
    durable: usize,
}

/// Writes until the disk dies.
fn run_until_death(seed: u64, writes: u64, steps: Option<u64>, options: &StoreOptions) -> Run {
    let mut dice = Dice(seed);
    let disk = FakeDisk::default();
    let mut memory = MemoryStore::default();
    let mut run = Run { disk: disk.clone(), states: vec![contents(&mut memory).unwrap()], acknowledged: 0, durable: 0 };
    disk.die_after(steps);
    let Ok(mut store) = FileStore::open_on(Arc::new(disk.clone()), options) else { return run };
    for write in 0..writes {
        let batch = random_batch(&mut dice);
        memory.execute(StorageOp::Write(batch.clone())).unwrap();
        run.states.push(contents(&mut memory).unwrap());
        let durable = batch.durability == Durability::Durable;
        match store.execute(StorageOp::Write(batch)) {
            Ok(_) => {
                run.acknowledged = write as usize + 1;
                run.durable = if durable { run.acknowledged } else { run.durable };
            }
            Err(StorageError::Broken(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    // A dead process runs no destructor.
    std::mem::forget(store);
    run
}

/// The store opens and holds the first `least` batches or more, all of each.
fn check_prefix(run: &Run, disk: FakeDisk, least: usize, options: &StoreOptions, what: &str) {
    let mut store = match FileStore::open_on(Arc::new(disk), options) {
        Ok(store) => store,
        Err(error) => panic!("{what}: {error}"),
    };
    let held = contents(&mut store).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = run.states.iter().rposition(|state| *state == held);
    assert!(
        found.is_some_and(|found| found >= least) || run.states[least..].contains(&held),
        "{what}: holds {found:?} of {} batches, {least} due; {:?}",
        run.states.len() - 1,
        held.difference(&run.states[least]),
    );
    let report = store.check().unwrap();
    assert!(report.is_whole(), "{what}: {report:?}");
    store.close().unwrap();
}

#[test]
fn a_process_killed_at_any_step_loses_nothing_acknowledged() {
    let options = tiny();
    for seed in 0..3 {
        for steps in (0..160).chain((160..420).step_by(7)) {
            let run = run_until_death(seed, 70, Some(steps), &options);
            check_prefix(
                &run,
                run.disk.after_kill(),
                run.acknowledged,
                &options,
                &format!("seed {seed}, step {steps}"),
            );
        }
    }
}

#[test]
fn a_power_cut_loses_at_most_a_suffix() {
    let options = tiny();
    for round in 0..150 {
        let run = run_until_death(round, 60, Some(20 + round * 3), &options);
        let mut dice = Dice(round + 7);
        for _ in 0..3 {
            let what = format!("round {round}");
            check_prefix(&run, run.disk.after_power_cut(&mut dice), 0, &options, &what);
        }
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_durable_at_the_power_level() {
    let mut options = tiny();
    options.durability = DurabilityLevel::Power;
    for round in 0..150 {
        let run = run_until_death(round, 60, Some(20 + round * 5), &options);
        let mut dice = Dice(round + 7);
        for _ in 0..3 {
            let what = format!("round {round}");
            check_prefix(&run, run.disk.after_power_cut(&mut dice), run.durable, &options, &what);
        }
    }
}

/// A store of a few batches that died before any checkpoint, or with one.
fn small_store(checkpoint: bool) -> (BTreeMap<String, Vec<u8>>, Vec<Contents>) {
    let disk = FakeDisk::default();
    let mut dice = Dice(5);
    let mut memory = MemoryStore::default();
    let mut states = vec![contents(&mut memory).unwrap()];
    let mut store = FileStore::open_on(Arc::new(disk.clone()), &StoreOptions::default()).unwrap();
    for batch in 0..8 {
        let batch: WriteBatch = std::iter::repeat_with(|| random_batch(&mut dice)).nth(batch % 2).unwrap();
        memory.execute(StorageOp::Write(batch.clone())).unwrap();
        states.push(contents(&mut memory).unwrap());
        store.execute(StorageOp::Write(batch)).unwrap();
    }
    if checkpoint {
        store.close().unwrap();
    } else {
        std::mem::forget(store);
    }
    (disk.files(), states)
}

#[test]
fn a_log_cut_at_any_byte_holds_exactly_its_whole_entries() {
    let (files, states) = small_store(false);
    let log = "log/00000001";
    let full = files[log].len();
    let mut last = 0;
    for end in 0..=full {
        let mut cut = files.clone();
        cut.get_mut(log).unwrap().truncate(end);
        let mut store = FileStore::open_on(Arc::new(FakeDisk::of(cut)), &StoreOptions::default()).unwrap();
        let held = contents(&mut store).unwrap();
        let found = (last..states.len()).find(|at| states[*at] == held);
        assert!(found.is_some(), "cut at {end} of {full}");
        last = found.unwrap();
    }
    assert_eq!(states[last], states[states.len() - 1]);
}

/// Flips bits of each byte of each file in turn: what can be read is what was written, or the reader is told.
fn flip_every_byte(files: &BTreeMap<String, Vec<u8>>, expected: &Contents) -> (usize, usize) {
    let (mut intact, mut told) = (0, 0);
    for (name, bytes) in files {
        for at in 0..bytes.len() {
            let mut flipped = files.clone();
            flipped.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let disk = FakeDisk::of(flipped);
            match FileStore::open_on(Arc::new(disk), &StoreOptions::default()) {
                Ok(mut store) => match contents(&mut store) {
                    Ok(held) => {
                        assert_eq!(held.difference(expected), None, "{name} byte {at}");
                        intact += 1;
                    }
                    Err(error) => {
                        assert!(error.to_string().contains("damaged at byte"), "{name} byte {at}: {error}");
                        assert!(!store.check().unwrap().is_whole(), "{name} byte {at}");
                        told += 1;
                    }
                },
                Err(OpenError::Damaged { .. }) => told += 1,
                Err(error) => panic!("{name} byte {at}: {error}"),
            }
        }
    }
    (intact, told)
}

#[test]
fn a_flipped_bit_anywhere_is_never_a_wrong_value() {
    for checkpoint in [false, true] {
        let (files, states) = small_store(checkpoint);
        let (intact, told) = flip_every_byte(&files, states.last().unwrap());
        assert!(told > 1000, "{intact} intact, {told} told");
    }
}

#[test]
fn damage_before_the_end_of_the_log_is_named_and_can_be_accepted() {
    let (mut files, states) = small_store(false);
    let log = files.get_mut("log/00000001").unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    let open = |options: &StoreOptions| FileStore::open_on(Arc::new(FakeDisk::of(files.clone())), options);
    let error = open(&StoreOptions::default()).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("log/00000001 is damaged at byte"), "{error}");
    let mut options = StoreOptions::default();
    options.accept_loss = true;
    let mut store = open(&options).unwrap();
    let held = contents(&mut store).unwrap();
    assert!(states.contains(&held));
    assert!(store.stats().unwrap().dropped_bytes > 0);
}

#[test]
fn a_full_disk_takes_nothing_of_a_batch_and_goes_on_when_there_is_room() {
    for seed in 0..40 {
        let disk = FakeDisk::default();
        let mut dice = Dice(seed);
        let mut memory = MemoryStore::default();
        let mut store = FileStore::open_on(Arc::new(disk.clone()), &tiny()).unwrap();
        let mut refused = 0;
        for write in 0..120 {
            if write % 20 == 0 {
                disk.set_room(if write % 40 == 0 { Some(dice.below(9000)) } else { None });
            }
            let batch = random_batch(&mut dice);
            match store.execute(StorageOp::Write(batch.clone())) {
                Ok(_) => drop(memory.execute(StorageOp::Write(batch)).unwrap()),
                Err(StorageError::Full) => refused += 1,
                Err(error) => panic!("seed {seed}, write {write}: {error}"),
            }
            let difference = contents(&mut store).unwrap().difference(&contents(&mut memory).unwrap());
            assert_eq!(difference, None, "seed {seed}, write {write}");
        }
        assert!(refused > 0, "seed {seed}");
        disk.set_room(None);
        store.close().unwrap();
        let mut store = FileStore::open_on(Arc::new(disk), &tiny()).unwrap();
        assert_eq!(contents(&mut store).unwrap().difference(&contents(&mut memory).unwrap()), None, "seed {seed}");
    }
}
