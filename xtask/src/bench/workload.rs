//! The one table of workloads: what each runs, and what it must reach.

use super::job::{Side, Usage};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// Its name on the command line; several rows may share one.
    pub(crate) name: &'static str,
    /// What it does, in words.
    pub(crate) what: &'static str,
    /// Our rate over the npm stack's; `None` when only the figures of `most` count.
    pub(crate) goal: Option<f64>,
    /// The most that some figures of ours may be; `rss_mb` is the memory of the largest process.
    pub(crate) most: &'static [(&'static str, f64)],
    /// What it runs, its counts divided by this.
    pub(crate) kind: fn(u64) -> Kind,
}

/// What a workload does, with its numbers of blocks or cores and their size in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Append { blocks: u64, size: u64, batch: u64 },
    Get { of: u64, size: u64, count: u64, random: bool, in_flight: u64 },
    Open { of: u64, size: u64 },
    Replicate { blocks: u64, size: u64 },
    Swarm { blocks: u64, size: u64 },
    Live { blocks: u64 },
    FanOut { readers: u64, blocks: u64, size: u64 },
    Sparse { of: u64, size: u64, count: u64, in_flight: u64 },
    Pass { blocks: u64, size: u64 },
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
    /// Who writes and who reads, each pair in turn; a workload of one process has it write.
    pub(crate) fn sides(&self) -> &'static [(Side, Side)] {
        match self {
            Self::Replicate { .. }
            | Self::Swarm { .. }
            | Self::Live { .. }
            | Self::Sparse { .. }
            | Self::ReplicateMany { .. } => &BOTH_WAYS,
            // The npm stack has no store that makes blocks up.
            Self::Pass { .. } => BOTH_WAYS.split_at(1).0,
            _ => BOTH_WAYS.split_at(2).0,
        }
    }

    /// One round of it tells enough.
    pub(crate) fn once(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }
}

/// A count, small enough to be exact.
pub(crate) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

const BOTH_WAYS: [(Side, Side); 4] =
    [(Side::Ours, Side::Ours), (Side::Npm, Side::Npm), (Side::Ours, Side::Npm), (Side::Npm, Side::Ours)];
/// Bytes of the small blocks.
pub(crate) const SMALL: u64 = 64;
const MANY: u64 = 10_000;
const LARGE: u64 = 64 << 10;

const fn row(name: &'static str, what: &'static str, goal: f64, kind: fn(u64) -> Kind) -> Workload {
    Workload { name, what, goal: Some(goal), most: &[], kind }
}

const fn within(row: Workload, most: &'static [(&'static str, f64)]) -> Workload {
    Workload { most, ..row }
}

const fn get(size: u64, of: u64, random: bool, in_flight: u64, count: u64) -> Kind {
    Kind::Get { of, size, count, random, in_flight }
}

const fn sparse(of: u64, count: u64, in_flight: u64) -> Kind {
    Kind::Sparse { of, size: 100, count, in_flight }
}

const fn proof(of: u64, op: &'static str, count: u64) -> Kind {
    Kind::Proofs { of, op, count }
}

