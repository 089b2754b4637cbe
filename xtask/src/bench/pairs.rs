//! Workloads of a writer and its readers.

use super::job::{Job, Side, Usage, number, text};
use super::solo::expect;
use super::stores::{Stores, shown};
use super::testnet::Testnet;
use super::workload::{Measured, SMALL, float};
use crate::project;
use serde_json::Value;

/// A writer process and a reader process; the reader's clock.
pub(super) fn pair(
    stores: &mut Stores,
    (writer, reader): (Side, Side),
    (blocks, size): (u64, u64),
    more: &[(&str, String)],
) -> Result<Measured, String> {
    let stored = stores.core(writer, blocks, size)?;
    let into = stores.fresh();
    let (serving, ready) = Job::start(writer, "serve", &[("storage", shown(&stored.storage))])?;
    let mut flags = vec![
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("key", stored.key),
        ("block-size", size.to_string()),
    ];
    flags.extend(more.iter().cloned());
    let (fetching, _) = Job::start(reader, "fetch", &flags)?;
    let (result, of_writer, of_reader) = both_go(serving, fetching)?;
    stores.drop_store(&into);
    let digest = text(&result, "treeHash")?;
    expect(digest == stored.tree_hash, "the reader's tree hash")?;
    let wire = [("wire_read", number(&result, "wire_read")?), ("wire_written", number(&result, "wire_written")?)];
    let more = [&wire[..], &of_sides(of_writer, of_reader)].concat();
    let (seconds, usage) = (number(&result, "seconds")?, both(of_writer, of_reader));
    Ok(Measured { operations: float(blocks), seconds, usage, digest, more })
}

/// Bytes on the wire beyond the blocks themselves.
pub(super) fn of_wire(mut run: Measured, count: u64, size: u64) -> Measured {
    let total: f64 = run.more.iter().filter(|(name, _)| name.starts_with("wire_")).map(|(_, bytes)| bytes).sum();
    run.operations = float(count);
    run.more.push(("overhead_bytes_per_block", total / float(count) - float(size)));
    run
}

/// The same through a swarm on a private DHT; the clock of the bulk starts at the first block.
pub(super) fn over_swarm(
    stores: &mut Stores,
    (writer, reader): (Side, Side),
    (blocks, size): (u64, u64),
) -> Result<Measured, String> {
    let stored = stores.core(writer, blocks, size)?;
    let into = stores.fresh();
    let testnet = Testnet::start()?;
    let flags =
        [("role", "serve".to_owned()), ("storage", shown(&stored.storage)), ("bootstrap", testnet.bootstrap.clone())];
    let (serving, _) = Job::start(writer, "swarm", &flags)?;
    let flags = [
        ("role", "fetch".to_owned()),
        ("storage", shown(&into)),
        ("bootstrap", testnet.bootstrap.clone()),
        ("key", stored.key.clone()),
        ("length", blocks.to_string()),
        ("block-size", size.to_string()),
    ];
    let (fetching, _) = Job::start(reader, "swarm", &flags)?;
    let (result, of_writer, of_reader) = both_go(serving, fetching)?;
    stores.drop_store(&into);
    let digest = text(&result, "treeHash")?;
    expect(digest == stored.tree_hash, "the reader's tree hash")?;
    let times = [
        ("first_ms", number(&result, "first_s")? * 1000.0),
        ("connected_ms", number(&result, "connected_s")? * 1000.0),
    ];
    let more = [&times[..], &of_sides(of_writer, of_reader)].concat();
    let (seconds, usage) = (number(&result, "seconds")?, both(of_writer, of_reader));
    Ok(Measured { operations: float(blocks), seconds, usage, digest, more })
}

/// Blocks made when they are read, fetched at random and dropped again: what stays is what a long run needs.
pub(super) fn pass(stores: &mut Stores, (blocks, size): (u64, u64)) -> Result<Measured, String> {
    let (from, into) = (stores.fresh(), stores.fresh());
    let flags = [("storage", shown(&from)), ("simulated", blocks.to_string()), ("block-size", size.to_string())];
    let (serving, ready) = Job::start(Side::Ours, "serve", &flags)?;
    let flags = [
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("key", text(&ready, "key")?),
        ("length", blocks.to_string()),
        ("block-size", size.to_string()),
        ("passing", String::new()),
    ];
    let (fetching, _) = Job::start(Side::Ours, "fetch", &flags)?;
    let (result, of_writer, of_reader) = both_go(serving, fetching)?;
    let disk_mb = float(project::kibibytes(&into)) * 1024.0 / 1e6;
    stores.drop_store(&from);
    stores.drop_store(&into);
    expect(text(&result, "treeHash")? == text(&ready, "treeHash")?, "the reader's tree hash")?;
    let memory = [
        ("quarter_rss_mb", number(&result, "quarter_rss_mb")?),
        ("end_rss_mb", number(&result, "end_rss_mb")?),
        ("reader_disk_mb", disk_mb),
    ];
    let more = [&memory[..], &of_sides(of_writer, of_reader)].concat();
    let (seconds, usage) = (number(&result, "seconds")?, both(of_writer, of_reader));
    Ok(Measured { operations: float(blocks), seconds, usage, digest: String::new(), more })
}

