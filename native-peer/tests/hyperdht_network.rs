//! Members in virtual time: peers meet through every pair of NATs, records survive churn, floods and lies change nothing.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod virtual_net;

use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair, PublicKey};
use corestore_core::dht::{
    Announce, Command, Datagram, Handshake, HandshakeMessage, HandshakePayload, Mode, Request, Response, UdxInfo,
    peer_target,
};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::time::{Duration, Instant};
use corestore_peer::swarm::dht_rpc::{Config as NodeConfig, SocketId, Transmit};
use corestore_peer::swarm::hyperdht::{
    Config, ConnectError, ConnectSettings, Connected, Event, Foreign, HyperDht, OperationId, Outcome, Output, Path,
    ReadHandshake, ServerSettings, Signable,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use virtual_net::{Machine, Nat, Net, PORT};

/// A member whose streams only say that they are there, again and again, until they hear the same.
struct Member {
    dht: HyperDht,
    events: Vec<Event>,
    connected: Vec<Connected>,
    streams: BTreeMap<u32, Stream>,
    speak_at: Option<Instant>,
    now: Instant,
    out: Vec<Transmit>,
    opened: usize,
    closed: usize,
    /// Answers every handshake itself, with nonsense.
    lies: bool,
}

struct Stream {
    remote_stream: u32,
    socket: SocketId,
    remote: SocketAddrV4,
    heard: bool,
    left: usize,
}

impl Member {
    fn speak(&mut self) {
        self.speak_at = None;
        for stream in self.streams.values_mut().filter(|stream| stream.left > 0) {
            stream.left -= 1;
            let bytes = Bytes::from([&[0xff][..], &stream.remote_stream.to_le_bytes()].concat());
            self.out.push(Transmit { socket: stream.socket, to: stream.remote, ttl: None, bytes });
            self.speak_at = Some(self.now.after(Duration::from_millis(500)));
        }
    }
}

impl Member {
    /// Forges the answer to a handshake.
    fn lie(&mut self, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) -> bool {
        let Ok(Datagram::Request(request)) = Datagram::from_bytes(bytes) else { return false };
        if request.internal || request.command != Command::PeerHandshake.number() {
            return false;
        }
        let noise = Bytes::from(vec![7; 120]);
        let message = HandshakeMessage { mode: Mode::Reply, noise, peer_address: Some(from), relay_address: None };
        let response = Response {
            tid: request.tid,
            to: from,
            id: None,
            token: None,
            closer_nodes: Vec::new(),
            error: 0,
            value: Some(Bytes::from(message.to_bytes())),
        };
        let bytes = Bytes::from(Datagram::Response(response).to_bytes());
        self.out.push(Transmit { socket, to: from, ttl: None, bytes });
        true
    }
}

impl Machine for Member {
    fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        self.now = now;
        if self.lies && self.lie(socket, from, bytes) {
            return;
        }
        if bytes[0] != 0xff {
            return self.dht.handle_datagram(now, socket, from, bytes);
        }
        let id = u32::from_le_bytes(bytes[1..5].try_into().unwrap());
        self.dht.handle_stream_packet(now, socket, from, id);
        self.out = self.drain();
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.heard = true;
        }
    }

    fn handle_deadline(&mut self, now: Instant) {
        self.now = now;
        if self.speak_at.is_some_and(|at| at <= now) {
            self.speak();
        }
        self.dht.handle_deadline(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.dht.deadline().into_iter().chain(self.speak_at).min()
    }

    fn drain(&mut self) -> Vec<Transmit> {
        let mut out = std::mem::take(&mut self.out);
        while let Some(output) = self.dht.poll_output() {
            match output {
                Output::Transmit(transmit) => out.push(transmit),
                Output::OpenSocket(_) => self.opened += 1,
                Output::CloseSocket(_) => self.closed += 1,
                Output::OpenStream(_) | Output::CloseStream(_) => {}
                Output::Event(Event::Connected(connected)) => {
                    let Connected { remote_stream, socket, remote, .. } = *connected;
                    let stream = Stream { remote_stream, socket, remote, heard: false, left: 20 };
                    self.streams.insert(connected.local_stream, stream);
                    self.connected.push(*connected);
                    self.speak();
                    out.append(&mut self.out);
                }
                Output::Event(event) => self.events.push(event),
            }
        }
        out
    }
}

