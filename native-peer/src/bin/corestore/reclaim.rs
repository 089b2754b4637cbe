//! `corestore reclaim`: gives the room of what was dropped back to the disk.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::AtRest;
use corestore_peer::OpenStoreError;
use corestore_peer::store::{FileStore, StoreOptions, StoreStats};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct ReclaimArguments {
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: ReclaimArguments) -> Result<ExitCode, Failure> {
    let AtRest { storage, json } = arguments.at_rest;
    let reclaiming = tokio::task::spawn_blocking(move || reclaim(&storage));
    let (before, after) = reclaiming.await.map_err(|_| OpenStoreError::RuntimeEnded)??;
    let bytes = json!({ "event": "reclaim", "bytesBefore": before, "bytesAfter": after });
    Output::new(json).print(&bytes, || format!("{before} bytes before, {after} now"))?;
    Ok(ExitCode::SUCCESS)
}

/// Bytes of the store's files before and after.
fn reclaim(directory: &Path) -> Result<(u64, u64), Failure> {
    let mut options = StoreOptions::default();
    options.must_exist = true;
    let mut store = FileStore::open(directory, &options).map_err(OpenStoreError::Files)?;
    let before = bytes(store.stats()?);
    store.reclaim()?;
    let after = bytes(store.stats()?);
    store.close()?;
    Ok((before, after))
}

fn bytes(stats: StoreStats) -> u64 {
    stats.log_bytes.saturating_add(stats.tree_bytes)
}
