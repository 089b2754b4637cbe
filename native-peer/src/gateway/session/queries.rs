//! Lookups, announcements and their ends, by topic.

use super::machine::Session;
use super::output::{Part, Request};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::{Announcers, DhtRelayMessage as Message};
use corestore_core::encoding::Encode;

/// One query.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) client: u32,
}

impl Session {
    /// Begins a query of the client's: a lookup when there is no key.
    pub(super) fn query(&mut self, client: u32, topic: Hash, key: Option<PublicKey>, ends: bool) {
        if self.queries.len() >= self.limits.queries {
            return self.send(&Message::Finished { id: client });
        }
        let query = Part(self.number());
        self.queries.insert(query, Query { client });
        let ours = |key| self.servers.iter().find(|(_, server)| Some(server.key) == key && server.is_listening());
        let server = ours(key).map(|(server, _)| *server);
        self.request(match key {
            None => Request::Lookup { query, topic },
            Some(key) if ends => Request::Unannounce { query, topic, key },
            Some(key) => Request::Announce { query, topic, key, server },
        });
    }

    /// A node answered a query.
    pub fn found(&mut self, query: Part, answer: &Announcers) {
        let Some(id) = self.queries.get(&query).map(|query| query.client) else { return };
        self.tell(&Message::Result { id, data: Bytes::from(answer.to_bytes()) });
    }

    /// A query is over, or was not begun: too many at once.
    pub fn query_done(&mut self, query: Part) {
        if let Some(Query { client }) = self.queries.remove(&query) {
            self.tell(&Message::Finished { id: client });
        }
    }
}
