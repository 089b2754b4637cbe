//! What both sides of a connection being made have in common: keys, a punching socket, and the moment when the way is
//! open.

use super::machine::{HyperDht, RequestFor};
use super::output::{Connected, ConnectionId, Event, Output, Path, Progress, ServerId};
use super::puncher::{Action, Puncher};
use crate::swarm::dht_rpc::{Reply, SocketId, Transmit};
use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b_keyed};
use corestore_core::dht::{HandshakePayload, HolepunchKey, Secrets};
use corestore_core::stream::Split;
use corestore_core::time::Instant;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What the handshake gave.
pub(super) struct Agreed {
    /// Until the stream starts, unless somebody else has the keys.
    split: Option<Split>,
    /// The stream runs.
    pub(super) started: bool,
    pub(super) key: HolepunchKey,
    /// Makes the tokens that the other side has to echo.
    secret: [u8; 32],
    pub(super) remote_stream: u32,
    /// The blind relay's end of the stream, while it runs there.
    pub(super) relayed: Option<(SocketId, SocketAddrV4)>,
}

impl Agreed {
    pub(super) fn new(secrets: Secrets, remote_stream: u32, secret: [u8; 32]) -> Self {
        let Secrets { split, holepunch_key } = secrets;
        Self { split: Some(split), ..Self::foreign(holepunch_key, remote_stream, secret) }
    }

    /// Somebody else has the keys.
    pub(super) fn foreign(key: HolepunchKey, remote_stream: u32, secret: [u8; 32]) -> Self {
        Self { split: None, started: false, key, secret, remote_stream, relayed: None }
    }

    /// What the other side has to echo, if it receives at this host.
    pub(super) fn token(&self, host: &Ipv4Addr) -> Hash {
        blake2b_keyed(&self.secret, &[host.to_string().as_bytes()])
    }
}

/// The UDX stream a handshake names, if it is one that can be.
pub(super) fn remote_stream(payload: &HandshakePayload) -> Option<u32> {
    payload.udx.as_ref().and_then(|udx| u32::try_from(udx.id).ok())
}

impl HyperDht {
    pub(super) fn puncher_mut(&mut self, id: ConnectionId) -> Option<&mut Puncher> {
        if let Some(connect) = self.connects.get_mut(&id) {
            return connect.puncher.as_mut();
        }
        self.incoming.get_mut(&id).and_then(|incoming| incoming.puncher.as_mut())
    }

    fn agreed_mut(&mut self, id: ConnectionId) -> Option<(Option<ServerId>, u32, &mut Agreed)> {
        if let Some(connect) = self.connects.get_mut(&id) {
            return connect.agreed.as_mut().map(|agreed| (None, connect.local_stream, agreed));
        }
        let incoming = self.incoming.get_mut(&id)?;
        Some((Some(incoming.server), incoming.local_stream, incoming.agreed.as_mut()?))
    }

    /// A number for a stream of ours that no other one has.
    pub(super) fn reserve_stream(&mut self, id: ConnectionId) -> u32 {
        loop {
            let stream = u32::from_le_bytes(self.entropy.array());
            if stream != 0 && !self.streams.contains_key(&stream) {
                self.streams.insert(stream, id);
                self.output(Output::OpenStream(stream));
                return stream;
            }
        }
    }

    /// The stream will not be connected.
    pub(super) fn release_stream(&mut self, stream: u32) {
        if self.streams.remove(&stream).is_some() {
            self.output(Output::CloseStream(stream));
        }
    }

    /// Does what a connection's puncher wants done.
    pub(super) fn run_actions(&mut self, now: Instant, id: ConnectionId) {
        while let Some(action) = self.puncher_mut(id).and_then(Puncher::next_action) {
            match action {
                Action::Open(socket) => {
                    self.sockets.insert(socket, id);
                    self.output(Output::OpenSocket(socket));
                }
                Action::Close(socket) => self.close_socket(socket),
                Action::Probe { socket, to, low_ttl } => {
                    let ttl = low_ttl.then_some(LOW_TTL);
                    let bytes = Bytes::from_static(&[0]);
                    self.output(Output::Transmit(Transmit { socket, to, ttl, bytes }));
                }
                Action::Sample(socket) => self.sample_nat(now, id, socket),
            }
        }
    }

    fn close_socket(&mut self, socket: SocketId) {
        self.sockets.remove(&socket);
        self.output(Output::CloseSocket(socket));
    }

