//! Lookups, announcements and our server, and the signatures they need.

use super::client::RelayClient;
use super::io::{Output, QueryId};
use crate::crypto::{Hash, Signature};
use crate::dht::{Announce, Announcers, DhtRelayMessage, PeerRecord, peer_target};
use crate::encoding::Decode;
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// A query under way.
#[derive(Debug)]
pub(super) struct Query {
    kind: Kind,
    topic: Hash,
    /// Peers it may still name.
    room: usize,
    pub(super) until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lookup,
    Announce,
    Unannounce,
}

/// Our server.
#[derive(Debug)]
pub(super) struct Server {
    id: u32,
    /// The relay's number of it, once it is announced.
    pub(super) alias: Option<u32>,
}

impl RelayClient {
    /// Asks who is announced under a topic; [`Output::Peers`] follow and [`Output::Finished`]. `None` when there are too
    /// many queries.
    pub fn lookup(&mut self, now: Instant, topic: Hash) -> Option<QueryId> {
        self.query(now, Kind::Lookup, topic)
    }

    /// The same, and announces us.
    pub fn announce(&mut self, now: Instant, topic: Hash) -> Option<QueryId> {
        self.query(now, Kind::Announce, topic)
    }

    /// Takes the announcement back; [`Output::Finished`] follows.
    pub fn unannounce(&mut self, now: Instant, topic: Hash) -> Option<QueryId> {
        self.query(now, Kind::Unannounce, topic)
    }

    fn query(&mut self, now: Instant, kind: Kind, topic: Hash) -> Option<QueryId> {
        if self.queries.len() >= self.config.max_queries {
            return None;
        }
        let (id, public_key) = (self.next_id(), self.key_pair.public_key());
        let (room, until) = (self.config.max_query_peers, now.after(self.config.query_time));
        self.queries.insert(QueryId(id), Query { kind, topic, room, until });
        self.send(&match kind {
            Kind::Lookup => DhtRelayMessage::Lookup { id, topic },
            Kind::Announce => DhtRelayMessage::Announce { id, topic, public_key },
            Kind::Unannounce => DhtRelayMessage::Unannounce { id, topic, public_key },
        });
        Some(QueryId(id))
    }

    /// Forgets a query.
    pub fn cancel(&mut self, query: QueryId) {
        self.queries.remove(&query);
    }

    /// Lets others call us; [`Output::Listening`] follows.
    pub fn listen(&mut self) {
        if self.server.is_none() {
            let (alias, public_key) = (self.next_id(), self.key_pair.public_key());
            self.server = Some(Server { id: alias, alias: None });
            self.send(&DhtRelayMessage::Listen { alias, public_key });
        }
    }

    /// Takes no more calls. What takes the announcement back is signed until [`RelayClient::is_closing`] is false.
    pub fn unlisten(&mut self) {
        if let Some(server) = self.server.take() {
            self.drop_calls();
            self.send(&DhtRelayMessage::Close { alias: server.id });
            // One that is not announced yet is closed without a word.
            self.closing = Some(server).filter(|server| server.alias.is_some());
        }
    }

    /// Our server is being closed.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    pub(super) fn listening(&mut self, alias: u32, id: u32, address: SocketAddrV4) {
        let Some(server) = self.server.as_mut().filter(|server| server.id == id) else { return };
        if server.alias.replace(alias).is_none() {
            self.output(Output::Listening { address });
        }
    }

    pub(super) fn unlistened(&mut self, alias: u32) {
        self.closing.take_if(|server| server.alias == Some(alias));
        if self.server.take_if(|server| server.alias == Some(alias)).is_some() {
            self.drop_calls();
            self.output(Output::Unlistened);
        }
    }

    pub(super) fn found(&mut self, id: QueryId, data: &[u8]) {
        let Some(query) = self.queries.get_mut(&id) else { return };
        // An answer that cannot be read is one node's, and the relay passes on whatever it gets.
        let Ok(Announcers { mut peers, .. }) = Announcers::from_bytes(data) else { return };
        peers.truncate(query.room);
        query.room = query.room.saturating_sub(peers.len());
        if !peers.is_empty() {
            self.output(Output::Peers { query: id, peers });
        }
    }

    pub(super) fn finished(&mut self, query: QueryId) {
        if self.queries.remove(&query).is_some() {
            self.output(Output::Finished { query });
        }
    }

    pub(super) fn expire_queries(&mut self, now: Instant) {
        let late = self.queries.iter().filter(|(_, query)| query.until <= now).map(|(query, _)| *query);
        late.collect::<Vec<_>>().into_iter().for_each(|query| self.finished(query));
    }

    pub(super) fn sign_announce(
        &mut self,
        now: Instant,
        id: u32,
        signee: u32,
        (token, node): (&Hash, &Hash),
        relay_addresses: Vec<SocketAddrV4>,
    ) {
        let target = self.target(signee, Kind::Announce).filter(|_| self.signature_budget.take(now));
        let signed = target.map(|target| {
            let peer = PeerRecord { public_key: self.key_pair.public_key(), relay_addresses };
            Announce::sign_announce(&self.key_pair, &target, node, token, peer, 0)
        });
        self.give_signature(id, signed.and_then(|announce| announce.signature));
    }

    pub(super) fn sign_unannounce(&mut self, now: Instant, id: u32, signee: u32, (token, node): (&Hash, &Hash)) {
        let target = self.target(signee, Kind::Unannounce).filter(|_| self.signature_budget.take(now));
        let signed = target.map(|target| Announce::sign_unannounce(&self.key_pair, &target, node, token));
        self.give_signature(id, signed.and_then(|announce| announce.signature));
    }

    fn give_signature(&mut self, id: u32, signature: Option<Signature>) {
        self.send(&DhtRelayMessage::Signature { id, signature });
    }

    /// What a signature is for, if we asked for anything that needs it: a query of this kind, or our server, whose place
    /// moves from node to node.
    fn target(&self, signee: u32, kind: Kind) -> Option<Hash> {
        let closing = self.closing.as_ref().filter(|_| kind == Kind::Unannounce);
        if self.server.as_ref().or(closing).is_some_and(|server| server.id == signee) {
            return Some(peer_target(&self.key_pair.public_key()));
        }
        self.queries.get(&QueryId(signee)).filter(|query| query.kind == kind).map(|query| query.topic)
    }
}
