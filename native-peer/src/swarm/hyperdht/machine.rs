//! The machine: what comes in, what goes out.

use super::announcer::AnnouncerRequest;
use super::config::Config;
use super::connect::Connect;
use super::identity::{Identity, SignatureId, Unsigned};
use super::incoming::Incoming;
use super::operations::Operation;
use super::output::{ConnectionId, Event, NodeEvent, OperationId, Output, ServerId};
use super::puncher::SocketIds;
use super::router::Router;
use super::server::Server;
use super::stats::Stats;
use super::store::Store;
use super::timetable::Timetable;
use crate::swarm::dht_rpc::{self, Config as RpcConfig, DhtRpc, QueryId, Reply, RequestId, RequestSettings, SocketId};
use corestore_core::budget::Budget;
use corestore_core::crypto::Hash;
use corestore_core::entropy::Entropy;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;

/// A member of HyperDHT.
///
/// It performs no I/O and reads no clock. After every method that takes `now` drain [`HyperDht::poll_output`] until it
/// gives `None`, then ask [`HyperDht::deadline`] again. The same seed and the same inputs give the same outputs.
pub struct HyperDht {
    pub(super) rpc: DhtRpc,
    pub(super) config: Config,
    pub(super) entropy: Entropy,
    pub(super) operations: BTreeMap<OperationId, Operation>,
    pub(super) queries: BTreeMap<QueryId, QueryFor>,
    pub(super) requests: BTreeMap<RequestId, RequestFor>,
    pub(super) router: Router,
    pub(super) store: Option<Store>,
    pub(super) servers: BTreeMap<ServerId, Server>,
    /// When the relaying nodes of a server are to be asked; some of it may be old.
    pub(super) pings_due: BTreeSet<(Instant, ServerId)>,
    /// When relaying nodes were heard last.
    pub(super) heard: BTreeMap<SocketAddrV4, Instant>,
    pub(super) incoming: Timetable<Incoming>,
    /// Calls by the hash of the caller's message.
    pub(super) handshakes: BTreeMap<Hash, ConnectionId>,
    pub(super) handshake_budget: Budget,
    pub(super) relay_budget: Budget,
    pub(super) connects: Timetable<Connect>,
    pub(super) unsigned: BTreeMap<SignatureId, Unsigned>,
    /// UDX streams that are not connected yet.
    pub(super) streams: BTreeMap<u32, ConnectionId>,
    /// Sockets that punch.
    pub(super) sockets: BTreeMap<SocketId, ConnectionId>,
    pub(super) socket_ids: SocketIds,
    pub(super) local_addresses: Vec<SocketAddrV4>,
    pub(super) random_punches: usize,
    pub(super) last_random_punch: Option<Instant>,
    pub(super) stats: Stats,
    outputs: VecDeque<Output>,
    next_number: u64,
}

/// Whose query it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum QueryFor {
    Operation(OperationId),
    Announcer(ServerId),
    Connect(ConnectionId),
}

/// Whose request it is.
#[derive(Clone, Debug)]
pub(super) enum RequestFor {
    Operation(OperationId),
    Announcer(ServerId, AnnouncerRequest),
    /// To get a token with which this key's announcement is taken back.
    TakeBack(Box<Identity>),
    /// A handshake, passed on by this node.
    Handshake(ConnectionId, SocketAddrV4),
    /// A word on hole punching: where the node was to send it, and what is to be echoed.
    Word(ConnectionId, SocketAddrV4, Option<Hash>),
    /// A peer's local address.
    Local(ConnectionId, SocketAddrV4),
    /// How a node sees a punching socket.
    Nat(ConnectionId, SocketId),
    Nobody,
}

impl std::fmt::Debug for HyperDht {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HyperDht").field("rpc", &self.rpc).finish_non_exhaustive()
    }
}

