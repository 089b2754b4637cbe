//! What a session asks of the DHT, and who answers: the swarm's member, or the gateway itself.

use super::admission::Deed;
use super::metrics::Counted;
use super::relay::{Relay, Task};
use super::said::{Duplex, Said};
use super::session::{Part, Request};
use super::stream::StreamHandle;
use crate::swarm::hyperdht::{ConnectSettings, ConnectionId, Event, Foreign, HyperDht, OperationId, ReadHandshake};
use crate::swarm::member::{Member, MemberListener};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::{Announcers, Contact};
use corestore_core::time::Instant;
use std::time::Duration;

impl<S> Relay<S> {
    pub(super) fn ask(&mut self, request: Request) {
        let member = self.lane.shared.swarm.member().clone();
        match request {
            Request::Connect { stream, key, remote } => self.connect(&member, stream, key, remote),
            Request::Listen { server, key } => self.listen(&member, server, key),
            Request::CloseServer(server) => self.close_server(server),
            Request::Lookup { query, topic } => self.lookup(&member, query, topic),
            Request::Announce { query, topic, key, server } => {
                self.lane.shared.forget_answers(&topic);
                let foreign = Foreign { key, holder: self.seat.holder(query) };
                let server = server.and_then(|server| self.parts.servers.get(&server).map(|(_, id, _)| *id));
                self.query(&member, query, move |dht, now| {
                    let relays = server.map(|server| dht.relay_addresses(server).to_vec()).unwrap_or_default();
                    dht.announce(now, topic, foreign, relays, true, 0)
                });
            }
            Request::Unannounce { query, topic, key } => {
                self.lane.shared.forget_answers(&topic);
                let foreign = Foreign { key, holder: self.seat.holder(query) };
                self.query(&member, query, move |dht, now| dht.unannounce(now, topic, foreign));
            }
            Request::Signed { signature, given } => member.act(|dht, now| dht.signed(now, signature, given)),
            Request::HandshakeRead { connection, read } if self.locals.is_ours(connection) => {
                self.finish_local(connection, read);
            }
            Request::HandshakeRead { connection, read } => {
                member.act(|dht, now| dht.handshake_read(now, connection, read.map(|read| *read)));
            }
            Request::HandshakeWritten { connection, noise, .. } if self.locals.is_ours(connection) => {
                self.answer_local(connection, &noise);
            }
            Request::HandshakeWritten { connection, noise, holepunch_key } => {
                member.act(|dht, now| dht.handshake_written(now, connection, noise, holepunch_key));
            }
        }
    }

    fn connect(&mut self, member: &Member, stream: Part, key: PublicKey, remote: PublicKey) {
        if remote == self.lane.shared.key_pair.public_key() {
            let (connection, payload) = self.locals.begin(stream, key);
            return self.session.write_handshake(self.lane.shared.now(), stream, connection, &payload);
        }
        if !self.may(Deed::Connect) {
            return self.session.failed(stream, "too many connections a second; wait a little".to_owned());
        }
        let settings =
            ConnectSettings { relay_addresses: self.lane.shared.routes(&remote), ..ConnectSettings::default() };
        let foreign = Foreign { key, holder: self.seat.holder(stream) };
        let (inbox, member) = (self.lane.inbox.clone(), member.clone());
        let task = tokio::spawn(async move {
            bootstrapped(&member).await;
            let connecting = member.start_connect(foreign, remote, settings);
            let connection = connecting.connection();
            let said = match connecting.done().await {
                Ok(wire) => Said::Connected(stream, connection, Box::new(wire)),
                Err(reason) => Said::Failed(stream, reason.to_string()),
            };
            let _ = inbox.send(said).await;
        });
        self.parts.tasks.insert(stream, Task(task));
    }

    fn listen(&mut self, member: &Member, server: Part, key: PublicKey) {
        let Some(listener) = self.seat.listen(member, key, server) else {
            return self.session.server_ended(server);
        };
        let (id, inbox) = (listener.id(), self.lane.inbox.clone());
        let counted = Counted::new(&self.lane.shared.metrics, |metrics| &metrics.servers, 1);
        let task = tokio::spawn(async move {
            accept(server, listener, inbox).await;
            drop(counted);
        });
        self.parts.servers.insert(server, (key, id, Task(task)));
    }

    pub(super) fn close_server(&mut self, server: Part) {
        if let Some((key, id, task)) = self.parts.servers.remove(&server) {
            self.seat.closed(&key, id);
            drop(task);
        }
    }

