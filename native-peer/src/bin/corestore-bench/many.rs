//! Many named cores in one store, all of them kept open.

use crate::data::{block, check};
use crate::job::{Failure, Job, each};
use clap::{Args, ValueEnum};
use corestore_peer::{Corestore, GetOptions, Hypercore, Options};
use serde_json::json;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Args)]
pub(crate) struct ManyArguments {
    #[arg(long)]
    storage: PathBuf,
    #[arg(long)]
    cores: usize,
    /// Bytes.
    #[arg(long, default_value_t = 1024)]
    block_size: usize,
    #[arg(long)]
    mode: Mode,
    /// Gets the keys, as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Cores opened at a time.
    #[arg(long, default_value_t = 1)]
    inflight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Open new names and append one block to each.
    Create,
    /// Open them again and read block 0 of each.
    Reopen,
}

pub(crate) async fn run(arguments: ManyArguments, job: Job) -> Result<(), Failure> {
    let store = Corestore::open(&arguments.storage, Options::default()).await?;
    job.ready(json!({})).await?;

    let start = Instant::now();
    let open: RefCell<Vec<Option<Hypercore>>> = RefCell::new(vec![None; arguments.cores]);
    let (into, from, of) = (&open, &store, &arguments);
    each(arguments.cores, arguments.inflight, |at| async move {
        let core = from.get(format!("core-{at}")).await?;
        use_core(&core, u64::try_from(at)?, of).await?;
        if let Some(place) = into.borrow_mut().get_mut(at) {
            *place = Some(core);
        }
        Ok(())
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();

    let open: Vec<Hypercore> = open.into_inner().into_iter().flatten().collect();
    let bad = open.iter().filter(|core| core.length() != 1).count();
    if bad > 0 {
        return Err(format!("{bad} cores are without their block").into());
    }
    if let Some(out) = &arguments.out {
        let keys: Vec<String> = open.iter().map(|core| core.key().to_string()).collect();
        std::fs::write(out, serde_json::to_vec(&keys)?)?;
    }
    job.result(json!({ "seconds": seconds, "count": open.len() })).await
}

async fn use_core(core: &Hypercore, index: u64, arguments: &ManyArguments) -> Result<(), Failure> {
    match arguments.mode {
        Mode::Create => core.append(block(index, arguments.block_size)).await.map(|_| ()).map_err(Into::into),
        Mode::Reopen => {
            let options = GetOptions { wait: false, ..GetOptions::default() };
            let block = core.get_with(0, options).await?.ok_or("block 0 is not stored")?;
            check(&block, index, arguments.block_size)
        }
    }
}
