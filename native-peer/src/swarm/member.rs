//! The driver of a member of HyperDHT: UDP sockets, UDX streams and the clock around the [`HyperDht`] machine. It holds
//! no protocol.

use super::dht_rpc::{self, SocketId};
use super::hyperdht::{
    Config, ConnectError, ConnectSettings, Connected, ConnectionId, Event, HyperDht, Identity, OperationId, Outcome,
    Output, Path, ServerId, ServerSettings,
};
use super::relay_meeting::{Meeting, meet};
use super::udp::{Datagram, Udp};
use super::udx::{self, Firewall, Remote, StreamId, StreamOptions};
use super::udx_stream::{Grip, UdxStream};
use super::wire::{Made, SocketGuard, Wire};
use super::{local_network, node_cache};
use corestore_core::crypto::{KeyPair, PublicKey, blake2b};
use corestore_core::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

/// How a member starts.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The address its sockets are bound to; `0.0.0.0` for all.
    pub host: Ipv4Addr,
    /// The port others know it by, when it is free, or one of the five after it, or any.
    pub port: u16,
    /// The node of the DHT; its port is filled in.
    pub node: dht_rpc::Config,
    /// Limits.
    pub config: Config,
    /// UDX.
    pub udx: udx::Config,
    /// Where nodes are kept for a fast start, in a folder that is there or can be made.
    pub nodes_file: Option<PathBuf>,
}

/// A member of HyperDHT. Clones share it; with the last one it ends.
#[derive(Clone, Debug)]
pub struct Member {
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// A connection being made. Dropping it gives it up.
#[derive(Debug)]
pub struct Connecting {
    member: Member,
    connection: ConnectionId,
    receiver: oneshot::Receiver<Result<Wire, ConnectError>>,
}

/// Accepts the connections of one server. Dropping it ends the server.
#[derive(Debug)]
pub struct MemberListener {
    member: Member,
    server: ServerId,
    wires: mpsc::Receiver<Wire>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) udp: Udp,
    /// Shown to blind relays.
    pub(super) relay_key: KeyPair,
    epoch: std::time::Instant,
    changed: Notify,
    runtime: Handle,
}

pub(super) struct State {
    pub(super) dht: HyperDht,
    host: Ipv4Addr,
    /// Streams that wait for their connection.
    streams: BTreeMap<u32, oneshot::Sender<Link>>,
    connecting: BTreeMap<ConnectionId, oneshot::Sender<Result<Wire, ConnectError>>>,
    servers: BTreeMap<ServerId, mpsc::Sender<Wire>>,
    operations: BTreeMap<OperationId, mpsc::UnboundedSender<Event>>,
    listeners: Vec<mpsc::Sender<Event>>,
    /// Events that a listener did not take in time.
    dropped_events: u64,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("dht", &self.dht).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Alive(Arc<Shared>);

/// Where a stream is to be connected, and who gets it.
struct Link {
    remote: Remote,
    wire: Box<dyn FnOnce(UdxStream) + Send>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl Drop for MemberListener {
    fn drop(&mut self) {
        let server = self.server;
        self.member.shared.lock().servers.remove(&server);
        self.member.act(|dht, now| dht.close_server(now, server));
    }
}

impl Default for MemberOptions {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED,
            port: DEFAULT_PORT,
            node: dht_rpc::Config::default(),
            config: Config::default(),
            udx: udx::Config::default(),
            nodes_file: None,
        }
    }
}

