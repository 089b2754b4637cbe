//! The workloads: what each runs, how its result is checked, and the ratio to the npm stack it must reach.

use super::job::{Job, Side, Usage, number, text};
use super::stores::{Stores, shown};
use serde_json::Value;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// Its name on the command line; several rows may share one.
    pub(crate) name: &'static str,
    /// What it does, in words.
    pub(crate) what: &'static str,
    /// Our rate over the npm stack's.
    pub(crate) goal: f64,
    pub(crate) kind: Kind,
}

/// What a workload does, with its numbers of blocks or cores and their size in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Append { blocks: u64, size: u64, batch: u64 },
    Get { of: u64, size: u64, count: u64, random: bool, in_flight: u64 },
    Open { of: u64, size: u64 },
    Replicate { blocks: u64, size: u64 },
    Live { blocks: u64 },
    FanOut { readers: u64, blocks: u64, size: u64 },
    Sparse { of: u64, size: u64, count: u64, in_flight: u64 },
    CreateMany { cores: u64 },
    ReopenMany { cores: u64, in_flight: u64 },
    ReplicateMany { of: u64, cores: u64 },
    Proofs { of: u64, op: &'static str, count: u64 },
}

/// What one run of a workload gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) operations: f64,
    pub(crate) seconds: f64,
    pub(crate) usage: Usage,
    /// What must be the same whoever did it: a digest or tree hash.
    pub(crate) digest: String,
    /// Other figures worth telling.
    pub(crate) more: Vec<(&'static str, f64)>,
}

impl Kind {
    /// True when a writer and a reader take part, which may be of two kinds.
    pub(crate) fn has_two_sides(&self) -> bool {
        matches!(self, Self::Replicate { .. } | Self::Live { .. } | Self::Sparse { .. } | Self::ReplicateMany { .. })
    }

    /// A tenth of the work.
    pub(crate) fn quick(self) -> Self {
        match self {
            Self::Append { blocks, size, batch } => Self::Append { blocks: blocks / 10, size, batch },
            Self::Get { of, size, count, random, in_flight } => {
                Self::Get { of: of / 10, size, count: count / 10, random, in_flight }
            }
            Self::Open { of, size } => Self::Open { of: of / 10, size },
            Self::Replicate { blocks, size } => Self::Replicate { blocks: blocks / 10, size },
            Self::Live { blocks } => Self::Live { blocks: blocks / 5 },
            Self::FanOut { readers, blocks, size } => Self::FanOut { readers: readers / 4, blocks: blocks / 4, size },
            Self::Sparse { of, size, count, in_flight } => {
                Self::Sparse { of: of / 10, size, count: count / 4, in_flight }
            }
            Self::CreateMany { cores } => Self::CreateMany { cores: cores / 10 },
            Self::ReopenMany { cores, in_flight } => Self::ReopenMany { cores: cores / 10, in_flight },
            Self::ReplicateMany { of, cores } => Self::ReplicateMany { of: of / 10, cores: cores / 2 },
            Self::Proofs { of, op, count } => Self::Proofs { of: of / 10, op, count: count / 4 },
        }
    }

    /// Runs it once: `writer` alone, or with `reader`.
    pub(crate) fn run(&self, stores: &mut Stores, writer: Side, reader: Side) -> Result<Measured, String> {
        match *self {
            Self::Append { blocks, size, batch } => append(stores, writer, (blocks, size, batch)),
            Self::Get { of, size, count, random, in_flight } => {
                let pattern = if random { "random" } else { "seq" };
                let flags = [("count", count.to_string()), ("inflight", in_flight.to_string())];
                read(stores, writer, (of, size), pattern, &flags)
                    .map(|run| Measured { operations: float(count), ..run })
            }
            Self::Open { of, size } => {
                let flags = [("count", "1".to_owned()), ("open-timed", flag(writer))];
                read(stores, writer, (of, size), "seq", &flags).map(|run| Measured { operations: 1.0, ..run })
            }
            Self::Replicate { blocks, size } => {
                let flags = [("length", blocks.to_string())];
                pair(stores, (writer, reader), (blocks, size), &flags).map(|run| of_wire(run, blocks, size))
            }
            Self::Sparse { of, size, count, in_flight } => {
                let flags = [
                    ("length", of.to_string()),
                    ("sparse", count.to_string()),
                    ("inflight", in_flight.to_string()),
                    ("seed", "5".to_owned()),
                ];
                pair(stores, (writer, reader), (of, size), &flags).map(|run| of_wire(run, count, size))
            }
            Self::Live { blocks } => live(stores, (writer, reader), blocks),
            Self::FanOut { readers, blocks, size } => fan_out(stores, (writer, reader), readers, (blocks, size)),
            Self::CreateMany { cores } => {
                let storage = stores.fresh();
                let run = many(writer, "create", (&shown(&storage), cores), 1)?;
                many(writer, "reopen", (&shown(&storage), cores), 16)?;
                stores.drop_store(&storage);
                Ok(run)
            }
            Self::ReopenMany { cores, in_flight } => {
                let (storage, _) = stores.many(writer, cores, SMALL)?;
                many(writer, "reopen", (&shown(&storage), cores), in_flight)
            }
            Self::ReplicateMany { of, cores } => replicate_many(stores, (writer, reader), of, cores),
            Self::Proofs { of, op, count } => proofs(stores, writer, of, op, count),
        }
    }
}

