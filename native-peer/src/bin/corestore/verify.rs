//! `corestore verify`: reads everything again and says where a store is damaged.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::{AtRest, look_into};
use corestore_peer::store::{CheckReport, FileStore, StoreOptions};
use corestore_peer::{Audit, CoreKey, CoreOptions, Corestore, DiscoveryKey, OpenStoreError};
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
    let (cores, faults) = audit(&arguments.at_rest, output).await?;
    let CheckReport { blocks, block_bytes, nodes, records, .. } = report;
    let whole = report.is_whole() && faults == 0;
    let json = json!({
        "event": "verified", "whole": whole, "cores": cores, "blocks": blocks, "bytes": block_bytes, "nodes": nodes, "records": records,
    });
    output.print(&json, || {
        let state = if whole { "whole" } else { "DAMAGED" };
        format!("{state}: {cores} cores, {blocks} blocks ({block_bytes} bytes), {nodes} nodes and {records} records were read")
    })?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every block against its hash, every hash against those below it, every signature. Gives the number of cores, and
/// of faults.
async fn audit(at_rest: &AtRest, output: Output) -> Result<(u64, u64), Failure> {
    let store = look_into(&at_rest.storage).await?;
    let (mut cores, mut faults) = (0_u64, 0_u64);
    for discovery_key in store.list().await? {
        cores = cores.saturating_add(1);
        let (key, found) = match audit_core(&store, discovery_key).await {
            Ok(audited) => audited,
            Err(failure) => {
                faults = faults.saturating_add(1);
                let (key, message) = (discovery_key.to_string(), failure.to_string());
                let json = json!({ "event": "unreadable", "discoveryKey": key, "what": message });
                output.print(&json, || format!("the core with discovery key {key} cannot be read: {message}"))?;
                continue;
            }
        };
        faults = faults.saturating_add(found.faults_found);
        let key = key.to_string();
        for fault in &found.faults {
            let json = json!({ "event": "fault", "core": key, "what": fault.to_string() });
            output.print(&json, || format!("core {key}: {fault}"))?;
        }
    }
    store.close().await?;
    Ok((cores, faults))
}

async fn audit_core(store: &Corestore, discovery_key: DiscoveryKey) -> Result<(CoreKey, Audit), Failure> {
    let core = store.get(CoreOptions::discovery_key(discovery_key)).await?;
    Ok((core.key(), core.audit().await?))
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
