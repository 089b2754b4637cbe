//! A network in virtual time: hosts behind NATs or open, with delay, jitter and loss. The same seed, the same run.

use corestore_core::entropy::Entropy;
use corestore_core::time::{Duration, Instant};
use corestore_peer::swarm::dht_rpc::{SocketId, Transmit};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// A machine on a host.
pub(crate) trait Machine {
    fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]);
    fn handle_deadline(&mut self, now: Instant);
    fn deadline(&self) -> Option<Instant>;
    /// Datagrams to send; events stay with the machine.
    fn drain(&mut self) -> Vec<Transmit>;
}

/// What lies between a host and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Nothing.
    Open,
    /// One outer port a socket; only who was spoken to may answer.
    Consistent,
    /// One outer port a socket and destination; only who was spoken to may answer.
    Random,
}

pub(crate) struct Host<M> {
    pub(crate) machine: M,
    pub(crate) alive: bool,
    /// Datagrams and bytes it sent and received so far.
    pub(crate) traffic: (u64, u64),
    ip: Ipv4Addr,
    nat: Nat,
    server_port: u16,
    deadline: Option<Instant>,
    /// Outer port by socket, and by destination behind a random NAT.
    mapped: BTreeMap<(SocketId, Option<SocketAddrV4>), u16>,
    /// Socket by outer port.
    sockets: BTreeMap<u16, SocketId>,
    spoken_to: BTreeSet<(u16, SocketAddrV4)>,
    next_port: u16,
}

pub(crate) struct Net<M> {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host<M>>,
    /// Lost datagrams of a thousand.
    pub(crate) loss: u64,
    /// One way, in milliseconds: at least, and so much more at most.
    pub(crate) delay: (u64, u64),
    /// Datagrams and bytes sent so far.
    pub(crate) sent: (u64, u64),
    entropy: Entropy,
    by_ip: BTreeMap<Ipv4Addr, usize>,
    flying: BTreeMap<(Instant, u64), (SocketAddrV4, SocketAddrV4, bytes::Bytes)>,
    deadlines: BTreeSet<(Instant, usize)>,
    number: u64,
}

