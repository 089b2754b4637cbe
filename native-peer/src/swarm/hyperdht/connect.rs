//! Connecting to a peer by its key: find nodes that reach it, pass a handshake through them (`hyperdht/lib/connect.js`).
//! What follows when there is no direct way is in `punching.rs`.

use super::identity::{Identity, ReadHandshake};
use super::machine::{HyperDht, QueryFor, RequestFor};
use super::meeting::{Agreed, remote_stream};
use super::output::{ConnectError, ConnectionId, Event, Path, Progress};
use super::puncher::Puncher;
use super::stats::add;
use crate::swarm::dht_rpc::{QueryId, QuerySettings, Reply, RequestSettings, SocketId};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::{
    Command, Firewall, Handshake, HandshakeMessage, HandshakePayload, HolepunchKey, Mode, PeerError, PeerRecord,
    RelayThrough, SecretStreamInfo, UdxInfo, peer_target,
};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::stream::NoiseError;
use corestore_core::time::Instant;
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddrV4;

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    /// Nodes that may reach the peer, from an earlier connection or a lookup: they spare the search.
    pub relay_addresses: Vec<SocketAddrV4>,
    /// Tell the peer our local addresses, and try its own.
    pub local: bool,
    /// Send a first packet towards the peer before it is asked to punch.
    pub fast_open: bool,
    /// A blind relay to meet at meanwhile.
    pub relay_through: Option<PublicKey>,
}

/// A connection being made.
pub(super) struct Connect {
    pub(super) target: Hash,
    pub(super) local_stream: u32,
    pub(super) settings: ConnectSettings,
    pub(super) agreed: Option<Agreed>,
    pub(super) puncher: Option<Puncher>,
    /// The peer's first packet, come before its handshake.
    pub(super) early: Option<(SocketId, SocketAddrV4)>,
    pub(super) stage: super::punching::Stage,
    /// Local addresses of the peer that were pinged and have not answered yet.
    pub(super) local_pings: usize,
    pub(super) at_relay: bool,
    pub(super) relay_failed: bool,
    pub(super) firewall: Firewall,
    pub(super) round: u64,
    /// When the whole is given up.
    pub(super) until: Instant,
    identity: Identity,
    /// `None` when somebody else has the key.
    handshake: Option<Handshake>,
    request: Option<Bytes>,
    /// Nodes that get the handshake once it is written.
    held: Vec<SocketAddrV4>,
    /// The answer that somebody else reads.
    reading: Option<Answered>,
    relay_token: Hash,
    query: Option<QueryId>,
    queries_left: u32,
    tried: BTreeSet<SocketAddrV4>,
    waiting: VecDeque<SocketAddrV4>,
    asking: usize,
    worst: Option<ConnectError>,
}

/// A node's answer to a handshake.
#[derive(Clone, Copy, Debug)]
struct Answered {
    node: SocketAddrV4,
    socket: SocketId,
    /// We, as the node sees us.
    own: SocketAddrV4,
    /// The server, as the node sees it.
    peer_address: Option<SocketAddrV4>,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self { relay_addresses: Vec::new(), local: true, fast_open: true, relay_through: None }
    }
}

impl HyperDht {
    /// Connects to the peer with this key: [`Event::Connected`] or [`Event::Failed`] follows.
    pub fn connect(
        &mut self,
        now: Instant,
        identity: impl Into<Identity>,
        remote: PublicKey,
        settings: ConnectSettings,
    ) -> ConnectionId {
        let id = ConnectionId(self.number());
        let identity = identity.into();
        let handshake = match &identity {
            Identity::Own(pair) => Handshake::initiator(pair, remote, self.entropy.array()).map(Some),
            Identity::Foreign(_) => Ok(None),
        };
        let reason = match handshake {
            Ok(handshake) if self.connects.len() < self.config.max_connecting => {
                self.start_connect(now, id, remote, (identity, handshake), settings);
                self.pump(now);
                return id;
            }
            Ok(_) => ConnectError::TooMany,
            Err(_) => ConnectError::BadKey,
        };
        self.event(Event::Failed { connection: id, reason });
        id
    }