fn add(net: &mut Net<Member>, nat: Nat, lasting: bool, config: Config) -> usize {
    let first = Net::<Member>::address(0);
    let mut node = if net.hosts.is_empty() { NodeConfig::bootstrapper(first) } else { NodeConfig::default() };
    if !net.hosts.is_empty() {
        (node.bootstrap, node.server_port) = (vec![first], PORT);
    }
    if lasting {
        (node.ephemeral, node.firewalled) = (Some(false), false);
    }
    let (seed, now) = (net.seed(), net.now);
    let dht = HyperDht::new(node, config, seed, now);
    let member = Member {
        dht,
        events: Vec::new(),
        connected: Vec::new(),
        streams: BTreeMap::new(),
        speak_at: None,
        now,
        out: Vec::new(),
        opened: 0,
        closed: 0,
        lies: false,
    };
    net.add(nat, member)
}

fn network(seed: u64, count: usize) -> Net<Member> {
    let mut net = Net::new(seed);
    for _ in 0..count {
        add(&mut net, Nat::Open, true, Config::default());
        net.run(Duration::from_millis(300));
    }
    net.run(Duration::from_secs(20));
    net
}

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

fn listen(net: &mut Net<Member>, number: usize, key: &KeyPair) {
    net.with(number, |member, now| member.dht.listen(now, key, ServerSettings::default())).unwrap();
    let announced = |net: &Net<Member>| {
        net.hosts[number].machine.events.iter().any(|event| matches!(event, Event::Announced { relays: 3, .. }))
    };
    assert!(net.run_while(Duration::from_secs(30), |net| !announced(net)), "announced");
}

fn failure(member: &Member) -> Option<ConnectError> {
    member.events.iter().find_map(|event| match event {
        Event::Failed { reason, .. } => Some(*reason),
        _ => None,
    })
}

