//! A member on a host of a virtual network, and networks of them.

use crate::virtual_net::{Machine, Nat, Net, PORT};
use bytes::Bytes;
use corestore_core::crypto::KeyPair;
use corestore_core::dht::{Command, Datagram, HandshakeMessage, Mode, Response};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::time::{Duration, Instant};
use corestore_peer::swarm::dht_rpc::{Config as NodeConfig, SocketId, Transmit};
use corestore_peer::swarm::hyperdht::{Config, ConnectError, Connected, Event, HyperDht, Output, ServerSettings};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A member whose streams only say that they are there, again and again, until they hear the same.
pub(crate) struct Member {
    pub(crate) dht: HyperDht,
    pub(crate) events: Vec<Event>,
    pub(crate) connected: Vec<Connected>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    speak_at: Option<Instant>,
    now: Instant,
    out: Vec<Transmit>,
    pub(crate) opened: usize,
    pub(crate) closed: usize,
    /// Answers every handshake itself, with nonsense.
    pub(crate) lies: bool,
    /// Answers every question for nodes or records with nearer nodes that it makes up.
    pub(crate) invents: bool,
    invented: u32,
}

pub(crate) struct Stream {
    remote_stream: u32,
    socket: SocketId,
    remote: SocketAddrV4,
    pub(crate) heard: bool,
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

impl Member {
    /// Names nodes that do not exist, other ones each time.
    fn invent(&mut self, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) -> bool {
        let Ok(Datagram::Request(request)) = Datagram::from_bytes(bytes) else { return false };
        if request.target.is_none() {
            return false;
        }
        let mut invent = || {
            self.invented += 1;
            SocketAddrV4::new(Ipv4Addr::from_bits((172 << 24) + self.invented), PORT)
        };
        let closer_nodes = (0..20).map(|_| invent()).collect();
        let response =
            Response { tid: request.tid, to: from, id: None, token: None, closer_nodes, error: 0, value: None };
        let bytes = Bytes::from(Datagram::Response(response).to_bytes());
        self.out.push(Transmit { socket, to: from, ttl: None, bytes });
        true
    }
}

impl Machine for Member {
    fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        self.now = now;
        if (self.lies && self.lie(socket, from, bytes)) || (self.invents && self.invent(socket, from, bytes)) {
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

pub(crate) fn add(net: &mut Net<Member>, nat: Nat, lasting: bool, config: Config) -> usize {
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
        invents: false,
        invented: 0,
    };
    net.add(nat, member)
}

pub(crate) fn network(seed: u64, count: usize) -> Net<Member> {
    network_of(seed, count, &Config::default())
}

pub(crate) fn network_of(seed: u64, count: usize, config: &Config) -> Net<Member> {
    let mut net = Net::new(seed);
    for _ in 0..count {
        add(&mut net, Nat::Open, true, config.clone());
        net.run(Duration::from_millis(300));
    }
    net.run(Duration::from_secs(20));
    net
}

pub(crate) fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

pub(crate) fn listen(net: &mut Net<Member>, number: usize, key: &KeyPair) {
    net.with(number, |member, now| member.dht.listen(now, key, ServerSettings::default())).unwrap();
    let announced = |net: &Net<Member>| {
        net.hosts[number].machine.events.iter().any(|event| matches!(event, Event::Announced { relays: 3, .. }))
    };
    assert!(net.run_while(Duration::from_secs(30), |net| !announced(net)), "announced");
}

pub(crate) fn failure(member: &Member) -> Option<ConnectError> {
    member.events.iter().find_map(|event| match event {
        Event::Failed { reason, .. } => Some(*reason),
        _ => None,
    })
}
