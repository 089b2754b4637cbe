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

/// Random batches, and what a store should hold after 0, 1, 2 … of them.
struct Work {
    batches: Vec<WriteBatch>,
    states: Vec<Contents>,
}

impl Work {
    fn new(seed: u64, count: usize) -> Self {
        let mut dice = Dice(seed);
        let mut memory = MemoryStore::default();
        let mut work = Self { batches: Vec::new(), states: vec![contents(&mut memory).unwrap()] };
        for _ in 0..count {
            let batch = random_batch(&mut dice);
            memory.execute(StorageOp::Write(batch.clone())).unwrap();
            work.batches.push(batch);
            work.states.push(contents(&mut memory).unwrap());
        }
        work
    }

    /// Goes on from what the disk holds until it dies; returns how many batches were acknowledged, and which of them
    /// was the last that asked to be durable.
    fn run(&self, disk: &FakeDisk, options: &StoreOptions) -> (usize, usize) {
        let Ok(mut store) = FileStore::open_on(Arc::new(disk.clone()), options) else { return (0, 0) };
        let held = contents(&mut store).unwrap();
        let from = self.states.iter().rposition(|state| *state == held).unwrap();
        let (mut acknowledged, mut durable) = (from, from);
        for batch in &self.batches[from..] {
            match store.execute(StorageOp::Write(batch.clone())) {
                Ok(_) => acknowledged += 1,
                Err(StorageError::Broken(_)) => break,
                Err(error) => panic!("{error}"),
            }
            if batch.durability == Durability::Durable {
                durable = acknowledged;
            }
        }
        // A dead process runs no destructor.
        std::mem::forget(store);
        (acknowledged, durable)
    }

    /// The store opens and holds the first `least` batches or more, all of each.
    fn check(&self, disk: FakeDisk, least: usize, options: &StoreOptions, what: &str) {
        let opened = FileStore::open_on(Arc::new(disk), options);
        let mut store = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        let held = contents(&mut store).unwrap_or_else(|error| panic!("{what}: {error}"));
        let holds = self.states.iter().rposition(|state| *state == held);
        let difference = held.difference(&self.states[least]);
        assert!(holds.is_some_and(|holds| holds >= least), "{what}: holds {holds:?}, {least} due; {difference:?}");
        let report = store.check().unwrap();
        assert!(report.is_whole(), "{what}: {report:?}");
        store.close().unwrap();
    }
}

#[test]
fn a_process_killed_at_any_step_loses_nothing_acknowledged() {
    let options = tiny();
    for seed in 0..2 {
        let work = Work::new(seed, 60);
        for steps in (0..120).chain((120..400).step_by(7)) {
            let disk = FakeDisk::default();
            disk.die_after(Some(steps));
            let (acknowledged, _) = work.run(&disk, &options);
            work.check(disk.after_kill(), acknowledged, &options, &format!("seed {seed}, step {steps}"));
        }
    }
}

/// Cuts the power at many moments, losing other things each time.
fn power_cuts(options: &StoreOptions, least: fn((usize, usize)) -> usize) {
    for seed in 0..8 {
        let work = Work::new(seed, 50);
        for round in 0..24 {
            let disk = FakeDisk::default();
            disk.die_after(Some(round * 11));
            let progress = work.run(&disk, options);
            let mut dice = Dice(round * 31 + seed);
            let what = format!("seed {seed}, round {round}");
            work.check(disk.after_power_cut(&mut dice), least(progress), options, &what);
            // And once more, on what another cut left.
            let disk = disk.after_power_cut(&mut dice);
            disk.die_after(Some(round * 7));
            let (acknowledged, durable) = work.run(&disk, options);
            let progress = (acknowledged.max(least(progress)), durable.max(least(progress)));
            work.check(disk.after_power_cut(&mut dice), least(progress), options, &format!("{what}, again"));
        }
    }
}

#[test]
fn a_power_cut_loses_at_most_a_suffix() {
    power_cuts(&tiny(), |_| 0);
}

#[test]
fn a_power_cut_loses_nothing_that_was_durable_at_the_power_level() {
    let mut options = tiny();
    options.durability = DurabilityLevel::Power;
    power_cuts(&options, |(_, durable)| durable);
}

#[test]
fn a_segment_that_a_checkpoint_names_before_its_first_entry_outlives_every_power_cut() {
    let options = tiny();
    let work = Work::new(3, 60);
    let mut begun = 0;
    for steps in (0..250).step_by(4) {
        let disk = FakeDisk::default();
        disk.die_after(Some(steps));
        let (acknowledged, _) = work.run(&disk, &options);
        // Closing makes a checkpoint; when the death was in a new segment, it lies right at the segment's begin.
        let disk = disk.after_kill();
        FileStore::open_on(Arc::new(disk.clone()), &options).unwrap().close().unwrap();
        let files = disk.files();
        let (_, last) = files.iter().rfind(|(name, _)| name.starts_with("log/")).unwrap();
        begun += usize::from(last.len() == 32);
        let disk = FakeDisk::of(files);
        for step in 0..4 {
            disk.die_after(Some(step));
            if let Ok(store) = FileStore::open_on(Arc::new(disk.clone()), &options) {
                std::mem::forget(store);
            }
            for seed in 0..4 {
                let what = format!("step {steps}, {step} on, seed {seed}");
                work.check(disk.after_power_cut(&mut Dice(seed)), acknowledged, &options, &what);
            }
        }
    }
    assert!(begun > 0);
}

/// A store of a few batches that died before any checkpoint, or with one.
fn small_store(checkpoint: bool) -> (BTreeMap<String, Vec<u8>>, Vec<Contents>) {
    let disk = FakeDisk::default();
    let mut dice = Dice(5);
    let mut memory = MemoryStore::default();
    let mut states = vec![contents(&mut memory).unwrap()];
    let mut store = FileStore::open_on(Arc::new(disk.clone()), &StoreOptions::default()).unwrap();
    for batch in 0..5 {
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
        assert!(told > 500, "{intact} intact, {told} told");
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
    for seed in 0..12 {
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
            // Nothing of a refused batch is in the way of those after it.
            let killed = FileStore::open_on(Arc::new(disk.after_kill()), &tiny());
            let mut killed = killed.unwrap_or_else(|error| panic!("seed {seed}, write {write}: {error}"));
            let difference = contents(&mut killed).unwrap().difference(&contents(&mut memory).unwrap());
            assert_eq!(difference, None, "seed {seed}, write {write}, killed");
        }
        assert!(refused > 0, "seed {seed}");
        disk.set_room(None);
        store.close().unwrap();
        let mut store = FileStore::open_on(Arc::new(disk), &tiny()).unwrap();
        assert_eq!(contents(&mut store).unwrap().difference(&contents(&mut memory).unwrap()), None, "seed {seed}");
    }
}
