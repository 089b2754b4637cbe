//! From the handshake to an open way, for the side that connects (`hyperdht/lib/connect.js`): directly, on the local
//! network, or through both NATs in two rounds of words.

use super::addresses::{is_private, is_reserved, local_candidates};
use super::connect::Connect;
use super::machine::{HyperDht, RequestFor};
use super::output::{ConnectError, ConnectionId, Path, Progress};
use super::puncher::Puncher;
use super::timetable::Timed;
use crate::swarm::dht_rpc::{Reply, RequestSettings, SocketId};
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::dht::{
    Command, Firewall, HandshakePayload, HolepunchMessage, HolepunchPayload, Mode, PeerError, RelayInfo,
};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::time::{Duration, Instant};
use std::net::SocketAddrV4;

/// Where a connection being made stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// Nodes are asked for the peer, and pass the handshake on.
    Finding,
    /// We are open: the peer's first packet is awaited, until then.
    Passive { until: Instant },
    /// The peer's local addresses were pinged, and there is no other way.
    Local,
    /// The first round: both sides find out what their NATs do.
    Probing(Round),
    /// The peer did not know yet: it gets a moment.
    Settling(Round, Instant),
    /// Our own NAT is not known yet.
    Analyzing(Round),
    /// A punch at a random NAT has to wait; only with a relay that serves meanwhile.
    Waiting(Round, Instant),
    /// The second round: both sides are about to punch.
    Agreeing(Round),
    /// Both sides punch.
    Punching,
    /// Only the relay is left.
    AtRelay,
}

/// What the rounds are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The handshake's name at the server.
    id: u64,
    /// The node our handshake went through.
    client_relay: SocketAddrV4,
    /// A node of the server's own choice, and how it sees the server.
    server_relay: RelayInfo,
    /// The server as our node sees it.
    server: SocketAddrV4,
    /// The first round may be repeated.
    retry: bool,
    /// The server's token, to be echoed.
    token: Option<Hash>,
    /// The server as its own node sees it.
    peer: SocketAddrV4,
    /// Our own socket was changed for a better one.
    reopened: bool,
}

impl Round {
    fn new(id: u64, client_relay: SocketAddrV4, server_relay: RelayInfo, server: SocketAddrV4) -> Self {
        let peer = server_relay.peer_address;
        Self { id, client_relay, server_relay, server, retry: true, token: None, peer, reopened: false }
    }
}

impl Timed for Connect {
    fn deadline(&self) -> Instant {
        let stage = match self.stage {
            Stage::Passive { until: at } | Stage::Settling(_, at) | Stage::Waiting(_, at) => Some(at),
            _ => None,
        };
        let punching = self.puncher.as_ref().and_then(Puncher::deadline);
        stage.into_iter().chain(punching).fold(self.until, Instant::min)
    }
}

impl HyperDht {
    /// Both sides have the keys: how do we reach the server, which is `server` for the node that passed the handshake?
    pub(super) fn find_way_to(
        &mut self,
        now: Instant,
        id: ConnectionId,
        node: SocketAddrV4,
        server: SocketAddrV4,
        own: SocketAddrV4,
        payload: &HandshakePayload,
    ) {
        let relays = payload.holepunch.as_ref().map(|info| (info.id, info.relays.as_slice()));
        let relays = relays.filter(|(_, relays)| !relays.is_empty());
        let relayed = server != node;
        if payload.firewall == Firewall::Open || (relayed && relays.is_none()) {
            let public = |address: &&SocketAddrV4| !is_private(address.ip()) && !is_reserved(address.ip());
            let to = payload.addresses4.iter().find(public).copied().unwrap_or(server);
            self.way_is_open(now, id, self.rpc.socket(), to, Path::Direct);
            return;
        }
        let (until, local_addresses) = (now.after(self.config.handshake_timeout), self.local_addresses.clone());
        let Some(connect) = self.connects.get_mut(&id) else { return };
        if connect.firewall == Firewall::Open {
            connect.stage = Stage::Passive { until };
            return;
        }
        let usable: Vec<SocketAddrV4> =
            payload.addresses4.iter().filter(|address| !is_reserved(address.ip())).copied().collect();
        let behind_our_router = connect.settings.local && relayed && own.ip() == server.ip();
        let near = if behind_our_router { local_candidates(&local_addresses, &usable) } else { Vec::new() };
        connect.local_pings = near.len();
        if !near.is_empty() {
            connect.stage = Stage::Local;
        }
        for to in &near {
            let request = self.rpc.ping(now, *to, None, LOCAL_RETRIES);
            self.requests.insert(request, RequestFor::Local(id, *to));
        }
        match relays {
            Some((handshake, relays)) => {
                let shared = relays.iter().find(|relay| relay.relay_address == node).or(relays.first());
                if let Some(server_relay) = shared.copied() {
                    let round = Round::new(handshake, node, server_relay, server);
                    self.start_rounds(now, id, round, payload.firewall);
                }
            }
            None if near.is_empty() => self.fail_connect(now, id, ConnectError::CannotHolepunch),
            None => {}
        }
    }

