//! A core that passes through: each block is fetched, checked and dropped again, in random order. What a reader needs of
//! memory and disk must not grow with what has passed.

use crate::data::{check, sample};
use crate::fetch::{FetchArguments, dial};
use crate::job::{Failure, Job, each, tree_hash};
use corestore_peer::{Corestore, Hypercore};
use serde_json::json;
use std::cell::Cell;
use std::time::Instant;

pub(crate) async fn run(
    store: &Corestore,
    core: &Hypercore,
    arguments: &FetchArguments,
    job: Job,
) -> Result<(), Failure> {
    let list = sample(arguments.length, arguments.length, arguments.seed);
    job.ready(json!({})).await?;

    let start = Instant::now();
    dial(store, &arguments.connect).await?;
    let (quarter, size) = (list.len() / 4, arguments.block_size);
    let (passed, early) = (Cell::new(0_usize), Cell::new(None));
    let (list, counted, at_quarter) = (&list, &passed, &early);
    each(list.len(), arguments.inflight, |at| async move {
        let index = list.get(at).copied().unwrap_or_default();
        check(&core.get(index).await?, index, size)?;
        core.clear(index..index.saturating_add(1)).await?;
        counted.set(counted.get().saturating_add(1));
        if counted.get() == quarter {
            at_quarter.set(resident_mb());
        }
        Ok(())
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();

    if core.count(0..arguments.length) > 0 {
        return Err("blocks were left behind".into());
    }
    let result = json!({
        "seconds": seconds, "quarter_rss_mb": early.get(), "end_rss_mb": resident_mb(),
        "length": core.length(), "treeHash": tree_hash(core),
    });
    store.close().await?;
    job.result(result).await
}

/// Memory this process has in use now, in MB; `None` where the system does not tell.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}
