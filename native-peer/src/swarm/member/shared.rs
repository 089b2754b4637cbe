//! The machine behind its lock: what it has to send is sent, what it has to say goes to whoever waits for it.

use super::streams::Link;
use crate::swarm::hyperdht::{
    ConnectError, ConnectSettings, ConnectionId, Event, HyperDht, Identity, OperationId, Output, ServerId,
};
use crate::swarm::relay_meeting::{Meeting, meet};
use crate::swarm::udp::{Datagram, Udp};
use crate::swarm::wire::Wire;
use corestore_core::crypto::{KeyPair, PublicKey};
use corestore_core::time::Instant;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

/// What handles and tasks of a member share.
#[derive(Debug)]
pub(in crate::swarm) struct Shared {
    pub(super) state: Mutex<State>,
    pub(in crate::swarm) udp: Udp,
    /// Shown to blind relays.
    pub(in crate::swarm) relay_key: KeyPair,
    pub(super) epoch: std::time::Instant,
    pub(super) changed: Notify,
    pub(super) runtime: Handle,
}

/// The machine, and who waits for what.
pub(in crate::swarm) struct State {
    pub(in crate::swarm) dht: HyperDht,
    pub(super) host: Ipv4Addr,
    /// Streams that wait for their connection.
    pub(super) streams: BTreeMap<u32, oneshot::Sender<Link>>,
    pub(super) connecting: BTreeMap<ConnectionId, oneshot::Sender<Result<Wire, ConnectError>>>,
    pub(super) servers: BTreeMap<ServerId, mpsc::Sender<Wire>>,
    pub(super) operations: BTreeMap<OperationId, mpsc::UnboundedSender<Event>>,
    pub(super) listeners: Vec<mpsc::Sender<Event>>,
    /// Events that a listener did not take in time.
    pub(super) dropped_events: u64,
    pub(super) closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("dht", &self.dht).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(dht: HyperDht, host: Ipv4Addr) -> Self {
        Self {
            dht,
            host,
            streams: BTreeMap::new(),
            connecting: BTreeMap::new(),
            servers: BTreeMap::new(),
            operations: BTreeMap::new(),
            listeners: Vec::new(),
            dropped_events: 0,
            closed: false,
        }
    }

    /// Lets everybody know who still waits that nothing comes any more.
    fn abandon(&mut self) {
        self.streams.clear();
        self.connecting.clear();
        self.servers.clear();
        self.operations.clear();
        self.listeners.clear();
    }

    /// Tells everybody who listens.
    pub(super) fn tell_all(&mut self, event: impl Fn() -> Event) {
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
    pub(super) fn new(state: State, udp: Udp, relay_key: KeyPair, epoch: std::time::Instant) -> Self {
        let (state, runtime) = (Mutex::new(state), Handle::current());
        Self { state, udp, relay_key, epoch, changed: Notify::new(), runtime }
    }

    pub(in crate::swarm) fn start_connect(
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

    pub(in crate::swarm) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::swarm) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(in crate::swarm) fn act<T>(self: &Arc<Self>, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = act(&mut state, self.now());
        self.drain(&mut state);
        drop(state);
        self.changed.notify_one();
        result
    }

    pub(super) fn drain(self: &Arc<Self>, state: &mut State) {
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

    pub(super) fn tell(self: &Arc<Self>, state: &mut State, event: Event) {
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

    fn take(self: &Arc<Self>, datagram: &Datagram) {
        let mut state = self.lock();
        if let SocketAddr::V4(from) = datagram.from {
            state.dht.handle_datagram(self.now(), datagram.socket, from, &datagram.bytes);
            self.drain(&mut state);
        }
    }
}

/// Carries datagrams and time to the machine until the last handle is gone.
pub(super) async fn run(shared: Arc<Shared>, mut datagrams: mpsc::Receiver<Datagram>) {
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

/// Datagrams that wait for the machine.
pub(super) const BACKLOG: usize = 1024;

const IDLE: Duration = Duration::from_secs(3600);
