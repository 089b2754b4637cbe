//! Fetches from a peer into an empty store: all of a core, random blocks of it, what is appended, or many cores.

use crate::counted::{Counted, Passed};
use crate::data::{check, sample};
use crate::follow;
use crate::job::{Failure, Job, each, tree_hash};
use crate::passing;
use clap::Args;
use corestore_peer::{CoreEvent, CoreKey, Corestore, GetOptions, Hypercore, Options, Role, keys};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    #[arg(long)]
    storage: PathBuf,
    /// The writer's `host:port`.
    #[arg(long)]
    pub(crate) connect: String,
    #[arg(long, value_parser = keys::parse_core_key)]
    key: Option<CoreKey>,
    /// Blocks in the core.
    #[arg(long, default_value_t = 0)]
    pub(crate) length: u64,
    /// Bytes.
    #[arg(long, default_value_t = 1024)]
    pub(crate) block_size: usize,
    /// So many random blocks instead of all.
    #[arg(long, default_value_t = 0)]
    sparse: u64,
    /// Every block at random, each dropped again once it is checked.
    #[arg(long, conflicts_with = "sparse")]
    passing: bool,
    /// Gets at a time.
    #[arg(long, default_value_t = 64)]
    pub(crate) inflight: usize,
    /// So many blocks as they are appended.
    #[arg(long, default_value_t = 0)]
    live: u64,
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u32,
    /// Block 0 of each core whose key this JSON file lists.
    #[arg(long)]
    many: Option<PathBuf>,
}

pub(crate) async fn run(arguments: FetchArguments, job: Job) -> Result<(), Failure> {
    let store = Corestore::open(&arguments.storage, Options::default()).await?;
    if let Some(file) = &arguments.many {
        return fetch_many(&store, file, &arguments, job).await;
    }
    let core = store.get(arguments.key.ok_or("--key is missing")?).await?;
    if arguments.live > 0 {
        let expected = (arguments.live, arguments.block_size);
        return follow::run(&store, &core, &arguments.connect, expected, job).await;
    }
    if arguments.passing {
        return passing::run(&store, &core, &arguments, job).await;
    }
    job.ready(json!({})).await?;

    let start = Instant::now();
    let passed = dial(&store, &arguments.connect).await?;
    let first = if arguments.sparse > 0 {
        fetch_some(&core, &arguments, start).await?
    } else {
        fetch_all(&core, arguments.length, start).await?
    };
    let seconds = start.elapsed().as_secs_f64();

    let (wire_read, wire_written) = passed.so_far();
    check_stored(&core, &arguments).await?;
    let (length, tree_hash) = (core.length(), tree_hash(&core));
    store.close().await?;
    let result = json!({
        "seconds": seconds, "first_s": first.as_secs_f64(),
        "length": length, "treeHash": tree_hash,
        "wire_read": wire_read, "wire_written": wire_written,
    });
    job.result(result).await
}

pub(crate) async fn dial(store: &Corestore, address: &str) -> Result<Arc<Passed>, Failure> {
    let stream = Counted::connect(address).await?;
    let passed = stream.passed();
    store.replicate(stream, Role::Initiator)?;
    Ok(passed)
}

/// Everything; gives when the first block was there.
async fn fetch_all(core: &Hypercore, length: u64, start: Instant) -> Result<Duration, Failure> {
    let mut events = core.subscribe();
    let download = core.download(0..length);
    let mut first = Duration::ZERO;
    while let Some(event) = events.next_event().await {
        if matches!(event, CoreEvent::Downloaded { .. }) {
            first = start.elapsed();
            break;
        }
    }
    drop(events);
    download.done().await?;
    Ok(first)
}

async fn fetch_some(core: &Hypercore, arguments: &FetchArguments, start: Instant) -> Result<Duration, Failure> {
    let list = sample(arguments.length, arguments.sparse, arguments.seed);
    let (list, size) = (&list, arguments.block_size);
    let first = Cell::new(Duration::ZERO);
    let seen = &first;
    each(list.len(), arguments.inflight, |at| async move {
        let index = list.get(at).copied().unwrap_or_default();
        check(&core.get(index).await?, index, size)?;
        if seen.get().is_zero() {
            seen.set(start.elapsed());
        }
        Ok(())
    })
    .await?;
    Ok(first.get())
}

/// What was fetched is stored, and is what was written.
async fn check_stored(core: &Hypercore, arguments: &FetchArguments) -> Result<(), Failure> {
    let (count, seed) = match arguments.sparse {
        0 if core.contiguous_length() != arguments.length => {
            return Err(format!("not all blocks are here: {}", core.contiguous_length()).into());
        }
        0 => (CHECKED, 1),
        some => (some, arguments.seed),
    };
    let options = GetOptions { wait: false, ..GetOptions::default() };
    for index in sample(arguments.length, count, seed) {
        let block = core.get_with(index, options).await?.ok_or_else(|| format!("block {index} is not stored"))?;
        check(&block, index, arguments.block_size)?;
    }
    Ok(())
}

async fn fetch_many(store: &Corestore, file: &Path, arguments: &FetchArguments, job: Job) -> Result<(), Failure> {
    let keys: Vec<String> = serde_json::from_slice(&std::fs::read(file)?)?;
    let keys = keys.iter().map(|key| keys::parse_core_key(key)).collect::<Result<Vec<_>, _>>()?;
    job.ready(json!({})).await?;

    let start = Instant::now();
    let passed = dial(store, &arguments.connect).await?;
    let open = RefCell::new(Vec::new());
    let (listed, kept, size) = (&keys, &open, arguments.block_size);
    each(keys.len(), keys.len(), |at| async move {
        let core = store.get(*listed.get(at).ok_or("no such core")?).await?;
        check(&core.get(0).await?, u64::try_from(at)?, size)?;
        kept.borrow_mut().push(core);
        Ok(())
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();

    let (wire_read, wire_written) = passed.so_far();
    let result = json!({ "seconds": seconds, "wire_read": wire_read, "wire_written": wire_written, "count": open.borrow().len() });
    job.result(result).await
}

/// Blocks compared after a full download.
const CHECKED: u64 = 2000;