    /// A local address of the peer answered, or not.
    pub(super) fn local_answered(&mut self, now: Instant, id: ConnectionId, to: SocketAddrV4, alive: bool) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        connect.local_pings = connect.local_pings.saturating_sub(1);
        if alive {
            self.way_is_open(now, id, SocketId::SERVER, to, Path::Local);
        } else if matches!(connect.stage, Stage::Local) && connect.local_pings == 0 {
            self.fail_connect(now, id, ConnectError::CannotHolepunch);
        }
    }

    fn start_rounds(&mut self, now: Instant, id: ConnectionId, round: Round, remote: Firewall) {
        let mut puncher = Puncher::new(true, !self.rpc.is_firewalled(), remote, &mut self.socket_ids);
        let Some(connect) = self.connects.get_mut(&id) else { return };
        if connect.settings.fast_open {
            puncher.open_session(round.server);
        }
        connect.puncher = Some(puncher);
        self.progress(id, Progress::Probing);
        self.run_actions(now, id);
        self.probe_round(now, id, round);
    }

    fn probe_round(&mut self, now: Instant, id: ConnectionId, round: Round) {
        let remote_address = self.connects.get(&id).filter(|connect| connect.settings.fast_open).map(|_| round.server);
        let word = HolepunchPayload { remote_address, ..HolepunchPayload::default() };
        self.say(now, id, round.id, round.server_relay.relay_address, round.server_relay.peer_address, word);
        self.stage(id, Stage::Probing(round));
    }

    /// Sends a word to the server by a node; our own state is added to it.
    fn say(
        &mut self,
        now: Instant,
        id: ConnectionId,
        handshake: u64,
        relay: SocketAddrV4,
        peer: SocketAddrV4,
        word: HolepunchPayload,
    ) {
        let nonce = self.entropy.array();
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let (Some(agreed), Some(puncher)) = (&connect.agreed, &connect.puncher) else { return };
        let mut word = HolepunchPayload { round: connect.round, ..word };
        if word.error == PeerError::None {
            (word.firewall, word.addresses) = (puncher.nat.firewall(), puncher.nat.addresses());
        }
        connect.round = connect.round.saturating_add(1);
        let payload = Bytes::from(agreed.key.seal(&word, nonce));
        let message = HolepunchMessage { mode: Mode::FromClient, id: handshake, payload, peer_address: Some(peer) };
        let settings = RequestSettings {
            command: Command::PeerHolepunch.number(),
            target: Some(connect.target),
            value: Some(Bytes::from(message.to_bytes())),
            socket: Some(puncher.socket()),
            ..RequestSettings::default()
        };
        let owner =
            if word.error == PeerError::None { RequestFor::Word(id, peer, word.token) } else { RequestFor::Nobody };
        self.request_for(now, relay, settings, owner);
    }

    /// The server answered a word of ours, or did not. `peer` is where we had it sent, `token` what we wanted echoed.
    pub(super) fn word_answered(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: SocketAddrV4,
        token: Option<Hash>,
        reply: Option<&Reply>,
    ) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let (Some(agreed), Some(puncher)) = (&connect.agreed, connect.puncher.as_mut()) else { return };
        let message = reply.and_then(|reply| HolepunchMessage::from_bytes(reply.value.as_ref()?).ok());
        let word = message.as_ref().filter(|message| message.mode == Mode::Reply);
        let word = word.and_then(|message| agreed.key.open(&message.payload).map(|word| (message, word)));
        let (Some(reply), Some((message, word))) = (reply, word) else {
            return self.fail_connect(now, id, ConnectError::RemoteAborted);
        };
        let later = word.error == PeerError::TryLater;
        if word.error != PeerError::None && !(later && connect.at_relay) {
            let reason = if later { ConnectError::TryLater } else { ConnectError::RemoteAborted };
            return self.fail_connect(now, id, reason);
        }
        let echoed = word.remote_token.is_some() && word.remote_token == token;
        if !later {
            puncher.update_remote(&word, echoed.then(|| *peer.ip()));
        }
        match connect.stage {
            Stage::Probing(mut round) => {
                (round.token, round.peer) = (word.token, message.peer_address.unwrap_or(round.peer));
                puncher.nat.add(reply.to, reply.from);
                let unknown = puncher.remote_firewall == Firewall::Unknown;
                let next = now.after(if unknown { SETTLE } else { Duration::ZERO });
                self.stage(id, Stage::Settling(round, next));
                self.handle_connect(now, id);
            }
            Stage::Agreeing(round) if later => self.stage(id, Stage::Waiting(round, now.after(TRY_LATER))),
            Stage::Agreeing(_) => self.start_to_punch(now, id),
            _ => {}
        }
    }

    /// Does what is due for a connection being made.
    pub(super) fn handle_connect(&mut self, now: Instant, id: ConnectionId) {
        let Some(connect) = self.connects.get(&id) else { return };
        match connect.stage {
            _ if now >= connect.until => self.fail_connect(now, id, ConnectError::Timeout),
            Stage::Passive { until } if now >= until => self.fail_connect(now, id, ConnectError::NotPunched),
            Stage::Settling(round, at) if now >= at => {
                self.stage(id, Stage::Analyzing(round));
                self.connect_analyzed(now, id);
            }
            Stage::Waiting(round, at) if now >= at => self.agree_round(now, id, round, true),
            _ => {}
        }
    }

    /// The first round is over and our NAT is known, as far as it can be.
    pub(super) fn connect_analyzed(&mut self, now: Instant, id: ConnectionId) {
        let Some(connect) = self.connects.get_mut(&id) else { return };
        let (Stage::Analyzing(mut round), Some(puncher)) = (connect.stage, connect.puncher.as_mut()) else { return };
        if !puncher.nat.is_analyzed() {
            return;
        }
        if puncher.is_unstable() && puncher.reopen(&mut self.socket_ids) {
            round.reopened = true;
            connect.stage = Stage::Analyzing(round);
            return self.run_actions(now, id);
        }
        let (ours, theirs) = (puncher.nat.firewall(), puncher.remote_firewall);
        // The server knows nothing of a new socket; and it may need a second word to know itself.
        let moved = round.reopened && !puncher.is_unstable();
        let unready = (theirs == Firewall::Unknown || round.token.is_none()) && round.retry;
        if moved || unready {
            (round.reopened, round.retry) = (false, false);
            if connect.settings.fast_open {
                puncher.open_session(round.server);
            }
            self.run_actions(now, id);
            return self.probe_round(now, id, round);
        }
        if theirs == Firewall::Unknown || ours == Firewall::Unknown {
            return self.abort(now, id, &round, ConnectError::NatUnknown(ours, theirs));
        }
        if theirs == Firewall::Random && ours == Firewall::Random {
            return self.abort(now, id, &round, ConnectError::BothRandom);
        }
        // One node serves both: it knows best where the server is now.
        if round.server_relay.relay_address == round.client_relay && round.server != round.peer {
            round.server = round.peer;
            puncher.open_session(round.server);
        }
        puncher.nat.freeze();
        self.run_actions(now, id);
        self.agree_round(now, id, round, false);
    }

    fn agree_round(&mut self, now: Instant, id: ConnectionId, round: Round, delayed: bool) {
        let allowed = self.may_punch_random(now);
        let Some(connect) = self.connects.get(&id) else { return };
        let random = connect.puncher.as_ref().is_some_and(Puncher::is_random);
        if random && !allowed {
            if connect.at_relay {
                return self.stage(id, Stage::Waiting(round, now.after(TRY_LATER)));
            }
            return self.abort(now, id, &round, ConnectError::TryLater);
        }
        let token = connect.agreed.as_ref().map(|agreed| agreed.token(round.server.ip()));
        // After a delay the server's own node is the better one: our word goes to a proved address anyway.
        let (relay, peer, token) = if delayed {
            (round.server_relay.relay_address, round.server_relay.peer_address, None)
        } else {
            (round.client_relay, round.server, token)
        };
        let word = HolepunchPayload { punching: true, token, remote_token: round.token, ..HolepunchPayload::default() };
        self.say(now, id, round.id, relay, peer, word);
        self.stage(id, Stage::Agreeing(round));
    }

    fn start_to_punch(&mut self, now: Instant, id: ConnectionId) {
        let willing = self.puncher_mut(id).is_some_and(|puncher| puncher.remote_punching);
        if willing && self.start_punching(now, id) {
            self.stage(id, Stage::Punching);
            self.handle_punchers(now);
        } else {
            self.fail_connect(now, id, ConnectError::CannotHolepunch);
        }
    }

    /// Tells the server that we give up.
    fn abort(&mut self, now: Instant, id: ConnectionId, round: &Round, reason: ConnectError) {
        let word = HolepunchPayload { error: PeerError::Aborted, ..HolepunchPayload::default() };
        let RelayInfo { relay_address, peer_address } = round.server_relay;
        self.say(now, id, round.id, relay_address, peer_address, word);
        self.fail_connect(now, id, reason);
    }

    fn stage(&mut self, id: ConnectionId, stage: Stage) {
        self.connects.get_mut(&id).into_iter().for_each(|connect| connect.stage = stage);
    }
}

/// The peer's time to make out its own NAT.
const SETTLE: Duration = Duration::from_secs(1);
/// Until a punch at a random NAT is tried again.
const TRY_LATER: Duration = Duration::from_secs(15);
const LOCAL_RETRIES: u32 = 3;