    /// Gives a connection up that is being made; no event follows.
    pub fn cancel_connect(&mut self, now: Instant, id: ConnectionId) {
        if self.connects.contains_key(&id) {
            self.release_puncher(now, id, None);
            self.end_connect(id);
        }
    }

    fn start_connect(
        &mut self,
        now: Instant,
        id: ConnectionId,
        remote: PublicKey,
        (identity, handshake): (Identity, Option<Handshake>),
        settings: ConnectSettings,
    ) {
        let target = peer_target(&remote);
        // A peer that announced itself at us is reached by its own address.
        let route = self.router.route(&target).map(|route| route.relay);
        let known: Vec<SocketAddrV4> = route.into_iter().chain(settings.relay_addresses.iter().copied()).collect();
        let connect = Connect {
            target,
            local_stream: self.reserve_stream(id),
            agreed: None,
            puncher: None,
            early: None,
            stage: super::punching::Stage::Finding,
            local_pings: 0,
            at_relay: false,
            relay_failed: false,
            firewall: Firewall::Unknown,
            round: 0,
            until: now.after(self.config.connect_timeout),
            identity,
            handshake,
            request: None,
            held: Vec::new(),
            reading: None,
            relay_token: Hash(self.entropy.array()),
            query: None,
            queries_left: if known.is_empty() { 1 } else { 2 },
            tried: known.iter().copied().collect(),
            waiting: known.iter().take(MAX_KNOWN).copied().collect(),
            asking: 0,
            worst: None,
            settings,
        };
        self.connects.insert(id, Box::new(connect));
        add(&mut self.stats.connects);
        self.progress(id, Progress::Searching);
        self.search(now, id, known);
        self.ask_next(now, id);
    }

    fn search(&mut self, now: Instant, id: ConnectionId, nodes: Vec<SocketAddrV4>) {
        let Some(connect) = self.connects.get_mut(&id).filter(|connect| connect.queries_left > 0) else { return };
        connect.queries_left = connect.queries_left.saturating_sub(1);
        let command = Command::FindPeer.number();
        let settings = QuerySettings { command, nodes, retries: Some(RETRIES), ..QuerySettings::default() };
        let query = self.rpc.query(now, connect.target, settings);
        self.queries.insert(query, QueryFor::Connect(id));
        self.connects.get_mut(&id).into_iter().for_each(|connect| connect.query = Some(query));
    }

