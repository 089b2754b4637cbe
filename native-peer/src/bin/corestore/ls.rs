//! `corestore ls`: the cores of a store.

use crate::failure::Failure;
use crate::info::as_json;
use crate::output::Output;
use crate::selection::{AtRest, label, look_into};
use corestore_peer::{CoreInfo, CoreOptions};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct LsArguments {
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: LsArguments) -> Result<ExitCode, Failure> {
    let store = look_into(&arguments.at_rest.storage).await?;
    let output = Output::new(arguments.at_rest.json);
    let names = store.list_names().await?;
    for discovery_key in store.list().await? {
        let core = store.get(CoreOptions::discovery_key(discovery_key)).await?;
        let names = names.iter().filter(|name| name.discovery_key == discovery_key).map(label).collect();
        let info = core.info();
        output.print(&as_json(&info, &names), || row(&info, &names))?;
        core.close().await;
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

fn row(info: &CoreInfo, names: &[String]) -> String {
    let name = if names.is_empty() { "-".to_owned() } else { names.join(",") };
    let CoreInfo { length, fork, stored_blocks, contiguous_length, .. } = info;
    let state = match (info.frozen, info.writable) {
        (true, _) => "conflict",
        (false, true) => "rw",
        (false, false) => "r",
    };
    let id = info.key.to_z32();
    format!(
        "{name:<16} {id}  {length} blocks, fork {fork}, {stored_blocks} stored, {contiguous_length} contiguous  {state}"
    )
}