impl<M: Machine> Net<M> {
    pub(crate) fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            now: Instant::ZERO,
            hosts: Vec::new(),
            loss: 0,
            delay: (5, 50),
            sent: (0, 0),
            entropy: Entropy::from_seed(bytes),
            by_ip: BTreeMap::new(),
            flying: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            number: 0,
        }
    }

    /// Fresh bytes for a machine.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        self.entropy.array()
    }

    /// The address of the host with a number, as an open host has it.
    pub(crate) fn address(number: usize) -> SocketAddrV4 {
        let number = u32::try_from(number).unwrap();
        SocketAddrV4::new(Ipv4Addr::from_bits((10 << 24) + 256 + number), PORT)
    }

    /// Puts a machine on a new host.
    pub(crate) fn add(&mut self, nat: Nat, machine: M) -> usize {
        let number = self.hosts.len();
        let ip = *Self::address(number).ip();
        self.by_ip.insert(ip, number);
        let (mapped, sockets) = (BTreeMap::new(), BTreeMap::new());
        let spoken_to = BTreeSet::new();
        let host = Host {
            machine,
            alive: true,
            traffic: (0, 0),
            ip,
            nat,
            server_port: PORT,
            deadline: None,
            mapped,
            sockets,
            spoken_to,
            next_port: 20_000,
        };
        self.hosts.push(host);
        self.settle(number);
        number
    }

    /// Does something with a machine, then sends what it has to send.
    pub(crate) fn with<T>(&mut self, number: usize, act: impl FnOnce(&mut M, Instant) -> T) -> T {
        let now = self.now;
        let result = act(&mut self.hosts[number].machine, now);
        self.settle(number);
        result
    }

    /// Runs for so long.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now.after(span);
        self.run_until(end, |_| false);
    }

    /// Runs until `done` holds, or until so long passed; tells which.
    pub(crate) fn run_while(&mut self, span: Duration, mut going: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now.after(span);
        self.run_until(end, |net| !going(net))
    }

    fn run_until(&mut self, end: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            let next = [self.flying.keys().next().map(|(at, _)| *at), self.deadlines.first().map(|(at, _)| *at)];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(at);
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now;
        if let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= now) {
            let (from, to, bytes) = entry.remove();
            self.deliver(from, to, &bytes);
        } else if let Some((_, number)) = self.deadlines.first().copied() {
            if self.hosts[number].alive {
                self.hosts[number].machine.handle_deadline(now);
            }
            self.settle(number);
        }
    }

    fn deliver(&mut self, from: SocketAddrV4, to: SocketAddrV4, bytes: &[u8]) {
        let Some(number) = self.by_ip.get(to.ip()).copied() else { return };
        let host = &mut self.hosts[number];
        let may_pass = host.nat == Nat::Open || host.spoken_to.contains(&(to.port(), from));
        let socket = host.sockets.get(&to.port()).copied();
        let socket = socket.or((host.nat == Nat::Open && to.port() == host.server_port).then_some(SocketId::SERVER));
        if let Some(socket) = socket.filter(|_| may_pass && host.alive) {
            add(&mut host.traffic, bytes.len());
            host.machine.handle_datagram(self.now, socket, from, bytes);
            self.settle(number);
        }
    }

    fn settle(&mut self, number: usize) {
        for transmit in self.hosts[number].machine.drain() {
            self.transmit(number, transmit);
        }
        let host = &mut self.hosts[number];
        let deadline = if host.alive { host.machine.deadline() } else { None };
        if let Some(old) = std::mem::replace(&mut host.deadline, deadline) {
            self.deadlines.remove(&(old, number));
        }
        self.deadlines.extend(deadline.map(|at| (at, number)));
    }

    fn transmit(&mut self, number: usize, transmit: Transmit) {
        let host = &mut self.hosts[number];
        let key = (transmit.socket, (host.nat == Nat::Random).then_some(transmit.to));
        let port = match host.mapped.get(&key) {
            Some(port) => *port,
            None => {
                let open_server = host.nat == Nat::Open && transmit.socket == SocketId::SERVER;
                let port = match host.nat {
                    Nat::Open if open_server => host.server_port,
                    Nat::Random => free_port(&host.sockets, &mut self.entropy),
                    _ => host.next_port,
                };
                host.next_port += 1;
                host.mapped.insert(key, port);
                host.sockets.insert(port, transmit.socket);
                port
            }
        };
        let from = SocketAddrV4::new(host.ip, port);
        if host.nat != Nat::Open {
            host.spoken_to.insert((port, transmit.to));
        }
        add(&mut host.traffic, transmit.bytes.len());
        add(&mut self.sent, transmit.bytes.len());
        // A low TTL opens the way but does not arrive.
        if transmit.ttl.is_some_and(|ttl| ttl < 10) || self.entropy.u64() % 1000 < self.loss {
            return;
        }
        self.inject(from, transmit.to, transmit.bytes);
    }

    /// Sends a datagram from anywhere: a forger's.
    pub(crate) fn inject(&mut self, from: SocketAddrV4, to: SocketAddrV4, bytes: bytes::Bytes) {
        let delay = self.delay.0 + self.entropy.u64() % (self.delay.1 - self.delay.0 + 1);
        self.number += 1;
        let at = self.now.after(Duration::from_millis(delay));
        self.flying.insert((at, self.number), (from, to, bytes));
    }

    /// Turns a host off, for good.
    pub(crate) fn kill(&mut self, number: usize) {
        self.hosts[number].alive = false;
        self.settle(number);
    }
}

/// A port that nobody can foresee, and that is not in use.
fn free_port(used: &BTreeMap<u16, SocketId>, entropy: &mut Entropy) -> u16 {
    loop {
        let port = u16::try_from(1024 + entropy.u64() % (65_536 - 1024)).unwrap();
        if !used.contains_key(&port) {
            return port;
        }
    }
}

/// Counts a datagram.
fn add(counted: &mut (u64, u64), bytes: usize) {
    *counted = (counted.0 + 1, counted.1 + u64::try_from(bytes).unwrap());
}

/// The port every server socket is bound to.
pub(crate) const PORT: u16 = 49_737;