/// A server behind one NAT, a client behind another: how they meet, and how long it took.
fn meet(seed: u64, server_nat: Nat, client_nat: Nat) -> Result<(Path, Duration), ConnectError> {
    let mut net = network(seed, 20);
    let server = add(&mut net, server_nat, false, Config::default());
    let client = add(&mut net, client_nat, false, Config::default());
    net.run(Duration::from_secs(20));
    listen(&mut net, server, &pair(1));
    let began = net.now;
    let key = pair(1).public_key();
    net.with(client, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    let both = |net: &Net<Member>| {
        [server, client].iter().all(|number| net.hosts[*number].machine.streams.values().any(|stream| stream.heard))
    };
    let met = net.run_while(Duration::from_secs(90), |net| !both(net) && failure(&net.hosts[client].machine).is_none());
    if let Some(reason) = failure(&net.hosts[client].machine) {
        return Err(reason);
    }
    assert!(met, "neither met nor failed");
    let took = net.now.since(began);
    net.run(Duration::from_secs(90));
    let (client, server) = (&net.hosts[client].machine, &net.hosts[server].machine);
    let (ours, theirs) = (&client.connected[0], &server.connected[0]);
    let (split, other) = (ours.split.as_ref().unwrap(), theirs.split.as_ref().unwrap());
    assert_eq!((split.send, split.receive, split.hash), (other.receive, other.send, other.hash));
    assert_eq!((split.remote, other.remote), (pair(1).public_key(), pair(2).public_key()));
    for member in [client, server] {
        assert_eq!(member.connected.len(), 1);
        assert!(member.opened - member.closed <= 1, "{} opened, {} closed", member.opened, member.closed);
    }
    Ok((ours.path, took))
}

#[test]
fn an_open_server_is_reached_directly() {
    for (seed, nat) in [(1, Nat::Open), (2, Nat::Consistent), (3, Nat::Random)] {
        let (path, took) = meet(seed, Nat::Open, nat).unwrap();
        assert!(path == Path::Direct && took < Duration::from_secs(2), "{nat:?}: {path:?} {took:?}");
    }
}

#[test]
fn an_open_client_is_reached_by_the_server() {
    for (seed, nat) in [(4, Nat::Consistent), (5, Nat::Random)] {
        let (path, took) = meet(seed, nat, Nat::Open).unwrap();
        assert!(path == Path::Direct && took < Duration::from_secs(4), "{nat:?}: {path:?} {took:?}");
    }
}

#[test]
fn two_consistent_nats_are_punched_through() {
    let (path, took) = meet(6, Nat::Consistent, Nat::Consistent).unwrap();
    assert!(path == Path::HolePunched && took < Duration::from_secs(5), "{path:?} {took:?}");
}

#[test]
fn one_random_nat_is_punched_through_by_chance() {
    for (seed, server, client) in [(7, Nat::Random, Nat::Consistent), (8, Nat::Consistent, Nat::Random)] {
        let (path, took) = meet(seed, server, client).unwrap();
        assert!(path == Path::HolePunched && took < Duration::from_secs(60), "{path:?} {took:?}");
    }
}

#[test]
fn two_random_nats_are_told_apart_and_given_up() {
    assert_eq!(meet(9, Nat::Random, Nat::Random), Err(ConnectError::BothRandom));
}

#[test]
fn nobody_is_nobody_and_a_closed_server_is_gone() {
    let mut net = network(10, 20);
    let key = pair(1).public_key();
    let connect = |net: &mut Net<Member>, number: usize| {
        net.with(number, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
        net.run(Duration::from_secs(30));
        let failed = failure(&net.hosts[number].machine);
        net.hosts[number].machine.events.clear();
        failed
    };
    assert_eq!(connect(&mut net, 3), Some(ConnectError::PeerNotFound));
    let id = net.with(5, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
    net.run(Duration::from_secs(5));
    assert_eq!(connect(&mut net, 3), None);
    net.with(5, |member, now| member.dht.close_server(now, id));
    net.run(Duration::from_secs(5));
    assert_eq!(connect(&mut net, 3), Some(ConnectError::PeerNotFound));
}

#[test]
fn a_stranger_whom_the_server_does_not_admit_hears_nothing() {
    let mut net = network(11, 20);
    let friend = pair(2).public_key();
    let settings =
        ServerSettings { admit: Box::new(move |key: &PublicKey, _, _| *key == friend), ..ServerSettings::default() };
    net.with(5, |member, now| member.dht.listen(now, &pair(1), settings)).unwrap();
    net.run(Duration::from_secs(5));
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(3), key, ConnectSettings::default()));
    net.run(Duration::from_secs(40));
    assert_eq!(failure(&net.hosts[3].machine), Some(ConnectError::PeerUnreachable));
    net.with(4, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(5));
    assert_eq!((net.hosts[4].machine.connected.len(), net.hosts[5].machine.connected.len()), (1, 1));
}

#[test]
fn relay_addresses_spare_the_search_and_stale_ones_do_no_harm() {
    for (seed, stale) in [(12, false), (13, true)] {
        let mut net = network(seed, 20);
        let server = add(&mut net, Nat::Consistent, false, Config::default());
        net.run(Duration::from_secs(10));
        let id = net.with(server, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
        net.run(Duration::from_secs(5));
        let mut relay_addresses = net.hosts[server].machine.dht.relay_addresses(id).to_vec();
        assert_eq!(relay_addresses.len(), 3);
        if stale {
            relay_addresses = vec![SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, 1), 9); 2];
        }
        let settings = ConnectSettings { relay_addresses, ..ConnectSettings::default() };
        net.with(3, |member, now| member.dht.connect(now, &pair(2), pair(1).public_key(), settings));
        net.run(Duration::from_secs(20));
        assert_eq!(net.hosts[3].machine.connected.len(), 1, "stale: {stale}");
    }
}

