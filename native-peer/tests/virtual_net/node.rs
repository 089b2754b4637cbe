//! A node of dht-rpc on a host of a virtual network.

use crate::virtual_net::Machine;
use bytes::Bytes;
use corestore_core::time::Instant;
use corestore_peer::swarm::dht_rpc::{Answer, Config, DhtRpc, Event, Output, SocketId, Transmit};
use std::net::SocketAddrV4;

/// A node that answers command 1 with its own address.
pub(crate) struct Node {
    pub(crate) dht: DhtRpc,
    pub(crate) events: Vec<Event>,
    /// What it sent last.
    pub(crate) sent: Vec<Transmit>,
}

impl Node {
    pub(crate) fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        Self { dht: DhtRpc::new(config, seed, now), events: Vec::new(), sent: Vec::new() }
    }
}

impl Machine for Node {
    fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        self.dht.handle_datagram(now, socket, from, bytes);
    }

    fn handle_deadline(&mut self, now: Instant) {
        self.dht.handle_deadline(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.dht.deadline()
    }

    fn drain(&mut self) -> Vec<Transmit> {
        let mut out = Vec::new();
        while let Some(output) = self.dht.poll_output() {
            match output {
                Output::Transmit(transmit) => out.push(transmit),
                Output::Event(Event::Request(request)) if request.command == 1 => {
                    self.dht.answer(&request, Answer::with_value(Some(Bytes::from_static(b"here"))));
                }
                Output::Event(Event::Request(request)) => self.dht.refuse(&request),
                Output::Event(event) => self.events.push(event),
            }
        }
        self.sent = out.clone();
        out
    }
}
