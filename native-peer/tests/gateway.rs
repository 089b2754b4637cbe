//! A gateway in this process, on a private network: who is rude harms no other, who is slow is waited for, and nobody
//! listens under a key he does not have.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod relay_client;

use bytes::Bytes;
use corestore_core::corestore::Role;
use corestore_core::crypto::{Hash, KeyPair, PublicKey};
use corestore_core::dht::{DhtRelayMessage as Message, StreamAlias};
use corestore_peer::gateway::{Gateway, GatewayOptions, Limits, LogEvent};
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperdht::{ConnectSettings, Event, ServerSettings};
use corestore_peer::swarm::member::{Member, MemberOptions};
use corestore_peer::swarm::wire::Wire;
use corestore_peer::swarm::{Connections, Swarm, SwarmOptions};
use corestore_peer::{Corestore, Options};
use futures_util::SinkExt;
use relay_client::RelayClient;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message as Frame;

struct World {
    nodes: Vec<SocketAddrV4>,
    members: Vec<Member>,
    gateway: Gateway,
    address: SocketAddr,
    key: PublicKey,
    store: Corestore,
    log: Arc<Mutex<Vec<LogEvent>>>,
    _connections: Connections,
}

impl World {
    async fn new(limits: Limits) -> Self {
        Self::with_node(limits, Config::default()).await
    }