#[test]
fn a_server_survives_the_nodes_it_was_announced_at() {
    let mut net = network(14, 40);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(10));
    let id = net.with(server, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
    net.run(Duration::from_secs(5));
    let relays = net.hosts[server].machine.dht.relay_addresses(id).to_vec();
    for number in 1..40 {
        if relays.contains(&Net::<Member>::address(number)) {
            net.kill(number);
        }
    }
    net.run(Duration::from_secs(40));
    let alive = (1..40).rev().find(|number| net.hosts[*number].alive).unwrap();
    let key = pair(1).public_key();
    net.with(alive, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(20));
    assert_eq!(net.hosts[alive].machine.connected.len(), 1);
}

#[test]
fn a_node_that_forges_handshakes_delays_nobody_for_long() {
    let mut net = network(18, 20);
    net.with(5, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
    net.run(Duration::from_secs(5));
    net.hosts[7].machine.lies = true;
    let settings =
        ConnectSettings { relay_addresses: vec![Net::<Member>::address(7); 2], ..ConnectSettings::default() };
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, settings));
    net.run(Duration::from_secs(5));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
    // Nobody but liars: the reason says so.
    net.hosts.iter_mut().for_each(|host| host.machine.lies = true);
    net.with(4, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(30));
    assert_eq!(failure(&net.hosts[4].machine), Some(ConnectError::BadHandshake));
}

#[test]
fn two_random_nats_meet_at_a_relay() {
    let mut net = network(19, 20);
    let server = add(&mut net, Nat::Random, false, Config::default());
    let client = add(&mut net, Nat::Random, false, Config::default());
    net.run(Duration::from_secs(20));
    listen(&mut net, server, &pair(1));
    let relay = pair(9).public_key();
    let settings = ConnectSettings { relay_through: Some(relay), ..ConnectSettings::default() };
    let key = pair(1).public_key();
    net.with(client, |member, now| member.dht.connect(now, &pair(2), key, settings));
    net.run(Duration::from_secs(12));
    assert_eq!(failure(&net.hosts[client].machine), None);
    let met = |net: &Net<Member>, number: usize| {
        net.hosts[number].machine.events.iter().find_map(|event| match event {
            Event::MeetAtRelay { connection, relay, token, initiator, local_stream } => {
                Some((*connection, *relay, *token, *initiator, *local_stream))
            }
            _ => None,
        })
    };
    let (ours, theirs) = (met(&net, client).unwrap(), met(&net, server).unwrap());
    assert_eq!((ours.1, ours.2, ours.3), (relay, theirs.2, true));
    assert_eq!((theirs.1, theirs.3), (relay, false));
    let at = Net::<Member>::address(2);
    // The other side may speak through the relay before we are told that it is there: that is no direct way.
    let stream = theirs.4;
    let early = net.with(server, |member, now| {
        member.dht.relay_reached(theirs.0, SocketId::CLIENT, at);
        member.dht.handle_stream_packet(now, SocketId::CLIENT, at, stream)
    });
    assert!(!early);
    for (number, connection) in [(client, ours.0), (server, theirs.0)] {
        net.with(number, |member, now| member.dht.relayed(now, connection, SocketId::CLIENT, at, 5));
        let connected = &net.hosts[number].machine.connected[0];
        assert!(connected.path == Path::Relayed && connected.split.is_some() && connected.remote == at);
    }
    net.run(Duration::from_secs(120));
    assert_eq!((failure(&net.hosts[client].machine), failure(&net.hosts[server].machine)), (None, None));
}

/// A handshake message for the server, from a key nobody knows.
fn handshake(number: u64, server: &PublicKey) -> Bytes {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let mut handshake = Handshake::initiator(&KeyPair::from_seed(&seed), *server, seed).unwrap();
    let udx = Some(UdxInfo { version: 1, reusable_socket: false, id: 9, seq: 0 });
    let payload = HandshakePayload { version: 1, udx, ..HandshakePayload::default() };
    let noise = Bytes::from(handshake.write(&payload).unwrap());
    let client = Some(SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 7));
    let message = HandshakeMessage { mode: Mode::FromRelay, noise, peer_address: client, relay_address: None };
    let request = Request {
        tid: 7,
        to: Net::<Member>::address(0),
        id: None,
        token: None,
        internal: false,
        command: Command::PeerHandshake.number(),
        target: Some(peer_target(server)),
        value: Some(Bytes::from(message.to_bytes())),
    };
    Bytes::from(Datagram::Request(request).to_bytes())
}

