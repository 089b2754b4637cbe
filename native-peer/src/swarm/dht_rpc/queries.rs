//! Queries under way, driven by the machine's requests.

use super::machine::{DhtRpc, internal, is_usable};
use super::output::{Event, QueryId, QuerySettings, Reply, RequestSettings};
use super::query::{Candidate, Hint, Kind, Limits, Progress, Query};
use super::requests::Purpose;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::dht::{InternalCommand, encode_address, node_id};
use corestore_core::encoding::Writer;
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

impl DhtRpc {
    /// Asks ever nearer nodes for a command of the layer above. [`Event::QueryReply`]s follow, then one
    /// [`Event::QueryDone`]; with too many queries under way that one at once.
    pub fn query(&mut self, now: Instant, target: Hash, settings: QuerySettings) -> QueryId {
        self.refresh_in = self.config.refresh_ticks;
        self.start_query(now, target, Kind::User, false, settings)
    }

    /// Looks for the lasting nodes nearest to a target; events as for [`DhtRpc::query`].
    pub fn find_node(&mut self, now: Instant, target: Hash) -> QueryId {
        self.refresh_in = self.config.refresh_ticks;
        let settings = QuerySettings { command: InternalCommand::FindNode.number(), ..QuerySettings::default() };
        self.start_query(now, target, Kind::User, true, settings)
    }

    /// Forgets a query; no event follows.
    pub fn cancel_query(&mut self, query: QueryId) {
        self.queries.remove(&query);
        self.drop_visits(query);
    }

    pub(super) fn background_query(&mut self, now: Instant, target: Hash, kind: Kind) {
        self.refresh_in = self.config.refresh_ticks;
        let settings = QuerySettings { command: InternalCommand::FindNode.number(), ..QuerySettings::default() };
        self.start_query(now, target, kind, true, settings);
    }

    fn start_query(
        &mut self,
        now: Instant,
        target: Hash,
        kind: Kind,
        internal: bool,
        settings: QuerySettings,
    ) -> QueryId {
        let id = QueryId(self.number());
        if self.suspended || (self.queries.len() >= self.config.max_queries && kind != Kind::Bootstrap) {
            if kind == Kind::User {
                self.event(Event::QueryDone { query: id, closest: Vec::new(), successes: 0, errors: 0 });
            }
            return id;
        }
        self.stats.queries = self.stats.queries.saturating_add(1);
        let limits = Limits {
            k: self.config.k,
            concurrency: if kind == Kind::User { self.config.concurrency } else { self.background_concurrency() },
            retries: self.config.query_retries,
            max_visits: self.config.max_visits,
        };
        let given: Vec<Candidate> = settings.nodes.iter().filter(|node| is_usable(node)).map(candidate).collect();
        let mut query = Query::new(target, kind, internal, settings, &limits);
        query.add_known(given, false);
        self.give_known_nodes(&mut query);
        self.queries.insert(id, query);
        self.advance_query(now, id);
        id
    }

    fn give_known_nodes(&self, query: &mut Query) {
        let wants = query.wants();
        if wants == 0 {
            return;
        }
        let closest = self.nodes.closest(&query.target, wants);
        let known = closest.into_iter().map(|node| Candidate { id: node.id, address: node.address });
        query.add_known(known.collect::<Vec<_>>(), true);
        if query.wants() > 0 {
            let own = self.nodes.own_id();
            query.add_known(self.config.bootstrap.iter().map(candidate).filter(|node| node.id != own), true);
        }
    }

    fn advance_query(&mut self, now: Instant, id: QueryId) {
        let mut hints = Vec::new();
        while let Some(query) = self.queries.get_mut(&id) {
            if let Some(node) = query.next_visit() {
                let settings = RequestSettings {
                    internal: query.internal,
                    command: query.command,
                    target: Some(query.target),
                    value: query.value.clone(),
                    retries: Some(query.retries),
                    ..RequestSettings::default()
                };
                let begun = self.begin(now, node.address, Some(node.id), settings, Purpose::Query(id));
                if begun.is_none()
                    && let Some(query) = self.queries.get_mut(&id)
                {
                    hints.extend(query.handle_failure(node.address, false));
                }
                continue;
            }
            match query.progress() {
                Progress::Going => break,
                Progress::Done => self.finish_query(now, id),
                Progress::NeedsTable => {
                    if let Some(mut query) = self.queries.remove(&id) {
                        query.add_known([], true);
                        self.give_known_nodes(&mut query);
                        self.queries.insert(id, query);
                    }
                }
            }
        }
        self.send_hints(now, hints);
    }

    fn finish_query(&mut self, now: Instant, id: QueryId) {
        let Some(query) = self.queries.remove(&id) else { return };
        self.drop_visits(id);
        match query.kind {
            Kind::User => {
                let (successes, errors) = (query.successes, query.errors);
                self.event(Event::QueryDone { query: id, closest: query.into_closest(), successes, errors });
            }
            Kind::Refresh => {}
            Kind::Bootstrap => self.bootstrap_queried(now),
        }
    }

    fn drop_visits(&mut self, id: QueryId) {
        for tid in self.requests.find(|purpose| matches!(purpose, Purpose::Query(query) if *query == id)) {
            self.requests.remove(tid);
        }
    }

    pub(super) fn query_answered(&mut self, now: Instant, id: QueryId, reply: Reply, was_slow: bool) {
        let own = self.nodes.own_id();
        let busy = self.requests.len() >= 3;
        let (full, background) = (self.config.concurrency, self.background_concurrency());
        let Some(query) = self.queries.get_mut(&id) else { return };
        let hints = query.handle_reply(&reply, was_slow, |node| node.id != own && is_usable(&node.address));
        let kind = query.kind;
        if kind != Kind::User {
            // Background work yields to other traffic.
            query.concurrency = if busy { background } else { full };
        }
        self.send_hints(now, hints);
        if reply.error == 0 {
            match kind {
                Kind::User => self.event(Event::QueryReply { query: id, reply }),
                Kind::Bootstrap => self.bootstrap_reply(now, reply.from),
                Kind::Refresh => {}
            }
        }
        self.advance_query(now, id);
    }

    pub(super) fn query_unanswered(&mut self, now: Instant, id: QueryId, address: SocketAddrV4, was_slow: bool) {
        let Some(query) = self.queries.get_mut(&id) else { return };
        let hints = query.handle_failure(address, was_slow);
        self.send_hints(now, hints);
        self.advance_query(now, id);
    }

    pub(super) fn query_slow(&mut self, now: Instant, id: QueryId) {
        self.queries.get_mut(&id).into_iter().for_each(Query::handle_slow);
        self.advance_query(now, id);
    }

    fn send_hints(&mut self, now: Instant, hints: Vec<Hint>) {
        for hint in hints {
            if self.hints_sent >= self.config.max_down_hints {
                return;
            }
            self.hints_sent = self.hints_sent.saturating_add(1);
            let mut value = Writer::with_capacity(6);
            encode_address(&mut value, &hint.down);
            let settings =
                RequestSettings { value: Some(Bytes::from(value.into_vec())), ..internal(InternalCommand::DownHint) };
            self.begin(now, hint.to, None, settings, Purpose::Hint);
        }
    }

    fn background_concurrency(&self) -> usize {
        (self.config.concurrency / 8).max(2).min(self.config.concurrency)
    }
}

fn candidate(address: &SocketAddrV4) -> Candidate {
    Candidate { id: node_id(address), address: *address }
}
