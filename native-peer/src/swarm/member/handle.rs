//! What callers hold of a member.

use super::connecting::Connecting;
use super::listener::MemberListener;
use super::options::MemberOptions;
use super::shared::{BACKLOG, Shared, State, run};
use super::upkeep::look_after;
use crate::swarm::dht_rpc::SocketId;
use crate::swarm::hyperdht::{
    ConnectError, ConnectSettings, Event, HyperDht, Identity, OperationId, Outcome, ServerSettings,
};
use crate::swarm::udp::Udp;
use crate::swarm::wire::Wire;
use crate::swarm::{local_network, node_cache};
use corestore_core::crypto::{KeyPair, PublicKey, blake2b};
use corestore_core::time::Instant;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// A member of HyperDHT. Clones share it; with the last one it ends.
#[derive(Clone, Debug)]
pub struct Member {
    pub(super) shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
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
        let relay_key = KeyPair::from_seed(&blake2b(&[b"relay", &seed]).0);
        let shared = Arc::new(Shared::new(State::new(dht, options.host), udp, relay_key, epoch));
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
    pub(in crate::swarm) fn udp(&self) -> Udp {
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

fn bind_near(udp: &Udp, host: Ipv4Addr, port: u16) -> io::Result<SocketAddr> {
    let bind = |port| udp.bind_as(SocketId::SERVER, SocketAddr::from((host, port)));
    let near = (port..port.saturating_add(PORTS)).filter(|port| *port != 0);
    near.map(bind).find(Result::is_ok).unwrap_or_else(|| bind(0))
}

fn udx_seed(seed: &[u8; 32]) -> [u8; 32] {
    blake2b(&[b"udx", seed]).0
}

/// Ports tried from the wanted one on.
const PORTS: u16 = 5;

/// Connections that wait to be accepted.
const ACCEPT_BACKLOG: usize = 128;

/// Events that wait for one listener.
pub const EVENT_BACKLOG: usize = 4096;
