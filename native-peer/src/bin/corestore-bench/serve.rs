//! Serves a stored core, or many, to any number of peers over loopback TCP; appends blocks at a steady pace on request.

use crate::data::block;
use crate::follow::monotonic_nanoseconds;
use crate::job::{Failure, Job, emit, tree_hash};
use crate::simulated;
use clap::Args;
use corestore_peer::{Corestore, Hypercore, Options};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[arg(long)]
    storage: PathBuf,
    /// Blocks to append after `go`; bytes 8 to 16 of each hold the time (ns, u64, little-endian).
    #[arg(long, default_value_t = 0)]
    live: u64,
    /// Milliseconds between them.
    #[arg(long, default_value_t = 20)]
    every: u64,
    /// Bytes.
    #[arg(long, default_value_t = 1024)]
    block_size: usize,
    /// Serve so many blocks that no disk holds: they are made when they are read.
    #[arg(long, default_value_t = 0)]
    simulated: u64,
    /// Cores `core-0`, `core-1`, … to open.
    #[arg(long, default_value_t = 0)]
    many: u64,
}

pub(crate) async fn run(arguments: ServeArguments, job: Job) -> Result<(), Failure> {
    let (store, core) = if arguments.simulated > 0 {
        simulated::open(&arguments.storage, arguments.simulated, arguments.block_size).await?
    } else {
        let store = Corestore::open(&arguments.storage, Options::default()).await?;
        let core = store.get("log").await?;
        (store, core)
    };
    let mut open = Vec::new();
    for index in 0..arguments.many {
        open.push(store.get(format!("core-{index}")).await?);
    }
    let listener = store.listen_tcp("127.0.0.1:0").await?;
    let keys: Vec<String> = open.iter().map(|core| core.key().to_string()).collect();
    let ready = json!({
        "address": listener.local_addr().to_string(),
        "key": core.key().to_string(), "length": core.length(),
        "treeHash": (core.length() > 0).then(|| tree_hash(&core)),
        "keys": keys,
    });
    job.ready(ready).await?;
    if arguments.live > 0 {
        let times = append_steadily(&core, &arguments).await?;
        emit("appended", json!({ "appendTimes": times }))?;
    }
    job.end().await;
    Ok(())
}

/// How long each append took, in milliseconds.
async fn append_steadily(core: &Hypercore, arguments: &ServeArguments) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::new();
    for index in 0..arguments.live {
        let due = Instant::now() + Duration::from_millis(arguments.every);
        let mut block = block(index, arguments.block_size);
        let start = Instant::now();
        if let Some(stamp) = block.get_mut(8..16) {
            stamp.copy_from_slice(&monotonic_nanoseconds().to_le_bytes());
        }
        core.append(block).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep_until(due.into()).await;
    }
    Ok(times)
}
