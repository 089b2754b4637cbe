//! `corestore append`: blocks onto a core of a store at rest.

use crate::failure::Failure;
use crate::input::{Input, Mode};
use crate::output::Output;
use crate::selection::{AtRest, Durable, Secret, find, secret};
use bytes::Bytes;
use corestore_peer::{CoreOptions, Corestore, Hypercore, keys};
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct AppendArguments {
    /// The core: its local name, key or discovery key. A name that is new makes a new core.
    core: String,
    /// The blocks; the lines of standard input when none are given.
    blocks: Vec<String>,
    #[command(flatten)]
    at_rest: AtRest,
    #[command(flatten)]
    durable: Durable,
    /// The core's encryption key of 32 bytes, in hex or z-base-32.
    #[arg(long, value_name = "KEY", value_parser = secret)]
    encryption_key: Option<Secret>,
    /// What becomes of standard input.
    #[arg(long, value_enum, default_value_t = Mode::Line)]
    stdin: Mode,
}

pub(crate) async fn run(arguments: AppendArguments) -> Result<ExitCode, Failure> {
    let store = Corestore::open(&arguments.at_rest.storage, arguments.durable.options()).await?;
    let output = Output::new(arguments.at_rest.json);
    let core = open(&store, &arguments).await?;
    if arguments.blocks.is_empty() {
        let mut input = Input::start(arguments.stdin);
        while let Some(blocks) = input.next().await {
            append(&core, blocks, output).await?;
        }
    } else {
        let blocks = arguments.blocks.into_iter().map(Bytes::from).collect();
        append(&core, blocks, output).await?;
    }
    store.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn open(store: &Corestore, arguments: &AppendArguments) -> Result<Hypercore, Failure> {
    let key = arguments.encryption_key.as_ref().map(|secret| secret.0);
    let options = match find(store, &arguments.core).await? {
        Some(discovery_key) => CoreOptions::discovery_key(discovery_key),
        None if keys::parse(&arguments.core).is_ok() => {
            return Err(Failure::sentence(format!("no core {} in this store", arguments.core)));
        }
        None => CoreOptions::name(arguments.core.clone()),
    };
    Ok(store.get(options.encryption_key(key)).await?)
}

async fn append(core: &Hypercore, blocks: Vec<Bytes>, output: Output) -> Result<(), Failure> {
    let count = blocks.len();
    let length = core.append_batch(blocks).await?.length;
    let json = json!({ "event": "append", "key": core.key().to_string(), "blocks": count, "length": length });
    output.print(&json, || format!("{count} blocks stored; {length} in all"))
}
