//! `corestore cat`: a core's stored blocks.

use crate::failure::Failure;
use crate::follow::sentence;
use crate::output::Output;
use crate::selection::{AtRest, Secret, look_into, open_core, secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use corestore_peer::GetOptions;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct CatArguments {
    /// The core: its local name, key or discovery key.
    core: String,
    #[command(flatten)]
    at_rest: AtRest,
    /// First block.
    #[arg(long, value_name = "N", default_value_t = 0)]
    start: u64,
    /// First block past the range; the length unless given.
    #[arg(long, value_name = "N")]
    end: Option<u64>,
    /// The core's encryption key of 32 bytes, in hex or z-base-32.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    encryption_key: Option<Secret>,
    /// Put no newline after each block.
    #[arg(long)]
    raw: bool,
}

pub(crate) async fn run(arguments: CatArguments) -> Result<ExitCode, Failure> {
    let store = look_into(&arguments.at_rest.storage).await?;
    let output = Output::new(arguments.at_rest.json);
    let core = open_core(&store, &arguments.core, arguments.encryption_key.as_ref()).await?;
    let end = arguments.end.unwrap_or_else(|| core.length());
    let (key, fork) = (core.key().to_string(), core.fork());
    let mut missing = 0_u64;
    for seq in arguments.start..end {
        let stored = GetOptions { wait: false, ..GetOptions::default() };
        match core.get_with(seq, stored).await.map_err(sentence)? {
            None => missing = missing.saturating_add(1),
            Some(block) if output.is_json() => {
                let json = json!({ "core": key, "seq": seq, "value": BASE64.encode(&block), "fork": fork });
                output.print(&json, String::new)?;
            }
            Some(block) => {
                let mut bytes = block.to_vec();
                bytes.extend((!arguments.raw).then_some(b'\n'));
                output.raw(&bytes)?;
            }
        }
    }
    store.close().await?;
    if missing > 0 {
        return Err(Failure::sentence(format!("{missing} blocks of that range are not stored here")));
    }
    Ok(ExitCode::SUCCESS)
}