impl HyperDht {
    /// A member that begins to bootstrap; the node's two sockets are bound. `seed` is 32 fresh random bytes.
    pub fn new(node: RpcConfig, config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut entropy = Entropy::from_seed(seed);
        let mut member = Self {
            rpc: DhtRpc::new(node, entropy.array(), now),
            operations: BTreeMap::new(),
            queries: BTreeMap::new(),
            requests: BTreeMap::new(),
            router: Router::new(now, &config),
            store: None,
            servers: BTreeMap::new(),
            pings_due: BTreeSet::new(),
            heard: BTreeMap::new(),
            incoming: Timetable::new(),
            handshakes: BTreeMap::new(),
            handshake_budget: Budget::new(now, config.max_handshakes),
            relay_budget: Budget::new(now, config.max_relay_calls),
            connects: Timetable::new(),
            unsigned: BTreeMap::new(),
            streams: BTreeMap::new(),
            sockets: BTreeMap::new(),
            socket_ids: SocketIds(1),
            local_addresses: Vec::new(),
            random_punches: 0,
            last_random_punch: None,
            stats: Stats::default(),
            outputs: VecDeque::new(),
            next_number: 0,
            entropy,
            config,
        };
        member.pump(now);
        member
    }

    /// Takes a datagram that came in by `socket` and is none of UDX, whose first byte is 0xff.
    pub fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        if bytes.len() <= 1 {
            self.handle_probe(now, socket, from);
        } else {
            self.rpc.handle_datagram(now, socket, from, bytes);
        }
        self.pump(now);
    }

    /// Does what is due at `now`.
    pub fn handle_deadline(&mut self, now: Instant) {
        self.router.handle_time(now);
        self.store.iter_mut().for_each(|store| store.handle_time(now));
        self.rpc.handle_deadline(now);
        self.pump(now);
        self.handle_pings(now);
        self.connects.due(now).into_iter().for_each(|id| self.handle_connect(now, id));
        self.handle_punchers(now);
        self.expire_incoming(now);
        self.pump(now);
    }

    /// When [`HyperDht::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let node = self.rpc.deadline()?;
        let servers = self.pings_due.first().map(|(at, _)| *at).into_iter();
        servers.chain(self.connects.first()).chain(self.incoming.first()).chain([node]).min()
    }

    /// Our addresses on local networks, with the server socket's port: peers on the same network use them.
    pub fn set_local_addresses(&mut self, addresses: Vec<SocketAddrV4>) {
        self.local_addresses = addresses;
    }

    /// Our addresses on local networks once more: when they are others than before, everything known of the network
    /// is old, and [`NodeEvent::NetworkChanged`] tells it.
    pub fn network_seen(&mut self, now: Instant, addresses: Vec<SocketAddrV4>) {
        let known: BTreeSet<SocketAddrV4> = self.local_addresses.iter().copied().collect();
        if addresses.iter().copied().collect::<BTreeSet<_>>() == known {
            return;
        }
        self.local_addresses = addresses;
        self.rpc.network_changed(now);
        self.event(Event::Node(NodeEvent::NetworkChanged));
        self.refresh_servers(now);
    }

    /// Makes the member silent until [`HyperDht::resume`]: everything under way ends, servers are kept.
    pub fn suspend(&mut self, now: Instant) {
        for id in self.connects.keys().copied().collect::<Vec<_>>() {
            self.connects.get_mut(&id).into_iter().for_each(|connect| connect.at_relay = false);
            self.fail_connect(now, id, super::output::ConnectError::Cancelled);
        }
        for id in self.incoming.keys().copied().collect::<Vec<_>>() {
            self.forget_incoming(now, id);
        }
        self.rpc.suspend(now);
        self.pump(now);
    }

    /// Wakes the member up; servers are announced anew.
    pub fn resume(&mut self, now: Instant) {
        self.rpc.resume(now);
        self.refresh_servers(now);
    }

    /// The next thing to do or know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            self.connects.settle();
            self.incoming.settle();
        }
        if output.is_none() && self.outputs.capacity() > KEPT_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// The node of the DHT below.
    pub fn node(&self) -> &DhtRpc {
        &self.rpc
    }

    /// Entries of all its tables: what its memory grows with.
    pub fn entries(&self) -> usize {
        self.tables().map(|(_, entries)| entries).sum()
    }

    /// Its tables, the node's included, and the entries of each.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let own = [
            ("operations", self.operations.len()),
            ("queries of members", self.queries.len()),
            ("requests of members", self.requests.len()),
            ("routes", self.router.len()),
            ("records", self.store.as_ref().map_or(0, Store::len)),
            ("servers", self.servers.len()),
            ("pings due", self.pings_due.len()),
            ("relaying nodes heard", self.heard.len()),
            ("calls", self.incoming.len()),
            ("handshakes", self.handshakes.len()),
            ("connects", self.connects.len()),
            ("unsigned", self.unsigned.len()),
            ("streams", self.streams.len()),
            ("sockets", self.sockets.len()),
            ("outputs", self.outputs.len()),
        ];
        own.into_iter().chain(self.rpc.tables())
    }

    /// Counters of connections.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number = self.next_number.saturating_add(1);
        self.next_number
    }

    /// Asks a node on behalf of something.
    pub(super) fn request_for(
        &mut self,
        now: Instant,
        to: SocketAddrV4,
        settings: RequestSettings,
        owner: RequestFor,
    ) -> RequestId {
        let request = self.rpc.request(now, to, settings);
        self.requests.insert(request, owner);
        request
    }

    /// Takes in what the node has to say, until it has nothing more.
    pub(super) fn pump(&mut self, now: Instant) {
        while let Some(output) = self.rpc.poll_output() {
            match output {
                dht_rpc::Output::Transmit(transmit) => self.output(Output::Transmit(transmit)),
                dht_rpc::Output::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: dht_rpc::Event) {
        match event {
            dht_rpc::Event::Request(request) => self.handle_request(now, &request),
            dht_rpc::Event::Response { request, reply } => self.answered(now, request, Some(&reply)),
            dht_rpc::Event::Failed(request) => self.answered(now, request, None),
            dht_rpc::Event::QueryReply { query, reply } => self.query_reply(now, query, &reply),
            dht_rpc::Event::QueryDone { query, closest, .. } => self.query_done(now, query, closest),
            dht_rpc::Event::Bootstrapped => self.event(Event::Node(NodeEvent::Bootstrapped)),
            dht_rpc::Event::Persistent(id) => {
                if self.store.is_none() {
                    self.store = Some(Store::new(now, &self.config));
                }
                self.event(Event::Node(NodeEvent::Persistent(id)));
            }
            dht_rpc::Event::Ephemeral => self.event(Event::Node(NodeEvent::Ephemeral)),
            dht_rpc::Event::Nat(address) => self.event(Event::Node(NodeEvent::Nat(address))),
            dht_rpc::Event::Online(online) => self.event(Event::Node(NodeEvent::Online(online))),
        }
    }

    fn answered(&mut self, now: Instant, request: RequestId, reply: Option<&Reply>) {
        if let Some(owner) = self.requests.remove(&request) {
            self.deliver(now, owner, reply);
        }
    }

    /// Tells whoever made a request what came of it.
    pub(super) fn deliver(&mut self, now: Instant, owner: RequestFor, reply: Option<&Reply>) {
        match owner {
            RequestFor::Operation(id) => self.operation_answered(now, id, reply),
            RequestFor::Announcer(id, what) => self.announcer_answered(now, id, what, reply),
            RequestFor::TakeBack(identity) => {
                reply.into_iter().for_each(|reply| self.take_back_found(now, &identity, reply));
            }
            RequestFor::Handshake(id, node) => self.handshake_answered(now, id, node, reply),
            RequestFor::Word(id, peer, token) => self.word_answered(now, id, peer, token, reply),
            RequestFor::Local(id, to) => self.local_answered(now, id, to, reply.is_some()),
            RequestFor::Nat(id, socket) => self.nat_answered(now, id, socket, reply),
            RequestFor::Nobody => {}
        }
    }

    fn query_reply(&mut self, now: Instant, query: QueryId, reply: &Reply) {
        match self.queries.get(&query).copied() {
            Some(QueryFor::Operation(id)) => self.operation_reply(now, id, reply),
            Some(QueryFor::Connect(id)) => self.connect_found(now, id, reply),
            Some(QueryFor::Announcer(_)) | None => {}
        }
    }

    fn query_done(&mut self, now: Instant, query: QueryId, closest: Vec<Reply>) {
        match self.queries.remove(&query) {
            Some(QueryFor::Operation(id)) => self.operation_queried(now, id, closest),
            Some(QueryFor::Announcer(id)) => self.announcer_queried(now, id, &closest),
            Some(QueryFor::Connect(id)) => self.connect_queried(now, id),
            None => {}
        }
    }
}

/// A queue that has emptied gives room for more than so many outputs back.
const KEPT_OUTPUTS: usize = 16;