/// Lets both begin, waits for the reader's result and ends them; what each used until then.
fn both_go(mut serving: Job, mut fetching: Job) -> Result<(Value, Usage, Usage), String> {
    serving.go()?;
    fetching.go()?;
    let result = fetching.wait("result")?;
    let used = (serving.used(), fetching.used());
    fetching.end();
    serving.end();
    Ok((result, used.0, used.1))
}

pub(super) fn live(stores: &mut Stores, (writer, reader): (Side, Side), blocks: u64) -> Result<Measured, String> {
    let (from, into) = (stores.fresh(), stores.fresh());
    let flags = [
        ("storage", shown(&from)),
        ("live", blocks.to_string()),
        ("every", "20".to_owned()),
        ("block-size", SMALL.to_string()),
    ];
    let (serving, ready) = Job::start(writer, "serve", &flags)?;
    let flags = [
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("key", text(&ready, "key")?),
        ("live", blocks.to_string()),
        ("block-size", SMALL.to_string()),
    ];
    let (fetching, _) = Job::start(reader, "fetch", &flags)?;
    let (result, of_writer, of_reader) = both_go(serving, fetching)?;
    let late = result.get("late").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut late: Vec<f64> = late.iter().filter_map(Value::as_f64).collect();
    expect(late.len() == usize::try_from(blocks).unwrap_or(usize::MAX), "every block was received")?;
    late.sort_by(f64::total_cmp);
    let at = |percent: usize| late.get(late.len() * percent / 100).copied().unwrap_or_default();
    let latencies = [("p50_ms", at(50)), ("p99_ms", at(99))];
    let more = [&latencies[..], &of_sides(of_writer, of_reader)].concat();
    // Its rate is how many such blocks could follow each other, one at a time.
    let usage = both(of_writer, of_reader);
    Ok(Measured { operations: 1000.0, seconds: at(50), usage, digest: String::new(), more })
}

pub(super) fn fan_out(
    stores: &mut Stores,
    (writer, reader): (Side, Side),
    readers: u64,
    (blocks, size): (u64, u64),
) -> Result<Measured, String> {
    let stored = stores.core(writer, blocks, size)?;
    let (mut serving, ready) = Job::start(writer, "serve", &[("storage", shown(&stored.storage))])?;
    let address = text(&ready, "address")?;
    let mut fetching = Vec::new();
    for _ in 0..readers {
        let into = stores.fresh();
        let flags = [
            ("storage", shown(&into)),
            ("connect", address.clone()),
            ("key", stored.key.clone()),
            ("length", blocks.to_string()),
            ("block-size", size.to_string()),
        ];
        fetching.push((Job::start(reader, "fetch", &flags)?.0, into));
    }
    serving.go()?;
    let start = std::time::Instant::now();
    fetching.iter_mut().try_for_each(|(job, _)| job.go())?;
    for (job, _) in &fetching {
        expect(text(&job.wait("result")?, "treeHash")? == stored.tree_hash, "a reader's tree hash")?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let of_writer = serving.used();
    let of_readers = fetching.iter().map(|(job, _)| job.used()).fold(Usage::default(), both);
    for (job, into) in fetching {
        job.end();
        stores.drop_store(&into);
    }
    serving.end();
    let more = of_sides(of_writer, of_readers).to_vec();
    let operations = float(readers * blocks);
    Ok(Measured { operations, seconds, usage: both(of_writer, of_readers), digest: stored.tree_hash, more })
}

pub(super) fn replicate_many(
    stores: &mut Stores,
    (writer, reader): (Side, Side),
    of: u64,
    cores: u64,
) -> Result<Measured, String> {
    let (storage, _) = stores.many(writer, of, SMALL)?;
    let (into, list) = (stores.fresh(), stores.fresh());
    let flags = [("storage", shown(&storage)), ("many", cores.to_string())];
    let (serving, ready) = Job::start(writer, "serve", &flags)?;
    let keys = ready.get("keys").map(ToString::to_string).unwrap_or_default();
    std::fs::write(&list, keys).map_err(|error| format!("cannot write {}: {error}", list.display()))?;
    let flags = [
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("many", shown(&list)),
        ("block-size", SMALL.to_string()),
    ];
    let (fetching, _) = Job::start(reader, "fetch", &flags)?;
    let (result, of_writer, of_reader) = both_go(serving, fetching)?;
    stores.drop_store(&into);
    expect(number(&result, "count")? == float(cores), "the count of cores")?;
    let more = of_sides(of_writer, of_reader).to_vec();
    let (seconds, usage) = (number(&result, "seconds")?, both(of_writer, of_reader));
    Ok(Measured { operations: float(cores), seconds, usage, digest: String::new(), more })
}

fn of_sides(writer: Usage, reader: Usage) -> [(&'static str, f64); 4] {
    [
        ("writer_cpu_s", writer.cpu),
        ("reader_cpu_s", reader.cpu),
        ("writer_rss_mb", writer.memory),
        ("reader_rss_mb", reader.memory),
    ]
}

fn both(one: Usage, other: Usage) -> Usage {
    Usage { cpu: one.cpu + other.cpu, memory: one.memory.max(other.memory) }
}
