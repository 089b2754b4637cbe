//! Members on loopback that meet at a blind relay of ours, leave it for a direct way, and survive relays that lie.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use bytes::Bytes;
use corestore_core::crypto::KeyPair;
use corestore_core::dht::Pair;
use corestore_core::entropy::Entropy;
use corestore_core::time::Instant;
use corestore_peer::swarm::blind_relay::{ChannelOutput, Config, RelayChannel};
use corestore_peer::swarm::dht_rpc;
use corestore_peer::swarm::hyperdht::{ConnectError, ConnectSettings, Event, Path, ServerSettings};
use corestore_peer::swarm::member::{Member, MemberListener, MemberOptions};
use corestore_peer::swarm::relay_server::RelayServer;
use corestore_peer::swarm::wire::Wire;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("in time")
}

async fn start(mut node: dht_rpc::Config, bootstrap: &[SocketAddrV4], seed: u8) -> Member {
    node.bootstrap = bootstrap.to_vec();
    let options = MemberOptions { host: Ipv4Addr::LOCALHOST, port: 0, node, ..MemberOptions::default() };
    let member = Member::start(options, [seed; 32]).unwrap();
    within(member.bootstrapped()).await;
    member
}

/// A network of lasting nodes.
async fn network() -> (Vec<Member>, Vec<SocketAddrV4>) {
    let free = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let first = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free);
    let options = MemberOptions {
        host: Ipv4Addr::LOCALHOST,
        port: free,
        node: dht_rpc::Config::bootstrapper(first),
        ..MemberOptions::default()
    };
    let mut nodes = vec![Member::start(options, [100; 32]).unwrap()];
    for seed in 101..105 {
        let lasting = dht_rpc::Config { ephemeral: Some(false), firewalled: false, ..dht_rpc::Config::default() };
        nodes.push(start(lasting, &[first], seed).await);
    }
    (nodes, vec![first])
}

/// A member that takes itself to be behind a NAT.
async fn hidden(bootstrap: &[SocketAddrV4], seed: u8) -> Member {
    start(dht_rpc::Config { quick_check: false, ..dht_rpc::Config::default() }, bootstrap, seed).await
}

async fn listen(member: &Member, seed: u8, settings: ServerSettings) -> MemberListener {
    let mut events = member.events();
    let listener = member.listen(&pair(seed), settings).unwrap();
    within(async { while !matches!(events.recv().await.unwrap(), Event::Announced { relays: 1.., .. }) {} }).await;
    listener
}

fn no_way_in() -> ServerSettings {
    ServerSettings { holepunch: false, share_local_addresses: false, ..ServerSettings::default() }
}

fn through(relay: u8) -> ConnectSettings {
    ConnectSettings { local: false, relay_through: Some(pair(relay).public_key()), ..ConnectSettings::default() }
}