impl Member {
    /// Starts a member, inside a tokio runtime. `seed` is 32 fresh random bytes.
    ///
    /// # Errors
    /// What the system says to its two sockets.
    pub fn start(mut options: MemberOptions, seed: [u8; 32]) -> io::Result<Self> {
        let (udp, datagrams) = Udp::new(options.udx.clone(), udx_seed(&seed), BACKLOG);
        let address = bind_near(&udp, options.host, options.port)?;
        udp.bind_as(SocketId::CLIENT, SocketAddr::from((options.host, 0)))?;
        options.node.server_port = address.port();
        options.node.nodes.extend(options.nodes_file.iter().flat_map(|file| node_cache::read(file)));
        let epoch = std::time::Instant::now();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        options.config.unix_epoch = u64::try_from(unix).unwrap_or_default();
        let mut dht = HyperDht::new(options.node, options.config, seed, Instant::ZERO);
        dht.set_local_addresses(local_network::addresses(options.host, address.port()));
        let state = State {
            dht,
            host: options.host,
            streams: BTreeMap::new(),
            connecting: BTreeMap::new(),
            servers: BTreeMap::new(),
            operations: BTreeMap::new(),
            listeners: Vec::new(),
            dropped_events: 0,
            closed: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            udp,
            relay_key: KeyPair::from_seed(&blake2b(&[b"relay", &seed]).0),
            epoch,
            changed: Notify::new(),
            runtime: Handle::current(),
        });
        tokio::spawn(run(Arc::clone(&shared), datagrams));
        tokio::spawn(look_after(Arc::downgrade(&shared), options.nodes_file, address.port()));
        let alive = Arc::new(Alive(Arc::clone(&shared)));
        Ok(Self { shared, _alive: alive })
    }

    /// Does something with the machine; what it has to send is sent, what it has to say goes where it belongs.
    pub fn act<T>(&self, act: impl FnOnce(&mut HyperDht, Instant) -> T) -> T {
        self.shared.act(|state, now| act(&mut state.dht, now))
    }

    /// The port others know it by.
    pub fn port(&self) -> u16 {
        self.shared.lock().dht.node().config().server_port
    }

    /// Waits until the first query is over: before that nothing is found.
    pub async fn bootstrapped(&self) {
        let mut events = self.events();
        while !self.shared.lock().dht.node().is_bootstrapped() {
            if events.recv().await.is_none() {
                return;
            }
        }
    }

    /// What no waiting call gets: [`Event::Node`], [`Event::Announced`], [`Event::Progress`], [`Event::MeetAtRelay`], what somebody else's
    /// keys are needed for, and connections that found another path ([`Connected::moved`]). Take them in time: so many
    /// wait ([`EVENT_BACKLOG`]), further ones are dropped.
    pub fn events(&self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENT_BACKLOG);
        self.shared.lock().listeners.push(sender);
        receiver
    }

    /// Events that were dropped because somebody did not take them in time.
    pub fn dropped_events(&self) -> u64 {
        self.shared.lock().dropped_events
    }

    /// Connects to the peer with this key.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        identity: impl Into<Identity>,
        remote: PublicKey,
        settings: ConnectSettings,
    ) -> Result<Wire, ConnectError> {
        self.start_connect(identity, remote, settings).done().await
    }

    /// Begins to connect to the peer with this key.
    pub fn start_connect(
        &self,
        identity: impl Into<Identity>,
        remote: PublicKey,
        settings: ConnectSettings,
    ) -> Connecting {
        let (connection, receiver) = self.shared.start_connect(identity, remote, settings);
        Connecting { member: self.clone(), connection, receiver }
    }

    /// The driver of UDX below.
    pub(super) fn udp(&self) -> Udp {
        self.shared.udp.clone()
    }

    /// Listens under a key; `None` when we do already.
    pub fn listen(&self, identity: impl Into<Identity>, settings: ServerSettings) -> Option<MemberListener> {
        let (sender, wires) = mpsc::channel(ACCEPT_BACKLOG);
        let server = self.shared.act(|state, now| {
            let server = state.dht.listen(now, identity, settings)?;
            state.servers.insert(server, sender);
            Some(server)
        })?;
        Some(MemberListener { member: self.clone(), server, wires })
    }

    /// Begins an operation of the DHT: its [`Event::Peers`] arrive one by one, and [`Event::Done`] last.
    pub fn operate(&self, begin: impl FnOnce(&mut HyperDht, Instant) -> OperationId) -> mpsc::UnboundedReceiver<Event> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.act(|state, now| {
            let id = begin(&mut state.dht, now);
            state.operations.insert(id, sender);
        });
        receiver
    }

    /// Begins an operation of the DHT and waits for what comes of it.
    pub async fn outcome(&self, begin: impl FnOnce(&mut HyperDht, Instant) -> OperationId) -> Outcome {
        let mut events = self.operate(begin);
        while let Some(event) = events.recv().await {
            if let Event::Done { outcome, .. } = event {
                return outcome;
            }
        }
        Outcome::NoNodes
    }
}