fn append(stores: &mut Stores, side: Side, (blocks, size, batch): (u64, u64, u64)) -> Result<Measured, String> {
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

fn read(
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

/// A writer process and a reader process; the reader's clock.
fn pair(
    stores: &mut Stores,
    (writer, reader): (Side, Side),
    (blocks, size): (u64, u64),
    more: &[(&str, String)],
) -> Result<Measured, String> {
    let stored = stores.core(writer, blocks, size)?;
    let into = stores.fresh();
    let (mut serving, ready) = Job::start(writer, "serve", &[("storage", shown(&stored.storage))])?;
    let mut flags = vec![
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("key", stored.key),
        ("block-size", size.to_string()),
    ];
    flags.extend(more.iter().cloned());
    let (mut fetching, _) = Job::start(reader, "fetch", &flags)?;
    serving.go()?;
    fetching.go()?;
    let result = fetching.wait("result")?;
    let (of_writer, of_reader) = (serving.used(), fetching.used());
    fetching.end();
    serving.end();
    stores.drop_store(&into);
    let digest = text(&result, "treeHash")?;
    expect(digest == stored.tree_hash, "the reader's tree hash")?;
    let wire = [("wire_read", number(&result, "wire_read")?), ("wire_written", number(&result, "wire_written")?)];
    let more = [&wire[..], &of_sides(of_writer, of_reader)].concat();
    let (seconds, usage) = (number(&result, "seconds")?, both(of_writer, of_reader));
    Ok(Measured { operations: float(blocks), seconds, usage, digest, more })
}

/// Bytes on the wire beyond the blocks themselves.
fn of_wire(mut run: Measured, count: u64, size: u64) -> Measured {
    let total: f64 = run.more.iter().filter(|(name, _)| name.starts_with("wire_")).map(|(_, bytes)| bytes).sum();
    run.operations = float(count);
    run.more.push(("overhead_bytes_per_block", total / float(count) - float(size)));
    run
}

fn live(stores: &mut Stores, (writer, reader): (Side, Side), blocks: u64) -> Result<Measured, String> {
    let (from, into) = (stores.fresh(), stores.fresh());
    let flags = [
        ("storage", shown(&from)),
        ("live", blocks.to_string()),
        ("every", "20".to_owned()),
        ("block-size", SMALL.to_string()),
    ];
    let (mut serving, ready) = Job::start(writer, "serve", &flags)?;
    let flags = [
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("key", text(&ready, "key")?),
        ("live", blocks.to_string()),
        ("block-size", SMALL.to_string()),
    ];
    let (mut fetching, _) = Job::start(reader, "fetch", &flags)?;
    serving.go()?;
    fetching.go()?;
    let result = fetching.wait("result")?;
    let (of_writer, of_reader) = (serving.used(), fetching.used());
    fetching.end();
    serving.end();
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

fn fan_out(
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

fn many(side: Side, mode: &str, (storage, cores): (&str, u64), in_flight: u64) -> Result<Measured, String> {
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

fn replicate_many(
    stores: &mut Stores,
    (writer, reader): (Side, Side),
    of: u64,
    cores: u64,
) -> Result<Measured, String> {
    let (storage, _) = stores.many(writer, of, SMALL)?;
    let (into, list) = (stores.fresh(), stores.fresh());
    let flags = [("storage", shown(&storage)), ("many", cores.to_string())];
    let (mut serving, ready) = Job::start(writer, "serve", &flags)?;
    let keys = ready.get("keys").map(ToString::to_string).unwrap_or_default();
    std::fs::write(&list, keys).map_err(|error| format!("cannot write {}: {error}", list.display()))?;
    let flags = [
        ("storage", shown(&into)),
        ("connect", text(&ready, "address")?),
        ("many", shown(&list)),
        ("block-size", SMALL.to_string()),
    ];
    let (mut fetching, _) = Job::start(reader, "fetch", &flags)?;
    serving.go()?;
    fetching.go()?;
    let result = fetching.wait("result")?;
    let (of_writer, of_reader) = (serving.used(), fetching.used());
    fetching.end();
    serving.end();
    stores.drop_store(&into);
    expect(number(&result, "count")? == float(cores), "the count of cores")?;
    let more = of_sides(of_writer, of_reader).to_vec();
    let (seconds, usage) = (number(&result, "seconds")?, both(of_writer, of_reader));
    Ok(Measured { operations: float(cores), seconds, usage, digest: String::new(), more })
}

fn proofs(stores: &mut Stores, side: Side, of: u64, op: &str, count: u64) -> Result<Measured, String> {
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
    Ok(Measured { operations: float(count), seconds, usage: run.usage, ..Measured::default() })
}

/// A flag without a value is spelled so by our program, and takes one in the npm jobs.
fn flag(side: Side) -> String {
    match side {
        Side::Ours => String::new(),
        Side::Npm => "1".to_owned(),
    }
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

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{what} is wrong")) }
}

/// A count, small enough to be exact.
pub(crate) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Bytes of the small blocks.
const SMALL: u64 = 64;
const MANY: u64 = 10_000;
const LARGE: u64 = 64 << 10;

const fn row(name: &'static str, what: &'static str, goal: f64, kind: Kind) -> Workload {
    Workload { name, what, goal, kind }
}

const fn get(size: u64, of: u64, random: bool, in_flight: u64, count: u64) -> Kind {
    Kind::Get { of, size, count, random, in_flight }
}

const fn sparse(in_flight: u64) -> Kind {
    Kind::Sparse { of: 1_000_000, size: 100, count: 2000, in_flight }
}

const fn proof(op: &'static str, count: u64) -> Kind {
    Kind::Proofs { of: 100_000, op, count }
}

/// Every row.
pub(crate) const WORKLOADS: [Workload; 26] = [
    row("append", "1 KiB, one by one", 8.0, Kind::Append { blocks: 20_000, size: 1024, batch: 1 }),
    row("append", "1 KiB by 1000", 5.0, Kind::Append { blocks: 200_000, size: 1024, batch: 1000 }),
    row("append", "64 KiB by 64", 3.0, Kind::Append { blocks: 8000, size: LARGE, batch: 64 }),
    row("get", "1 KiB in order, one at a time", 20.0, get(1024, 200_000, false, 1, 50_000)),
    row("get", "1 KiB in order, 64 at a time", 8.0, get(1024, 200_000, false, 64, 200_000)),
    row("get", "1 KiB at random, one at a time", 20.0, get(1024, 200_000, true, 1, 20_000)),
    row("get", "1 KiB at random, 64 at a time", 8.0, get(1024, 200_000, true, 64, 50_000)),
    row("get", "64 KiB in order, one at a time", 10.0, get(LARGE, 8000, false, 1, 8000)),
    row("open", "a 1M-block store, and block 0", 5.0, Kind::Open { of: 1_000_000, size: 100 }),
    row("replicate", "1 KiB over TCP", 15.0, Kind::Replicate { blocks: 100_000, size: 1024 }),
    row("replicate", "64 KiB over TCP", 4.0, Kind::Replicate { blocks: 4000, size: LARGE }),
    row("live", "64 B every 20 ms (rate: 1 / p50)", 6.0, Kind::Live { blocks: 1000 }),
    row("many", "cores created", 10.0, Kind::CreateMany { cores: MANY }),
    row("many", "cores reopened, one at a time", 10.0, Kind::ReopenMany { cores: MANY, in_flight: 1 }),
    row("many", "cores reopened, 64 at a time", 10.0, Kind::ReopenMany { cores: MANY, in_flight: 64 }),
    row("many", "cores over one stream", 10.0, Kind::ReplicateMany { of: MANY, cores: 1000 }),
    row("fan-out", "20 readers, 1 KiB", 12.0, Kind::FanOut { readers: 20, blocks: 20_000, size: 1024 }),
    row("sparse", "100 B of 1M, one at a time", 5.0, sparse(1)),
    row("sparse", "100 B of 1M, 64 at a time", 15.0, sparse(64)),
    row("proofs", "block proofs made", 10.0, proof("create-block", 5000)),
    row("proofs", "full proofs made", 10.0, proof("create-full", 5000)),
    row("proofs", "full proofs verified", 2.0, proof("verify-full", 3000)),
    row("proofs", "block proofs applied", 10.0, proof("apply-block", 3000)),
    row("proofs", "seeks", 10.0, proof("seek", 3000)),
    row("proofs", "clears", 10.0, proof("clear", 3000)),
    row("proofs", "truncations by one", 10.0, proof("truncate", 1000)),
];
