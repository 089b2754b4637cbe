//! The client: one protomux channel to a relay, and what runs on it.

use super::config::Config;
use super::handshakes::Pending;
use super::io::{Output, QueryId, RelayError, StreamId};
use super::queries::{Query, Server};
use super::streams::Stream;
use crate::budget::Budget;
use crate::crypto::{KeyPair, PublicKey};
use crate::dht::{DhtRelayError, DhtRelayMessage};
use crate::encoding::Encode;
use crate::entropy::Entropy;
use crate::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use bytes::Bytes;
use core::fmt;

/// Our side of a connection to a relay, from the moment its transport is open.
///
/// After every method drain [`RelayClient::poll_output`] until it gives `None`, then ask [`RelayClient::deadline`]
/// again. The same seed and the same inputs give the same outputs.
pub struct RelayClient {
    pub(super) config: Config,
    pub(super) key_pair: KeyPair,
    pub(super) entropy: Entropy,
    mux: Mux,
    channel: Option<ChannelId>,
    last_id: u32,
    pub(super) server: Option<Server>,
    /// The one before, until the relay has closed it.
    pub(super) closing: Option<Server>,
    pub(super) queries: BTreeMap<QueryId, Query>,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    /// By the relay's numbers.
    pub(super) handshakes: BTreeMap<u32, Pending>,
    pub(super) refused: BTreeSet<PublicKey>,
    pub(super) handshake_budget: Budget,
    pub(super) signature_budget: Budget,
    heard_at: Instant,
    pinged: bool,
    relay_key: Option<PublicKey>,
    outputs: VecDeque<Output>,
}

impl fmt::Debug for RelayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayClient").field("key", &self.key_pair.public_key()).finish_non_exhaustive()
    }
}

impl RelayClient {
    /// Greets the relay as the member with this key pair; `seed` is 32 fresh random bytes.
    pub fn new(config: Config, key_pair: KeyPair, seed: [u8; 32], now: Instant) -> Self {
        let mut mux = Mux::new(LIMITS, &[]);
        let channel = mux.open(DhtRelayMessage::PROTOCOL, None, &[]);
        let mut client = Self {
            entropy: Entropy::from_seed(seed),
            mux,
            channel,
            last_id: 0,
            server: None,
            closing: None,
            queries: BTreeMap::new(),
            streams: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            refused: BTreeSet::new(),
            handshake_budget: Budget::new(now, config.handshakes_each_second),
            signature_budget: Budget::new(now, config.signatures_each_second),
            heard_at: now,
            pinged: false,
            relay_key: None,
            outputs: VecDeque::new(),
            config,
            key_pair,
        };
        let public_key = client.key_pair.public_key();
        client.send(&DhtRelayMessage::Handshake { public_key });
        client
    }

    /// Takes one message of the transport.
    ///
    /// # Errors
    /// [`RelayError`]: end the transport.
    pub fn handle_message(&mut self, now: Instant, bytes: &Bytes) -> Result<(), RelayError> {
        (self.heard_at, self.pinged) = (now, false);
        self.mux.handle_message(bytes)?;
        while let Some(event) = self.mux.poll_event() {
            self.handle_event(now, event)?;
        }
        Ok(())
    }

    fn handle_event(&mut self, now: Instant, event: MuxEvent) -> Result<(), RelayError> {
        match event {
            MuxEvent::Transmit(frame) => self.output(Output::Transmit(frame)),
            MuxEvent::Pair { protocol, id } => self.mux.reject(&protocol, id.as_deref()),
            MuxEvent::Opened { .. } => {}
            MuxEvent::Closed { .. } => return Err(RelayError::Refused),
            MuxEvent::Message { kind, payload, .. } => match DhtRelayMessage::decode(kind, &payload) {
                Ok(message) => self.handle(now, message),
                // A later version may say more.
                Err(DhtRelayError::Unknown { .. }) => {}
                Err(error) => return Err(error.into()),
            },
        }
        Ok(())
    }

