//! Workloads of one process.

use super::job::{Job, Side, Usage, number, text};
use super::stores::{Stores, shown};
use super::workload::{Measured, SMALL, float};

pub(super) fn append(
    stores: &mut Stores,
    side: Side,
    (blocks, size, batch): (u64, u64, u64),
) -> Result<Measured, String> {
    let storage = stores.fresh();
    let flags = [
        ("storage", shown(&storage)),
        ("blocks", blocks.to_string()),
        ("block-size", size.to_string()),
        ("batch", batch.to_string()),
    ];
    let run = Job::run(side, "append", &flags)?;
    expect(number(&run.result, "length")? == float(blocks), "the core's length after appending")?;
    let tree_hash = text(&run.result, "treeHash")?;
    // A fresh process must find every block.
    let flags = [
        ("storage", shown(&storage)),
        ("key", text(&run.ready, "key")?),
        ("pattern", "seq".to_owned()),
        ("count", blocks.to_string()),
        ("length", blocks.to_string()),
        ("inflight", "64".to_owned()),
    ];
    let again = Job::run(side, "read", &flags)?;
    expect(text(&again.result, "treeHash")? == tree_hash, "the tree hash after reopening")?;
    stores.drop_store(&storage);
    let digest = format!("{tree_hash} {}", text(&again.result, "digest")?);
    let seconds = number(&run.result, "seconds")?;
    Ok(Measured { operations: float(blocks), seconds, usage: run.usage, digest, more: Vec::new() })
}

pub(super) fn read(
    stores: &mut Stores,
    side: Side,
    (of, size): (u64, u64),
    pattern: &str,
    more: &[(&str, String)],
) -> Result<Measured, String> {
    let stored = stores.core(side, of, size)?;
    let mut flags = vec![
        ("storage", shown(&stored.storage)),
        ("key", stored.key),
        ("pattern", pattern.to_owned()),
        ("length", of.to_string()),
        ("seed", "7".to_owned()),
    ];
    flags.extend(more.iter().cloned());
    let run = Job::run(side, "read", &flags)?;
    expect(text(&run.result, "treeHash")? == stored.tree_hash, "the tree hash of what was read")?;
    let (seconds, digest) = (number(&run.result, "seconds")?, text(&run.result, "digest")?);
    Ok(Measured { seconds, usage: run.usage, digest, ..Measured::default() })
}

pub(super) fn many(side: Side, mode: &str, (storage, cores): (&str, u64), in_flight: u64) -> Result<Measured, String> {
    let flags = [
        ("storage", storage.to_owned()),
        ("cores", cores.to_string()),
        ("block-size", SMALL.to_string()),
        ("mode", mode.to_owned()),
        ("inflight", in_flight.to_string()),
    ];
    let run = Job::run(side, "many", &flags)?;
    expect(number(&run.result, "count")? == float(cores), "the count of cores")?;
    let seconds = number(&run.result, "seconds")?;
    Ok(Measured { operations: float(cores), seconds, usage: run.usage, ..Measured::default() })
}

pub(super) fn proofs(stores: &mut Stores, side: Side, of: u64, op: &str, count: u64) -> Result<Measured, String> {
    let copy = stores.copy(side, of, 1024)?;
    let flags = [
        ("storage", shown(&copy.storage)),
        ("op", op.to_owned()),
        ("count", count.to_string()),
        ("length", of.to_string()),
        ("block-size", "1024".to_owned()),
        ("seed", "3".to_owned()),
    ];
    let run = Job::run(side, "proofs", &flags)?;
    stores.drop_store(&copy.storage);
    expect(number(&run.result, "ops")? == float(count), "the count of operations")?;
    let seconds = number(&run.result, "seconds")?;
    // Where other work lies in between, the job tells what the measured work took.
    let usage = Usage { cpu: number(&run.result, "cpu_s").unwrap_or(run.usage.cpu), ..run.usage };
    Ok(Measured { operations: float(count), seconds, usage, ..Measured::default() })
}

/// A flag without a value is spelled so by our program, and takes one in the npm jobs.
pub(super) fn flag(side: Side) -> String {
    match side {
        Side::Ours => String::new(),
        Side::Npm => "1".to_owned(),
    }
}

pub(super) fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what} is wrong")) }
}
