//! `corestore verify`: reads everything again and says where a store is damaged.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::AtRest;
use corestore_peer::OpenStoreError;
use corestore_peer::store::{CheckReport, FileStore, StoreOptions};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: VerifyArguments) -> Result<ExitCode, Failure> {
    let output = Output::new(arguments.at_rest.json);
    let report = check(&arguments.at_rest).await?;
    for place in &report.damaged {
        let json = json!({ "event": "damaged", "file": place.file, "offset": place.offset, "what": place.what });
        output.print(&json, || format!("{} is damaged at byte {}: {}", place.file, place.offset, place.what))?;
    }
    let CheckReport { blocks, block_bytes, nodes, records, .. } = report;
    let whole = report.is_whole();
    let json = json!({
        "event": "verified", "whole": whole, "blocks": blocks, "bytes": block_bytes, "nodes": nodes, "records": records,
    });
    output.print(&json, || {
        let state = if whole { "whole" } else { "DAMAGED" };
        format!("{state}: {blocks} blocks ({block_bytes} bytes), {nodes} nodes and {records} records were read")
    })?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every checksum of the files.
async fn check(at_rest: &AtRest) -> Result<CheckReport, Failure> {
    let directory = at_rest.storage.clone();
    let checking = tokio::task::spawn_blocking(move || {
        let mut options = StoreOptions::default();
        options.read_only = true;
        let mut store = FileStore::open(&directory, &options).map_err(OpenStoreError::Files)?;
        let report = store.check()?;
        store.close()?;
        Ok::<_, Failure>(report)
    });
    checking.await.map_err(|_| OpenStoreError::RuntimeEnded)?
}
