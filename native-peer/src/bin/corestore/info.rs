//! `corestore info`: a store, or one core in it.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::{AtRest, Secret, label, look_into, open_core, secret};
use corestore_peer::{CoreInfo, CoreOptions, Corestore};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArguments {
    /// A core: its local name, key or discovery key.
    core: Option<String>,
    #[command(flatten)]
    at_rest: AtRest,
    /// The core's encryption key, to count its bytes without padding.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    encryption_key: Option<Secret>,
}

pub(crate) async fn run(arguments: InfoArguments) -> Result<ExitCode, Failure> {
    let store = look_into(&arguments.at_rest.storage).await?;
    let output = Output::new(arguments.at_rest.json);
    match &arguments.core {
        Some(wanted) => {
            let core = open_core(&store, wanted, arguments.encryption_key.as_ref()).await?;
            let names = store.list_names().await?;
            let names = names.iter().filter(|name| name.discovery_key == core.discovery_key()).map(label).collect();
            let info = core.info();
            output.print(&as_json(&info, &names), || as_text(&info, &names))?;
        }
        None => of_store(&store, output).await?,
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn of_store(store: &Corestore, output: Output) -> Result<(), Failure> {
    let (mut blocks, mut bytes, mut writable) = (0_u64, 0_u64, 0_u64);
    let cores = store.list().await?;
    for core in &cores {
        let info = store.get(CoreOptions::discovery_key(*core)).await?.info();
        blocks = blocks.saturating_add(info.stored_blocks);
        bytes = bytes.saturating_add(info.byte_length);
        writable = writable.saturating_add(u64::from(info.writable));
    }
    let names = store.list_names().await?.iter().filter(|name| cores.contains(&name.discovery_key)).count();
    let json = json!({
        "cores": cores.len(), "writable": writable, "names": names, "storedBlocks": blocks, "byteLength": bytes,
    });
    output.print(&json, || {
        let cores = cores.len();
        format!(
            "{cores} cores ({writable} writable, {names} named), {blocks} blocks stored, {bytes} bytes in their logs"
        )
    })
}

/// Everything about a core that is no secret.
pub(crate) fn as_json(info: &CoreInfo, names: &Vec<String>) -> Value {
    json!({
        "names": names,
        "key": info.key.to_string(),
        "id": info.key.to_z32(),
        "discoveryKey": info.discovery_key.to_string(),
        "length": info.length,
        "byteLength": info.byte_length,
        "fork": info.fork,
        "contiguousLength": info.contiguous_length,
        "storedBlocks": info.stored_blocks,
        "writable": info.writable,
        "conflicted": info.frozen,
    })
}

fn as_text(info: &CoreInfo, names: &[String]) -> String {
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let state = match (info.frozen, info.writable) {
        (true, _) => "frozen by a conflict",
        (false, true) => "writable",
        (false, false) => "read only",
    };
    [
        format!("key           {}", info.key),
        format!("id            {}", info.key.to_z32()),
        format!("discovery key {}", info.discovery_key),
        format!("names         {names}"),
        format!("length        {} blocks, {} bytes, fork {}", info.length, info.byte_length, info.fork),
        format!("stored        {} blocks, {} from the start on", info.stored_blocks, info.contiguous_length),
        format!("state         {state}"),
    ]
    .join("\n")
}