impl MemberListener {
    /// The next connection; `None` when the member ended.
    pub async fn accept(&mut self) -> Option<Wire> {
        self.wires.recv().await
    }

    /// Nodes through which the server is reached.
    pub fn relay_addresses(&self) -> Vec<SocketAddrV4> {
        self.member.shared.lock().dht.relay_addresses(self.server).to_vec()
    }

    /// The server's name in events.
    pub fn id(&self) -> ServerId {
        self.server
    }
}

impl Connecting {
    /// Its name in events.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Waits for the connection.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn done(mut self) -> Result<Wire, ConnectError> {
        (&mut self.receiver).await.unwrap_or(Err(ConnectError::Cancelled))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        let id = self.connection;
        self.member.shared.act(|state, now| {
            if state.connecting.remove(&id).is_some() {
                state.dht.cancel_connect(now, id);
            }
        });
    }
}

impl State {
    /// Lets everybody know who still waits that nothing comes any more.
    fn abandon(&mut self) {
        self.streams.clear();
        self.connecting.clear();
        self.servers.clear();
        self.operations.clear();
        self.listeners.clear();
    }

    /// Tells everybody who listens.
    fn tell_all(&mut self, event: impl Fn() -> Event) {
        let mut dropped: u64 = 0;
        self.listeners.retain(|listener| match listener.try_send(event()) {
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            sent => {
                dropped = dropped.saturating_add(u64::from(sent.is_err()));
                true
            }
        });
        self.dropped_events = self.dropped_events.saturating_add(dropped);
    }
}

