//! The machine: what comes in, what goes out.

use super::adaptive_timeout::AdaptiveTimeout;
use super::bootstrap::Bootstrap;
use super::config::Config;
use super::health::Health;
use super::nat_sampler::NatSampler;
use super::network_state::NetworkCheck;
use super::nodes::Nodes;
use super::output::{
    Event, IncomingRequest, Output, QueryId, Reply, RequestId, RequestSettings, SocketId, Stats, Transmit,
};
use super::query::Query;
use super::requests::{InFlight, Purpose, Requests};
use super::tokens::Tokens;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::dht::{Datagram, InternalCommand, Request, Response, node_id};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::entropy::Entropy;
use corestore_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;

/// A node of the DHT.
///
/// It performs no I/O and reads no clock. Every method that takes `now`, and [`DhtRpc::answer`] and
/// [`DhtRpc::relay`], may make outputs and move the deadline: afterwards drain [`DhtRpc::poll_output`] until it gives
/// `None`, then ask [`DhtRpc::deadline`] again. The same seed and the same inputs give the same outputs.
pub struct DhtRpc {
    pub(super) config: Config,
    pub(super) entropy: Entropy,
    pub(super) outputs: VecDeque<Output>,
    pub(super) nodes: Nodes,
    pub(super) requests: Requests,
    pub(super) queries: BTreeMap<QueryId, Query>,
    pub(super) adaptive: AdaptiveTimeout,
    pub(super) tokens: Tokens,
    pub(super) nat: NatSampler,
    /// Addresses of nodes without an id that told us how they see us.
    pub(super) samplers: BTreeSet<SocketAddrV4>,
    pub(super) firewalled: bool,
    pub(super) ephemeral: bool,
    pub(super) bootstrap: Bootstrap,
    pub(super) network_check: Option<NetworkCheck>,
    pub(super) health: Health,
    /// Ticks so far, from a random beginning: nodes started at once do not act at once.
    pub(super) tick: u64,
    pub(super) last_tick: Instant,
    pub(super) next_tick: Instant,
    pub(super) next_slot: Instant,
    pub(super) next_rotation: Instant,
    pub(super) refresh_in: u64,
    pub(super) stable_in: u64,
    pub(super) last_host: Option<std::net::Ipv4Addr>,
    pub(super) swapping: usize,
    pub(super) checking: usize,
    pub(super) hints_sent: usize,
    pub(super) delayed: BTreeMap<(Instant, u64), IncomingRequest>,
    pub(super) next_number: u64,
    pub(super) suspended: bool,
    pub(super) stats: Stats,
}

impl std::fmt::Debug for DhtRpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DhtRpc").field("address", &self.address()).field("nodes", &self.nodes.len()).finish()
    }
}

