//! The same replication through a swarm: a private DHT, its connections over UDX.

use crate::data::{check, sample};
use crate::job::{Failure, Job, tree_hash};
use clap::{Args, ValueEnum};
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperswarm::JoinOptions;
use corestore_peer::swarm::member::MemberOptions;
use corestore_peer::swarm::{Connections, Swarm, SwarmOptions};
use corestore_peer::{CoreKey, Corestore, GetOptions, Options, keys};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Instant;
use tokio::sync::oneshot;

#[derive(Debug, Args)]
pub(crate) struct SwarmArguments {
    #[arg(long)]
    role: Role,
    #[arg(long)]
    storage: PathBuf,
    /// Nodes of the DHT, all on this machine.
    #[arg(long, value_delimiter = ',')]
    bootstrap: Vec<SocketAddrV4>,
    #[arg(long, value_parser = keys::parse_core_key)]
    key: Option<CoreKey>,
    /// Blocks in the core.
    #[arg(long, default_value_t = 0)]
    length: u64,
    /// Bytes.
    #[arg(long, default_value_t = 1024)]
    block_size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Announce a stored core and serve it.
    Serve,
    /// From `go` on: join, get block 0, then everything else.
    Fetch,
}

pub(crate) async fn run(arguments: SwarmArguments, job: Job) -> Result<(), Failure> {
    let store = Corestore::open(&arguments.storage, Options::default()).await?;
    match arguments.role {
        Role::Serve => serve(&store, arguments, job).await,
        Role::Fetch => fetch(&store, arguments, job).await,
    }
}

async fn serve(store: &Corestore, arguments: SwarmArguments, job: Job) -> Result<(), Failure> {
    let core = store.get("log").await?;
    let (swarm, connections) = start(arguments.bootstrap)?;
    connections.replicate(store.clone());
    swarm.join(core.discovery_key(), JoinOptions { client: false, ..JoinOptions::default() });
    swarm.flush().await;
    let ready = json!({ "key": core.key().to_string(), "length": core.length(), "treeHash": tree_hash(&core) });
    job.ready(ready).await?;
    job.end().await;
    swarm.close().await;
    Ok(())
}

async fn fetch(store: &Corestore, arguments: SwarmArguments, job: Job) -> Result<(), Failure> {
    let SwarmArguments { key, length, block_size, bootstrap, .. } = arguments;
    let core = store.get(key.ok_or("--key is missing")?).await?;
    job.ready(json!({})).await?;

    let start = Instant::now();
    let (swarm, connections) = self::start(bootstrap)?;
    let connected = replicate(store.clone(), connections);
    swarm.join(core.discovery_key(), JoinOptions { server: false, ..JoinOptions::default() });
    let block = core.get(0).await?;
    let first = start.elapsed();
    core.download(0..length).done().await?;
    let done = start.elapsed();
    let connected = connected.await?.saturating_duration_since(start);

    check(&block, 0, block_size)?;
    if core.contiguous_length() != length {
        return Err(format!("not all blocks are here: {}", core.contiguous_length()).into());
    }
    let options = GetOptions { wait: false, ..GetOptions::default() };
    for index in sample(length, CHECKED, 1) {
        let block = core.get_with(index, options).await?.ok_or_else(|| format!("block {index} is not stored"))?;
        check(&block, index, block_size)?;
    }
    let result = json!({
        "seconds": done.saturating_sub(first).as_secs_f64(),
        "connected_s": connected.as_secs_f64(), "first_s": first.as_secs_f64(),
        "length": core.length(), "treeHash": tree_hash(&core),
    });
    swarm.close().await;
    job.result(result).await
}

fn start(bootstrap: Vec<SocketAddrV4>) -> Result<(Swarm, Connections), Failure> {
    let node = Config { bootstrap, ..Config::default() };
    let member = MemberOptions { host: Ipv4Addr::LOCALHOST, node, ..MemberOptions::default() };
    Ok(Swarm::start(SwarmOptions { member, ..SwarmOptions::default() })?)
}

/// Replicates over every connection; tells when the first came about.
fn replicate(store: Corestore, mut connections: Connections) -> oneshot::Receiver<Instant> {
    let (told, first) = oneshot::channel();
    tokio::spawn(async move {
        let mut told = Some(told);
        while let Some(connection) = connections.next().await {
            if let Some(told) = told.take() {
                // Whoever asked may have failed meanwhile.
                let _ = told.send(Instant::now());
            }
            if store.replicate_wire(connection.wire).is_err() {
                return;
            }
        }
    });
    first
}

/// Blocks compared after a download.
const CHECKED: u64 = 2000;
