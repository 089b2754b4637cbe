//! `corestore backup`: a copy of a store, also of one in use.

use crate::failure::Failure;
use crate::output::Output;
use crate::selection::AtRest;
use corestore_peer::OpenStoreError;
use corestore_peer::store::{BackupFiles, backup};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArguments {
    /// A new or empty directory.
    directory: PathBuf,
    /// Share files that never change again by hard links: at once and without room, but damage to one is damage to both.
    #[arg(long)]
    link: bool,
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: BackupArguments) -> Result<ExitCode, Failure> {
    let output = Output::new(arguments.at_rest.json);
    let files = if arguments.link { BackupFiles::Linked } else { BackupFiles::Copied };
    let (from, to) = (arguments.at_rest.storage, arguments.directory);
    let taking = tokio::task::spawn_blocking(move || backup(&from, &to, files));
    let backup = taking
        .await
        .map_err(|_| OpenStoreError::RuntimeEnded)?
        .map_err(|error| Failure::sentence(error.to_string()))?;
    for place in &backup.report.damaged {
        let json = json!({ "event": "damaged", "file": place.file, "offset": place.offset, "what": place.what });
        output.print(&json, || format!("{} is damaged at byte {}: {}", place.file, place.offset, place.what))?;
    }
    let (whole, blocks, bytes) = (backup.report.is_whole(), backup.report.blocks, backup.copied_bytes);
    let linked = backup.linked_files;
    let json =
        json!({ "event": "backup", "whole": whole, "blocks": blocks, "copiedBytes": bytes, "linkedFiles": linked });
    output.print(&json, || {
        let state = if whole { "whole" } else { "DAMAGED, as the store is" };
        format!("{state}: {blocks} blocks; {bytes} bytes copied, {linked} files linked")
    })?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