impl Shared {
    /// Closes a socket that was opened for one connection, some time after it is dropped.
    fn socket_guard(self: &Arc<Self>, socket: SocketId) -> SocketGuard {
        let shared = Arc::clone(self);
        SocketGuard::new(move || {
            // The stream's last packets still need the socket.
            shared.clone().runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                shared.udp.close(socket);
            });
        })
    }

    pub(super) fn start_connect(
        self: &Arc<Self>,
        identity: impl Into<Identity>,
        remote: PublicKey,
        settings: ConnectSettings,
    ) -> (ConnectionId, oneshot::Receiver<Result<Wire, ConnectError>>) {
        let (sender, receiver) = oneshot::channel();
        let connection = self.act(|state, now| {
            let id = state.dht.connect(now, identity, remote, settings);
            state.connecting.insert(id, sender);
            id
        });
        (connection, receiver)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn act<T>(self: &Arc<Self>, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state, self.now());
        self.drain(&mut state);
        drop(state);
        self.changed.notify_one();
        result
    }

    fn drain(self: &Arc<Self>, state: &mut State) {
        while let Some(output) = state.dht.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    // A datagram the system refuses is a datagram lost; the machine finds out.
                    let ttl = transmit.ttl.map(u32::from);
                    let _ = self.udp.send(transmit.socket, SocketAddr::V4(transmit.to), &transmit.bytes, ttl);
                }
                Output::OpenSocket(id) => {
                    // What would be sent from a socket the system does not give is lost; the machine finds out.
                    let _ = self.udp.bind_as(id, SocketAddr::from((state.host, 0)));
                }
                Output::CloseSocket(id) => {
                    self.udp.close(id);
                }
                Output::OpenStream(id) => self.open_stream(state, id),
                Output::CloseStream(id) => drop(state.streams.remove(&id)),
                Output::Event(event) => self.tell(state, event),
            }
        }
    }

    fn open_stream(self: &Arc<Self>, state: &mut State, id: u32) {
        let options = StreamOptions { firewall: Firewall::Ask, ..StreamOptions::default() };
        let Ok(stream) = self.udp.open(StreamId(id), options) else { return };
        let (sender, link) = oneshot::channel();
        state.streams.insert(id, sender);
        tokio::spawn(wait_for_link(Arc::clone(self), stream, link));
    }

    fn tell(self: &Arc<Self>, state: &mut State, event: Event) {
        match event {
            Event::Connected(connected) => self.connected(state, *connected),
            Event::Failed { connection, reason } => {
                if let Some(waiting) = state.connecting.remove(&connection) {
                    let _ = waiting.send(Err(reason));
                }
            }
            Event::Peers { operation, .. } => {
                if let Some(sender) = state.operations.get(&operation) {
                    let _ = sender.send(event);
                }
            }
            Event::Done { operation, .. } => {
                if let Some(sender) = state.operations.remove(&operation) {
                    let _ = sender.send(event);
                }
            }
            Event::Node(event) => state.tell_all(|| Event::Node(event.clone())),
            Event::Progress { connection, progress } => {
                state.tell_all(|| Event::Progress { connection, progress });
            }
            Event::Announced { server, relays } => state.tell_all(|| Event::Announced { server, relays }),
            Event::MeetAtRelay { connection, relay, token, initiator, local_stream } => {
                let meeting = Meeting { connection, relay, token, initiator, local_stream };
                tokio::spawn(meet(Arc::clone(self), meeting));
                state.tell_all(|| Event::MeetAtRelay { connection, relay, token, initiator, local_stream });
            }
            Event::Sign { signature, owner, signable } => {
                state.tell_all(|| Event::Sign { signature, owner, signable: signable.clone() });
            }
            Event::ReadHandshake { connection, owner, noise } => {
                state.tell_all(|| Event::ReadHandshake { connection, owner, noise: noise.clone() });
            }
            Event::WriteHandshake { connection, owner, payload } => {
                state.tell_all(|| Event::WriteHandshake { connection, owner, payload: payload.clone() });
            }
        }
    }

    fn connected(self: &Arc<Self>, state: &mut State, connected: Connected) {
        let Connected { connection, server, local_stream, remote_stream, socket, remote, split, moved, path } =
            connected;
        if moved {
            let grip = Grip::new(self.udp.clone(), StreamId(local_stream));
            let address = SocketAddr::V4(remote);
            grip.change_remote(Remote { socket, address, id: remote_stream });
            if !is_shared(socket) {
                tokio::spawn(close_after(self.socket_guard(socket), grip));
            }
            return state.tell_all(|| {
                let split = None;
                let told =
                    Connected { connection, server, local_stream, remote_stream, socket, remote, split, moved, path };
                Event::Connected(Box::new(told))
            });
        }
        let Some(link) = state.streams.remove(&local_stream) else { return };
        let punched = !is_shared(socket) && path != Path::Relayed;
        let guard = punched.then(|| self.socket_guard(socket));
        let initiator = server.is_none();
        let made = Made { connection, split, initiator, path, remote_address: remote };
        let make = move |stream| Wire::new(stream, guard, made);
        let wire: Box<dyn FnOnce(UdxStream) + Send> = match server {
            Some(server) => {
                let Some(accepting) = state.servers.get(&server).cloned() else { return };
                // When nobody accepts, further connections are dropped.
                Box::new(move |stream| drop(accepting.try_send(make(stream))))
            }
            None => {
                let Some(waiting) = state.connecting.remove(&connection) else { return };
                Box::new(move |stream| drop(waiting.send(Ok(make(stream)))))
            }
        };
        let remote = Remote { socket, address: SocketAddr::V4(remote), id: remote_stream };
        let _ = link.send(Link { remote, wire });
    }
}

/// The socket serves more than one connection.
fn is_shared(socket: SocketId) -> bool {
    [SocketId::SERVER, SocketId::CLIENT].contains(&socket)
}

/// Closes the socket of a connection that found another path, once its stream is over.
async fn close_after(guard: SocketGuard, stream: Grip) {
    stream.over().await;
    drop(guard);
}

