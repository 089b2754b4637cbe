//! Appends blocks to a new core, a batch at a time, each append awaited.

use crate::data::block;
use crate::job::{Failure, Job, tree_hash};
use clap::Args;
use corestore_peer::{Corestore, Options};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Args)]
pub(crate) struct AppendArguments {
    #[arg(long)]
    storage: PathBuf,
    /// Blocks in all.
    #[arg(long)]
    blocks: u64,
    /// Bytes.
    #[arg(long)]
    block_size: usize,
    /// Blocks in one append.
    #[arg(long, default_value_t = 1)]
    batch: u64,
}

pub(crate) async fn run(arguments: AppendArguments, job: Job) -> Result<(), Failure> {
    let AppendArguments { storage, blocks, block_size, batch } = arguments;
    let store = Corestore::open(storage, Options::default()).await?;
    let core = store.get("log").await?;
    job.ready(json!({ "key": core.key().to_string() })).await?;

    let start = Instant::now();
    let mut at = 0;
    while at < blocks {
        if batch == 1 {
            core.append(block(at, block_size)).await?;
        } else {
            let end = blocks.min(at.saturating_add(batch));
            core.append_batch((at..end).map(|index| block(index, block_size))).await?;
        }
        at = at.saturating_add(batch.max(1));
    }
    let seconds = start.elapsed().as_secs_f64();

    let (length, byte_length, tree_hash) = (core.length(), core.byte_length(), tree_hash(&core));
    let closing = Instant::now();
    store.close().await?;
    let close_s = closing.elapsed().as_secs_f64();
    let result = json!({
        "seconds": seconds, "close_s": close_s,
        "length": length, "byteLength": byte_length, "treeHash": tree_hash,
    });
    job.result(result).await
}
