//! `corestore gateway`: browsers reach the swarm through it, and pinned cores stay online.

use crate::address::Address;
use crate::failure::Failure;
use crate::output::{Output, short};
use crate::read::other_keys;
use crate::stop::Stop;
use crate::swarm::{member_options, nodes_file, random_seed, secret_seed, socket_failure, swarm_folder};
use corestore_core::crypto::{KeyPair, blake2b};
use corestore_peer::gateway::{Gateway, GatewayOptions, Limits, LogEvent};
use corestore_peer::swarm::hyperswarm::JoinOptions;
use corestore_peer::swarm::{Swarm, SwarmOptions};
use corestore_peer::{CoreKey, CoreOptions, Corestore, Download, Hypercore, Options, keys};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;

#[derive(Debug, clap::Args)]
pub(crate) struct GatewayArguments {
    /// Where browsers connect; port 0 is any.
    #[arg(long, value_name = "[HOST:]PORT", default_value = "0")]
    listen: Address,
    /// Be part of the network that these nodes belong to, in place of the public one.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    bootstrap: Vec<Address>,
    /// Find peers on the local network too, as `corestore write --lan` does.
    #[arg(long)]
    lan: bool,
    /// Keep this core online, and those that its first block names; may be given several times. An encrypted core
    /// stays unreadable here.
    #[arg(long, value_name = "KEY", value_parser = core_key)]
    pin: Vec<CoreKey>,
    /// The directory of the pinned cores and of the gateway's secret seed, made when there is none. Without it cores
    /// are kept in memory, and the gateway has another key at every start.
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// The folder of the reader page, as `cargo xtask www` builds it.
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// The certificate chain (PEM), for TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Behind a proxy: take addresses from the last entry of X-Forwarded-For. Only when nobody reaches us without it.
    #[arg(long)]
    proxy: bool,
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 8192)]
    max_connections: usize,
    /// Connections at once from one address.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_per_address: usize,
    /// Bytes a second from and to one address.
    #[arg(long, value_name = "N", default_value_t = 16 << 20)]
    max_bytes: u32,
    /// Lookups and announcements a second from one address.
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_lookups: u32,
    /// Leave with status 124 after so many seconds; 0 is no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// Print one JSON object a line: the first with `url` and `port`, then what happens.
    #[arg(long)]
    json: bool,
}

/// A core that is kept.
struct Pin {
    _core: Hypercore,
    _download: Download,
}

pub(crate) async fn run(arguments: GatewayArguments) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new(arguments.timeout)?;
    let output = Output::new(arguments.json);
    let (store, seed) = open(&arguments).await?;
    // A name of its own: the store's key pair is seen by those who dial it.
    let identity = blake2b(&[b"gateway", &seed]).0;
    let mut member = member_options(&arguments.bootstrap, arguments.lan).await?;
    member.nodes_file = arguments.storage.as_deref().map(|storage| nodes_file(storage, &member.node.bootstrap));
    // What a browser does not read waits here as well, for each of its streams.
    member.udx.receive_window = STREAM_WINDOW;
    let local_network = arguments.lan;
    let options = SwarmOptions { member, identity: Some(identity), local_network, ..SwarmOptions::default() };
    let (swarm, connections) = Swarm::start(options).map_err(socket_failure)?;
    connections.replicate(store.clone());
    let (sender, mut events) = mpsc::channel(EVENTS);
    let started =
        Gateway::start(store.clone(), swarm.clone(), KeyPair::from_seed(&identity), options_of(&arguments, sender));
    let gateway = started.await.map_err(|error| Failure::sentence(error.to_string()))?;
    let (url, port, key) = (gateway.url(), gateway.local_addr().port(), swarm.public_key().to_string());
    output.print(&json!({ "url": url, "port": port, "publicKey": key }), || format!("gateway at {url}"))?;
    let pins = tokio::spawn(pin(store.clone(), swarm.clone(), arguments.pin.clone()));
    let code = loop {
        tokio::select! {
            code = stop.wait() => break code,
            event = events.recv() => match event {
                Some(event) => {
                    let (json, text) = shown(&event);
                    output.print(&json, || text)?;
                }
                None => break stop.wait().await,
            },
        }
    };
    gateway.shutdown().await;
    pins.abort();
    swarm.close().await;
    store.close().await?;
    Ok(code)
}

