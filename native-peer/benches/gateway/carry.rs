//! Megabytes from a peer: directly, by a gateway, by a blind relay; in turns.

use crate::far::ASK;
use crate::process::{Process, Usage, usage};
use crate::relay_client::RelayClient;
use bytes::Bytes;
use corestore_core::crypto::{KeyPair, PublicKey};
use corestore_core::dht::DhtRelayMessage as Message;
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperdht::{ConnectSettings, Path};
use corestore_peer::swarm::member::{Member, MemberOptions};
use corestore_peer::swarm::wire::Wire;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Who pours, and who carries.
pub(crate) struct Carriers {
    pub(crate) nodes: String,
    /// A peer that can be reached directly, and one that cannot.
    pub(crate) peers: [PublicKey; 2],
    pub(crate) gateway: (SocketAddr, u32),
}

pub(crate) async fn measure(carriers: &Carriers, megabytes: u64, rounds: usize) {
    let folder = std::env::temp_dir().join(format!("corestore-carry-{}", std::process::id()));
    let relay = relay(&carriers.nodes, &folder);
    let key = PublicKey(corestore_peer::keys::parse(relay.first["relay"].as_str().unwrap()).unwrap());
    let member = member(&carriers.nodes).await;
    let [open, hidden] = carriers.peers;
    for _ in 0..rounds {
        let settings = ConnectSettings::default();
        let wire = member.connect(&pair(1), open, settings).await.unwrap();
        assert_ne!(wire.path, Path::Relayed);
        told("directly", None, drink(wire, megabytes)).await;

        let client = RelayClient::connect(carriers.gateway.0, Ipv4Addr::LOCALHOST, pair(2)).await.unwrap();
        told("by a gateway", Some(carriers.gateway.1), sip(client, open, megabytes)).await;

        let settings = ConnectSettings { local: false, relay_through: Some(key), ..ConnectSettings::default() };
        let wire = member.connect(&pair(3), hidden, settings).await.unwrap();
        assert_eq!(wire.path, Path::Relayed);
        told("by a blind relay", Some(relay.id()), drink(wire, megabytes)).await;
    }
    drop(relay);
    let _ = std::fs::remove_file(folder);
}

fn relay(nodes: &str, seed: &std::path::Path) -> Process {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_corestore"));
    command.args(["node", "--host", "127.0.0.1", "--port", &port, "--bootstrap", nodes, "--json"]);
    command.args(["--max-bytes", &u32::MAX.to_string(), "--relay"]).arg(seed);
    Process::start(command)
}

/// One that takes itself to be behind a NAT.
async fn member(nodes: &str) -> Member {
    let bootstrap = nodes.split(',').map(|node| node.parse().unwrap()).collect();
    let node = Config { bootstrap, quick_check: false, ..Config::default() };
    let options = MemberOptions { host: Ipv4Addr::LOCALHOST, port: 0, node, ..MemberOptions::default() };
    let member = Member::start(options, [78; 32]).unwrap();
    member.bootstrapped().await;
    member
}

async fn drink(mut wire: Wire, megabytes: u64) -> u64 {
    wire.write_all(&[&[ASK][..], &(megabytes * 1_000_000).to_le_bytes()].concat()).await.unwrap();
    tokio::io::copy(&mut wire.take(megabytes * 1_000_000), &mut tokio::io::sink()).await.unwrap()
}

async fn sip(mut client: RelayClient, peer: PublicKey, megabytes: u64) -> u64 {
    let stream = client.open(peer).await.unwrap();
    let asked = Bytes::from([&[ASK][..], &(megabytes * 1_000_000).to_le_bytes()].concat());
    client.send(&Message::Data { alias: stream.ours, data: vec![asked] }).await.unwrap();
    let mut read = 0;
    while read < megabytes * 1_000_000 {
        if let Message::Data { data, .. } = client.hear().await.unwrap() {
            read += data.iter().map(|chunk| u64::try_from(chunk.len()).unwrap()).sum::<u64>();
        }
    }
    read
}

async fn told(way: &str, carrier: Option<u32>, carried: impl Future<Output = u64>) {
    let used = || carrier.map(usage).unwrap_or_default();
    let (before, begun): (Usage, _) = (used(), Instant::now());
    let bytes = carried.await;
    let (seconds, cpu): (f64, Duration) = (begun.elapsed().as_secs_f64(), used().cpu - before.cpu);
    let megabytes = bytes as f64 / 1e6;
    let cost = carrier.map(|_| cpu.as_secs_f64() * 1000.0 / megabytes);
    let cost = cost.map(|cost| format!("; {cost:.2} ms of a core for each MB at who carries it")).unwrap_or_default();
    println!("{way}: {:.0} MB/s{cost}", megabytes / seconds);
}

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}
