//! `corestore purge`: removes a core from a store at rest.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::{AtRest, open_core, open_to_change};
use corestore_peer::Options;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArguments {
    /// The core: its local name, key or discovery key.
    core: String,
    /// Also a core that only this store may sign: its blocks may be nowhere else, and readers who have them stop
    /// following what is written under its name anew.
    #[arg(long)]
    own: bool,
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: PurgeArguments) -> Result<ExitCode, Failure> {
    let PurgeArguments { core: wanted, own, at_rest } = arguments;
    let store = open_to_change(&at_rest.storage, Options::default()).await?;
    let core = open_core(&store, &wanted, None).await?;
    let info = core.info();
    if info.writable && !own {
        return Err(Failure::sentence(format!(
            "core `{wanted}` is signed by this store: its blocks may be nowhere else; say --own to remove it all the same"
        )));
    }
    core.purge().await?;
    let (key, dropped) = (info.key.to_string(), info.stored_blocks);
    let json = json!({ "event": "purge", "core": key, "droppedBlocks": dropped });
    Output::new(at_rest.json).print(&json, || format!("core {key} and its {dropped} blocks are gone"))?;
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}
