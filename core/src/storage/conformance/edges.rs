//! The ends of what the types allow, many cores side by side, mixed batches.

use super::nodes::{node, read_nodes};
use super::suite::{Check, Exchange, Step, issue, key, read, read_blocks, read_records, scan, value, write};
use crate::merkle::TreeIndex;
use crate::storage::{CoreSlot, ReadBatch, ReadReply, WriteOp};
use alloc::vec::Vec;

pub(super) fn checks() -> Vec<Check> {
    Vec::from([
        Check { name: "empty operations are answered", steps: empty() },
        Check { name: "a thousand cores keep apart", steps: many_slots() },
        Check { name: "indexes up to 2^53 - 1", steps: high_indexes() },
        Check { name: "one batch writes records, blocks and nodes, one read reads them", steps: mixed() },
        Check { name: "records of a megabyte", steps: large_records() },
    ])
}

/// The largest index of a block or node that ever occurs.
const LAST: u64 = (1 << 53) - 1;

fn empty() -> Vec<Step> {
    let nothing = || read(ReadBatch::default(), ReadReply::default());
    Vec::from([issue([write([]), nothing(), write([])]), Step::Reopen, issue([nothing()])])
}

fn put_block(core: u32, index: u64) -> WriteOp {
    WriteOp::PutBlocks { core: CoreSlot(core), start: index, blocks: Vec::from([value(u64::from(core) ^ index, 10)]) }
}

fn put_node(core: u32, index: u64) -> WriteOp {
    WriteOp::PutNodes { core: CoreSlot(core), nodes: Vec::from([node(index, u64::from(core))]) }
}

fn has_block(core: u32, index: u64) -> Exchange {
    read_blocks(CoreSlot(core), [(index, Some(value(u64::from(core) ^ index, 10)))])
}

fn has_node(core: u32, index: u64) -> Exchange {
    read_nodes(CoreSlot(core), [(index, Some(node(index, u64::from(core))))])
}

fn lacks(core: u32, index: u64) -> [Exchange; 2] {
    [read_blocks(CoreSlot(core), [(index, None)]), read_nodes(CoreSlot(core), [(index, None)])]
}

fn many_slots() -> Vec<Step> {
    let slots = || (0..1000_u32).chain([0xffff, 0x10000, u32::MAX]);
    let puts = slots().flat_map(|core| [put_block(core, 0), put_block(core, 1), put_node(core, 0), put_node(core, 2)]);
    let clear = |core: u32| {
        let core = CoreSlot(core);
        write([WriteOp::DeleteBlocks { core, range: 0..u64::MAX }, WriteOp::DeleteNodes { core, range: 0..u64::MAX }])
    };
    let cleared = [0, 256, 999, 0x10000];
    let mut due = Vec::new();
    for core in slots() {
        if cleared.contains(&core) {
            due.extend(lacks(core, 0));
            due.extend(lacks(core, 1));
        } else {
            due.extend([has_block(core, 0), has_block(core, 1), has_node(core, 0), has_node(core, 2)]);
        }
    }
    Vec::from([issue([write(puts)]), issue(cleared.map(clear)), issue(due.clone()), Step::Reopen, issue(due)])
}

fn high_indexes() -> Vec<Step> {
    let indexes = [0, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 52) + 1, LAST - 1, LAST];
    let puts = indexes.into_iter().flat_map(|index| [put_block(5, index), put_node(5, index)]);
    let all = || indexes.into_iter().flat_map(|index| [has_block(5, index), has_node(5, index)]);
    let core = CoreSlot(5);
    let from = |start: u64| {
        [WriteOp::DeleteBlocks { core, range: start..u64::MAX }, WriteOp::DeleteNodes { core, range: start..u64::MAX }]
    };
    let low = indexes.into_iter().filter(|index| *index < LAST - 1);
    let low: Vec<Exchange> = low.flat_map(|index| [has_block(5, index), has_node(5, index)]).collect();
    Vec::from([
        issue([write(puts)]),
        issue(all()),
        issue(lacks(5, 1).into_iter().chain(lacks(5, LAST - 2)).chain(lacks(5, (1 << 33) - 1))),
        Step::Reopen,
        issue(all()),
        issue([write(from(LAST - 1))]),
        issue(low.into_iter().chain(lacks(5, LAST - 1)).chain(lacks(5, LAST))),
        issue([write(from(0))]),
        issue(lacks(5, 0).into_iter().chain(lacks(5, 1 << 32))),
    ])
}

fn mixed() -> Vec<Step> {
    let record = |tag: u64| WriteOp::PutRecord(key(b"state"), value(tag, 80));
    let ops = [record(1), put_block(1, 4), put_node(1, 8), put_block(2, 4), record(2), put_node(2, 8)];
    let due = || {
        let asked = ReadBatch {
            records: Vec::from([key(b"none"), key(b"state")]),
            nodes: Vec::from([(CoreSlot(2), TreeIndex(8)), (CoreSlot(3), TreeIndex(8)), (CoreSlot(1), TreeIndex(8))]),
            blocks: Vec::from([(CoreSlot(1), 4), (CoreSlot(1), 5), (CoreSlot(2), 4)]),
        };
        let reply = ReadReply {
            records: Vec::from([None, Some(value(2, 80))]),
            nodes: Vec::from([Some(node(8, 2)), None, Some(node(8, 1))]),
            blocks: Vec::from([Some(value(1 ^ 4, 10)), None, Some(value(2 ^ 4, 10))]),
        };
        read(asked, reply)
    };
    // Neither blocks nor nodes show up among the records.
    let scanned = || scan(key(&[])..key(&[0xff; 64]), 100, &[(key(b"state"), value(2, 80))], false);
    Vec::from([issue([write(ops), due(), scanned()]), Step::Reopen, issue([due(), scanned()])])
}

fn large_records() -> Vec<Step> {
    let large = || (0..4_u8).map(|at| (key(&[at]), value(u64::from(at), 1 << 20)));
    let puts = large().map(|(key, value)| WriteOp::PutRecord(key, value));
    let due = || read_records(large().map(|(key, value)| (key, Some(value))));
    Vec::from([issue([write(puts), due()]), Step::Reopen, issue([due()])])
}
