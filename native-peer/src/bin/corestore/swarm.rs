//! The swarm as commands use it: nodes to begin with, a private network of them, and what it knows.

use crate::address::Address;
use crate::failure::Failure;
use crate::output::Output;
use crate::stop::Stop;
use corestore_core::crypto::{KeyPair, PublicKey, blake2b};
use corestore_peer::swarm::blind_relay;
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperdht::BOOTSTRAP_NODES;
use corestore_peer::swarm::hyperswarm::JoinOptions;
use corestore_peer::swarm::member::{Member, MemberOptions};
use corestore_peer::swarm::relay_server::RelayServer;
use corestore_peer::swarm::{Swarm, SwarmOptions};
use corestore_peer::{Corestore, DiscoveryKey, keys};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::oneshot;

/// Arguments of commands that find peers by the swarm.
#[derive(Debug, clap::Args)]
pub(crate) struct SwarmArguments {
    /// Find peers on the network that these nodes belong to, in place of the public one.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    bootstrap: Vec<Address>,
    /// Find no peers by the swarm; nothing is sent to anybody but by --tcp, --ws and --lan.
    #[arg(long, conflicts_with_all = ["bootstrap", "relay"])]
    no_swarm: bool,
    /// Find peers on the local network too, without the internet; alone with --no-swarm. Who listens there learns that
    /// we are in some topic, and in which one if he knows its key.
    #[arg(long)]
    lan: bool,
    /// The key of a blind relay, for peers that cannot be reached directly.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    relay: Option<PublicKey>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TestnetArguments {
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    nodes: u16,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NodeArguments {
    /// The address by which others reach the node.
    #[arg(long, value_name = "ADDRESS")]
    host: Ipv4Addr,
    /// Its UDP port.
    #[arg(long, value_name = "PORT", default_value_t = 49_737)]
    port: u16,
    /// Nodes of the network to become part of; without them the node begins one.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    bootstrap: Vec<Address>,
    /// Be a blind relay too, for peers that cannot reach each other directly. The file holds its secret seed, in hex;
    /// it is made when there is none.
    #[arg(long, value_name = "FILE")]
    relay: Option<PathBuf>,
    /// Bytes a second that one key may send through the relay.
    #[arg(long, value_name = "N", default_value_t = 16 << 20, requires = "relay")]
    max_bytes: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl SwarmArguments {
    /// A swarm is to be joined.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.no_swarm || self.lan
    }

    /// The network is one that the user named: its nodes answer at once, or never.
    pub(crate) fn is_private(&self) -> bool {
        self.is_wanted() && !self.bootstrap.is_empty()
    }

    /// Joins a core's topic, if that is wanted, and replicates with whoever is found. Holding the swarm keeps it.
    pub(crate) async fn join(
        &self,
        store: &Corestore,
        core: DiscoveryKey,
        storage: &Path,
    ) -> Result<Option<Swarm>, Failure> {
        if !self.is_wanted() {
            return Ok(None);
        }
        let mut member = match self.no_swarm {
            true => MemberOptions::default(),
            false => member_options(&self.bootstrap, self.lan).await?,
        };
        if !self.no_swarm {
            member.nodes_file = Some(nodes_file(storage, &member.node.bootstrap));
        }
        let options =
            SwarmOptions { member, relay_through: self.relay, local_network: self.lan, ..SwarmOptions::default() };
        let (swarm, connections) = Swarm::start(options).map_err(socket_failure)?;
        connections.replicate(store.clone());
        swarm.join(core, JoinOptions::default());
        Ok(Some(swarm))
    }
}

/// `corestore testnet`: a private DHT on this machine, until standard input ends or a signal comes.
pub(crate) async fn testnet(arguments: TestnetArguments) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new(0)?;
    let mut nodes = Vec::new();
    let mut addresses: Vec<SocketAddrV4> = Vec::new();
    for _ in 0..arguments.nodes {
        let port = free_port().map_err(socket_failure)?;
        let first = addresses.first().copied().into_iter().collect();
        let node = start_node(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), Ipv4Addr::LOCALHOST, first).await?;
        addresses.push(SocketAddrV4::new(Ipv4Addr::LOCALHOST, node.port()));
        nodes.push(node);
    }
    introduce(Output::new(arguments.json), &addresses, None)?;
    let code = tokio::select! {
        code = stop.wait() => code,
        () = end_of_input() => ExitCode::SUCCESS,
    };
    drop(nodes);
    Ok(code)
}

/// `corestore node`: one lasting node, until a signal comes.
pub(crate) async fn node(arguments: NodeArguments) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new(0)?;
    let address = SocketAddrV4::new(arguments.host, arguments.port);
    let bind = if arguments.host.is_loopback() { arguments.host } else { Ipv4Addr::UNSPECIFIED };
    let node = start_node(address, bind, resolve(&arguments.bootstrap).await?).await?;
    let relay = match &arguments.relay {
        Some(file) => {
            let config = blind_relay::Config { max_bytes_per_key: arguments.max_bytes, ..Default::default() };
            RelayServer::start(&node, &KeyPair::from_seed(&secret_seed(file)?), config)
        }
        None => None,
    };
    let address = SocketAddrV4::new(arguments.host, node.port());
    introduce(Output::new(arguments.json), &[address], relay.as_ref().map(RelayServer::public_key))?;
    Ok(stop.wait().await)
}

