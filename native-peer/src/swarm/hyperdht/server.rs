//! Servers of ours: announced, and called through nodes or directly (`hyperdht/lib/server.js`).

use super::addresses::{is_private, match_local};
use super::announcer::Announcer;
use super::identity::{Foreign, Identity, ReadHandshake};
use super::incoming::{Incoming, Opening};
use super::machine::HyperDht;
use super::meeting::{Agreed, remote_stream};
use super::output::{ConnectionId, Event, Path, Progress, ServerId};
use super::puncher::Puncher;
use super::stats::add;
use crate::swarm::dht_rpc::{Answer, IncomingRequest};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey, blake2b};
use corestore_core::dht::{
    Firewall, Handshake, HandshakeMessage, HandshakePayload, HolepunchInfo, HolepunchKey, Mode, PeerError, PeerRecord,
    RelayThrough, SecretStreamInfo, UdxInfo, peer_target,
};
use corestore_core::encoding::Encode;
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

/// Who may connect: the key, what it tells of itself, and where it seems to be.
pub type Admit = Box<dyn Fn(&PublicKey, &HandshakePayload, SocketAddrV4) -> bool + Send>;

/// How a server behaves.
pub struct ServerSettings {
    /// Who may connect. A stranger is not answered at all.
    pub admit: Admit,
    /// Punch holes for those who cannot reach us directly.
    pub holepunch: bool,
    /// Tell callers our local addresses.
    pub share_local_addresses: bool,
    /// A blind relay to offer besides.
    pub relay_through: Option<PublicKey>,
    /// Offer it only while our NAT shows every destination another port.
    pub relay_only_if_random: bool,
}

/// A server that listens.
pub(super) struct Server {
    pub(super) identity: Identity,
    pub(super) announcer: Announcer,
    settings: ServerSettings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            admit: Box::new(|_, _, _| true),
            holepunch: true,
            share_local_addresses: true,
            relay_through: None,
            relay_only_if_random: false,
        }
    }
}

impl std::fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSettings").field("holepunch", &self.holepunch).finish_non_exhaustive()
    }
}

impl HyperDht {
    /// Listens under a key: [`Event::Announced`] tells when others find it, [`Event::Connected`] when somebody came.
    /// `None` when we listen under it already.
    pub fn listen(
        &mut self,
        now: Instant,
        identity: impl Into<Identity>,
        settings: ServerSettings,
    ) -> Option<ServerId> {
        let identity = identity.into();
        let target = peer_target(&identity.public_key());
        if self.router.server(&target).is_some() {
            return None;
        }
        let id = ServerId(self.number());
        self.router.add_server(target, id);
        let server = Server { identity, announcer: Announcer::default(), settings };
        self.servers.insert(id, server);
        self.announce_server(now, id);
        self.pump(now);
        Some(id)
    }

    /// Ends a server and takes its announcement back. Connections that were made stay.
    pub fn close_server(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.remove(&id) else { return };
        self.router.remove_server(&peer_target(&server.identity.public_key()));
        let pending = self.incoming.iter().filter(|(_, incoming)| incoming.server == id).map(|(id, _)| *id);
        pending.collect::<Vec<_>>().into_iter().for_each(|id| self.forget_incoming(now, id));
        self.take_back_all(now, &server.announcer, &server.identity);
        self.pump(now);
    }

    /// Announces every server anew: the network changed.
    pub fn refresh_servers(&mut self, now: Instant) {
        self.servers.keys().copied().collect::<Vec<_>>().into_iter().for_each(|id| self.announce_server(now, id));
        self.pump(now);
    }

    /// Where the server can be reached through nodes: give it to others, it spares them a search.
    pub fn relay_addresses(&self, id: ServerId) -> &[SocketAddrV4] {
        self.servers.get(&id).map(|server| server.announcer.relay_addresses.as_slice()).unwrap_or_default()
    }