    /// Asks some nodes how they see the punching socket.
    fn sample_nat(&mut self, now: Instant, id: ConnectionId, socket: SocketId) {
        let nodes = self.rpc.nodes(MAX_NODES);
        for _ in 0..2 {
            let Some(puncher) = self.puncher_mut(id) else { return };
            let ask = puncher.nat.choose_nodes(&nodes);
            let wants_more = puncher.nat.wants_more();
            for node in ask {
                let request = self.rpc.ping(now, node, Some(socket), 0);
                self.requests.insert(request, RequestFor::Nat(id, socket));
            }
            if !wants_more {
                return;
            }
        }
    }

    pub(super) fn nat_answered(&mut self, now: Instant, id: ConnectionId, socket: SocketId, reply: Option<&Reply>) {
        let Some(puncher) = self.puncher_mut(id).filter(|puncher| puncher.socket() == socket) else { return };
        if puncher.nat.answered(reply.map(|reply| (reply.to, reply.from))) {
            self.sample_nat(now, id, socket);
        }
        self.nat_changed(now, id);
    }

    /// Whoever waited for the analysis goes on.
    pub(super) fn nat_changed(&mut self, now: Instant, id: ConnectionId) {
        if self.connects.contains_key(&id) {
            self.connect_analyzed(now, id);
        } else {
            self.go_on_words(now, id);
        }
    }

    /// A one-byte datagram: the other side's probe.
    pub(super) fn handle_probe(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4) {
        let Some(id) = self.sockets.get(&socket).copied() else { return };
        let Some(puncher) = self.puncher_mut(id) else { return };
        let open = puncher.handle_probe(socket, from);
        self.run_actions(now, id);
        if open {
            self.way_is_open(now, id, socket, from, Path::HolePunched);
        }
    }

    /// A UDX packet came in for a stream that is not connected yet, or not directly: the other side found a way. True
    /// when that made an [`Event::Connected`]; the packet is the stream's then.
    pub fn handle_stream_packet(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, stream: u32) -> bool {
        let Some(id) = self.streams.get(&stream).copied() else { return false };
        let punched = self.puncher_mut(id).is_some_and(|puncher| puncher.owns(socket));
        let path = if punched { Path::HolePunched } else { Path::Direct };
        if let Some(connect) = self.connects.get_mut(&id).filter(|connect| connect.agreed.is_none()) {
            // The answer to our handshake is still on its way.
            connect.early = Some((socket, from));
            return false;
        }
        let opened = self.way_is_open(now, id, socket, from, path);
        self.pump(now);
        opened
    }

