//! `corestore clear`: drops stored blocks of a core of a store at rest.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::{AtRest, open_core, open_to_change};
use corestore_peer::Options;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct ClearArguments {
    /// The core: its local name, key or discovery key.
    core: String,
    /// The first block to drop.
    start: u64,
    /// The first block to keep after it; one block is dropped when not given.
    end: Option<u64>,
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: ClearArguments) -> Result<ExitCode, Failure> {
    let ClearArguments { core, start, end, at_rest } = arguments;
    let store = open_to_change(&at_rest.storage, Options::default()).await?;
    let core = open_core(&store, &core, None).await?;
    let before = core.info().stored_blocks;
    core.clear(start..end.unwrap_or_else(|| start.saturating_add(1))).await?;
    let (key, left) = (core.key().to_string(), core.info().stored_blocks);
    let dropped = before.saturating_sub(left);
    let json = json!({ "event": "clear", "core": key, "droppedBlocks": dropped, "storedBlocks": left });
    Output::new(at_rest.json).print(&json, || format!("{dropped} blocks dropped, {left} stay"))?;
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}