/// Gives back what it gets.
async fn echo(mut wire: Wire) {
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = wire.read(&mut buffer).await {
        if wire.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

async fn serve(mut listener: MemberListener) {
    while let Some(wire) = listener.accept().await {
        tokio::spawn(echo(wire));
    }
}

async fn exchange(wire: &mut Wire, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    within(async {
        wire.write_all(bytes).await.unwrap();
        wire.read_exact(&mut back).await.unwrap();
    })
    .await;
    assert!(back == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_meet_and_leave_nothing_behind() {
    let (nodes, bootstrap) = network().await;
    let relay = RelayServer::start(&nodes[2], &pair(9), Config::default()).unwrap();
    let (server, client) = (hidden(&bootstrap, 1).await, hidden(&bootstrap, 2).await);
    let serving = tokio::spawn(serve(listen(&server, 1, no_way_in()).await));
    let mut wire = within(client.connect(&pair(2), pair(1).public_key(), through(9))).await.unwrap();
    assert_eq!(wire.path, Path::Relayed);
    exchange(&mut wire, &vec![7; 200_000]).await;
    let stats = relay.stats();
    assert_eq!((stats.sessions, stats.joined, stats.met), (2, 1, 1));
    drop(wire);
    within(async {
        while relay.stats().sessions > 0 || relay.stats().joined > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_stream_goes_direct_and_loses_nothing() {
    let (nodes, bootstrap) = network().await;
    let relay = RelayServer::start(&nodes[2], &pair(9), Config::default()).unwrap();
    let (server, client) = (hidden(&bootstrap, 1).await, hidden(&bootstrap, 2).await);
    let settings = ServerSettings { share_local_addresses: false, ..ServerSettings::default() };
    let serving = tokio::spawn(serve(listen(&server, 1, settings).await));
    let mut events = client.events();
    let mut wire = within(client.connect(&pair(2), pair(1).public_key(), through(9))).await.unwrap();
    let at_first = wire.remote().unwrap().address;
    if wire.path == Path::Relayed {
        exchange(&mut wire, &vec![1; 100_000]).await;
        let moved = async {
            loop {
                if let Event::Connected(connected) = events.recv().await.unwrap() {
                    return connected.path;
                }
            }
        };
        assert_eq!(within(moved).await, Path::HolePunched);
        assert_ne!(wire.remote().unwrap().address, at_first);
    }
    exchange(&mut wire, &vec![2; 100_000]).await;
    // Both sides leave the relay while the stream goes on.
    within(async {
        while relay.stats().sessions > 0 {
            exchange(&mut wire, b"still here").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    drop(relay);
    exchange(&mut wire, &vec![3; 100_000]).await;
    serving.abort();
}

/// A relay that answers every question as `answer` says.
async fn lying_relay(member: &Member, seed: u8, answer: fn(Pair) -> Option<Pair>) -> tokio::task::JoinHandle<()> {
    let mut listener = listen(member, seed, ServerSettings::default()).await;
    tokio::spawn(async move {
        while let Some(wire) = listener.accept().await {
            tokio::spawn(lie(wire, answer));
        }
    })
}

async fn lie(mut wire: Wire, answer: fn(Pair) -> Option<Pair>) {
    let split = wire.split.take().unwrap();
    let key = split.remote;
    let mut channel = RelayChannel::new(false, split, key, &mut Entropy::from_seed([3; 32]), Instant::ZERO);
    let mut buffer = [0; 4096];
    loop {
        while let Some(output) = channel.poll_output() {
            match output {
                ChannelOutput::Transmit(bytes) => wire.write_all(&bytes).await.unwrap(),
                ChannelOutput::Pair(pair) => match answer(pair) {
                    Some(pair) => channel.pair(&pair),
                    None => return,
                },
                _ => {}
            }
        }
        match wire.read(&mut buffer).await {
            Ok(length @ 1..) => {
                channel.handle_bytes(Instant::ZERO, &Bytes::copy_from_slice(&buffer[..length])).unwrap();
            }
            _ => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_hangs_up_is_told_apart_and_the_next_one_serves() {
    let (nodes, bootstrap) = network().await;
    let _liar = lying_relay(&nodes[1], 8, |_| None).await;
    let relay = RelayServer::start(&nodes[2], &pair(9), Config::default()).unwrap();
    let (server, client) = (hidden(&bootstrap, 1).await, hidden(&bootstrap, 2).await);
    let serving = tokio::spawn(serve(listen(&server, 1, no_way_in()).await));
    let key = pair(1).public_key();
    assert_eq!(within(client.connect(&pair(2), key, through(8))).await.unwrap_err(), ConnectError::RelayFailed);
    // Nobody is announced under this key.
    assert_eq!(within(client.connect(&pair(2), key, through(77))).await.unwrap_err(), ConnectError::RelayFailed);
    let mut wire = within(client.connect(&pair(2), key, through(9))).await.unwrap();
    exchange(&mut wire, b"at last").await;
    drop(relay);
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_forges_a_stream_connects_nobody_and_harms_no_other() {
    let (nodes, bootstrap) = network().await;
    let _liar = lying_relay(&nodes[1], 8, |pair| Some(Pair { stream: 4711, ..pair })).await;
    let relay = RelayServer::start(&nodes[2], &pair(9), Config::default()).unwrap();
    let (server, client) = (hidden(&bootstrap, 1).await, hidden(&bootstrap, 2).await);
    let serving = tokio::spawn(serve(listen(&server, 1, no_way_in()).await));
    let key = pair(1).public_key();
    // The stream leads nowhere: nothing is ever read from it.
    let mut nowhere = within(client.connect(&pair(2), key, through(8))).await.unwrap();
    let mut wire = within(client.connect(&pair(2), key, through(9))).await.unwrap();
    exchange(&mut wire, &vec![5; 50_000]).await;
    nowhere.write_all(b"anybody?").await.unwrap();
    let mut buffer = [0; 16];
    let silence = tokio::time::timeout(Duration::from_millis(300), nowhere.read(&mut buffer)).await;
    assert!(!matches!(silence, Ok(Ok(1..))), "{silence:?}");
    drop(relay);
    serving.abort();
}