    /// Does what a message says. One that names what we do not know is late, or made up: nothing comes of it.
    fn handle(&mut self, now: Instant, message: DhtRelayMessage) {
        use DhtRelayMessage as M;
        match message {
            M::Ping => self.send(&M::Pong),
            M::Handshake { public_key } if self.relay_key.replace(public_key).is_none() => self.output(Output::Greeted),
            M::Open { alias, remote_alias, handshake } => self.opened(alias, StreamId(remote_alias), handshake),
            M::Connection { alias, server_alias, remote_public_key, handshake } => {
                self.called(alias, server_alias, remote_public_key, handshake);
            }
            M::Data { alias, data } => self.received(alias, data),
            M::End { alias } => self.remote_ended(alias),
            M::Destroy { stream, error } => self.destroyed(stream, error),
            M::NoiseSend { id, stream: Some(stream), payload } => self.begin_call(now, id, StreamId(stream), &payload),
            M::NoiseReceive { id, server: None, payload } => self.read_answer(id, &payload),
            M::NoiseReceive { id, server: Some(server), payload } => self.read_call(now, id, server, &payload),
            M::NoiseSend { id, stream: None, payload } => self.answer_call(id, &payload),
            M::Incoming { id, remote_public_key, .. } if self.refused.contains(&remote_public_key) => {
                self.send(&M::Deny { id });
            }
            M::Incoming { id, .. } => self.send(&M::Accept { id }),
            M::Listening { alias, remote_alias, address } => self.listening(alias, remote_alias, address),
            M::Closed { alias } => self.unlistened(alias),
            M::Result { id, data } => self.found(QueryId(id), &data),
            M::Finished { id } => self.finished(QueryId(id)),
            M::SignAnnounce { id, signee, token, node, relay_addresses } => {
                self.sign_announce(now, id, signee, (&token, &node), relay_addresses);
            }
            M::SignUnannounce { id, signee, token, node, .. } => self.sign_unannounce(now, id, signee, (&token, &node)),
            // What only clients say.
            _ => {}
        }
    }

    /// The key of the relay itself, once it said one: some are peers too. Only a handshake proves it.
    pub fn relay_key(&self) -> Option<PublicKey> {
        self.relay_key
    }

    /// Whether this peer's calls are refused.
    pub fn refuse(&mut self, key: PublicKey, refused: bool) {
        if refused {
            self.refused.insert(key);
        } else {
            self.refused.remove(&key);
        }
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`RelayError::Silent`]: end the transport.
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), RelayError> {
        if now >= self.heard_at.after(self.config.silence) {
            return Err(RelayError::Silent);
        }
        if !self.pinged && now >= self.heard_at.after(self.config.ping_after) {
            self.pinged = true;
            self.send(&DhtRelayMessage::Ping);
        }
        self.handshakes.retain(|_, pending| pending.until > now);
        self.expire_streams(now);
        self.expire_queries(now);
        Ok(())
    }

    /// When [`RelayClient::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Instant {
        let silent = if self.pinged { self.config.silence } else { self.config.ping_after };
        let handshakes = self.handshakes.values().map(|pending| pending.until);
        let streams = self.streams.values().filter_map(|stream| stream.until);
        let queries = self.queries.values().map(|query| query.until);
        let first = handshakes.chain(streams).chain(queries).min();
        first.map_or(self.heard_at.after(silent), |first| first.min(self.heard_at.after(silent)))
    }

    /// The next thing to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        while let Some(event) = self.mux.poll_event() {
            if let MuxEvent::Transmit(frame) = event {
                return Some(Output::Transmit(frame));
            }
        }
        None
    }

    pub(super) fn send(&mut self, message: &DhtRelayMessage) {
        if let Some(channel) = self.channel {
            self.mux.send(channel, message.kind(), &message.to_bytes());
        }
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// A number the relay has not heard of us: one range for streams, servers and queries, as in the reference.
    pub(super) fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// A relay opens one channel, and says nothing before it is open.
const LIMITS: MuxLimits = MuxLimits { pending_opens: 4, channels: 16, buffered: 64 * 1024 };
