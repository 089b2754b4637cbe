//! A swarm by way of a relay: topics and peers outlive the connections to it.

use super::client::RelayClient;
use super::config::Config;
use super::io::{Output, QueryId, RelayError, StreamId};
use crate::crypto::{Hash, KeyPair, PublicKey};
use crate::entropy::Entropy;
use crate::hyperswarm::{self, Admission, Hyperswarm, JoinOptions, LinkId, Status};
use crate::stream::Split;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// Something the driver must do.
#[derive(Clone, Debug)]
pub enum SwarmOutput {
    /// Send this to the relay as one message.
    Transmit(Bytes),
    /// A peer is connected: a secret-stream starts at its header.
    Connected {
        /// Names the connection from now on.
        link: LinkId,
        /// We called.
        initiator: bool,
        /// What the handshake gave; it proves the peer's key.
        split: Box<Split>,
        /// Topics under which the peer was found; none when it called.
        topics: Vec<Hash>,
        /// The peer is the relay itself.
        relay: bool,
    },
    /// Bytes from a peer, in any pieces.
    Data {
        /// Which.
        link: LinkId,
        /// The bytes.
        bytes: Bytes,
    },
    /// A connection that stood is over.
    Closed {
        /// Which.
        link: LinkId,
        /// Why, for people; `None` when it ended in good order.
        reason: Option<String>,
    },
}

/// Finds peers by topics and keeps connections to them, as long as there is a relay.
///
/// After every method drain [`RelayedSwarm::poll_output`] until it gives `None`, then ask [`RelayedSwarm::deadline`]
/// again.
pub struct RelayedSwarm {
    config: Config,
    key_pair: KeyPair,
    entropy: Entropy,
    swarm: Hyperswarm,
    relay: Option<RelayClient>,
    links: BTreeMap<LinkId, Link>,
    queries: Vec<(QueryId, Hash)>,
    /// Announcements being taken back.
    parting: Vec<QueryId>,
    server: Server,
    /// Topics under which others are to find us.
    serving: BTreeSet<Hash>,
    /// Those of them that are to be announced once others reach us.
    waiting: BTreeSet<Hash>,
    banned: BTreeSet<PublicKey>,
    outputs: VecDeque<SwarmOutput>,
}

/// A connection that stands or is being made.
#[derive(Debug)]
struct Link {
    stream: StreamId,
    open: bool,
    sent: bool,
    received: bool,
}

/// Whether others reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Closed,
    /// Topics wait until it is announced, but not for ever.
    Opening {
        until: Instant,
    },
    Open,
}