    /// The record of a server of ours, for those who ask us.
    pub(super) fn own_record(&self, target: &Hash) -> Option<Bytes> {
        let server = self.servers.get(&self.router.server(target)?)?;
        let record = PeerRecord { public_key: server.identity.public_key(), relay_addresses: Vec::new() };
        Some(Bytes::from(record.to_bytes()))
    }

    /// A handshake for a server of ours. The same one may come by several nodes: it is answered each time, and counts
    /// once.
    pub(super) fn handle_handshake(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &HandshakeMessage,
        request: &IncomingRequest,
    ) {
        let known = blake2b(&[&message.noise]);
        let id = match self.handshakes.get(&known) {
            Some(id) => *id,
            None => match self.accept(now, server, message, request) {
                Some(id) => {
                    add(&mut self.stats.calls);
                    self.handshakes.insert(known, id);
                    self.incoming.get_mut(&id).into_iter().for_each(|incoming| incoming.noise = known);
                    id
                }
                None => return add(&mut self.stats.calls_refused),
            },
        };
        self.answer_handshake(id, message, request);
    }

    fn answer_handshake(&mut self, id: ConnectionId, message: &HandshakeMessage, request: &IncomingRequest) {
        let Some(incoming) = self.incoming.get(&id).filter(|incoming| incoming.opening.is_none()) else { return };
        let noise = incoming.reply.clone();
        let socket = incoming.puncher.as_ref().filter(|_| incoming.reply_from_puncher).map(Puncher::socket);
        let pass = |mode, peer_address| {
            Bytes::from(HandshakeMessage { mode, noise, peer_address, relay_address: None }.to_bytes())
        };
        let (client, relay) = (message.peer_address, message.relay_address);
        match message.mode {
            Mode::FromClient => {
                let value = Some(pass(Mode::Reply, None));
                self.rpc.answer(request, Answer { value, socket, ..Answer::default() });
            }
            Mode::FromRelay => self.rpc.relay(request, pass(Mode::FromServer, client), request.from, socket),
            Mode::FromSecondRelay => {
                if let Some(relay) = relay {
                    self.rpc.relay(request, pass(Mode::FromServer, client), relay, socket);
                }
            }
            Mode::FromServer | Mode::Reply => {}
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        server_id: ServerId,
        message: &HandshakeMessage,
        request: &IncomingRequest,
    ) -> Option<ConnectionId> {
        if self.incoming.len() >= self.config.max_incoming || !self.handshake_budget.take(now) {
            return None;
        }
        let server = self.servers.get(&server_id)?;
        let mut handshake = match &server.identity {
            Identity::Own(key_pair) => Handshake::responder(key_pair, self.entropy.array()).ok()?,
            Identity::Foreign(owner) => return Some(self.hand_over(now, server_id, *owner, message, request)),
        };
        let theirs = handshake.read(&message.noise).ok()?;
        let client = message.peer_address.unwrap_or(request.from);
        // The message may be a repetition of an old one, but only the key's holder can use our answer.
        let remote = handshake.remote()?;
        if !(server.settings.admit)(&remote, &theirs, client) {
            return None;
        }
        let id = ConnectionId(self.number());
        let local_stream = self.reserve_stream(id);
        let error = refusal(&theirs);
        let payload = self.reply_payload(server_id, id, local_stream, error)?;
        let reply = handshake.write(&payload).ok();
        let secrets = handshake.finish();
        let (Some(reply), Some(secrets)) = (reply, secrets) else {
            self.release_stream(local_stream);
            return None;
        };
        let agreed = remote_stream(&theirs).filter(|_| error == PeerError::None);
        let agreed = agreed.map(|stream| Agreed::new(secrets, stream, self.entropy.array()));
        let expires = now.after(self.config.handshake_timeout);
        let incoming = Incoming::new(server_id, Bytes::from(reply), local_stream, agreed, expires);
        let refused = incoming.agreed.is_none();
        self.incoming.insert(id, Box::new(incoming));
        if refused {
            self.settle_incoming(now, id);
        } else {
            let relay = payload.relay_through.map(|relay| (relay, true));
            self.find_way(now, id, &theirs, message.peer_address, request, relay);
        }
        Some(id)
    }

    /// A call for somebody else: he is to read it.
    fn hand_over(
        &mut self,
        now: Instant,
        server: ServerId,
        owner: Foreign,
        message: &HandshakeMessage,
        request: &IncomingRequest,
    ) -> ConnectionId {
        let connection = ConnectionId(self.number());
        let local_stream = self.reserve_stream(connection);
        let expires = now.after(self.config.handshake_timeout);
        let mut incoming = Incoming::new(server, Bytes::new(), local_stream, None, expires);
        let (message, noise) = (message.clone(), message.noise.clone());
        incoming.opening = Some(Box::new(Opening { message, request: request.clone(), read: None }));
        self.incoming.insert(connection, Box::new(incoming));
        self.event(Event::ReadHandshake { connection, owner, noise });
        connection
    }

    /// Somebody else read a call, or found that it does not hold.
    pub(super) fn incoming_read(&mut self, now: Instant, id: ConnectionId, read: Option<ReadHandshake>) {
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        let Some(opening) = incoming.opening.as_mut().filter(|opening| opening.read.is_none()) else { return };
        let client = opening.message.peer_address.unwrap_or(opening.request.from);
        let Some(server) = self.servers.get(&incoming.server) else { return };
        let admitted = read.filter(|read| (server.settings.admit)(&read.remote, &read.payload, client));
        let Some(ReadHandshake { payload: theirs, .. }) = admitted else {
            // Nobody is answered; a repetition is no new call.
            return self.settle_incoming(now, id);
        };
        let Identity::Foreign(owner) = server.identity else { return };
        let error = refusal(&theirs);
        let (server, local_stream) = (incoming.server, incoming.local_stream);
        let Some(payload) = self.reply_payload(server, id, local_stream, error) else { return };
        if let Some(opening) = self.incoming.get_mut(&id).and_then(|incoming| incoming.opening.as_mut()) {
            opening.read = Some((theirs, payload.relay_through));
        }
        self.event(Event::WriteHandshake { connection: id, owner, payload: Box::new(payload) });
    }

    /// Somebody else answered a call.
    pub(super) fn incoming_written(&mut self, now: Instant, id: ConnectionId, noise: Bytes, key: HolepunchKey) {
        let secret = self.entropy.array();
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        let Some(opening) = incoming.opening.take_if(|opening| opening.read.is_some()) else { return };
        let Opening { message, request, read } = *opening;
        let Some((theirs, relay)) = read else { return };
        incoming.reply = noise;
        let stream = remote_stream(&theirs).filter(|_| refusal(&theirs) == PeerError::None);
        incoming.agreed = stream.map(|stream| Agreed::foreign(key, stream, secret));
        if incoming.agreed.is_some() {
            self.find_way(now, id, &theirs, message.peer_address, &request, relay.map(|relay| (relay, true)));
        } else {
            self.settle_incoming(now, id);
        }
        self.answer_handshake(id, &message, &request);
    }

    fn reply_payload(
        &mut self,
        server: ServerId,
        id: ConnectionId,
        local_stream: u32,
        error: PeerError,
    ) -> Option<HandshakePayload> {
        let token = Hash(self.entropy.array());
        let server = self.servers.get(&server)?;
        let open = self.rpc.open_address();
        let mut addresses4: Vec<SocketAddrV4> = open.into_iter().collect();
        if server.settings.share_local_addresses {
            addresses4.extend(self.local_addresses.iter().filter(|address| Some(**address) != open));
        }
        let wanted = !server.settings.relay_only_if_random || self.rpc.is_randomized();
        let relays = server.announcer.relays.clone();
        let relay_addresses = server.announcer.relay_addresses.clone();
        Some(HandshakePayload {
            version: HandshakePayload::VERSION,
            error,
            firewall: if open.is_some() { Firewall::Open } else { Firewall::Unknown },
            holepunch: open.is_none().then_some(HolepunchInfo { id: id.0, relays }),
            addresses4,
            addresses6: Vec::new(),
            udx: Some(UdxInfo { version: 1, reusable_socket: false, id: u64::from(local_stream), seq: 0 }),
            secret_stream: Some(SecretStreamInfo { version: 1 }),
            relay_through: server.settings.relay_through.filter(|_| wanted).map(|public_key| RelayThrough {
                version: 1,
                public_key,
                token,
            }),
            relay_addresses: (!relay_addresses.is_empty()).then_some(relay_addresses),
        })
    }

    /// Both sides have the keys: how do they reach each other?
    fn find_way(
        &mut self,
        now: Instant,
        id: ConnectionId,
        theirs: &HandshakePayload,
        peer_address: Option<SocketAddrV4>,
        request: &IncomingRequest,
        relay: Option<(RelayThrough, bool)>,
    ) {
        let client = peer_address.unwrap_or(request.from);
        let direct = peer_address.is_none();
        if theirs.firewall == Firewall::Open || direct {
            let socket = if direct { request.socket } else { self.rpc.socket() };
            self.way_is_open(now, id, socket, client, Path::Direct);
            return;
        }
        let theirs_relay = theirs.relay_through.map(|relay| (relay, false));
        if let Some((relay, initiator)) = relay.or_else(|| theirs_relay.filter(|_| self.may_follow_to_relay(now))) {
            let until = now.after(self.config.relay_timeout);
            self.incoming.get_mut(&id).into_iter().for_each(|incoming| incoming.expires = until);
            self.meet_at_relay(id, &relay, initiator);
        }
        let Some(server) = self.incoming.get(&id).and_then(|incoming| self.servers.get(&incoming.server)) else {
            return;
        };
        let (holepunch, share) = (server.settings.holepunch, server.settings.share_local_addresses);
        let is_open = self.rpc.open_address().is_some();
        let local: Vec<SocketAddrV4> =
            theirs.addresses4.iter().filter(|address| is_private(address.ip())).copied().collect();
        let on_our_network = share && client.ip() == request.to.ip() && match_local(&self.local_addresses, &local);
        // An open server waits for the client's first packet. On one network the server's usual socket is the one to
        // be told of; else the socket that will punch.
        if on_our_network || (!is_open && holepunch) {
            let puncher = Puncher::new(false, !self.rpc.is_firewalled(), theirs.firewall, &mut self.socket_ids);
            if let Some(incoming) = self.incoming.get_mut(&id) {
                incoming.puncher = Some(puncher);
                incoming.reply_from_puncher = !on_our_network;
            }
            self.run_actions(now, id);
        }
    }

    /// Anybody may call and name a relay: so many are followed there, lest we knock at somebody's door for others.
    fn may_follow_to_relay(&mut self, now: Instant) -> bool {
        let there = self.incoming.values().filter(|incoming| incoming.at_relay).count();
        there < self.config.max_at_relay && self.relay_budget.take(now)
    }

    pub(super) fn meet_at_relay(&mut self, id: ConnectionId, relay: &RelayThrough, initiator: bool) {
        let local_stream = match (self.connects.get(&id), self.incoming.get_mut(&id)) {
            (Some(connect), _) => connect.local_stream,
            (None, Some(incoming)) => {
                incoming.at_relay = true;
                incoming.local_stream
            }
            (None, None) => return,
        };
        add(&mut self.stats.meetings);
        self.progress(id, Progress::MeetingAtRelay);
        let (relay, token) = (relay.public_key, relay.token);
        self.event(Event::MeetAtRelay { connection: id, relay, token, initiator, local_stream });
    }
}

fn refusal(theirs: &HandshakePayload) -> PeerError {
    match remote_stream(theirs) {
        _ if theirs.version != HandshakePayload::VERSION => PeerError::VersionMismatch,
        Some(_) => PeerError::None,
        None => PeerError::Aborted,
    }
}
