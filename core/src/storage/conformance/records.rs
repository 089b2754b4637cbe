//! Records: order, ranges, paging, overwriting, order inside a batch, order of operations.

use super::suite::{Check, Step, issue, key, read_records, scan, value, write, write_with};
use crate::storage::{Durability, RecordKey, WriteOp};
use alloc::vec::Vec;
use bytes::Bytes;

pub(super) fn checks() -> Vec<Check> {
    Vec::from([
        Check { name: "a fresh store is empty", steps: fresh() },
        Check { name: "records come back by position", steps: positions() },
        Check { name: "the last write of a record counts", steps: overwrite() },
        Check { name: "the operations of a batch apply in order", steps: order_in_batch() },
        Check { name: "a read sees the writes before it and no later one", steps: order_of_operations() },
        Check { name: "scans are ordered by bytes", steps: order_by_bytes() },
        Check { name: "scans page by their limit", steps: paging() },
        Check { name: "a range is deleted from its start to before its end", steps: delete_range() },
        Check { name: "records stay when the store is reopened", steps: reopened() },
    ])
}

fn put(bytes: &[u8], tag: u64) -> WriteOp {
    WriteOp::PutRecord(key(bytes), record(tag))
}

fn record(tag: u64) -> Bytes {
    value(tag, 20)
}

fn row(bytes: &[u8], tag: u64) -> (RecordKey, Bytes) {
    (key(bytes), record(tag))
}

fn fresh() -> Vec<Step> {
    let all = key(&[])..key(&[0xff; 64]);
    Vec::from([issue([read_records([(key(b"a"), None)]), scan(all, 100, &[], false)])])
}

fn positions() -> Vec<Step> {
    let empty = WriteOp::PutRecord(key(b"empty"), Bytes::new());
    Vec::from([
        issue([write([put(b"a", 1), put(b"b", 2), empty])]),
        issue([read_records([
            (key(b"b"), Some(record(2))),
            (key(b"none"), None),
            (key(b"a"), Some(record(1))),
            (key(b"empty"), Some(Bytes::new())),
            (key(b"a"), Some(record(1))),
        ])]),
    ])
}

fn overwrite() -> Vec<Step> {
    Vec::from([
        issue([write([put(b"a", 1)])]),
        issue([write([WriteOp::PutRecord(key(b"a"), value(2, 3))]), read_records([(key(b"a"), Some(value(2, 3)))])]),
        issue([write([WriteOp::DeleteRecord(key(b"a"))]), read_records([(key(b"a"), None)])]),
        issue([write([WriteOp::DeleteRecord(key(b"a"))]), write([put(b"a", 4)])]),
        issue([read_records([(key(b"a"), Some(record(4)))])]),
    ])
}

fn order_in_batch() -> Vec<Step> {
    let cut = || WriteOp::DeleteRecords(key(b"a")..key(b"c"));
    let ops = [put(b"a", 1), put(b"b", 2), put(b"c", 3), cut(), put(b"b", 4), put(b"c", 5)];
    let twice = [put(b"d", 6), put(b"d", 7), put(b"e", 8), WriteOp::DeleteRecord(key(b"e"))];
    Vec::from([
        issue([write(ops.into_iter().chain(twice))]),
        issue([read_records([
            (key(b"a"), None),
            (key(b"b"), Some(record(4))),
            (key(b"c"), Some(record(5))),
            (key(b"d"), Some(record(7))),
            (key(b"e"), None),
        ])]),
    ])
}

fn order_of_operations() -> Vec<Step> {
    let round = |tag: u64| {
        let cut = WriteOp::DeleteRecords(key(b"a")..key(b"z"));
        [
            write_with(Durability::Buffered, [put(b"a", tag), put(b"b", tag)]),
            read_records([(key(b"a"), Some(record(tag))), (key(b"b"), Some(record(tag)))]),
            scan(key(b"a")..key(b"c"), 9, &[row(b"a", tag), row(b"b", tag)], false),
            write([WriteOp::DeleteRecord(key(b"b"))]),
            read_records([(key(b"b"), None)]),
            write_with(Durability::Buffered, [cut]),
            read_records([(key(b"a"), None)]),
        ]
    };
    Vec::from([issue((0..20).flat_map(round))])
}