impl fmt::Debug for RelayedSwarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayedSwarm").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl RelayedSwarm {
    /// A swarm of the member with this key pair, without a relay yet; `seed` is 32 fresh random bytes.
    pub fn new(config: Config, swarm: hyperswarm::Config, key_pair: KeyPair, seed: [u8; 32]) -> Self {
        let mut entropy = Entropy::from_seed(seed);
        let mut swarm = Hyperswarm::new(swarm, key_pair.public_key(), entropy.array());
        swarm.suspend();
        Self {
            config,
            key_pair,
            entropy,
            swarm,
            relay: None,
            links: BTreeMap::new(),
            queries: Vec::new(),
            parting: Vec::new(),
            server: Server::Closed,
            serving: BTreeSet::new(),
            waiting: BTreeSet::new(),
            banned: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The transport to the relay is open: topics are looked up and announced again.
    pub fn relay_opened(&mut self, now: Instant) {
        let seed = self.entropy.array();
        let mut relay = RelayClient::new(self.config.clone(), self.key_pair.clone(), seed, now);
        self.banned.iter().for_each(|key| relay.refuse(*key, true));
        self.relay = Some(relay);
        self.swarm.resume();
        self.carry_out(now);
    }

    /// The transport is gone, and every connection with it.
    pub fn relay_closed(&mut self) {
        self.relay = None;
        self.server = Server::Closed;
        self.queries.clear();
        self.parting.clear();
        self.waiting.clear();
        self.swarm.suspend();
        // They concern what is gone.
        while self.swarm.poll_output().is_some() {}
        for (link, _) in core::mem::take(&mut self.links).into_iter().filter(|(_, state)| state.open) {
            let reason = Some(String::from("the connection to the relay ended"));
            self.outputs.push_back(SwarmOutput::Closed { link, reason });
        }
    }

    /// Takes one message of the transport.
    ///
    /// # Errors
    /// [`RelayError`]: end the transport; [`RelayedSwarm::relay_closed`] need not follow.
    pub fn handle_message(&mut self, now: Instant, bytes: &Bytes) -> Result<(), RelayError> {
        let Some(relay) = &mut self.relay else { return Ok(()) };
        let result = relay.handle_message(now, bytes);
        self.settle(now, result)
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`RelayError`], as of [`RelayedSwarm::handle_message`].
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), RelayError> {
        self.swarm.handle_deadline(now);
        if matches!(self.server, Server::Opening { until } if until <= now) {
            self.announce_waiting(now);
        }
        let result = self.relay.as_mut().map_or(Ok(()), |relay| relay.handle_deadline(now));
        self.settle(now, result)
    }

    fn settle(&mut self, now: Instant, result: Result<(), RelayError>) -> Result<(), RelayError> {
        self.carry_out(now);
        if result.is_err() {
            self.relay_closed();
        }
        result
    }

    /// When [`RelayedSwarm::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let relay = self.relay.as_ref()?;
        let opening = match self.server {
            Server::Opening { until } => Some(until),
            _ => None,
        };
        [Some(relay.deadline()), self.swarm.deadline(), opening].into_iter().flatten().min()
    }

    /// Joins a topic, or joins it in another way.
    pub fn join(&mut self, now: Instant, topic: Hash, options: JoinOptions) {
        if options.server {
            self.serving.insert(topic);
        } else {
            self.withdraw(topic);
        }
        self.swarm.join(topic, options);
        self.carry_out(now);
        self.unlisten_if_idle();
    }

    /// Leaves a topic. Connections stay; lost ones are not made again.
    pub fn leave(&mut self, now: Instant, topic: Hash) {
        self.swarm.leave(topic);
        self.withdraw(topic);
        let Self { queries, relay, .. } = self;
        queries.retain(|(query, of)| {
            let stays = *of != topic;
            relay.iter_mut().filter(|_| !stays).for_each(|relay| relay.cancel(*query));
            stays
        });
        self.carry_out(now);
        self.unlisten_if_idle();
    }

    fn withdraw(&mut self, topic: Hash) {
        self.serving.remove(&topic);
        self.waiting.remove(&topic);
    }

    /// With no topic left nobody has a reason to call.
    fn unlisten_if_idle(&mut self) {
        if self.serving.is_empty() && self.server != Server::Closed {
            self.server = Server::Closed;
            self.relay.iter_mut().for_each(RelayClient::unlisten);
            self.hear_relay();
        }
    }

    /// Looks every topic up again.
    pub fn refresh(&mut self, now: Instant) {
        self.swarm.refresh_all();
        self.carry_out(now);
    }

    /// Keeps a connection to this peer, whatever its topics.
    pub fn join_peer(&mut self, now: Instant, key: PublicKey) {
        self.swarm.join_peer(key);
        self.carry_out(now);
    }

    /// Ends what [`RelayedSwarm::join_peer`] began; a connection stays.
    pub fn leave_peer(&mut self, key: &PublicKey) {
        self.swarm.leave_peer(key);
    }

    /// Has nothing to do with this peer, or has again.
    pub fn ban(&mut self, now: Instant, key: PublicKey, banned: bool) {
        if banned {
            self.banned.insert(key);
        } else {
            self.banned.remove(&key);
        }
        self.relay.iter_mut().for_each(|relay| relay.refuse(key, banned));
        self.swarm.ban(key, banned);
        self.carry_out(now);
    }

    /// Sends bytes to a peer.
    pub fn send(&mut self, link: LinkId, bytes: &Bytes) {
        let (Some(link), Some(relay)) = (self.links.get_mut(&link).filter(|link| link.open), &mut self.relay) else {
            return;
        };
        link.sent = true;
        relay.write(link.stream, bytes);
        self.hear_relay();
    }

    /// Ends a connection after what was sent; nothing more is said of it.
    pub fn close(&mut self, now: Instant, link: LinkId) {
        if let Some(state) = self.links.remove(&link) {
            self.relay.iter_mut().for_each(|relay| relay.end(state.stream));
            self.swarm.closed(now, link);
            self.carry_out(now);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<SwarmOutput> {
        self.outputs.pop_front()
    }

    /// Figures of this moment.
    pub fn status(&self) -> Status {
        self.swarm.status()
    }

    /// There is a transport to a relay.
    pub fn has_relay(&self) -> bool {
        self.relay.is_some()
    }

    /// Others can call us.
    pub fn is_listening(&self) -> bool {
        self.server == Server::Open
    }

    /// No announcement is being taken back, nor our server's.
    pub fn has_parted(&self) -> bool {
        self.parting.is_empty() && !self.relay.as_ref().is_some_and(RelayClient::is_closing)
    }

    /// The key of the relay itself, once it said one.
    pub fn relay_key(&self) -> Option<PublicKey> {
        self.relay.as_ref().and_then(RelayClient::relay_key)
    }

    fn carry_out(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.swarm.poll_output() {
                self.obey(now, output);
            }
            let Some(output) = self.relay.as_mut().and_then(RelayClient::poll_output) else { return };
            self.relay_says(now, output);
        }
    }

    /// Hands out what is to be transmitted.
    fn hear_relay(&mut self) {
        while let Some(Output::Transmit(bytes)) = self.relay.as_mut().and_then(RelayClient::poll_output) {
            self.outputs.push_back(SwarmOutput::Transmit(bytes));
        }
    }

    fn obey(&mut self, now: Instant, output: hyperswarm::Output) {
        use hyperswarm::Output as O;
        let Some(relay) = &mut self.relay else { return };
        match output {
            O::Lookup(topic) => {
                let query = relay.lookup(now, topic);
                self.started(now, query, topic);
            }
            O::Announce(topic) => self.announce(now, topic),
            // Else it never was announced here.
            O::Unannounce(topic) if self.server == Server::Open => self.parting.extend(relay.unannounce(now, topic)),
            O::Unannounce(_) => {}
            O::Connect { link, peer, .. } => match relay.connect(now, peer) {
                Some(stream) => {
                    self.links.insert(link, Link { stream, open: false, sent: false, received: false });
                }
                None => self.swarm.closed(now, link),
            },
            O::Close(link) => self.hang_up(link),
            // A page has no local network to speak of, and `Config::nearby` is not set.
            O::TellNearby(_) => {}
        }
    }

    fn hang_up(&mut self, link: LinkId) {
        let Some(state) = self.links.remove(&link) else { return };
        self.relay.iter_mut().for_each(|relay| relay.destroy(state.stream));
        if state.open {
            self.outputs.push_back(SwarmOutput::Closed { link, reason: None });
        }
    }

    /// Peers that find us by a topic call our key: it is announced first. Meanwhile we look for them.
    fn announce(&mut self, now: Instant, topic: Hash) {
        let Some(relay) = &mut self.relay else { return };
        let query = if self.server == Server::Open {
            relay.announce(now, topic)
        } else {
            self.waiting.insert(topic);
            relay.lookup(now, topic)
        };
        self.started(now, query, topic);
        self.listen(now);
    }

    /// Listens, where that is of use: relays of the reference, which have no key of their own, lose announcements.
    fn listen(&mut self, now: Instant) {
        let Some(relay) = self.relay.as_mut().filter(|relay| relay.relay_key().is_some()) else { return };
        if self.server == Server::Closed && !self.waiting.is_empty() {
            relay.listen();
            self.server = Server::Opening { until: now.after(self.config.listen_time) };
        }
    }

    /// The server is announced, or takes long.
    fn announce_waiting(&mut self, now: Instant) {
        self.server = Server::Open;
        for topic in core::mem::take(&mut self.waiting) {
            let query = self.relay.as_mut().and_then(|relay| relay.announce(now, topic));
            self.queries.extend(query.map(|query| (query, topic)));
        }
    }

    fn started(&mut self, now: Instant, query: Option<QueryId>, topic: Hash) {
        match query {
            Some(query) => self.queries.push((query, topic)),
            None => self.swarm.refreshed(now, topic),
        }
    }

    fn relay_says(&mut self, now: Instant, output: Output) {
        match output {
            Output::Transmit(bytes) => self.outputs.push_back(SwarmOutput::Transmit(bytes)),
            Output::Peers { query, peers } => {
                if let Some((_, topic)) = self.queries.iter().find(|(known, _)| *known == query) {
                    self.swarm.found(*topic, peers);
                }
            }
            Output::Finished { query } => {
                self.parting.retain(|parting| *parting != query);
                if let Some(at) = self.queries.iter().position(|(known, _)| *known == query) {
                    let (_, topic) = self.queries.swap_remove(at);
                    self.swarm.refreshed(now, topic);
                }
            }
            Output::Greeted => self.listen(now),
            Output::Listening { .. } => self.announce_waiting(now),
            Output::Unlistened => self.server = Server::Closed,
            Output::Connected { stream, initiator: true, split } => self.reached(now, stream, split),
            Output::Connected { stream, initiator: false, split } => self.called(now, stream, split),
            Output::Data { stream, bytes } => {
                if let Some((link, state)) = self.links.iter_mut().find(|(_, state)| state.stream == stream) {
                    state.received = true;
                    let link = *link;
                    self.outputs.push_back(SwarmOutput::Data { link, bytes });
                }
            }
            Output::Closed { stream, reason } => self.lost(now, stream, reason),
        }
    }

    fn reached(&mut self, now: Instant, stream: StreamId, split: Box<Split>) {
        match self.link_of(stream).filter(|link| self.swarm.connected(now, *link)) {
            Some(link) => {
                self.links.get_mut(&link).into_iter().for_each(|state| state.open = true);
                self.hand_out(link, true, split);
            }
            None => {
                self.links.retain(|_, state| state.stream != stream);
                self.relay.iter_mut().for_each(|relay| relay.destroy(stream));
            }
        }
    }

    fn called(&mut self, now: Instant, stream: StreamId, split: Box<Split>) {
        let links = &self.links;
        let spoke = |link| links.get(&link).is_some_and(|link| link.sent && link.received);
        match self.swarm.called(now, split.remote, spoke) {
            Admission::Admitted(link) => {
                // What this one replaces goes first.
                while let Some(output) = self.swarm.poll_output() {
                    self.obey(now, output);
                }
                self.links.insert(link, Link { stream, open: true, sent: false, received: false });
                self.hand_out(link, false, split);
            }
            Admission::Duplicate | Admission::Refused => {
                self.relay.iter_mut().for_each(|relay| relay.destroy(stream));
            }
        }
    }

    fn hand_out(&mut self, link: LinkId, initiator: bool, split: Box<Split>) {
        let topics = self.swarm.topics_of(&split.remote);
        let relay = self.relay_key() == Some(split.remote);
        self.outputs.push_back(SwarmOutput::Connected { link, initiator, split, topics, relay });
    }

    /// They are few.
    fn link_of(&self, stream: StreamId) -> Option<LinkId> {
        self.links.iter().find(|(_, state)| state.stream == stream).map(|(link, _)| *link)
    }

    fn lost(&mut self, now: Instant, stream: StreamId, reason: Option<String>) {
        let Some(link) = self.link_of(stream) else { return };
        let open = self.links.remove(&link).is_some_and(|state| state.open);
        self.swarm.closed(now, link);
        if open {
            self.outputs.push_back(SwarmOutput::Closed { link, reason });
        }
    }
}
