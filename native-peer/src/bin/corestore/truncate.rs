//! `corestore truncate`: cuts a core of a store at rest.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::{AtRest, Durable, open_core, open_to_change};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct TruncateArguments {
    /// The core: its local name, key or discovery key.
    core: String,
    /// Blocks that stay.
    length: u64,
    #[command(flatten)]
    at_rest: AtRest,
    #[command(flatten)]
    durable: Durable,
}

pub(crate) async fn run(arguments: TruncateArguments) -> Result<ExitCode, Failure> {
    let store = open_to_change(&arguments.at_rest.storage, arguments.durable.options()).await?;
    let core = open_core(&store, &arguments.core, None).await?;
    core.truncate(arguments.length).await?;
    let (key, length, fork) = (core.key().to_string(), core.length(), core.fork());
    let json = json!({ "event": "truncate", "core": key, "length": length, "fork": fork });
    Output::new(arguments.at_rest.json).print(&json, || format!("cut to {length} blocks, fork {fork}"))?;
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}
