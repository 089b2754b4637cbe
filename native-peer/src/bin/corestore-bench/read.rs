//! Reads blocks of a stored core: in order or at random, some at a time.

use crate::data::sample;
use crate::job::{Failure, Job, each, tree_hash};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use corestore_peer::{CoreKey, Corestore, GetOptions, Hypercore, Options, keys};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct ReadArguments {
    #[arg(long)]
    storage: PathBuf,
    #[arg(long, value_parser = keys::parse_core_key)]
    key: CoreKey,
    #[arg(long)]
    pattern: Pattern,
    /// Blocks to read.
    #[arg(long)]
    count: u64,
    /// Blocks in the core.
    #[arg(long)]
    length: u64,
    /// Gets at a time.
    #[arg(long, default_value_t = 1)]
    inflight: usize,
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// The clock starts before the store is opened.
    #[arg(long)]
    open_timed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pattern {
    Seq,
    Random,
}

pub(crate) async fn run(arguments: ReadArguments, job: Job) -> Result<(), Failure> {
    let list: Vec<u64> = match arguments.pattern {
        Pattern::Seq => (0..arguments.count).collect(),
        Pattern::Random => sample(arguments.length, arguments.count, arguments.seed),
    };
    let mut opened = if arguments.open_timed { None } else { Some(open(&arguments).await?) };
    job.ready(json!({})).await?;

    let start = Instant::now();
    let (store, core) = match opened.take() {
        Some(opened) => opened,
        None => open(&arguments).await?,
    };
    let opening = start.elapsed();
    let mut reading =
        Reading { core, in_flight: arguments.inflight, spent: Duration::ZERO, bytes: 0, hash: Sha256::new() };
    let mut rest = list.as_slice();
    while !rest.is_empty() {
        let (group, after) = rest.split_at(reading.group().min(rest.len()));
        reading.read(group).await?;
        rest = after;
    }

    let Reading { core, spent, bytes, hash, .. } = reading;
    let (length, tree_hash) = (core.length(), tree_hash(&core));
    store.close().await?;
    let result = json!({
        "seconds": (opening + spent).as_secs_f64(),
        "open_s": arguments.open_timed.then_some(opening.as_secs_f64()),
        "bytes": bytes, "digest": hex::encode(hash.finalize()),
        "length": length, "treeHash": tree_hash,
    });
    job.result(result).await
}

async fn open(arguments: &ReadArguments) -> Result<(Corestore, Hypercore), Failure> {
    let store = Corestore::open(&arguments.storage, Options::default()).await?;
    let core = store.get(arguments.key).await?;
    Ok((store, core))
}

/// Blocks are read in groups, so that not all of them are in memory at once; hashing them is not timed.
struct Reading {
    core: Hypercore,
    in_flight: usize,
    spent: Duration,
    bytes: usize,
    hash: Sha256,
}

impl Reading {
    /// How many blocks to hold.
    fn group(&self) -> usize {
        let average = self.core.byte_length().checked_div(self.core.length()).unwrap_or(0).max(1);
        usize::try_from(GROUP_BYTES / average).unwrap_or(usize::MAX).max(self.in_flight)
    }

    async fn read(&mut self, group: &[u64]) -> Result<(), Failure> {
        let options = GetOptions { wait: false, ..GetOptions::default() };
        let core = &self.core;
        let found = RefCell::new(vec![Bytes::new(); group.len()]);
        let into = &found;
        let start = Instant::now();
        each(group.len(), self.in_flight, |at| async move {
            let index = group.get(at).copied().unwrap_or_default();
            let block = core.get_with(index, options).await?.ok_or_else(|| format!("block {index} is not stored"))?;
            if let Some(place) = into.borrow_mut().get_mut(at) {
                *place = block;
            }
            Ok(())
        })
        .await?;
        self.spent += start.elapsed();
        for block in found.into_inner() {
            self.hash.update(&block);
            self.bytes = self.bytes.saturating_add(block.len());
        }
        Ok(())
    }
}

/// Bytes of blocks held at once, about.
const GROUP_BYTES: u64 = 64 << 10;