    /// A node answered the search.
    pub(super) fn connect_found(&mut self, now: Instant, id: ConnectionId, reply: &Reply) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let knows = reply.value.as_ref().is_some_and(|value| PeerRecord::from_bytes(value).is_ok());
        if knows && connect.agreed.is_none() && connect.tried.insert(reply.from) {
            connect.waiting.push_back(reply.from);
            self.ask_next(now, id);
        }
    }

    pub(super) fn connect_queried(&mut self, now: Instant, id: ConnectionId) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        connect.query = None;
        self.ask_next(now, id);
    }

    /// Passes the handshake to the next nodes that know the peer.
    fn ask_next(&mut self, now: Instant, id: ConnectionId) {
        while let Some(connect) = self.connects.get_mut(&id).filter(|connect| connect.agreed.is_none()) {
            if connect.asking >= PARALLEL {
                return;
            }
            let Some(node) = connect.waiting.pop_front() else {
                if connect.asking == 0 && connect.query.is_none() && connect.reading.is_none() {
                    self.search_again_or_fail(now, id);
                }
                return;
            };
            connect.asking = connect.asking.saturating_add(1);
            self.progress(id, Progress::Calling);
            self.send_handshake(now, id, node);
        }
    }

    fn search_again_or_fail(&mut self, now: Instant, id: ConnectionId) {
        let Some(connect) = self.connects.get(&id) else { return };
        if connect.queries_left > 0 {
            return self.search(now, id, Vec::new());
        }
        let none = if connect.tried.is_empty() { ConnectError::PeerNotFound } else { ConnectError::PeerUnreachable };
        let reason = connect.worst.unwrap_or(none);
        self.fail_connect(now, id, reason);
    }

    fn send_handshake(&mut self, now: Instant, id: ConnectionId, node: SocketAddrV4) {
        let open = self.rpc.open_address();
        let local = self.local_addresses.clone();
        let Some(connect) = self.connects.get_mut(&id) else { return };
        if connect.request.is_none() {
            let payload = connect.payload(open, &local);
            connect.firewall = payload.firewall;
            connect.at_relay = payload.relay_through.is_some();
            if let Identity::Foreign(owner) = connect.identity {
                let first = connect.held.is_empty();
                connect.held.push(node);
                if first {
                    let payload = Box::new(payload);
                    self.event(Event::WriteHandshake { connection: id, owner, payload });
                }
                return;
            }
            let handshake = connect.handshake.as_mut();
            connect.request = handshake.and_then(|handshake| handshake.write(&payload).ok()).map(Bytes::from);
        }
        let Some(noise) = connect.request.clone() else {
            return self.fail_connect(now, id, ConnectError::BadKey);
        };
        let message = HandshakeMessage { mode: Mode::FromClient, noise, peer_address: None, relay_address: None };
        let settings = RequestSettings {
            command: Command::PeerHandshake.number(),
            target: Some(connect.target),
            value: Some(Bytes::from(message.to_bytes())),
            ..RequestSettings::default()
        };
        self.request_for(now, node, settings, RequestFor::Handshake(id, node));
    }

    /// A node passed the server's handshake back, or did not.
    pub(super) fn handshake_answered(
        &mut self,
        now: Instant,
        id: ConnectionId,
        node: SocketAddrV4,
        reply: Option<&Reply>,
    ) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        connect.asking = connect.asking.saturating_sub(1);
        if connect.agreed.is_some() {
            return;
        }
        let message = reply.and_then(|reply| HandshakeMessage::from_bytes(reply.value.as_ref()?).ok());
        if let (Some(reply), Some(message)) = (reply, message.filter(|message| message.mode == Mode::Reply)) {
            let answered = Answered { node, socket: reply.socket, own: reply.to, peer_address: message.peer_address };
            if let Identity::Foreign(owner) = connect.identity {
                if connect.reading.is_none() {
                    connect.reading = Some(answered);
                    self.event(Event::ReadHandshake { connection: id, owner, noise: message.noise });
                }
                return;
            }
            let read = connect.handshake.as_mut().map_or(Err(NoiseError), |handshake| handshake.read(&message.noise));
            match read {
                Ok(payload) => return self.agree(now, id, answered, payload, None),
                // A node may forge an answer; another one may give the true one.
                Err(_) => connect.worst = Some(ConnectError::BadHandshake),
            }
        }
        self.ask_next(now, id);
    }

    /// The handshake is over.
    fn agree(
        &mut self,
        now: Instant,
        id: ConnectionId,
        answered: Answered,
        payload: HandshakePayload,
        foreign_key: Option<HolepunchKey>,
    ) {
        let secret = self.entropy.array();
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let stream = remote_stream(&payload);
        let agreed = match (connect.handshake.as_mut().and_then(Handshake::finish), foreign_key) {
            (Some(secrets), _) => stream.map(|stream| Agreed::new(secrets, stream, secret)),
            (None, Some(key)) => stream.map(|stream| Agreed::foreign(key, stream, secret)),
            (None, None) => None,
        };
        let reason = match (payload.version, payload.error, agreed) {
            (HandshakePayload::VERSION, PeerError::None, Some(agreed)) => {
                connect.agreed = Some(agreed);
                None
            }
            (HandshakePayload::VERSION, ..) => Some(ConnectError::Refused),
            _ => Some(ConnectError::Incompatible),
        };
        if let Some(reason) = reason {
            return self.fail_connect(now, id, reason);
        }
        let early = connect.early.take();
        add(&mut self.stats.agreed);
        connect.query.take().into_iter().for_each(|query| {
            self.queries.remove(&query);
            self.rpc.cancel_query(query);
        });
        self.progress(id, Progress::Agreed);
        let relay = self.relay_of(id, &payload);
        self.connects.get_mut(&id).into_iter().for_each(|connect| connect.at_relay = relay.is_some());
        if let Some((socket, from)) = early {
            self.way_is_open(now, id, socket, from, Path::Direct);
        } else if let Some(server) = answered.peer_address {
            self.find_way_to(now, id, answered.node, server, answered.own, &payload);
        } else {
            // The node that answered is the server itself.
            self.way_is_open(now, id, answered.socket, answered.node, Path::Direct);
        }
        // A connection that stands already needs no relay.
        if let Some((relay, initiator)) = relay.filter(|_| self.connects.contains_key(&id)) {
            self.meet_at_relay(id, &relay, initiator);
        }
    }

    /// Somebody else wrote his handshake message.
    pub(super) fn connect_written(&mut self, now: Instant, id: ConnectionId, noise: Bytes) {
        let Some(connect) = self.connects.get_mut(&id).filter(|connect| connect.request.is_none()) else { return };
        connect.request = Some(noise);
        for node in std::mem::take(&mut connect.held) {
            self.send_handshake(now, id, node);
        }
    }

    /// Somebody else read the server's message, or found that it does not hold.
    pub(super) fn connect_read(&mut self, now: Instant, id: ConnectionId, read: Option<ReadHandshake>) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let Some(answered) = connect.reading.take() else { return };
        match read {
            Some(ReadHandshake { payload, holepunch_key, .. }) => {
                self.agree(now, id, answered, payload, holepunch_key);
            }
            None => {
                connect.worst = Some(ConnectError::BadHandshake);
                self.ask_next(now, id);
            }
        }
    }

    /// The blind relay to meet at, and whether we chose it.
    fn relay_of(&self, id: ConnectionId, payload: &HandshakePayload) -> Option<(RelayThrough, bool)> {
        if let Some(theirs) = payload.relay_through {
            return Some((theirs, false));
        }
        let connect = self.connects.get(&id)?;
        let public_key = connect.settings.relay_through?;
        Some((RelayThrough { version: 1, public_key, token: connect.relay_token }, true))
    }

    /// No way was found. What runs by a relay goes on, and a relay that is not reached yet gets its time.
    pub(super) fn fail_connect(&mut self, now: Instant, id: ConnectionId, reason: ConnectError) {
        self.release_puncher(now, id, None);
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let running = connect.agreed.as_ref().is_some_and(|agreed| agreed.started);
        if connect.at_relay && connect.agreed.is_some() && !running && reason != ConnectError::Timeout {
            connect.stage = super::punching::Stage::AtRelay;
            return;
        }
        let relay_failed = connect.relay_failed && reason != ConnectError::Cancelled;
        let reason = if relay_failed { ConnectError::RelayFailed } else { reason };
        self.end_connect(id);
        if !running {
            add(&mut self.stats.failed);
            self.event(Event::Failed { connection: id, reason });
        }
    }

    pub(super) fn progress(&mut self, connection: ConnectionId, progress: Progress) {
        self.event(Event::Progress { connection, progress });
    }

    pub(super) fn end_connect(&mut self, id: ConnectionId) {
        let Some(connect) = self.connects.remove(&id) else { return };
        self.release_stream(connect.local_stream);
        if let Some(query) = connect.query {
            self.queries.remove(&query);
            self.rpc.cancel_query(query);
        }
    }
}

impl Connect {
    fn payload(&self, open: Option<SocketAddrV4>, local: &[SocketAddrV4]) -> HandshakePayload {
        let mut addresses4: Vec<SocketAddrV4> = open.into_iter().collect();
        if self.settings.local {
            addresses4.extend(local.iter().filter(|address| Some(**address) != open));
        }
        let relay = |public_key| RelayThrough { version: 1, public_key, token: self.relay_token };
        HandshakePayload {
            version: HandshakePayload::VERSION,
            error: PeerError::None,
            firewall: if open.is_some() { Firewall::Open } else { Firewall::Unknown },
            holepunch: None,
            addresses4,
            addresses6: Vec::new(),
            udx: Some(UdxInfo { version: 1, reusable_socket: false, id: u64::from(self.local_stream), seq: 0 }),
            secret_stream: Some(SecretStreamInfo { version: 1 }),
            relay_through: self.settings.relay_through.map(relay),
            relay_addresses: None,
        }
    }
}

/// Nodes the handshake is passed to at once.
const PARALLEL: usize = 2;
/// Nodes known beforehand that are tried.
const MAX_KNOWN: usize = 8;
const RETRIES: u32 = 3;