/// Every row.
pub(crate) const WORKLOADS: &[Workload] = &[
    row("append", "1 KiB, one by one", 8.0, |n| Kind::Append { blocks: 20_000 / n, size: 1024, batch: 1 }),
    row("append", "1 KiB by 1000", 5.0, |n| Kind::Append { blocks: 200_000 / n, size: 1024, batch: 1000 }),
    row("append", "64 KiB by 64", 3.0, |n| Kind::Append { blocks: 8000 / n, size: LARGE, batch: 64 }),
    row("get", "1 KiB in order, one at a time", 20.0, |n| get(1024, 200_000 / n, false, 1, 50_000 / n)),
    row("get", "1 KiB in order, 64 at a time", 8.0, |n| get(1024, 200_000 / n, false, 64, 200_000 / n)),
    row("get", "1 KiB at random, one at a time", 20.0, |n| get(1024, 200_000 / n, true, 1, 20_000 / n)),
    row("get", "1 KiB at random, 64 at a time", 8.0, |n| get(1024, 200_000 / n, true, 64, 50_000 / n)),
    within(
        row("get", "64 KiB in order, one at a time", 10.0, |n| get(LARGE, 8000 / n, false, 1, 8000 / n)),
        &[("rss_mb", 64.0)],
    ),
    within(
        row("open", "a 1M-block store, and block 0", 5.0, |n| Kind::Open { of: 1_000_000 / n, size: 100 }),
        &[("ms", 5.0)],
    ),
    row("replicate", "1 KiB over TCP", 15.0, |n| Kind::Replicate { blocks: 100_000 / n, size: 1024 }),
    row("replicate", "64 KiB over TCP", 4.0, |n| Kind::Replicate { blocks: 4000 / n, size: LARGE }),
    within(
        row("swarm", "1 KiB over UDX", 8.0, |n| Kind::Swarm { blocks: 50_000 / n, size: 1024 }),
        &[("first_ms", 40.0)],
    ),
    within(
        row("swarm", "64 KiB over UDX", 2.0, |n| Kind::Swarm { blocks: 2000 / n, size: LARGE }),
        &[("first_ms", 40.0)],
    ),
    within(
        row("live", "64 B every 20 ms (rate: 1 / p50)", 6.0, |n| Kind::Live { blocks: 1000 / n }),
        &[("p50_ms", 0.5), ("p99_ms", 2.0)],
    ),
    within(row("many", "cores created", 10.0, |n| Kind::CreateMany { cores: MANY / n }), &[("rss_mb", 60.0)]),
    within(
        row("many", "cores reopened, one at a time", 10.0, |n| Kind::ReopenMany { cores: MANY / n, in_flight: 1 }),
        &[("rss_mb", 60.0)],
    ),
    within(
        row("many", "cores reopened, 64 at a time", 10.0, |n| Kind::ReopenMany { cores: MANY / n, in_flight: 64 }),
        &[("rss_mb", 60.0)],
    ),
    row("many", "cores over one stream", 10.0, |n| Kind::ReplicateMany { of: MANY / n, cores: 1000.min(MANY / n) }),
    within(
        row("fan-out", "20 readers, 1 KiB", 12.0, |n| Kind::FanOut { readers: 20, blocks: 20_000 / n, size: 1024 }),
        &[("writer_rss_mb", 60.0)],
    ),
    row("sparse", "100 B of 1M, one at a time", 5.0, |n| sparse(1_000_000 / n, 2000 / n, 1)),
    row("sparse", "100 B of 1M, 64 at a time", 15.0, |n| sparse(1_000_000 / n, 2000 / n, 64)),
    Workload {
        name: "long-run",
        what: "10 GB of simulated 64 KiB blocks, fetched at random and dropped",
        goal: None,
        most: &[("reader_rss_mb", 100.0), ("writer_rss_mb", 100.0)],
        kind: |n| Kind::Pass { blocks: 160_000 / n, size: LARGE },
    },
    row("proofs", "block proofs made", 10.0, |n| proof(100_000 / n, "create-block", 5000 / n)),
    row("proofs", "full proofs made", 10.0, |n| proof(100_000 / n, "create-full", 5000 / n)),
    row("proofs", "full proofs verified", 2.0, |n| proof(100_000 / n, "verify-full", 3000 / n)),
    row("proofs", "block proofs applied", 10.0, |n| proof(100_000 / n, "apply-block", 3000 / n)),
    row("proofs", "seeks", 10.0, |n| proof(100_000 / n, "seek", 3000 / n)),
    row("proofs", "clears", 10.0, |n| proof(100_000 / n, "clear", 3000 / n)),
    row("proofs", "truncations by one", 10.0, |n| proof(100_000 / n, "truncate", 1000 / n)),
];