/// The store, and the seed of the gateway's keys: the one that its directory keeps, or a fresh one.
async fn open(arguments: &GatewayArguments) -> Result<(Corestore, [u8; 32]), Failure> {
    let most = arguments.max_connections.saturating_add(SWARM_CONNECTIONS);
    let options = Options::default().max_connections(most);
    let Some(directory) = &arguments.storage else {
        let seed = random_seed()?;
        return Ok((Corestore::in_memory(&options.identity(seed))?, seed));
    };
    let folder = swarm_folder(directory);
    std::fs::create_dir_all(&folder).map_err(|error| Failure::sentence(format!("{}: {error}", folder.display())))?;
    let seed = secret_seed(&folder.join("gateway.seed"))?;
    Ok((Corestore::open(directory, options.identity(seed)).await?, seed))
}

fn options_of(arguments: &GatewayArguments, events: mpsc::Sender<LogEvent>) -> GatewayOptions {
    let limits = Limits {
        connections: arguments.max_connections,
        connections_per_address: arguments.max_per_address,
        sockets: arguments.max_connections.saturating_mul(2),
        bytes: arguments.max_bytes,
        lookups: arguments.max_lookups,
        ..Limits::default()
    };
    GatewayOptions {
        listen: arguments.listen.to_string(),
        page: arguments.page.clone(),
        tls: arguments.tls_cert.clone().zip(arguments.tls_key.clone()),
        proxy: arguments.proxy,
        limits,
        // A log that nobody takes is not waited for.
        log: Arc::new(move |event| {
            let _ = events.try_send(event);
        }),
    }
}

/// Keeps cores, and those that their first blocks name; for as long as it runs.
async fn pin(store: Corestore, swarm: Swarm, first: Vec<CoreKey>) {
    let mut kept: Vec<Pin> = Vec::new();
    let mut known: Vec<CoreKey> = Vec::new();
    let (sender, mut named) = mpsc::channel(PINS);
    for key in &first {
        let _ = sender.try_send(*key);
    }
    while let Some(key) = named.recv().await {
        if known.contains(&key) || known.len() >= PINS {
            continue;
        }
        known.push(key);
        let Ok(core) = store.get(CoreOptions::key(key)).await else { continue };
        // The others come over the same streams: only the first is announced.
        if first.contains(&key) {
            swarm.join(core.discovery_key(), JoinOptions::default());
        }
        kept.push(Pin { _download: core.download(0..), _core: core.clone() });
        let sender = sender.clone();
        tokio::spawn(async move {
            // The first block of an encrypted core names nobody we could understand.
            if let Ok(block) = core.get(0).await {
                for key in other_keys(&block).unwrap_or_default() {
                    let _ = sender.try_send(key);
                }
            }
        });
    }
    drop(kept);
}

fn shown(event: &LogEvent) -> (Value, String) {
    match event {
        LogEvent::Connected { connection, address, key } => (
            json!({ "event": "connected", "connection": connection, "address": address.to_string(), "key": key.to_string() }),
            format!("{address} connected as {} (connection {connection})", short(&key.0)),
        ),
        LogEvent::Disconnected { connection, address, reason, lasted, from_browser, to_browser } => (
            json!({
                "event": "disconnected", "connection": connection, "address": address.to_string(), "reason": reason,
                "seconds": lasted.as_secs(), "fromBrowser": from_browser, "toBrowser": to_browser,
            }),
            format!("connection {connection} is over: {reason}"),
        ),
        LogEvent::Refused { address, reason } => (
            json!({ "event": "refused", "address": address.to_string(), "reason": reason.to_string() }),
            format!("{address} was not let in: {reason}"),
        ),
        _ => (json!({ "event": "other" }), String::new()),
    }
}

fn core_key(text: &str) -> Result<CoreKey, keys::NotAKey> {
    keys::parse_core_key(text)
}

/// Bytes of one stream that wait to be carried on.
const STREAM_WINDOW: u32 = 512 << 10;
/// Log lines that wait to be printed.
const EVENTS: usize = 1024;
/// Cores kept at most.
const PINS: usize = 4096;
/// Connections of the swarm beside browsers.
const SWARM_CONNECTIONS: usize = 1024;