    /// The stream can run on this socket.
    pub(super) fn way_is_open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        socket: SocketId,
        remote: SocketAddrV4,
        path: Path,
    ) -> bool {
        let Some((server, local_stream, agreed)) = self.agreed_mut(id) else { return false };
        if agreed.relayed == Some((socket, remote)) {
            return false;
        }
        let (remote_stream, split) = (agreed.remote_stream, agreed.split.take());
        let moved = std::mem::replace(&mut agreed.started, true);
        let connection = id;
        let connected =
            Connected { connection, server, local_stream, remote_stream, socket, remote, split, moved, path };
        self.stats.found_way(path, moved);
        self.event(Event::Connected(Box::new(connected)));
        self.streams.remove(&local_stream);
        self.release_puncher(now, id, Some(socket));
        if server.is_some() {
            self.settle_incoming(now, id);
        } else {
            self.end_connect(id);
        }
        true
    }

    /// We are connected to the blind relay at this address: what comes from there for the stream is no direct way. Tell
    /// it before anything is said to the relay.
    pub fn relay_reached(&mut self, id: ConnectionId, socket: SocketId, relay: SocketAddrV4) {
        if let Some((_, _, agreed)) = self.agreed_mut(id) {
            agreed.relayed = Some((socket, relay));
        }
    }

    /// The stream runs by way of a blind relay, at this address and with this number there. A direct way is still
    /// looked for. False: the connection stands already, or is over; the relay is not needed.
    pub fn relayed(
        &mut self,
        now: Instant,
        id: ConnectionId,
        socket: SocketId,
        remote: SocketAddrV4,
        remote_stream: u32,
    ) -> bool {
        let Some((server, local_stream, agreed)) = self.agreed_mut(id) else { return false };
        if std::mem::replace(&mut agreed.started, true) {
            return false;
        }
        agreed.relayed = Some((socket, remote));
        let (connection, split, moved, path) = (id, agreed.split.take(), false, Path::Relayed);
        let connected =
            Connected { connection, server, local_stream, remote_stream, socket, remote, split, moved, path };
        self.stats.found_way(path, false);
        self.event(Event::Connected(Box::new(connected)));
        self.pump(now);
        true
    }

    /// The blind relay could not be used, or is gone: only a direct way is left.
    pub fn relay_failed(&mut self, now: Instant, id: ConnectionId) {
        if let Some(connect) = self.connects.get_mut(&id) {
            (connect.at_relay, connect.relay_failed) = (false, true);
            if matches!(connect.stage, super::punching::Stage::AtRelay) {
                self.fail_connect(now, id, super::output::ConnectError::RelayFailed);
            }
        } else if let Some(incoming) = self.incoming.get_mut(&id) {
            // Its time runs out by itself.
            incoming.at_relay = false;
        }
        self.pump(now);
    }

    /// Closes a connection's punching sockets, but one.
    pub(super) fn release_puncher(&mut self, now: Instant, id: ConnectionId, kept: Option<SocketId>) {
        let puncher = match self.connects.get_mut(&id) {
            Some(connect) => connect.puncher.take(),
            None => self.incoming.get_mut(&id).and_then(|incoming| incoming.puncher.take()),
        };
        let Some(puncher) = puncher else { return };
        if puncher.is_punching() && puncher.is_random() {
            self.random_punches = self.random_punches.saturating_sub(1);
            self.last_random_punch = Some(now);
        }
        for socket in puncher.release(kept) {
            self.close_socket(socket);
        }
        kept.map(|kept| self.sockets.remove(&kept));
    }

    /// True when no punch at a random NAT is under way, or was just now.
    pub(super) fn may_punch_random(&self, now: Instant) -> bool {
        let interval = self.config.random_punch_interval;
        self.random_punches == 0 && self.last_random_punch.is_none_or(|last| now.since(last) >= interval)
    }

    /// Begins to punch; false when there is no way.
    pub(super) fn start_punching(&mut self, now: Instant, id: ConnectionId) -> bool {
        let birthday_sockets = self.config.birthday_sockets;
        let mut ids = std::mem::replace(&mut self.socket_ids, super::puncher::SocketIds(0));
        let started = self.puncher_mut(id).map(|puncher| {
            let before = puncher.is_punching();
            let started = puncher.punch(now, birthday_sockets, &mut ids);
            (started, started && !before && puncher.is_random())
        });
        self.socket_ids = ids;
        if started.is_some_and(|(started, _)| started) {
            super::stats::add(&mut self.stats.punches);
            self.progress(id, Progress::Punching);
        }
        if started.is_some_and(|(_, random)| random) {
            self.random_punches = self.random_punches.saturating_add(1);
        }
        self.run_actions(now, id);
        started.is_some_and(|(started, _)| started)
    }

    /// Sends the probes of every puncher that are due.
    pub(super) fn handle_punchers(&mut self, now: Instant) {
        let due = |puncher: &Option<Puncher>| puncher.as_ref().and_then(Puncher::deadline).is_some_and(|at| at <= now);
        let mut connects = self.connects.due(now);
        connects.retain(|id| self.connects.get(id).is_some_and(|connect| due(&connect.puncher)));
        let mut incoming = self.incoming.due(now);
        incoming.retain(|id| self.incoming.get(id).is_some_and(|incoming| due(&incoming.puncher)));
        for id in connects.into_iter().chain(incoming) {
            let mut entropy =
                std::mem::replace(&mut self.entropy, corestore_core::entropy::Entropy::from_seed([0; 32]));
            let going = self.puncher_mut(id).is_none_or(|puncher| puncher.handle_deadline(now, &mut entropy));
            self.entropy = entropy;
            self.run_actions(now, id);
            if !going {
                self.punched_in_vain(now, id);
            }
        }
    }

    fn punched_in_vain(&mut self, now: Instant, id: ConnectionId) {
        if self.connects.contains_key(&id) {
            self.fail_connect(now, id, super::output::ConnectError::NotPunched);
        } else {
            self.give_up_incoming(now, id);
        }
    }
}

/// Hops that get a probe past our own NAT but not to the other side.
const LOW_TTL: u8 = 5;
/// Nodes among which those that are asked for our address are chosen.
const MAX_NODES: usize = 32;