impl DhtRpc {
    /// A node that begins to bootstrap; both its sockets are bound. `seed` is 32 fresh random bytes.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut entropy = Entropy::from_seed(seed);
        let id = Hash(entropy.array());
        let mut node = Self {
            outputs: VecDeque::new(),
            nodes: Nodes::new(id, config.k),
            requests: Requests::new(config.max_window, config.max_waiting),
            queries: BTreeMap::new(),
            adaptive: AdaptiveTimeout::new(config.max_round_trips, config.timeout, config.adaptive_timeout),
            tokens: Tokens::new(&mut entropy),
            nat: NatSampler::default(),
            samplers: BTreeSet::new(),
            firewalled: config.firewalled,
            ephemeral: true,
            bootstrap: Bootstrap::new(config.quick_check && config.firewalled && config.ephemeral != Some(false)),
            network_check: None,
            health: Health::default(),
            tick: entropy.u64() % 50 + 50,
            last_tick: now,
            next_tick: now.after(config.tick),
            next_slot: now.after(config.window_slot),
            next_rotation: now.after(config.token_span),
            refresh_in: config.refresh_ticks - entropy.u64() % (config.refresh_ticks / 2 + 1),
            stable_in: config.stable_ticks,
            last_host: None,
            swapping: 0,
            checking: 0,
            hints_sent: 0,
            delayed: BTreeMap::new(),
            next_number: 0,
            suspended: false,
            stats: Stats::default(),
            entropy,
            config,
        };
        node.config.known_address.into_iter().for_each(|address| node.nat.add(address));
        for address in node.config.nodes.clone() {
            node.add_node(now, node_id(&address), address);
        }
        node.start_bootstrap(now);
        node
    }

    /// Takes a datagram that came in by `socket`. Whatever it holds, it costs no more than its own length and is
    /// dropped when it makes no sense.
    pub fn handle_datagram(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, bytes: &[u8]) {
        if self.suspended || bytes.len() > self.config.max_datagram || !is_usable(&from) {
            self.stats.dropped = self.stats.dropped.saturating_add(1);
            return;
        }
        match Datagram::from_bytes(bytes) {
            Ok(Datagram::Request(request)) => self.handle_request(now, socket, from, request),
            Ok(Datagram::Response(response)) => self.handle_response(now, socket, from, response),
            Err(_) => self.stats.dropped = self.stats.dropped.saturating_add(1),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_deadline(&mut self, now: Instant) {
        if self.suspended {
            return;
        }
        while let Some(tid) = self.requests.expired(now) {
            self.handle_timeout(now, tid);
        }
        self.answer_delayed(now);
        if self.requests.needs_slots() && now >= self.next_slot {
            self.next_slot = now.after(self.config.window_slot);
            self.handle_slot(now);
        }
        if now >= self.next_rotation {
            self.next_rotation = now.after(self.config.token_span);
            self.tokens.rotate(&mut self.entropy);
        }
        if now >= self.next_tick {
            self.next_tick = now.after(self.config.tick);
            self.handle_tick(now);
        }
    }

    /// When [`DhtRpc::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        if self.suspended {
            return None;
        }
        let delayed = self.delayed.first_key_value().map(|((at, _), _)| *at);
        let slot = Some(self.next_slot).filter(|_| self.requests.needs_slots());
        let always = [self.next_tick, self.next_rotation].into_iter();
        always.chain([slot, self.requests.next_deadline(), delayed].into_iter().flatten()).min()
    }

    /// The next thing to do or know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > KEPT_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Asks a node. An [`Event::Response`] or [`Event::Failed`] follows.
    pub fn request(&mut self, now: Instant, to: SocketAddrV4, settings: RequestSettings) -> RequestId {
        let id = RequestId(self.number());
        if self.begin(now, to, None, settings, Purpose::User(id)).is_none() {
            self.event(Event::Failed(id));
        }
        id
    }

    /// Asks a node whether it is there.
    pub fn ping(&mut self, now: Instant, to: SocketAddrV4, socket: Option<SocketId>, retries: u32) -> RequestId {
        let settings = RequestSettings { socket, retries: Some(retries), ..internal(InternalCommand::Ping) };
        self.request(now, to, settings)
    }

    /// Asks a node to answer after `delay`, which is cut to [`Config::max_ping_delay`].
    pub fn delayed_ping(&mut self, now: Instant, to: SocketAddrV4, delay: Duration) -> RequestId {
        let delay = delay.min(self.config.max_ping_delay);
        let millis = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
        let settings = RequestSettings {
            value: Some(Bytes::copy_from_slice(&millis.to_le_bytes())),
            timeout: Some(delay.saturating_add(Duration::from_secs(1))),
            ..internal(InternalCommand::DelayedPing)
        };
        self.request(now, to, settings)
    }

    /// Forgets a request; no event follows.
    pub fn cancel(&mut self, request: RequestId) {
        for tid in self.requests.find(|purpose| matches!(purpose, Purpose::User(id) if *id == request)) {
            self.requests.remove(tid);
        }
    }

    /// Makes the node silent: nothing is sent, taken or due until [`DhtRpc::resume`]. Requests and queries under way
    /// end.
    pub fn suspend(&mut self, now: Instant) {
        if self.suspended {
            return;
        }
        let requests = self.requests.drain();
        requests.into_iter().for_each(|request| self.handle_failure(now, request));
        for query in std::mem::take(&mut self.queries).into_keys() {
            self.event(Event::QueryDone { query, closest: Vec::new(), successes: 0, errors: 0 });
        }
        // Queries that failed went on and asked others.
        self.requests.drain();
        self.delayed.clear();
        self.suspended = true;
    }

    /// Wakes the node up: it takes everything it knows as old, and refreshes its table.
    pub fn resume(&mut self, now: Instant) {
        if self.suspended {
            self.suspended = false;
            self.last_tick = now;
            self.next_tick = now.after(self.config.tick);
            self.requests = Requests::new(self.config.max_window, self.config.max_waiting);
            (self.swapping, self.checking, self.network_check) = (0, 0, None);
            self.wake_up();
            self.refresh(now);
        }
    }

    /// The machine is on another network: everything known of our own address is old.
    pub fn network_changed(&mut self, now: Instant) {
        if !self.suspended && self.bootstrap.is_done() {
            self.wake_up();
            self.refresh(now);
        }
    }

    /// Our id, once others may know us by it.
    pub fn id(&self) -> Option<Hash> {
        (!self.ephemeral).then(|| self.nodes.own_id())
    }

    /// Our address as others see it; port 0 when every one sees another port.
    pub fn address(&self) -> Option<SocketAddrV4> {
        self.nat.address()
    }

    /// True when every one sees another port of ours.
    pub fn is_randomized(&self) -> bool {
        self.nat.address().is_some_and(|address| address.port() == 0)
    }

    /// Our address, when anybody can reach us there.
    pub fn open_address(&self) -> Option<SocketAddrV4> {
        self.nat.address().filter(|address| !self.firewalled && address.port() == self.config.server_port)
    }

    /// True until our server socket was seen to be reachable.
    pub fn is_firewalled(&self) -> bool {
        self.firewalled
    }

    /// True once the first query is over.
    pub fn is_bootstrapped(&self) -> bool {
        self.bootstrap.is_done()
    }

    /// False while nobody answers us.
    pub fn is_online(&self) -> bool {
        self.health.is_online()
    }

    /// Nodes we know, the one heard of last first: keep them for the next start.
    pub fn nodes(&self, limit: usize) -> Vec<SocketAddrV4> {
        self.nodes.latest().take(limit).map(|node| node.address).collect()
    }

    /// The socket we speak from.
    pub fn socket(&self) -> SocketId {
        if self.firewalled { SocketId::CLIENT } else { SocketId::SERVER }
    }

    /// Its tables and the entries of each: what its memory grows with.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let tables = [
            ("nodes", self.nodes.len()),
            ("requests", self.requests.len()),
            ("queries", self.queries.len()),
            ("round trips", self.adaptive.len()),
            ("samplers", self.samplers.len()),
            ("delayed answers", self.delayed.len()),
            ("outputs of the node", self.outputs.len()),
        ];
        tables.into_iter()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How the node was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn transmit(&mut self, socket: SocketId, to: SocketAddrV4, bytes: Bytes) {
        self.outputs.push_back(Output::Transmit(Transmit { socket, to, ttl: None, bytes }));
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number = self.next_number.saturating_add(1);
        self.next_number
    }

    /// Makes a request and sends it when the window allows; `None` when far too many are under way.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        to: SocketAddrV4,
        to_id: Option<Hash>,
        settings: RequestSettings,
        purpose: Purpose,
    ) -> Option<u16> {
        let tid = self.requests.free_tid(&mut self.entropy).filter(|_| !self.suspended)?;
        let socket = settings.socket.unwrap_or_else(|| self.socket());
        let request = Request {
            tid,
            to,
            id: self.id().filter(|_| socket == SocketId::SERVER),
            token: settings.token,
            internal: settings.internal,
            command: settings.command,
            target: settings.target,
            value: settings.value,
        };
        let mut in_flight = InFlight::new(to, to_id, socket, now, purpose);
        in_flight.bytes = Bytes::from(request.to_bytes());
        in_flight.retries = settings.retries.unwrap_or(self.config.retries);
        in_flight.timeout = settings.timeout;
        self.requests.insert(tid, in_flight);
        self.stats.requests = self.stats.requests.saturating_add(1);
        self.send(now, tid);
        Some(tid)
    }

    fn send(&mut self, now: Instant, tid: u16) {
        if !self.requests.needs_slots() {
            self.next_slot = now.after(self.config.window_slot);
        }
        if self.requests.may_send(now, tid) {
            self.send_now(now, tid);
        }
    }

    pub(super) fn send_now(&mut self, now: Instant, tid: u16) {
        let jitter = Duration::from_millis(self.entropy.u64() % 256);
        let Some(request) = self.requests.get_mut(tid) else { return };
        request.sent = request.sent.saturating_add(1);
        let (socket, to, bytes) = (request.socket, request.to, request.bytes.clone());
        let timeout = request.timeout.unwrap_or_else(|| self.adaptive.timeout(now, &to, request.sent, jitter));
        self.requests.sent(tid, now.after(timeout));
        self.transmit(socket, to, bytes);
    }

    fn handle_response(&mut self, now: Instant, socket: SocketId, from: SocketAddrV4, response: Response) {
        // Only the node that was asked may answer: a stranger would have to guess the number and forge its address.
        let Some(request) = self.requests.answered(response.tid, &from) else {
            self.stats.dropped = self.stats.dropped.saturating_add(1);
            return;
        };
        let round_trip = now.since(request.created);
        if request.sent == 1 {
            self.adaptive.sample(now, from, round_trip);
        }
        self.stats.responses = self.stats.responses.saturating_add(1);
        let id = self.checked_id(response.id, &from);
        self.note_node(now, socket == self.socket(), from, id, response.to);
        let reply = Reply {
            from,
            id,
            to: response.to,
            socket,
            token: response.token,
            closer_nodes: response.closer_nodes,
            error: response.error,
            value: response.value,
            round_trip,
        };
        match request.purpose {
            Purpose::User(request) => self.event(Event::Response { request, reply }),
            Purpose::Query(query) => self.query_answered(now, query, reply, request.slow),
            Purpose::Check { id, seen } => self.check_answered(&id, seen),
            Purpose::Swap { old, new, seen } => self.swap_answered(now, &old, *new, seen),
            Purpose::FirewallProbe => self.probe_answered(now, &reply),
            Purpose::BootstrapProbe => self.bootstrap.probe_answered(),
            Purpose::Hint => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, tid: u16) {
        let Some(request) = self.requests.get_mut(tid) else { return };
        if request.sent <= request.retries {
            let first = !std::mem::replace(&mut request.slow, true);
            let query = if let Purpose::Query(query) = request.purpose { Some(query) } else { None };
            self.stats.retries = self.stats.retries.saturating_add(1);
            self.send(now, tid);
            if let Some(query) = query.filter(|_| first) {
                self.query_slow(now, query);
            }
            return;
        }
        if let Some(request) = self.requests.remove(tid) {
            self.stats.timeouts = self.stats.timeouts.saturating_add(1);
            request.to_id.iter().for_each(|id| self.nodes.remove(id));
            self.handle_failure(now, request);
        }
    }

    fn handle_failure(&mut self, now: Instant, request: InFlight) {
        match request.purpose {
            Purpose::User(id) => self.event(Event::Failed(id)),
            Purpose::Query(query) => self.query_unanswered(now, query, request.to, request.slow),
            Purpose::Check { id, .. } => self.check_unanswered(&id),
            Purpose::Swap { old, new, .. } => self.swap(now, &old, *new),
            Purpose::FirewallProbe => self.probe_unanswered(now),
            Purpose::BootstrapProbe | Purpose::Hint => {}
        }
    }

    /// The id, when it is what the address gives: nobody chooses its own place in the key space.
    pub(super) fn checked_id(&mut self, id: Option<Hash>, from: &SocketAddrV4) -> Option<Hash> {
        let id = id?;
        if id == node_id(from) {
            return Some(id);
        }
        self.stats.bad_ids = self.stats.bad_ids.saturating_add(1);
        None
    }
}

/// A request of dht-rpc itself.
pub(super) fn internal(command: InternalCommand) -> RequestSettings {
    RequestSettings { internal: true, command: command.number(), ..RequestSettings::default() }
}

/// True when a datagram may be sent there.
pub(super) fn is_usable(address: &SocketAddrV4) -> bool {
    let host = address.ip();
    address.port() != 0 && !host.is_unspecified() && !host.is_broadcast() && !host.is_multicast()
}

/// A queue that has emptied gives room for more than so many outputs back.
const KEPT_OUTPUTS: usize = 16;