#[test]
fn a_flood_of_handshakes_costs_so_many_a_second_and_is_forgotten() {
    let mut net = network(15, 10);
    let config = Config { max_handshakes: 20, max_incoming: 50, ..Config::default() };
    let server = add(&mut net, Nat::Consistent, false, config);
    net.run(Duration::from_secs(10));
    listen(&mut net, server, &pair(1));
    let key = pair(1).public_key();
    let relay = Net::<Member>::address(1);
    let before = net.hosts[server].machine.opened;
    for second in 0..5 {
        for number in 0..100 {
            let bytes = handshake(second * 1000 + number, &key);
            net.with(server, |member, now| member.dht.handle_datagram(now, SocketId::CLIENT, relay, &bytes));
        }
        net.run(Duration::from_secs(1));
    }
    let member = &net.hosts[server].machine;
    assert!(member.opened - before <= 50 * 4, "{} sockets", member.opened);
    // Whoever repeats itself is answered, and costs nothing.
    net.run(Duration::from_secs(60));
    let member = &net.hosts[server].machine;
    assert_eq!(member.opened, member.closed);
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}

/// What somebody with his own key answers a gateway that has none.
fn answer_for(net: &mut Net<Member>, number: usize, key: &KeyPair, handshake: &mut Option<Handshake>) {
    for event in std::mem::take(&mut net.hosts[number].machine.events) {
        match event {
            Event::Sign { signature, signable: asked, .. } => {
                let Signable { unannounce, target, node, token, peer, bump } = asked;
                let signed = if unannounce {
                    Announce::sign_unannounce(key, &target, &node, &token)
                } else {
                    Announce::sign_announce(key, &target, &node, &token, peer, bump)
                };
                net.with(number, |member, now| member.dht.signed(now, signature, signed.signature));
            }
            Event::ReadHandshake { connection, noise, .. } => {
                let ours = handshake.get_or_insert_with(|| Handshake::responder(key, [5; 32]).unwrap());
                let read = ours.read(&noise).ok().map(|payload| ReadHandshake {
                    remote: ours.remote().unwrap(),
                    payload,
                    holepunch_key: ours.finish().map(|secrets| secrets.holepunch_key),
                });
                net.with(number, |member, now| member.dht.handshake_read(now, connection, read));
            }
            Event::WriteHandshake { connection, payload, .. } => {
                let ours = handshake.as_mut().unwrap();
                let noise = Bytes::from(ours.write(&payload).unwrap());
                let holepunch_key = ours.finish().map(|secrets| secrets.holepunch_key);
                net.with(number, |member, now| member.dht.handshake_written(now, connection, noise, holepunch_key));
            }
            other => net.hosts[number].machine.events.push(other),
        }
    }
}

#[test]
fn a_gateway_serves_and_connects_keys_it_does_not_have() {
    let mut net = network(20, 20);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    let client = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(20));
    let (ours, theirs) = (pair(1).public_key(), pair(2).public_key());
    let foreign = |key, holder| Foreign { key, holder };
    net.with(server, |member, now| member.dht.listen(now, foreign(ours, 1), ServerSettings::default())).unwrap();
    let mut served = None;
    let mut calling = Some(Handshake::initiator(&pair(2), ours, [6; 32]).unwrap());
    let mut go_on = |net: &mut Net<Member>, steps: u64| {
        for _ in 0..steps {
            net.run(Duration::from_millis(100));
            answer_for(net, server, &pair(1), &mut served);
            answer_for(net, client, &pair(2), &mut calling);
        }
    };
    go_on(&mut net, 50);
    net.with(client, |member, now| member.dht.connect(now, foreign(theirs, 2), ours, ConnectSettings::default()));
    go_on(&mut net, 100);
    assert_eq!(failure(&net.hosts[client].machine), None);
    for number in [client, server] {
        let member = &net.hosts[number].machine;
        assert_eq!(member.connected.len(), 1);
        assert!(member.connected[0].split.is_none() && !member.connected[0].moved);
        assert!(member.streams.values().all(|stream| stream.heard));
    }
    let target = Hash([8; 32]);
    let id = net.with(client, |member, now| member.dht.announce(now, target, foreign(theirs, 3), Vec::new(), true, 0));
    go_on(&mut net, 50);
    assert!(matches!(outcome(&mut net, client, id), Outcome::Stored { nodes: 10.., .. }));
}