/// Keeps a stream until it is known where it leads. Whoever sends to it before shows the way.
async fn wait_for_link(shared: Arc<Shared>, stream: UdxStream, mut link: oneshot::Receiver<Link>) {
    loop {
        tokio::select! {
            biased;
            link = &mut link => {
                if let Ok(Link { remote, wire }) = link && stream.connect(remote, None).is_ok() {
                    stream.answer(true);
                    // The peer may wait for a first packet, and whoever gets the wire need not write first. A stream
                    // that is over by now says so to its owner.
                    let _ = stream.greet();
                    wire(stream);
                }
                return;
            }
            asked = stream.asked() => {
                let Some((socket, from)) = asked else { return };
                shared.act(|state, now| {
                    if let SocketAddr::V4(from) = from {
                        state.dht.handle_stream_packet(now, socket, from, stream.id().0);
                    }
                });
            }
        }
    }
}

/// Carries datagrams and time to the machine until the last handle is gone.
async fn run(shared: Arc<Shared>, mut datagrams: mpsc::Receiver<Datagram>) {
    loop {
        let deadline = {
            let mut state = shared.lock();
            if state.closed {
                return state.abandon();
            }
            let now = shared.now();
            if state.dht.deadline().is_some_and(|at| at <= now) {
                state.dht.handle_deadline(now);
            }
            shared.drain(&mut state);
            state.dht.deadline()
        };
        let sleep = deadline.map_or(IDLE, |deadline| deadline.since(shared.now()));
        tokio::select! {
            datagram = datagrams.recv() => match datagram {
                Some(datagram) => shared.take(&datagram),
                None => return,
            },
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

impl Shared {
    fn take(self: &Arc<Self>, datagram: &Datagram) {
        let mut state = self.lock();
        if let SocketAddr::V4(from) = datagram.from {
            state.dht.handle_datagram(self.now(), datagram.socket, from, &datagram.bytes);
            self.drain(&mut state);
        }
    }
}

/// Sees whether the network changed, and keeps the nodes we know for the next start.
async fn look_after(shared: Weak<Shared>, nodes_file: Option<PathBuf>, port: u16) {
    for round in 1_u64.. {
        tokio::time::sleep(LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        let (host, closed) = {
            let state = shared.lock();
            (state.host, state.closed)
        };
        if closed {
            return;
        }
        if host.is_unspecified() {
            let addresses = local_network::addresses(host, port);
            shared.act(|state, now| state.dht.network_seen(now, addresses));
        }
        if let Some(file) = nodes_file.as_deref().filter(|_| round == 1 || round.is_multiple_of(ROUNDS)) {
            let nodes = shared.lock().dht.node().nodes(node_cache::LIMIT);
            let file = file.to_owned();
            // A node that is not kept is found again.
            let _ = tokio::task::spawn_blocking(move || node_cache::write(&file, &nodes)).await;
        }
    }
}

fn bind_near(udp: &Udp, host: Ipv4Addr, port: u16) -> io::Result<SocketAddr> {
    let bind = |port| udp.bind_as(SocketId::SERVER, SocketAddr::from((host, port)));
    let near = (port..port.saturating_add(PORTS)).filter(|port| *port != 0);
    near.map(bind).find(Result::is_ok).unwrap_or_else(|| bind(0))
}

fn udx_seed(seed: &[u8; 32]) -> [u8; 32] {
    blake2b(&[b"udx", seed]).0
}

/// The port a member listens on when nothing else is said.
pub const DEFAULT_PORT: u16 = 49_737;
/// Ports tried from the wanted one on.
const PORTS: u16 = 5;
/// Datagrams that wait for the machine.
const BACKLOG: usize = 1024;
/// Connections that wait to be accepted.
const ACCEPT_BACKLOG: usize = 128;
/// Between two looks at the network.
const LOOK: Duration = Duration::from_secs(5);
/// Looks until the nodes are written down again: ten minutes.
const ROUNDS: u64 = 120;
/// Events that wait for one listener.
pub const EVENT_BACKLOG: usize = 4096;
/// A socket is closed so long after its stream.
const LINGER: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(3600);
