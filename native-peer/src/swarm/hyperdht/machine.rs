//! The machine: what comes in, what goes out.

use super::config::Config;
use super::operations::Operation;
use super::output::{Event, NodeEvent, OperationId, Output};
use super::router::Router;
use super::store::Store;
use crate::swarm::dht_rpc::{self, Config as RpcConfig, DhtRpc, QueryId, Reply, RequestId, RequestSettings, SocketId};
use corestore_core::entropy::Entropy;
use corestore_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};
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
    outputs: VecDeque<Output>,
    next_number: u64,
}

/// Whose query it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum QueryFor {
    Operation(OperationId),
}

/// Whose request it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum RequestFor {
    Operation(OperationId),
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
            outputs: VecDeque::new(),
            next_number: 0,
            entropy,
            config,
        };
        member.pump(now);
        member
    }

    /// Takes a datagram of dht-rpc that came in by `socket`.
    pub fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        self.rpc.handle_datagram(now, socket, from, bytes);
        self.pump(now);
    }

    /// Does what is due at `now`.
    pub fn handle_deadline(&mut self, now: Instant) {
        self.router.handle_time(now);
        self.store.iter_mut().for_each(|store| store.handle_time(now));
        self.rpc.handle_deadline(now);
        self.pump(now);
    }

    /// When [`HyperDht::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.rpc.deadline()
    }

    /// The next thing to do or know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The node of the DHT below.
    pub fn node(&self) -> &DhtRpc {
        &self.rpc
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
        match self.requests.remove(&request) {
            Some(RequestFor::Operation(id)) => self.operation_answered(now, id, reply),
            None => {}
        }
    }

    fn query_reply(&mut self, now: Instant, query: QueryId, reply: &Reply) {
        match self.queries.get(&query).copied() {
            Some(QueryFor::Operation(id)) => self.operation_reply(now, id, reply),
            None => {}
        }
    }

    fn query_done(&mut self, now: Instant, query: QueryId, closest: Vec<Reply>) {
        match self.queries.remove(&query) {
            Some(QueryFor::Operation(id)) => self.operation_queried(now, id, closest),
            None => {}
        }
    }
}
