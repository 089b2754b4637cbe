//! A call to a server of ours, from its handshake to the open way: words on hole punching are taken and answered once
//! our own NAT is known (`hyperdht/lib/server.js`).

use super::machine::HyperDht;
use super::meeting::Agreed;
use super::output::{ConnectError, ConnectionId, Event, ServerId};
use super::puncher::Puncher;
use super::timetable::Timed;
use crate::swarm::dht_rpc::{IncomingRequest, SocketId};
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::dht::{
    Firewall, HandshakeMessage, HandshakePayload, HolepunchMessage, HolepunchPayload, Mode, PeerError, RelayThrough,
};
use corestore_core::encoding::Encode;
use corestore_core::time::Instant;
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// A call.
pub(super) struct Incoming {
    pub(super) server: ServerId,
    /// The hash of the caller's message.
    pub(super) noise: Hash,
    /// Our message.
    pub(super) reply: Bytes,
    pub(super) reply_from_puncher: bool,
    pub(super) local_stream: u32,
    /// `None` when the call was refused.
    pub(super) agreed: Option<Agreed>,
    pub(super) puncher: Option<Puncher>,
    pub(super) at_relay: bool,
    /// When it is forgotten.
    pub(super) expires: Instant,
    /// It is over; only repetitions are still answered.
    settled: bool,
    round: u64,
    words: VecDeque<Word>,
    /// Somebody else's handshake, that he is still at.
    pub(super) opening: Option<Box<Opening>>,
}

/// A handshake that somebody else answers.
pub(super) struct Opening {
    pub(super) message: HandshakeMessage,
    pub(super) request: IncomingRequest,
    /// What the caller told, once it is read, and the relay we offered.
    pub(super) read: Option<(HandshakePayload, Option<RelayThrough>)>,
}

/// A word of the caller that waits for an answer.
struct Word {
    request: IncomingRequest,
    client: SocketAddrV4,
    payload: HolepunchPayload,
    /// The node it came by is one we are announced at.
    by_our_relay: bool,
    reopened: bool,
}

impl Timed for Incoming {
    fn deadline(&self) -> Instant {
        let punching = self.puncher.as_ref().and_then(Puncher::deadline);
        punching.map_or(self.expires, |at| at.min(self.expires))
    }
}

impl Incoming {
    pub(super) fn new(
        server: ServerId,
        reply: Bytes,
        local_stream: u32,
        agreed: Option<Agreed>,
        expires: Instant,
    ) -> Self {
        Self {
            server,
            noise: Hash([0; 32]),
            reply,
            reply_from_puncher: false,
            local_stream,
            agreed,
            puncher: None,
            at_relay: false,
            expires,
            settled: false,
            round: 0,
            words: VecDeque::new(),
            opening: None,
        }
    }
}

impl HyperDht {
    /// A word on hole punching for a server of ours.
    pub(super) fn handle_word(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &HolepunchMessage,
        request: &IncomingRequest,
    ) {
        let id = ConnectionId(message.id);
        let by_our_relay = self.servers.get(&server).is_some_and(|server| server.announcer.is_relay(&request.from));
        let (Some(incoming), Some(client)) = (self.incoming.get_mut(&id), message.peer_address) else { return };
        let Some(agreed) = incoming.agreed.as_ref().filter(|_| incoming.server == server) else { return };
        let Some(payload) = agreed.key.open(&message.payload) else { return };
        let echoed = by_our_relay && payload.remote_token == Some(agreed.token(client.ip()));
        let word = Word { request: request.clone(), client, payload, by_our_relay, reopened: false };
        let Some(puncher) = incoming.puncher.as_mut() else {
            self.refuse_word(now, id, &word, PeerError::Aborted);
            return;
        };
        if word.payload.error != PeerError::None {
            self.refuse_word(now, id, &word, PeerError::Aborted);
            return;
        }
        if request.socket == puncher.socket() {
            puncher.nat.add(request.to, request.from);
        }
        if word.payload.round >= incoming.round {
            incoming.round = word.payload.round;
            puncher.update_remote(&word.payload, echoed.then(|| *client.ip()));
        }
        if incoming.words.len() < MAX_WORDS {
            incoming.words.push_back(word);
        }
        self.go_on_words(now, id);
    }

    /// Answers the words that wait, once our NAT is known.
    pub(super) fn go_on_words(&mut self, now: Instant, id: ConnectionId) {
        while let Some(incoming) = self.incoming.get_mut(&id) {
            let Some(puncher) = incoming.puncher.as_mut().filter(|puncher| puncher.nat.is_analyzed()) else { return };
            let Some(mut word) = incoming.words.pop_front() else { return };
            if puncher.is_unstable() && !puncher.remote_punching {
                if puncher.reopen(&mut self.socket_ids) {
                    word.reopened = true;
                    incoming.words.push_front(word);
                    self.run_actions(now, id);
                    continue;
                }
                self.refuse_word(now, id, &word, PeerError::Aborted);
                continue;
            }
            self.answer_word(now, id, &word);
        }
    }

