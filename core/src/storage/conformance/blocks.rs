//! Blocks: runs, empty ones, overwriting, deleting, sparse cores, large values, ten thousand at once.

use super::suite::{Check, Exchange, Step, issue, read_blocks, value, write, write_with};
use crate::storage::{CoreSlot, Durability, WriteOp};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

const CORE: CoreSlot = CoreSlot(3);

pub(super) fn checks() -> Vec<Check> {
    Vec::from([
        Check { name: "a run of blocks comes back block by block", steps: run_of_blocks() },
        Check { name: "an empty block is a block", steps: empty_blocks() },
        Check { name: "a block written again is replaced", steps: overwrite() },
        Check { name: "deleted ranges of blocks are gone and can be filled again", steps: delete() },
        Check { name: "a batch may cut and append", steps: truncate_and_append() },
        Check { name: "sparse blocks come in any order", steps: sparse() },
        Check { name: "ten thousand blocks in one run", steps: long_run() },
        Check { name: "many small appends", steps: small_appends() },
        Check { name: "blocks of every size up to 16 MiB", steps: sizes() },
    ])
}

/// Blocks whose sizes vary with the index.
fn block(index: u64, version: u64) -> Bytes {
    let size = usize::try_from(index.wrapping_mul(7).wrapping_add(version) % 90).unwrap_or(0);
    value(index.wrapping_mul(31).wrapping_add(version), size)
}

fn put(range: Range<u64>, version: u64) -> WriteOp {
    WriteOp::PutBlocks { core: CORE, start: range.start, blocks: range.map(|index| block(index, version)).collect() }
}

fn cut(range: Range<u64>) -> WriteOp {
    WriteOp::DeleteBlocks { core: CORE, range }
}

fn there(range: Range<u64>, version: u64) -> Exchange {
    read_blocks(CORE, range.map(|index| (index, Some(block(index, version)))))
}

fn gone(range: Range<u64>) -> Exchange {
    read_blocks(CORE, range.map(|index| (index, None)))
}

fn run_of_blocks() -> Vec<Step> {
    let other = CoreSlot(4);
    Vec::from([
        issue([gone(0..2), write([put(0..200, 1)])]),
        issue([there(0..200, 1), gone(200..210), read_blocks(other, [(0, None)])]),
        issue([read_blocks(CORE, (0..200).rev().map(|index| (index, Some(block(index, 1)))))]),
        issue([read_blocks(CORE, [(199, Some(block(199, 1))), (200, None), (0, Some(block(0, 1)))])]),
        Step::Reopen,
        issue([there(0..200, 1), gone(200..201)]),
    ])
}

fn empty_blocks() -> Vec<Step> {
    let blocks = Vec::from([Bytes::new(), Bytes::from_static(b"x"), Bytes::new(), Bytes::new()]);
    let due = || {
        let held = [(0, Some(Bytes::new())), (1, Some(Bytes::from_static(b"x"))), (2, Some(Bytes::new()))];
        read_blocks(CORE, held.into_iter().chain([(3, Some(Bytes::new())), (4, None)]))
    };
    let nothing = WriteOp::PutBlocks { core: CORE, start: 4, blocks: Vec::new() };
    Vec::from([
        issue([write([WriteOp::PutBlocks { core: CORE, start: 0, blocks }, nothing]), due()]),
        Step::Reopen,
        issue([due()]),
    ])
}

fn overwrite() -> Vec<Step> {
    Vec::from([
        issue([write([put(0..30, 1)]), write([put(10..12, 2)]), write([put(28..40, 3)])]),
        issue([there(0..10, 1), there(10..12, 2), there(12..28, 1), there(28..40, 3)]),
        issue([write([put(10..11, 4), put(10..11, 5)]), there(10..11, 5), there(11..12, 2)]),
        Step::Reopen,
        issue([there(9..10, 1), there(10..11, 5), there(11..12, 2), there(12..28, 1), there(28..40, 3)]),
    ])
}

fn delete() -> Vec<Step> {
    Vec::from([
        issue([write([put(0..100, 1)]), write([cut(10..20), cut(0..1), cut(99..100)])]),
        issue([gone(0..1), there(1..10, 1), gone(10..20), there(20..99, 1), gone(99..100)]),
        issue([write([cut(50..50)]), write([cut(Range { start: 60, end: 55 }), cut(500..600)]), there(20..99, 1)]),
        issue([write([put(15..17, 2)]), gone(10..15), there(15..17, 2), gone(17..20)]),
        Step::Reopen,
        issue([gone(0..1), there(1..10, 1), gone(10..15), there(15..17, 2), gone(17..20), there(20..99, 1)]),
        issue([write([cut(0..u64::MAX)]), gone(0..120)]),
        Step::Reopen,
        issue([gone(0..120)]),
    ])
}

fn truncate_and_append() -> Vec<Step> {
    Vec::from([
        issue([write([put(0..50, 1)])]),
        issue([write([cut(20..u64::MAX), put(20..25, 2), cut(24..25), put(24..30, 3)])]),
        issue([there(0..20, 1), there(20..24, 2), there(24..30, 3), gone(30..60)]),
        Step::Reopen,
        issue([there(0..20, 1), there(20..24, 2), there(24..30, 3), gone(30..60)]),
    ])
}

fn sparse() -> Vec<Step> {
    let order = (0..400_u64).map(|step| step.wrapping_mul(173) % 400).filter(|index| index % 3 != 0);
    let writes = order.map(|index| write_with(Durability::Buffered, [put(index..index.saturating_add(1), 1)]));
    let due = || read_blocks(CORE, (0..400).map(|index| (index, (index % 3 != 0).then(|| block(index, 1)))));
    Vec::from([issue(writes), issue([due()]), Step::Reopen, issue([due()])])
}

fn long_run() -> Vec<Step> {
    Vec::from([
        issue([write([put(5..10_005, 1)])]),
        issue([gone(0..5), there(5..10_005, 1), gone(10_005..10_010)]),
        issue([write([cut(64..9_000)]), there(5..64, 1), gone(64..9_000), there(9_000..10_005, 1)]),
        Step::Reopen,
        issue([there(5..64, 1), gone(64..9_000), there(9_000..10_005, 1)]),
    ])
}

fn small_appends() -> Vec<Step> {
    let append = |index: u64| write_with(Durability::Buffered, [put(index..index.saturating_add(1), 1)]);
    Vec::from([
        issue((0..300).map(append)),
        issue([there(0..300, 1)]),
        issue((300..310).flat_map(|index| [append(index), there(index..index.saturating_add(1), 1)])),
        Step::Reopen,
        issue([append(310), there(0..311, 1)]),
    ])
}

fn sizes() -> Vec<Step> {
    let sizes = [1, 4095, 4096, 4097, 65_535, 65_536, 1 << 20, 16 << 20];
    let blocks: Vec<Bytes> = (0..).zip(sizes).map(|(tag, size)| value(tag, size)).collect();
    let due = || read_blocks(CORE, (0..).zip(blocks.iter().cloned().map(Some)));
    let put = WriteOp::PutBlocks { core: CORE, start: 0, blocks: blocks.clone() };
    Vec::from([issue([write([put]), due()]), Step::Reopen, issue([due()])])
}
