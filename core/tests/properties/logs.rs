//! Appending, cutting, clearing and reopening against a plain list of blocks.

use crate::stored_log::{StoredLog, naive_roots};
use bytes::Bytes;
use corestore_core::log::PAGE_BITS;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Truncate(u64),
    Clear(u64, u64),
    Reopen,
    /// A commit whose write fails.
    Lose(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Step::Append),
        2 => any::<u64>().prop_map(Step::Truncate),
        3 => (any::<u64>(), 0_u64..30).prop_map(|(start, length)| Step::Clear(start, length)),
        2 => Just(Step::Reopen),
        1 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Step::Lose),
    ]
}

/// What the log should be.
#[derive(Default)]
struct Model {
    fork: u64,
    blocks: Vec<Bytes>,
    held: Vec<bool>,
}

fn block(content: u8) -> Bytes {
    Bytes::from(vec![content; usize::from(content % 4)])
}

fn run(log: &mut StoredLog, model: &mut Model, step: &Step) {
    let length = model.blocks.len() as u64;
    match step {
        Step::Append(contents) => {
            let blocks: Vec<Bytes> = contents.iter().copied().map(block).collect();
            log.append(&blocks);
            model.held.resize(model.held.len() + blocks.len(), true);
            model.blocks.extend(blocks);
        }
        Step::Truncate(to) => {
            let to = length - to % (length + 1).min(40);
            log.truncate(to);
            model.fork += 1;
            model.blocks.truncate(to as usize);
            model.held.truncate(to as usize);
        }
        Step::Clear(start, count) => {
            let start = length.saturating_sub(start % 60);
            log.clear(start..start + count);
            let held = model.held.iter_mut().enumerate();
            held.filter(|(at, _)| (start..start + count).contains(&(*at as u64))).for_each(|(_, held)| *held = false);
        }
        Step::Reopen => log.reopen(),
        Step::Lose(contents) => {
            let blocks = contents.iter().copied().map(block).collect();
            log.core.append(blocks, None).unwrap();
            log.core.abandon();
        }
    }
}

fn compare(log: &mut StoredLog, model: &Model, from: u64) -> Result<(), TestCaseError> {
    let contiguous = model.held.iter().take_while(|held| **held).count() as u64;
    prop_assert_eq!(log.length(), model.blocks.len() as u64);
    prop_assert_eq!(log.core.head().roots.fork, model.fork);
    prop_assert_eq!(log.core.contiguous_length(), contiguous);
    let held = model.held.iter().filter(|held| **held).count() as u64;
    prop_assert_eq!(log.core.bitfield().count(0..u64::MAX), held);
    for index in from..model.blocks.len() as u64 + 3 {
        let due = model.held.get(index as usize).is_some_and(|held| *held);
        prop_assert_eq!(log.core.has(index), due, "block {}", index);
        let due = due.then(|| model.blocks[index as usize].clone());
        prop_assert_eq!(log.block(index), due, "block {}", index);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_log_is_a_list(steps in prop::collection::vec(step(), 1..25)) {
        let (mut log, mut model) = (StoredLog::writer(), Model::default());
        for step in &steps {
            run(&mut log, &mut model, step);
            compare(&mut log, &model, 0)?;
            prop_assert_eq!(&log.core.head().roots, &naive_roots(model.fork, &model.blocks));
            let head = log.core.head();
            prop_assert!(head.signature.is_empty() || log.core.verifier().unwrap().verify(&head.roots, &head.signature));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_log_is_a_list_where_pages_meet(steps in prop::collection::vec(step(), 1..25)) {
        let (mut log, mut model) = (StoredLog::writer(), Model::default());
        run(&mut log, &mut model, &Step::Append(vec![0; PAGE_BITS as usize - 10]));
        for step in steps.iter().chain([&Step::Reopen]) {
            run(&mut log, &mut model, step);
            compare(&mut log, &model, PAGE_BITS - 200)?;
        }
    }
}