    /// `node`: the gateway's member of the DHT.
    async fn with_node(limits: Limits, node: Config) -> Self {
        let mut nodes: Vec<SocketAddrV4> = Vec::new();
        let mut members = Vec::new();
        for number in 0..3 {
            let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let bootstrap = nodes.first().copied().into_iter().collect();
            members.push(member(number, port, Config { bootstrap, ..Config::bootstrapper(address) }).await);
            nodes.push(address);
        }
        let options = options(0, Config { bootstrap: nodes.clone(), ..node });
        let identity = [42; 32];
        let options = SwarmOptions { member: options, identity: Some(identity), ..SwarmOptions::default() };
        let (swarm, connections) = Swarm::start(options).unwrap();
        let store = Corestore::in_memory(&Options::default()).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&log);
        let options = GatewayOptions {
            limits,
            log: Arc::new(move |event| taken.lock().unwrap().push(event)),
            ..GatewayOptions::default()
        };
        let gateway =
            Gateway::start(store.clone(), swarm.clone(), KeyPair::from_seed(&identity), options).await.unwrap();
        let (address, key) = (gateway.local_addr(), swarm.public_key());
        Self { nodes, members, gateway, address, key, store, log, _connections: connections }
    }

    async fn client(&self, home: u8, seed: u8) -> RelayClient {
        self.try_client(home, seed).await.unwrap()
    }

    async fn try_client(&self, home: u8, seed: u8) -> Result<RelayClient, String> {
        RelayClient::connect(self.address, Ipv4Addr::new(127, 0, 0, home), KeyPair::from_seed(&[seed; 32])).await
    }

    /// A peer that does something with whoever calls.
    async fn peer<F>(&mut self, seed: u8, serve: impl Fn(Wire) -> F + Send + 'static) -> PublicKey
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let member = member(seed, 0, Config { bootstrap: self.nodes.clone(), ..Config::default() }).await;
        let pair = KeyPair::from_seed(&[seed; 32]);
        let mut events = member.events();
        let mut listener = member.listen(&pair, ServerSettings::default()).unwrap();
        while !matches!(events.recv().await, Some(Event::Announced { relays: 1.., .. })) {}
        self.members.push(member);
        tokio::spawn(async move {
            while let Some(wire) = listener.accept().await {
                tokio::spawn(serve(wire));
            }
        });
        pair.public_key()
    }

    async fn echo(&mut self) -> PublicKey {
        let back = |wire| async move {
            let (mut reader, mut writer) = tokio::io::split(wire);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        };
        self.peer(100, back).await
    }

    /// A figure of the gateway's.
    async fn figure(&self, name: &str) -> usize {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("corestore_gateway_{name} ")));
        line.unwrap().parse().unwrap()
    }

    fn ends(&self) -> Vec<String> {
        let ended = |event: &LogEvent| match event {
            LogEvent::Disconnected { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.log.lock().unwrap().iter().filter_map(ended).collect()
    }
}

fn options(port: u16, node: Config) -> MemberOptions {
    MemberOptions { host: Ipv4Addr::LOCALHOST, port, node, ..MemberOptions::default() }
}

async fn member(seed: u8, port: u16, node: Config) -> Member {
    let member = Member::start(options(port, node), [seed; 32]).unwrap();
    member.bootstrapped().await;
    member
}

#[tokio::test]
async fn garbage_floods_and_broken_rules_end_their_own_connection_only() {
    let mut world = World::new(Limits::default()).await;
    let echo = world.echo().await;
    let mut polite = world.client(2, 1).await;
    let stream = polite.open(echo).await.unwrap();
    // Frames that are none, messages that are none, and numbers out of turn.
    for noise in [&[0xff; 40][..], &[1, 3, 0, 1], &[0, 9, 9, 9, 9, 9, 9], &[1, 27], &[0, 1, 200, 1, 2, 3]] {
        let mut rude = world.client(3, 2).await;
        rude.socket.send(Frame::Binary(Bytes::copy_from_slice(noise))).await.unwrap();
        rude.send(&Message::Lookup { id: 1, topic: Hash([1; 32]) }).await.ok();
        assert_eq!(polite.echo(&stream, Bytes::from_static(b"still here")).await.unwrap(), "still here");
    }
    let mut rude = world.client(3, 2).await;
    rude.socket.send(Frame::Text("hello".into())).await.unwrap();
    assert!(rude.hear().await.unwrap_err().contains("text message"));
    // More of everything than is granted.
    let mut greedy = world.client(4, 3).await;
    for number in 0..200 {
        greedy.send(&Message::Lookup { id: number, topic: Hash([3; 32]) }).await.unwrap();
        let (public_key, remote_public_key) = (greedy.key.public_key(), PublicKey([4; 32]));
        greedy.send(&Message::Connect { alias: number, public_key, remote_public_key }).await.unwrap();
    }
    let (mut finished, mut destroyed) = (0, 0);
    while finished < 200 || destroyed < 200 {
        match greedy.hear().await.unwrap() {
            Message::Finished { .. } => finished += 1,
            Message::Destroy { stream: StreamAlias::Receiver(_), error: Some(_) } => destroyed += 1,
            _ => {}
        }
    }
    assert_eq!(polite.echo(&stream, Bytes::from_static(b"still here")).await.unwrap(), "still here");
    assert!(!world.ends().iter().any(|reason| reason.contains("shut")), "{:?}", world.ends());
}

#[tokio::test]
async fn honest_browsers_are_answered_while_others_send_garbage_flood_and_read_nothing() {
    let mut world = World::new(Limits::default()).await;
    let echo = world.echo().await;
    let mut honest = Vec::new();
    for number in 0..4 {
        let mut client = world.client(2, number).await;
        let stream = client.open(echo).await.unwrap();
        honest.push((client, stream));
    }
    let (shown_out, flooded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut rude = JoinSet::new();
    rude.spawn(garbage(world.address, Arc::clone(&shown_out)));
    for (home, reads) in [(4, true), (5, false)] {
        let mut client = world.client(home, 11).await;
        let stream = client.open(echo).await.unwrap();
        rude.spawn(flood(client, stream.ours, reads, Arc::clone(&flooded)));
    }
    let (mut rounds, mut held) = (0, 0);
    while rounds < 50 || shown_out.load(Relaxed) < 10 || flooded.load(Relaxed) < (8 << 20) || held < (64 << 10) {
        for (client, stream) in &mut honest {
            let asked = Bytes::from(vec![7; 256]);
            assert_eq!(client.echo(stream, asked.clone()).await.unwrap(), asked);
        }
        held = held.max(world.figure("buffered_to_browsers_bytes").await);
        rounds += 1;
    }
    assert!(held <= 2 * (512 << 10), "{held} bytes are held for two browsers");
    // The last one's end is counted a moment after it is told.
    assert!(world.figure("faults_total").await + 1 >= shown_out.load(Relaxed));
    assert!(world.ends().iter().all(|reason| reason.contains("malformed")), "{:?}", world.ends());
    rude.shutdown().await;
}

/// Sends what is no frame and what is no message, again and again; counts how often it was shown out for it.
async fn garbage(to: SocketAddr, shown_out: Arc<AtomicUsize>) {
    for number in 0..usize::MAX {
        let from = Ipv4Addr::new(127, 0, 0, 3);
        if let Ok(mut client) = RelayClient::connect(to, from, KeyPair::from_seed(&[10; 32])).await {
            let noise: &[u8] = [&[0xff; 40][..], &[0, 1, 200, 1, 2, 3], &[1, 10, 0, 1]][number % 3];
            client.socket.send(Frame::Binary(Bytes::copy_from_slice(noise))).await.unwrap();
            let told = client.hear().await.unwrap_err();
            assert!(told.starts_with("1008"), "{told}");
            shown_out.fetch_add(1, Relaxed);
        }
        tokio::task::yield_now().await;
    }
}

/// Sends as much as is taken, to a peer that sends it back.
async fn flood(mut client: RelayClient, alias: u32, reads: bool, flooded: Arc<AtomicUsize>) {
    loop {
        let data = vec![Bytes::from(vec![1; 64 << 10])];
        client.send(&Message::Data { alias, data }).await.unwrap();
        flooded.fetch_add(64 << 10, Relaxed);
        if reads {
            client.hear().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_slow_browser_holds_up_its_far_peer_and_nobody_else() {
    let mut world = World::new(Limits { buffered_out: 256 << 10, ..Limits::default() }).await;
    let echo = world.echo().await;
    let (sender, all_sent) = oneshot::channel();
    let sender = Arc::new(Mutex::new(Some(sender)));
    let pour = move |mut wire: Wire| {
        let sender = Arc::clone(&sender);
        async move {
            wire.write_all(&vec![7; POURED]).await.unwrap();
            let _ = sender.lock().unwrap().take().unwrap().send(());
            let _ = wire.read_u8().await;
        }
    };
    let poured = world.peer(101, pour).await;
    let mut other = world.client(3, 2).await;
    let second = other.open(echo).await.unwrap();
    let mut slow = world.client(2, 1).await;
    let stream = slow.open(poured).await.unwrap();
    // Without back-pressure the far peer would be done at once.
    let mut all_sent = all_sent;
    assert!(tokio::time::timeout(Duration::from_secs(2), &mut all_sent).await.is_err());
    assert_eq!(other.echo(&second, Bytes::from_static(b"quick")).await.unwrap(), "quick");
    let mut received = 0;
    while received < POURED {
        match slow.hear().await.unwrap() {
            Message::Data { alias, data } if alias == stream.theirs => {
                received += data.iter().map(Bytes::len).sum::<usize>();
            }
            other => panic!("{other:?}"),
        }
    }
    all_sent.await.unwrap();
}

#[tokio::test]
async fn a_peer_hears_of_a_browser_that_has_nothing_to_say_and_speaks_first() {
    for quick_check in [true, false] {
        let mut world = World::with_node(Limits::default(), Config { quick_check, ..Config::default() }).await;
        let greet = |mut wire: Wire| async move {
            wire.write_all(b"welcome").await.unwrap();
            let _ = wire.read_u8().await;
        };
        let peer = world.peer(101, greet).await;
        let mut client = world.client(2, 1).await;
        let stream = client.open(peer).await.unwrap();
        let said = tokio::time::timeout(Duration::from_secs(60), client.hear()).await.unwrap().unwrap();
        let welcome = vec![Bytes::from_static(b"welcome")];
        assert_eq!(said, Message::Data { alias: stream.theirs, data: welcome }, "quick check: {quick_check}");
    }
}

#[tokio::test]
async fn a_far_peer_that_does_not_read_holds_up_its_browser() {
    let mut world = World::new(Limits { buffered_in: 256 << 10, ..Limits::default() }).await;
    let deaf = |wire: Wire| async move {
        std::future::pending::<()>().await;
        drop(wire);
    };
    let deaf = world.peer(102, deaf).await;
    let mut client = world.client(2, 1).await;
    let stream = client.open(deaf).await.unwrap();
    let pushed = async {
        for _ in 0..POURED / 65536 {
            let data = vec![Bytes::from(vec![1; 65536])];
            client.send(&Message::Data { alias: stream.ours, data }).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), pushed).await.is_err());
}

#[tokio::test]
async fn a_server_moves_to_the_connection_that_proves_the_key_last() {
    let world = World::new(Limits::default()).await;
    let mut first = world.client(2, 1).await;
    first.listen().await.unwrap();
    // A stranger says that he has the key, and cannot sign.
    let mut stranger = world.client(3, 2).await;
    let public_key = first.key.public_key();
    stranger.send(&Message::Listen { alias: 1, public_key }).await.unwrap();
    let asked = stranger.hear().await.unwrap();
    stranger.sign(&asked).await.unwrap();
    assert!(stranger.hear().await.unwrap_err().contains("holder"));
    // The holder himself, from elsewhere.
    let mut second = world.client(4, 1).await;
    second.listen().await.unwrap();
    assert!(matches!(first.hear().await.unwrap(), Message::Closed { .. }));
    let caller = member(9, 0, Config { bootstrap: world.nodes.clone(), ..Config::default() }).await;
    let calling = caller.start_connect(&KeyPair::from_seed(&[9; 32]), public_key, ConnectSettings::default());
    loop {
        match second.hear().await.unwrap() {
            Message::NoiseReceive { server: Some(_), .. } => break,
            message => second.sign(&message).await.unwrap(),
        }
    }
    drop(calling);
}

#[tokio::test]
async fn the_gateways_own_cores_are_read_on_the_same_connection() {
    let world = World::new(Limits::default()).await;
    let kept = world.store.get("kept").await.unwrap();
    kept.append("a block").await.unwrap();
    let mut client = world.client(2, 1).await;
    assert_eq!(client.gateway, world.key);
    let stream = client.open(world.key).await.unwrap();
    let reader = Corestore::in_memory(&Options::default()).unwrap();
    let core = reader.get(kept.key()).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let relay_client::Open { ours: alias, theirs: remote, split } = stream;
    reader.replicate_split(ours, Role::Initiator, split).unwrap();
    let (mut from, mut to) = tokio::io::split(theirs);
    let carried = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            tokio::select! {
                length = from.read(&mut buffer) => {
                    let data = vec![Bytes::copy_from_slice(&buffer[..length.unwrap()])];
                    client.send(&Message::Data { alias, data }).await.unwrap();
                }
                message = client.hear() => match message.unwrap() {
                    Message::Data { alias, data } if alias == remote => to.write_all(&data.concat()).await.unwrap(),
                    other => panic!("{other:?}"),
                },
            }
        }
    };
    tokio::select! {
        () = carried => {}
        block = core.get(0) => assert_eq!(block.unwrap(), "a block"),
    }
}

#[tokio::test]
async fn whoever_says_nothing_or_too_much_at_the_door_is_shown_out() {
    let limits = Limits { connections_per_address: 4, connections_per_key: 2, ..Limits::default() };
    let world = World::new(limits).await;
    let (_one, _two) = (world.client(2, 1).await, world.client(2, 1).await);
    let mut third = world.client(2, 1).await;
    assert!(third.hear().await.unwrap_err().contains("this key"));
    drop(third);
    let mut held = Vec::new();
    let refused = loop {
        match world.try_client(2, u8::try_from(held.len()).unwrap() + 2).await {
            Ok(client) => held.push(client),
            Err(reason) => break reason,
        }
    };
    assert!(refused.contains("429") && held.len() <= 2, "{refused}");
    let _elsewhere = world.client(3, 1).await;
    let address = world.address;
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut bad = tokio::net::TcpStream::connect(address).await.unwrap();
    bad.write_all(&[0; 100]).await.unwrap();
    let mut answer = Vec::new();
    bad.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"));
    world.gateway.shutdown().await;
}

const POURED: usize = 24 << 20;
