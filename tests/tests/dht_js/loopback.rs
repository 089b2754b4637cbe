//! A member of the DHT on real sockets of 127.0.0.1, driven by hand.

use corestore_core::time::Instant;
use corestore_peer::swarm::dht_rpc::{Config as NodeConfig, SocketId};
use corestore_peer::swarm::hyperdht::{Config, Event, HyperDht, Output};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant as Clock};

pub(crate) struct Member {
    pub(crate) dht: HyperDht,
    pub(crate) events: Vec<Event>,
    sockets: BTreeMap<SocketId, UdpSocket>,
    started: Clock,
}

impl Member {
    /// A member that begins with these nodes.
    pub(crate) fn new(bootstrap: Vec<SocketAddrV4>, seed: u8, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let sockets = [SocketId::SERVER, SocketId::CLIENT].map(|id| (id, socket()));
        let SocketAddr::V4(address) = sockets[0].1.local_addr().unwrap() else { panic!("IPv4") };
        let mut node = NodeConfig { bootstrap, server_port: address.port(), ..NodeConfig::default() };
        change(&mut node);
        let dht = HyperDht::new(node, Config::default(), [seed; 32], Instant::ZERO);
        let mut member = Self { dht, events: Vec::new(), sockets: sockets.into(), started: Clock::now() };
        member.drain();
        member
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap())
    }

    pub(crate) fn port(&self) -> u16 {
        self.sockets[&SocketId::SERVER].local_addr().unwrap().port()
    }

    /// Does something, then sends what it made.
    pub(crate) fn with<T>(&mut self, act: impl FnOnce(&mut HyperDht, Instant) -> T) -> T {
        let now = self.now();
        let result = act(&mut self.dht, now);
        self.drain();
        result
    }

    /// Runs until something is found among the events so far; `None` when it does not come within half a minute.
    pub(crate) fn wait<T>(&mut self, found: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let until = Clock::now() + Duration::from_secs(30);
        while Clock::now() < until {
            if let Some(result) = self.events.iter().find_map(&found) {
                return Some(result);
            }
            self.step();
        }
        None
    }

    /// Takes what came in; does what is due.
    pub(crate) fn step(&mut self) {
        let mut came = Vec::new();
        let mut buffer = [0; 4096];
        for (id, socket) in &self.sockets {
            while let Ok((length, SocketAddr::V4(from))) = socket.recv_from(&mut buffer) {
                came.push((*id, from, buffer[..length].to_vec()));
            }
        }
        if came.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let now = self.now();
        for (socket, from, bytes) in came {
            self.dht.handle_datagram(now, socket, from, &bytes);
        }
        if self.dht.deadline().is_some_and(|at| at <= now) {
            self.dht.handle_deadline(now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.dht.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    if let Some(socket) = self.sockets.get(&transmit.socket) {
                        let _ = socket.send_to(&transmit.bytes, transmit.to);
                    }
                }
                Output::OpenSocket(id) => drop(self.sockets.insert(id, socket())),
                Output::CloseSocket(id) => drop(self.sockets.remove(&id)),
                Output::OpenStream(_) | Output::CloseStream(_) => {}
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}