    fn answer_word(&mut self, now: Instant, id: ConnectionId, word: &Word) {
        let random_allowed = self.may_punch_random(now);
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        let at_relay = incoming.at_relay;
        let Some(puncher) = incoming.puncher.as_mut() else { return };
        // The other side opened its NAT for us already: a probe may get through at once.
        let ours = puncher.nat.addresses().unwrap_or_default();
        if puncher.nat.firewall().is_consistent() && word.payload.remote_address.is_some_and(|to| ours.contains(&to)) {
            puncher.probe(word.client);
        }
        let mut error = PeerError::None;
        if puncher.remote_punching {
            if puncher.is_random() && !random_allowed && !puncher.is_punching() {
                error = PeerError::TryLater;
            } else if !self.start_punching(now, id) {
                self.refuse_word(now, id, word, PeerError::Aborted);
                return;
            } else if let Some(incoming) = self.incoming.get_mut(&id) {
                // Punching ends by itself.
                incoming.expires = now.after(self.config.connect_timeout);
            }
            if error == PeerError::TryLater && !at_relay {
                self.refuse_word(now, id, word, error);
                return;
            }
        }
        self.run_actions(now, id);
        let Some(incoming) = self.incoming.get_mut(&id) else { return };
        let (Some(puncher), Some(agreed)) = (incoming.puncher.as_mut(), incoming.agreed.as_ref()) else { return };
        if puncher.nat.firewall() != Firewall::Unknown && error == PeerError::None {
            puncher.nat.freeze();
        }
        let payload = HolepunchPayload {
            error,
            firewall: puncher.nat.firewall(),
            round: incoming.round,
            connected: false,
            punching: puncher.is_punching(),
            addresses: puncher.nat.addresses(),
            remote_address: None,
            token: word.by_our_relay.then(|| agreed.token(word.client.ip())),
            remote_token: word.payload.token,
        };
        let socket = puncher.socket();
        self.send_word(id, word, &payload, socket);
    }

    fn refuse_word(&mut self, now: Instant, id: ConnectionId, word: &Word, error: PeerError) {
        let Some(incoming) = self.incoming.get(&id) else { return };
        let payload = HolepunchPayload { error, round: incoming.round, ..HolepunchPayload::default() };
        self.send_word(id, word, &payload, self.rpc.socket());
        self.give_up_incoming(now, id);
    }

    fn send_word(&mut self, id: ConnectionId, word: &Word, payload: &HolepunchPayload, socket: SocketId) {
        let nonce = self.entropy.array();
        let Some(agreed) = self.incoming.get(&id).and_then(|incoming| incoming.agreed.as_ref()) else { return };
        let payload = Bytes::from(agreed.key.seal(payload, nonce));
        let message = HolepunchMessage { mode: Mode::FromServer, id: 0, payload, peer_address: Some(word.client) };
        self.rpc.relay(&word.request, Bytes::from(message.to_bytes()), word.request.from, Some(socket));
    }

    /// No direct way was found. What runs by a relay goes on.
    pub(super) fn give_up_incoming(&mut self, now: Instant, id: ConnectionId) {
        self.release_puncher(now, id, None);
        let Some(incoming) = self.incoming.get_mut(&id).filter(|incoming| !incoming.settled) else { return };
        let waits_for_relay = incoming.at_relay && incoming.agreed.as_ref().is_some_and(|agreed| !agreed.started);
        if !waits_for_relay {
            self.settle_incoming(now, id);
        }
    }

    /// It is over: repetitions are answered for a while.
    pub(super) fn settle_incoming(&mut self, now: Instant, id: ConnectionId) {
        let until = now.after(self.config.handshake_memory);
        if let Some(incoming) = self.incoming.get_mut(&id) {
            (incoming.settled, incoming.expires) = (true, until);
        }
    }

    /// Forgets the calls whose time is over.
    pub(super) fn expire_incoming(&mut self, now: Instant) {
        let mut due = self.incoming.due(now);
        due.retain(|id| self.incoming.get(id).is_some_and(|incoming| incoming.expires <= now));
        due.into_iter().for_each(|id| self.forget_incoming(now, id));
    }

    pub(super) fn forget_incoming(&mut self, now: Instant, id: ConnectionId) {
        self.release_puncher(now, id, None);
        let Some(incoming) = self.incoming.remove(&id) else { return };
        self.handshakes.remove(&incoming.noise);
        self.release_stream(incoming.local_stream);
        if !incoming.settled && incoming.agreed.is_some_and(|agreed| !agreed.started) {
            self.event(Event::Failed { connection: id, reason: ConnectError::Timeout });
        }
    }
}

/// Words of one call that wait at once.
const MAX_WORDS: usize = 8;
