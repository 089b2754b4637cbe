//! `corestore verify`: reads everything again and says where a store is damaged; `--repair` repairs its index first.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::{AtRest, look_into};
use corestore_peer::store::{CheckReport, DamagedPlace, FileStore, Repair, RepairOutcome, StoreOptions, repair};
use corestore_peer::{Audit, CoreKey, CoreOptions, Corestore, DiscoveryKey, OpenStoreError};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    /// Repair damaged pages of the index first: from the log, or, where it does not have it all any more, by giving up
    /// cores of others, to be fetched again from peers. Cores of one's own are never given up.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: VerifyArguments) -> Result<ExitCode, Failure> {
    let output = Output::new(arguments.at_rest.json);
    if arguments.repair {
        tell_repair(&repair_index(&arguments.at_rest).await?, output)?;
    }
    let report = check(&arguments.at_rest).await?;
    report.damaged.iter().try_for_each(|place| tell_damage(place, output))?;
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

fn tell_damage(place: &DamagedPlace, output: Output) -> Result<(), Failure> {
    let DamagedPlace { file, offset, what } = place;
    let json = json!({ "event": "damaged", "file": file, "offset": offset, "what": what });
    output.print(&json, || format!("{file} is damaged at byte {offset}: {what}"))
}

fn tell_repair(repair: &Repair, output: Output) -> Result<(), Failure> {
    let pages = repair.damaged.len();
    let told = |outcome: &str, human: &str| {
        output.print(&json!({ "event": "repair", "outcome": outcome, "pages": pages }), || human.to_owned())
    };
    let core = |event: &str, key: &CoreKey, human: &str| {
        output.print(&json!({ "event": event, "core": key.to_string() }), || format!("core {key}: {human}"))
    };
    if !matches!(repair.outcome, RepairOutcome::Refused(_)) {
        // What was refused is damaged still, and is told by the check.
        repair.damaged.iter().try_for_each(|place| tell_damage(place, output))?;
    }
    match &repair.outcome {
        RepairOutcome::Whole => told("whole", "no page of the index is damaged: nothing was repaired"),
        RepairOutcome::Restored => told("restored", "the index was made anew: nothing is lost"),
        RepairOutcome::GivenUp(cores) => {
            told("givenUp", "the index was made anew; some of it is not in the log any more")?;
            cores.iter().try_for_each(|key| core("givenUp", key, "given up: all its blocks come from peers again"))
        }
        RepairOutcome::Refused(cores) => {
            told("refused", "nothing was repaired: the log does not have all of it any more; restore a backup")?;
            cores.iter().try_for_each(|key| core("refused", key, "this store may sign it, so that it is not given up"))
        }
        _ => Ok(()),
    }
}

async fn repair_index(at_rest: &AtRest) -> Result<Repair, Failure> {
    let directory = at_rest.storage.clone();
    let repairing = tokio::task::spawn_blocking(move || repair(&directory, &StoreOptions::default()));
    let repaired = repairing.await.map_err(|_| OpenStoreError::RuntimeEnded)?;
    Ok(repaired.map_err(OpenStoreError::Files)?)
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