async fn start_node(address: SocketAddrV4, bind: Ipv4Addr, bootstrap: Vec<SocketAddrV4>) -> Result<Member, Failure> {
    let node = Config { bootstrap, ..Config::bootstrapper(address) };
    let options = MemberOptions { host: bind, port: address.port(), node, ..MemberOptions::default() };
    let member = Member::start(options, random_seed()?).map_err(socket_failure)?;
    if member.port() != address.port() {
        return Err(Failure::sentence(format!("UDP port {} is taken; give another by --port", address.port())));
    }
    member.bootstrapped().await;
    Ok(member)
}

/// The seed in a file that only its owner reads; a file with a fresh one when there is none.
pub(crate) fn secret_seed(file: &Path) -> Result<[u8; 32], Failure> {
    let name = file.display();
    let failure = |error: std::io::Error| Failure::sentence(format!("cannot use {name}: {error}"));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(mut made) => {
            let seed = random_seed()?;
            made.write_all(hex::encode(seed).as_bytes()).and_then(|()| made.sync_all()).map_err(failure)?;
            Ok(seed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut text = String::new();
            File::open(file).and_then(|file| file.take(1024).read_to_string(&mut text)).map_err(failure)?;
            let mut seed = [0; 32];
            match hex::decode_to_slice(text.trim(), &mut seed) {
                Ok(()) => Ok(seed),
                Err(_) => Err(Failure::sentence(format!("{name} holds no seed; it takes 64 digits of hex"))),
            }
        }
        Err(error) => Err(failure(error)),
    }
}

pub(crate) fn random_seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::sentence(format!("no random bytes: {error}")))?;
    Ok(seed)
}

fn introduce(output: Output, addresses: &[SocketAddrV4], relay: Option<PublicKey>) -> Result<(), Failure> {
    let json = |at: &SocketAddrV4| json!({ "host": at.ip().to_string(), "port": at.port() });
    let bootstrap: Vec<Value> = addresses.iter().map(json).collect();
    let mut json = json!({ "bootstrap": bootstrap });
    if let (Some(key), Some(json)) = (relay, json.as_object_mut()) {
        json.insert("relay".to_owned(), key.to_string().into());
    }
    output.print(&json, || {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let relay = relay.map(|key| format!(" --relay {key}")).unwrap_or_default();
        format!("--bootstrap {}{relay}", texts.join(","))
    })
}

/// A member of the network of these nodes; of the public one when there are none. `lan`: peers on the local network
/// reach it too.
pub(crate) async fn member_options(bootstrap: &[Address], lan: bool) -> Result<MemberOptions, Failure> {
    let bootstrap = if bootstrap.is_empty() { BOOTSTRAP_NODES.to_vec() } else { resolve(bootstrap).await? };
    // A network on this machine is reached from this machine only.
    let local = !lan && bootstrap.iter().all(|address| address.ip().is_loopback());
    let host = if local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    Ok(MemberOptions { host, node: Config { bootstrap, ..Config::default() }, ..MemberOptions::default() })
}

async fn resolve(addresses: &[Address]) -> Result<Vec<SocketAddrV4>, Failure> {
    let mut resolved = Vec::new();
    for address in addresses {
        let text = address.to_string();
        let found = tokio::net::lookup_host(&text).await;
        let found = found.map_err(|error| Failure::sentence(format!("cannot find node {text}: {error}")))?;
        let before = resolved.len();
        resolved.extend(found.filter_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        }));
        if resolved.len() == before {
            return Err(Failure::sentence(format!("node {text} has no IPv4 address; the DHT speaks IPv4 only")));
        }
    }
    Ok(resolved)
}

/// Where the nodes of a network are kept for the next start.
pub(crate) fn nodes_file(storage: &Path, bootstrap: &[SocketAddrV4]) -> PathBuf {
    swarm_folder(storage).join(network_name(bootstrap))
}

/// What a store's directory holds for the swarm.
pub(crate) fn swarm_folder(storage: &Path) -> PathBuf {
    storage.join("swarm")
}

/// Nodes of one network are none of another.
fn network_name(bootstrap: &[SocketAddrV4]) -> String {
    let mut texts: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
    texts.sort();
    let [a, b, c, d, ..] = blake2b(&[texts.join(",").as_bytes()]).0;
    format!("nodes-{}", hex::encode([a, b, c, d]))
}

fn public_key(text: &str) -> Result<PublicKey, keys::NotAKey> {
    keys::parse(text).map(PublicKey)
}

fn free_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A thread of its own waits: one of the runtime's would keep the program.
async fn end_of_input() {
    let (sender, over) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(sender);
    });
    let _ = over.await;
}

pub(crate) fn socket_failure(error: std::io::Error) -> Failure {
    Failure::sentence(format!("cannot open a UDP socket: {error}"))
}