fn outcome(net: &mut Net<Member>, number: usize, id: OperationId) -> Outcome {
    let find = |net: &Net<Member>| {
        net.hosts[number].machine.events.iter().find_map(|event| match event {
            Event::Done { operation, outcome } if *operation == id => Some(outcome.clone()),
            _ => None,
        })
    };
    assert!(net.run_while(Duration::from_secs(60), |net| find(net).is_none()));
    find(net).unwrap()
}

#[test]
fn records_and_values_are_found_from_everywhere_and_taken_back() {
    let mut net = network(16, 60);
    let target = Hash([3; 32]);
    for number in [5_u8, 6] {
        let key = pair(number);
        let id = net.with(usize::from(number), |m, now| m.dht.announce(now, target, &key, Vec::new(), true, 0));
        assert!(matches!(outcome(&mut net, usize::from(number), id), Outcome::Stored { nodes: 15.., .. }));
    }
    let looked_up = |net: &mut Net<Member>, number: usize| {
        let id = net.with(number, |member, now| member.dht.lookup(now, target));
        outcome(net, number, id);
        let events = &net.hosts[number].machine.events;
        let peers = events.iter().filter_map(|event| match event {
            Event::Peers { operation, peers, .. } if *operation == id => Some(peers),
            _ => None,
        });
        let mut keys: Vec<PublicKey> = peers.flatten().map(|peer| peer.public_key).collect();
        keys.sort();
        keys.dedup();
        keys.len()
    };
    assert_eq!(looked_up(&mut net, 50), 2);
    let id = net.with(5, |member, now| member.dht.unannounce(now, target, &pair(5)));
    assert!(matches!(outcome(&mut net, 5, id), Outcome::Stored { nodes: 15.., .. }));
    assert_eq!(looked_up(&mut net, 51), 1);
    net.run(Duration::from_secs(30 * 60));
    assert_eq!(looked_up(&mut net, 52), 0);

    let value = Bytes::from_static(b"kept");
    let id = net.with(9, |member, now| member.dht.immutable_put(now, value.clone()));
    let Outcome::Stored { target, .. } = outcome(&mut net, 9, id) else { panic!("stored") };
    for number in 10..30 {
        net.kill(number);
    }
    let id = net.with(40, |member, now| member.dht.immutable_get(now, target));
    assert_eq!(outcome(&mut net, 40, id), Outcome::Value { value, seq: 0 });
}

#[test]
fn a_network_change_announces_servers_anew() {
    let mut net = network(17, 20);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(10));
    listen(&mut net, server, &pair(1));
    net.with(server, |member, now| member.dht.suspend(now));
    net.run(Duration::from_secs(600));
    net.with(server, |member, now| member.dht.resume(now));
    net.run(Duration::from_secs(20));
    let announced = |net: &Net<Member>| {
        let events = net.hosts[server].machine.events.iter();
        events.filter(|event| matches!(event, Event::Announced { relays: 1.., .. })).count()
    };
    let before = announced(&net);
    let addresses = vec![SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), PORT)];
    for _ in 0..3 {
        let addresses = addresses.clone();
        net.with(server, |member, now| member.dht.network_seen(now, addresses));
        net.run(Duration::from_secs(10));
    }
    assert_eq!(announced(&net), before + 1, "the same network is no news");
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}
