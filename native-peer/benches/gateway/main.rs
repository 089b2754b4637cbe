//! A gateway under load: `cargo bench -p corestore-peer --bench gateway [-- IDLE ACTIVE SECONDS]`.
//!
//! A private network and a peer that sends everything back run here, `corestore gateway` runs in a process of its own.
//! Idle clients have said who they are and answer pings; active ones send 256 bytes to the peer five times a second and
//! wait for them. Then rude clients join: garbage, a flood, one that does not read. Printed: memory and CPU of the
//! gateway's process, and how long an answer takes.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement may fail loudly"
)]

mod process;
#[path = "../../tests/relay_client/mod.rs"]
mod relay_client;

use bytes::Bytes;
use corestore_core::crypto::{KeyPair, PublicKey, blake2b};
use corestore_core::dht::DhtRelayMessage as Message;
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperdht::ServerSettings;
use corestore_peer::swarm::member::{Member, MemberOptions};
use futures_util::SinkExt;
use futures_util::stream::{self, StreamExt};
use process::GatewayProcess;
use relay_client::RelayClient;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message as Frame;

type Times = Arc<Mutex<Vec<Duration>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo bench` and `cargo test --benches` add arguments of their own.
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let of = |at: usize, usual: usize| numbers.get(at).copied().unwrap_or(usual);
    if std::env::args().any(|text| text == "--test") {
        return;
    }
    let (idle, active, seconds) = (of(0, 500), of(1, 50), u64::try_from(of(2, 10)).unwrap());
    let nodes = network().await;
    let peer = echo_peer(&nodes).await;
    let gateway = GatewayProcess::start(&nodes);
    let empty = gateway.usage();
    println!("empty: {} KiB", empty.memory);

    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for client in connect(gateway.address, 0..idle).await {
        tasks.spawn(keep(client));
    }
    println!("{idle} idle clients came in {:.1} s", begun.elapsed().as_secs_f64());
    let usage = window(&gateway, "idle", idle, seconds, None).await;
    println!("  {:.1} KiB for each idle client", (usage.memory - empty.memory) as f64 / idle.max(1) as f64);

    let begun = Instant::now();
    let times = Times::default();
    for client in connect(gateway.address, idle..idle + active).await {
        tasks.spawn(work(client, peer, Arc::clone(&times)));
    }
    // The last streams are made.
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("{active} active clients came in {:.1} s", begun.elapsed().as_secs_f64());
    window(&gateway, "idle and active", idle + active, seconds, Some(&times)).await;

    let before = gateway.figure("faults_total");
    tasks.spawn(garbage(gateway.address));
    tasks.spawn(flood(gateway.address, peer));
    tasks.spawn(slow(gateway.address, peer));
    window(&gateway, "with rude clients", idle + active, seconds, Some(&times)).await;
    println!("  faults: {}", gateway.figure("faults_total") - before);
    println!("  connections: {}, streams: {}", gateway.figure("connections"), gateway.figure("streams"));
    tasks.shutdown().await;
}

/// Waits, and tells what the gateway used meanwhile.
async fn window(
    gateway: &GatewayProcess,
    name: &str,
    clients: usize,
    seconds: u64,
    times: Option<&Times>,
) -> process::Usage {
    times.into_iter().for_each(|times| times.lock().unwrap().clear());
    let (before, begun) = (gateway.usage(), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = gateway.usage();
    let cpu = (after.cpu - before.cpu).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    println!("{name}: {clients} clients, {} KiB, {cpu:.1} % of a core", after.memory);
    if let Some(times) = times {
        let mut times = times.lock().unwrap().clone();
        times.sort_unstable();
        let at = |percent| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        let last = times.last().copied().unwrap_or_default();
        println!("  {} answers; half in {:?}, 99 of 100 in {:?}, all in {last:?}", times.len(), at(50), at(99));
    }
    after
}

async fn network() -> Vec<SocketAddrV4> {
    let mut nodes: Vec<SocketAddrV4> = Vec::new();
    for number in 0..4_u8 {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let node = Config { bootstrap: nodes.first().copied().into_iter().collect(), ..Config::bootstrapper(address) };
        let options = MemberOptions { host: Ipv4Addr::LOCALHOST, port, node, ..MemberOptions::default() };
        let member = Member::start(options, [number; 32]).unwrap();
        member.bootstrapped().await;
        nodes.push(address);
        // They run as long as the process.
        std::mem::forget(member);
    }
    nodes
}

async fn echo_peer(nodes: &[SocketAddrV4]) -> PublicKey {
    let node = Config { bootstrap: nodes.to_vec(), ..Config::default() };
    let options = MemberOptions { host: Ipv4Addr::LOCALHOST, node, ..MemberOptions::default() };
    let member = Member::start(options, [77; 32]).unwrap();
    member.bootstrapped().await;
    let pair = KeyPair::from_seed(&[7; 32]);
    let mut listener = member.listen(&pair, ServerSettings::default()).unwrap();
    tokio::spawn(async move {
        let _member = member;
        while let Some(wire) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(wire);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    pair.public_key()
}

/// Each address has its fair share of clients.
fn home(number: usize) -> Ipv4Addr {
    let house = u32::try_from(number / 60).unwrap();
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + house)
}

fn pair(number: usize) -> KeyPair {
    KeyPair::from_seed(&blake2b(&[&number.to_le_bytes()]).0)
}

async fn connect(to: SocketAddr, numbers: std::ops::Range<usize>) -> Vec<RelayClient> {
    let one = |number| async move {
        for _ in 0..50 {
            match RelayClient::connect(to, home(number), pair(number)).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        panic!("client {number} was not let in");
    };
    stream::iter(numbers).map(one).buffer_unordered(64).collect().await
}

async fn keep(mut client: RelayClient) {
    while client.hear().await.is_ok() {}
}

async fn work(mut client: RelayClient, peer: PublicKey, times: Times) {
    let stream = client.open(peer).await.unwrap();
    loop {
        let begun = Instant::now();
        client.echo(&stream, Bytes::from_static(&[5; 256])).await.unwrap();
        times.lock().unwrap().push(begun.elapsed());
        let rest = Duration::from_millis(200).saturating_sub(begun.elapsed());
        let _ = tokio::time::timeout(rest, client.hear()).await;
    }
}

/// Sends noise, again and again.
async fn garbage(to: SocketAddr) {
    for number in 0..10_000_usize {
        if let Ok(mut client) = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 1), pair(number)).await {
            // On the channel, as a `noiseReply` that ends early.
            let noise = Bytes::from([&[1, 27], &blake2b(&[&number.to_le_bytes()]).0[..]].concat());
            let _ = client.socket.send(Frame::Binary(noise)).await;
            let _ = client.hear().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends as much as it can, and reads nothing of what comes back.
async fn flood(to: SocketAddr, peer: PublicKey) {
    let mut client = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 2), pair(1)).await.unwrap();
    let stream = client.open(peer).await.unwrap();
    let bytes = Bytes::from(vec![1; 64 << 10]);
    while client.send(&Message::Data { alias: stream.ours, data: vec![bytes.clone()] }).await.is_ok() {
        let _ = tokio::time::timeout(Duration::from_millis(1), client.hear()).await;
    }
}

/// Asks for much, and reads nothing.
async fn slow(to: SocketAddr, peer: PublicKey) {
    let mut client = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 3), pair(2)).await.unwrap();
    let stream = client.open(peer).await.unwrap();
    let bytes = Bytes::from(vec![1; 64 << 10]);
    while client.send(&Message::Data { alias: stream.ours, data: vec![bytes.clone()] }).await.is_ok() {}
}
