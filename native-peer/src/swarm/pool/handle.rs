//! The adapter between a pool's decisions and a member's connections.

use super::connections::{Connections, Place, Side, Verdict};
use super::shared_wire::SharedWire;
use crate::swarm::hyperdht::{ConnectError, ConnectSettings, ServerSettings};
use crate::swarm::member::{Connecting, Member, MemberListener};
use crate::swarm::wire::Wire;
use corestore_core::crypto::{KeyPair, PublicKey};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};

/// A pool of a member's connections, one to each peer, whoever called. Clones share it; it keeps its connections until
/// they are over, and lets them go with its last clone.
#[derive(Clone, Debug)]
pub struct Pool {
    member: Member,
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    connections: Connections<SharedWire>,
    waiting: BTreeMap<PublicKey, Vec<oneshot::Sender<Result<SharedWire, ConnectError>>>>,
    calls: BTreeMap<PublicKey, AbortHandle>,
    servers: Vec<AbortHandle>,
    listeners: Vec<mpsc::Sender<SharedWire>>,
}

impl Member {
    /// A pool of connections of this member.
    pub fn pool(&self) -> Pool {
        let state = State {
            connections: Connections::new(),
            waiting: BTreeMap::new(),
            calls: BTreeMap::new(),
            servers: Vec::new(),
            listeners: Vec::new(),
        };
        Pool { member: self.clone(), shared: Arc::new(Mutex::new(state)) }
    }
}

impl Pool {
    /// The connection to the peer with this key: the one that stands, or comes about first, whoever called. The call
    /// goes on when nobody waits any more.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        &self,
        key_pair: &KeyPair,
        remote: PublicKey,
        settings: ConnectSettings,
    ) -> Result<SharedWire, ConnectError> {
        let receiver = {
            let mut state = lock(&self.shared);
            if let Some(wire) = state.connections.get(&remote) {
                return Ok(wire);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.entry(remote).or_default().push(sender);
            if let Some(place) = state.connections.call(remote, key_pair.public_key()) {
                let connecting = self.member.start_connect(key_pair, remote, settings);
                let task = tokio::spawn(call(Arc::downgrade(&self.shared), remote, place, connecting));
                state.calls.insert(remote, task.abort_handle());
            }
            receiver
        };
        receiver.await.unwrap_or(Err(ConnectError::Cancelled))
    }

    /// Listens under a key; `None` when the member does already. Connections that come are the pool's, until the task
    /// is aborted or the pool is gone: that ends the server, not its connections.
    pub fn listen(&self, key_pair: &KeyPair, settings: ServerSettings) -> Option<JoinHandle<()>> {
        let listener = self.member.listen(key_pair, settings)?;
        let task = tokio::spawn(serve(Arc::downgrade(&self.shared), key_pair.public_key(), listener));
        lock(&self.shared).servers.push(task.abort_handle());
        Some(task)
    }

    /// Connections as they come about, whoever called; see [`Self::get`] for those that stand. Take them in time: so
    /// many wait (128), further ones are only found by their key.
    pub fn connections(&self) -> mpsc::Receiver<SharedWire> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        lock(&self.shared).listeners.push(sender);
        receiver
    }

    /// A connection to this peer stands or is being made.
    pub fn has(&self, peer: &PublicKey) -> bool {
        lock(&self.shared).connections.has(peer)
    }

    /// The connection to this peer, when it stands.
    pub fn get(&self, peer: &PublicKey) -> Option<SharedWire> {
        lock(&self.shared).connections.get(peer)
    }

    /// Every connection that stands.
    pub fn standing(&self) -> Vec<SharedWire> {
        lock(&self.shared).connections.standing().cloned().collect()
    }

    /// How many are being made.
    pub fn connecting(&self) -> usize {
        lock(&self.shared).connections.connecting()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.calls.values().chain(&self.servers).for_each(AbortHandle::abort);
    }
}

impl State {
    /// Tells whoever waits that a connection stands, and sees to it that its end is known.
    fn stands(&mut self, pool: &Weak<Mutex<Self>>, place: Place, wire: &SharedWire) {
        self.calls.remove(&wire.public_key);
        for waiting in self.waiting.remove(&wire.public_key).into_iter().flatten() {
            let _ = waiting.send(Ok(wire.clone()));
        }
        self.listeners
            .retain(|listener| !matches!(listener.try_send(wire.clone()), Err(mpsc::error::TrySendError::Closed(_))));
        let (pool, peer, grip) = (pool.clone(), wire.public_key, wire.grip());
        tokio::spawn(async move {
            grip.over().await;
            if let Some(pool) = pool.upgrade() {
                lock(&pool).connections.ended(&peer, place);
            }
        });
    }

    fn accept(&mut self, pool: &Weak<Mutex<Self>>, own: PublicKey, wire: Wire) {
        let Some(peer) = wire.split.as_ref().map(|split| split.remote) else { return };
        let side = Side { own, initiator: wire.initiator };
        let wire = SharedWire::new(peer, wire);
        match self.connections.accept(peer, side, wire.clone()) {
            Verdict::Kept(place) => self.stands(pool, place, &wire),
            Verdict::Replaced(place, old) => {
                self.calls.remove(&peer).into_iter().for_each(|call| call.abort());
                old.into_iter().for_each(|old| old.close());
                self.stands(pool, place, &wire);
            }
            Verdict::Duplicate => wire.close(),
        }
    }
}

/// Makes a call of ours.
async fn call(pool: Weak<Mutex<State>>, peer: PublicKey, place: Place, connecting: Connecting) {
    let made = connecting.done().await;
    let Some(shared) = pool.upgrade() else { return };
    let mut state = lock(&shared);
    match made.map(|wire| SharedWire::new(peer, wire)) {
        Ok(wire) if state.connections.called(&peer, place, wire.clone()) => state.stands(&pool, place, &wire),
        Ok(wire) => wire.close(),
        // Another one stands, and whoever waited has it.
        Err(_) if !state.connections.ended(&peer, place) => {}
        Err(reason) => {
            state.calls.remove(&peer);
            for waiting in state.waiting.remove(&peer).into_iter().flatten() {
                let _ = waiting.send(Err(reason));
            }
        }
    }
}

async fn serve(pool: Weak<Mutex<State>>, own: PublicKey, mut listener: MemberListener) {
    while let Some(wire) = listener.accept().await {
        let Some(shared) = pool.upgrade() else { return };
        lock(&shared).accept(&pool, own, wire);
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that wait to be taken.
const BACKLOG: usize = 128;