/// Keys in the order of their bytes: a prefix before what it begins, unsigned bytes, zero bytes and long keys.
fn ordered_keys() -> Vec<Vec<u8>> {
    Vec::from([
        Vec::from([0]),
        Vec::from([0, 0]),
        Vec::from([0, 1]),
        Vec::from([1]),
        Vec::from([1, 0, 0, 0, 0]),
        Vec::from([1, 0x7f]),
        Vec::from([1, 0x80]),
        Vec::from([1, 0xff]),
        Vec::from([2]),
        Vec::from([0x7f; 64]),
        Vec::from([0x80; 64]),
        Vec::from([0xff, 0xff]),
        Vec::from([0xff; 64]),
    ])
}

fn order_by_bytes() -> Vec<Step> {
    let keys = ordered_keys();
    let rows: Vec<(RecordKey, Bytes)> = (0_u64..).zip(&keys).map(|(tag, bytes)| row(bytes, tag)).collect();
    let puts = (0_u64..).zip(&keys).map(|(tag, bytes)| put(bytes, tag)).collect::<Vec<_>>().into_iter().rev();
    let from = |start: &[u8], end: &[u8], due: &[(RecordKey, Bytes)]| scan(key(start)..key(end), 100, due, false);
    let within = |start: usize, end: usize| rows.get(start..end).unwrap_or_default();
    Vec::from([
        issue([write(puts)]),
        issue([
            from(&[], &[0xff; 64], within(0, 12)),
            from(&[0], &[0, 0], within(0, 1)),
            from(&[1], &[2], within(3, 8)),
            from(&[1, 0x80], &[0x7f; 64], within(6, 9)),
            from(&[3], &[4], &[]),
            from(&[2], &[2], &[]),
            from(&[2], &[1], &[]),
        ]),
    ])
}

fn paging() -> Vec<Step> {
    let rows: Vec<(RecordKey, Bytes)> = (0..1000_u64).map(|at| row(&at.to_be_bytes(), at)).collect();
    let puts = (0..1000_u64).map(|at| put(&at.to_be_bytes(), at));
    let whole = |start: u64| key(&start.to_be_bytes())..key(&1000_u64.to_be_bytes());
    let mut scans = Vec::new();
    for page in 0..10_u64 {
        let start = page.saturating_mul(100);
        let due: Vec<_> = rows.iter().skip(usize::try_from(start).unwrap_or(0)).take(100).cloned().collect();
        scans.push(scan(whole(start), 100, &due, page < 9));
    }
    scans.push(scan(whole(0), 1000, &rows, false));
    scans.push(scan(whole(0), 999, rows.get(..999).unwrap_or_default(), true));
    scans.push(scan(whole(0), 0, &[], true));
    scans.push(scan(whole(1000), 0, &[], false));
    scans.push(scan(whole(999), 1, rows.get(999..).unwrap_or_default(), false));
    Vec::from([issue([write(puts)]), issue(scans)])
}

fn delete_range() -> Vec<Step> {
    let puts = (0..9_u8).map(|at| put(&[at], u64::from(at)));
    let rows = |tags: &[u8]| -> Vec<_> { tags.iter().map(|at| row(&[*at], u64::from(*at))).collect() };
    let all = || key(&[0])..key(&[9]);
    let cut = |start: u8, end: u8| write([WriteOp::DeleteRecords(key(&[start])..key(&[end]))]);
    Vec::from([
        issue([write(puts)]),
        issue([cut(3, 5), scan(all(), 100, &rows(&[0, 1, 2, 5, 6, 7, 8]), false)]),
        issue([cut(6, 6), cut(7, 2), scan(all(), 100, &rows(&[0, 1, 2, 5, 6, 7, 8]), false)]),
        issue([cut(0, 9), cut(0, 9), scan(all(), 100, &[], false)]),
        issue([write([put(&[4], 4)]), scan(all(), 100, &rows(&[4]), false)]),
    ])
}

fn reopened() -> Vec<Step> {
    let kept = || read_records([(key(b"a"), Some(record(1))), (key(b"b"), None), (key(b"c"), Some(record(3)))]);
    Vec::from([
        issue([write_with(Durability::Buffered, [put(b"a", 1), put(b"b", 2)])]),
        issue([write([WriteOp::DeleteRecord(key(b"b")), put(b"c", 3)])]),
        Step::Reopen,
        issue([kept()]),
        Step::Reopen,
        issue([kept(), write_with(Durability::Buffered, [put(b"a", 4)])]),
        Step::Reopen,
        issue([read_records([(key(b"a"), Some(record(4)))])]),
    ])
}