    /// The session is over: so is all that it listened for.
    pub(super) fn close_servers(&mut self) {
        let servers: Vec<Part> = self.parts.servers.keys().copied().collect();
        servers.into_iter().for_each(|server| self.close_server(server));
    }

    fn query(
        &mut self,
        member: &Member,
        query: Part,
        begin: impl FnOnce(&mut HyperDht, Instant) -> OperationId + Send + 'static,
    ) {
        if !self.may(Deed::Lookup) {
            return self.session.query_done(query);
        }
        self.begin_query(member, query, None, begin);
    }

    fn lookup(&mut self, member: &Member, query: Part, topic: Hash) {
        if !self.may(Deed::Lookup) {
            return self.session.query_done(query);
        }
        match self.lane.shared.answers(&topic) {
            Some(answers) => {
                answers.iter().for_each(|answer| self.session.found(query, answer));
                self.session.query_done(query);
            }
            None => self.begin_query(member, query, Some(topic), move |dht, now| dht.lookup(now, topic)),
        }
    }

    /// `topic`: its answers are kept for others who look it up.
    fn begin_query(
        &mut self,
        member: &Member,
        query: Part,
        topic: Option<Hash>,
        begin: impl FnOnce(&mut HyperDht, Instant) -> OperationId + Send + 'static,
    ) {
        let shared = self.lane.shared.clone();
        shared.metrics.queries_total.add(1);
        let (inbox, member) = (self.lane.inbox.clone(), member.clone());
        let task = tokio::spawn(async move {
            bootstrapped(&member).await;
            let mut events = member.operate(begin);
            let mut answers = Vec::new();
            while let Some(event) = events.recv().await {
                let Event::Peers { from, to, token, peers, .. } = event else { continue };
                peers.iter().for_each(|peer| shared.learn(peer.public_key, peer.relay_addresses.clone()));
                let (token, to) = (token.unwrap_or(Hash([0; 32])), Contact { id: None, address: to });
                let answer = Box::new(Announcers { token, from, to, peers });
                if topic.is_some() {
                    answers.push(answer.as_ref().clone());
                }
                if inbox.send(Said::Found(query, answer)).await.is_err() {
                    return;
                }
            }
            topic.into_iter().for_each(|topic| shared.keep_answers(topic, std::mem::take(&mut answers)));
            let _ = inbox.send(Said::QueryDone(query)).await;
        });
        self.parts.tasks.insert(query, Task(task));
    }

    pub(super) fn begin(&mut self, stream: Part, far: Box<dyn Duplex>) {
        let Some(place) = self.lane.shared.begin_stream(self.lane.address) else {
            return self.session.far_closed(stream, Some("this address has too many streams".to_owned()));
        };
        self.lane.shared.metrics.streams_total.add(1);
        self.parts.streams.insert(stream, StreamHandle::start(self.lane.clone(), place, stream, far));
    }

    fn answer_local(&mut self, connection: ConnectionId, noise: &Bytes) {
        let now = self.lane.shared.now();
        match self.locals.answer(&self.lane.shared, connection, noise) {
            Some((stream, reply)) => self.session.read_handshake(now, stream, connection, reply),
            None => self.fail_local(connection),
        }
    }

    fn finish_local(&mut self, connection: ConnectionId, read: Option<Box<ReadHandshake>>) {
        let Some((stream, far)) = self.locals.finish(connection) else { return };
        match far.filter(|_| read.is_some()) {
            Some(far) => {
                self.session.connected(stream, connection);
                self.begin(stream, far);
            }
            None => self.session.failed(stream, LOCAL_FAILED.to_owned()),
        }
    }

    fn fail_local(&mut self, connection: ConnectionId) {
        if let Some((stream, _)) = self.locals.finish(connection) {
            self.session.failed(stream, LOCAL_FAILED.to_owned());
        }
    }
}

/// Takes the connections of one server, until it is closed.
async fn accept(server: Part, mut listener: MemberListener, inbox: tokio::sync::mpsc::Sender<Said>) {
    while let Some(wire) = listener.accept().await {
        let said = Said::Called(server, wire.connection, Box::new(wire));
        if inbox.send(said).await.is_err() {
            return;
        }
    }
}

/// Before its first query is over a member finds nothing.
async fn bootstrapped(member: &Member) {
    let _ = tokio::time::timeout(BOOTSTRAP, member.bootstrapped()).await;
}

/// How long a request waits for the network at most.
const BOOTSTRAP: Duration = Duration::from_secs(10);
const LOCAL_FAILED: &str = "the handshake with the gateway does not hold";
