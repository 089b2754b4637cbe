//! What all tasks of a gateway share.

use super::admission::{Admission, Deed, Refusal};
use super::hub::Hub;
use super::limits::Limits;
use super::log::{Log, LogEvent};
use super::metrics::Metrics;
use super::page::Page;
use crate::corestore::Corestore;
use crate::swarm::Swarm;
use corestore_core::crypto::{Hash, KeyPair, PublicKey};
use corestore_core::dht::Announcers;
use corestore_core::time::Instant as CoreInstant;
use std::net::{IpAddr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What all tasks of a gateway share.
pub(super) struct Shared {
    pub(super) store: Corestore,
    pub(super) swarm: Swarm,
    /// The swarm's own.
    pub(super) key_pair: KeyPair,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
    pub(super) hub: Arc<Hub>,
    pub(super) page: Page,
    /// Addresses come from `X-Forwarded-For`.
    pub(super) proxy: bool,
    pub(super) stopping: watch::Receiver<bool>,
    admission: Mutex<Admission>,
    routes: Mutex<lru::LruCache<PublicKey, Vec<SocketAddrV4>>>,
    answers: Mutex<lru::LruCache<Hash, (Instant, Vec<Announcers>)>>,
    log: Log,
    epoch: Instant,
}

/// Leave to be connected, until it is dropped.
pub(super) struct Admitted {
    shared: Arc<Shared>,
    pub(super) address: IpAddr,
    key: Option<PublicKey>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.shared.admission().leave(self.address, self.key);
    }
}

impl Admitted {
    /// The connection named its key.
    pub(super) fn name(&mut self, key: PublicKey) -> Result<(), Refusal> {
        let named = self.shared.admission().name(Instant::now(), self.address, key);
        self.key = named.is_ok().then_some(key);
        self.shared.refused_if(self.address, named)
    }
}

/// Leave to have one more stream, until it is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.admission().end_stream(self.address);
    }
}

/// What a gateway is made of.
pub(super) struct Parts {
    pub(super) store: Corestore,
    pub(super) swarm: Swarm,
    pub(super) key_pair: KeyPair,
    pub(super) limits: Limits,
    pub(super) page: Page,
    pub(super) proxy: bool,
    pub(super) log: Log,
}

impl Shared {
    pub(super) fn new(parts: Parts, stopping: watch::Receiver<bool>) -> Arc<Self> {
        let Parts { store, swarm, key_pair, limits, page, proxy, log } = parts;
        Arc::new(Self {
            admission: Mutex::new(Admission::new(limits.clone())),
            routes: Mutex::new(lru::LruCache::new(ROUTES)),
            answers: Mutex::new(lru::LruCache::new(TOPICS)),
            metrics: Arc::default(),
            hub: Arc::default(),
            epoch: Instant::now(),
            store,
            swarm,
            key_pair,
            limits,
            page,
            proxy,
            stopping,
            log,
        })
    }

    /// Time as machines have it.
    pub(super) fn now(&self) -> CoreInstant {
        CoreInstant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Lets a connection in, or tells why not.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Refusal> {
        let entered = self.admission().enter(Instant::now(), address);
        self.refused_if(address, entered)?;
        Ok(Admitted { shared: Arc::clone(self), address, key: None })
    }

    /// May this address do that now?
    pub(super) fn may(&self, address: IpAddr, deed: Deed) -> bool {
        let may = self.admission().may(Instant::now(), address, deed);
        self.metrics.limited.add(usize::from(!may));
        may
    }

    /// A stream between this address and a peer begins, unless it has too many.
    pub(super) fn begin_stream(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let begun = self.admission().begin_stream(Instant::now(), address);
        self.metrics.limited.add(usize::from(!begun));
        begun.then(|| Place { shared: Arc::clone(self), address })
    }

    /// So many bytes went from or to this address: how long is it to wait?
    pub(super) fn spend(&self, address: IpAddr, bytes: usize) -> Duration {
        self.admission().spend(Instant::now(), address, bytes)
    }

    /// Nodes through which a peer was said to be reached.
    pub(super) fn learn(&self, key: PublicKey, relay_addresses: Vec<SocketAddrV4>) {
        if !relay_addresses.is_empty() {
            self.routes.lock().unwrap_or_else(PoisonError::into_inner).put(key, relay_addresses);
        }
    }

    pub(super) fn routes(&self, key: &PublicKey) -> Vec<SocketAddrV4> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    /// What a lookup found; many browsers ask for the same at once. That there is nothing is not remembered.
    pub(super) fn keep_answers(&self, topic: Hash, answers: Vec<Announcers>) {
        if answers.iter().any(|answer| !answer.peers.is_empty()) {
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).put(topic, (Instant::now(), answers));
        }
    }

    /// The topic's answers are about to change.
    pub(super) fn forget_answers(&self, topic: &Hash) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop(topic);
    }

    /// What a lookup found a moment ago.
    pub(super) fn answers(&self, topic: &Hash) -> Option<Vec<Announcers>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(topic).filter(|(at, _)| at.elapsed() < ANSWERS_FOR).map(|(_, answers)| answers.clone())
    }

    pub(super) fn log(&self, event: LogEvent) {
        (self.log)(event);
    }

    fn refused_if(&self, address: IpAddr, outcome: Result<(), Refusal>) -> Result<(), Refusal> {
        if let Err(reason) = outcome {
            self.metrics.refused.add(1);
            self.log(LogEvent::Refused { address, reason });
        }
        outcome
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Peers whose relaying nodes are remembered.
const ROUTES: NonZeroUsize = NonZeroUsize::new(8192).expect("not 0");
/// Topics whose answers are remembered.
const TOPICS: NonZeroUsize = NonZeroUsize::new(256).expect("not 0");
/// How long they are.
const ANSWERS_FOR: Duration = Duration::from_secs(3);
