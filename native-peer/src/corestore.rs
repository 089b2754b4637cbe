//! The store's handle.

use crate::any_store::AnyStore;
use crate::connection::{self, Connection, Ended};
use crate::error::{OpenError, OpenStoreError};
use crate::events::StoreEvent;
use crate::hypercore::Hypercore;
use crate::machine::Machine;
use crate::options::{CoreOptions, Options};
use crate::store::{DurabilityLevel, FileStore};
use crate::subscription::Subscription;
use crate::swarm::wire::Wire;
use crate::timer;
use corestore_core::corestore::{
    CloseReason, ConnectionInfo, CoreName, Corestore as Sans, OpenCore, Outcome, Role, StoredName,
};
use corestore_core::crypto::{DiscoveryKey, PublicKey};
use corestore_core::storage::{MemoryStore, StorageError, Store};
use corestore_core::stream::Split;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Many cores over one store, replicated over any number of connections. Cheap to clone; all clones share the store.
///
/// The store stays open until [`Self::close`], or until the last handle, core and connection is gone.
#[derive(Clone, Debug)]
pub struct Corestore {
    pub(crate) machine: Arc<Machine>,
    namespace: Option<[u8; 32]>,
}

impl Corestore {
    /// Opens the store in `directory`, making it when there is none. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenStoreError`] names the directory and what is wrong with it.
    pub async fn open(directory: impl AsRef<Path>, options: Options) -> Result<Self, OpenStoreError> {
        let path = directory.as_ref().to_owned();
        let files = options.store.clone();
        let opening = tokio::task::spawn_blocking(move || FileStore::open(&path, &files));
        let store = opening.await.map_err(|_| OpenStoreError::RuntimeEnded)??;
        Self::over_files(store, &options)
    }

    /// Over a file store that is open already, such as one on a disk of one's own. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenStoreError::Entropy`] when the operating system gives no randomness.
    pub fn over_files(store: FileStore, options: &Options) -> Result<Self, OpenStoreError> {
        let power = store.durability() == DurabilityLevel::Power;
        let opened = Self::over(AnyStore::Files(Box::new(store)), options)?;
        if power {
            opened.machine.start_committer();
        }
        Ok(opened)
    }

    /// A store that keeps nothing. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenStoreError::Entropy`] when the operating system gives no randomness.
    pub fn in_memory(options: &Options) -> Result<Self, OpenStoreError> {
        Self::over(AnyStore::Memory(MemoryStore::default()), options)
    }

    /// A store of one's own making. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenStoreError::Entropy`] when the operating system gives no randomness.
    pub fn with_store(store: Box<dyn Store + Send>, options: &Options) -> Result<Self, OpenStoreError> {
        Self::over(AnyStore::Other(store), options)
    }

    fn over(store: AnyStore, options: &Options) -> Result<Self, OpenStoreError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(OpenStoreError::Entropy)?;
        let machine = Machine::new(options.config(), seed, store);
        timer::start(&machine);
        Ok(Self { machine, namespace: None })
    }

    /// Opens a core, creating it when it is not stored yet.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn get(&self, options: impl Into<CoreOptions>) -> Result<Hypercore, OpenError> {
        let CoreOptions(open) = options.into();
        let open = self.in_namespace(open);
        match self.machine.request(|machine| machine.open_core(open)).await? {
            Outcome::Opened(session, info) => Ok(Hypercore::new(&self.machine, session, &info)),
            _ => Err(OpenError::Closed),
        }
    }

    fn in_namespace(&self, mut open: OpenCore) -> OpenCore {
        if let CoreName::Name { namespace: namespace @ None, .. } = &mut open.name {
            *namespace = self.namespace;
        }
        open
    }

    /// A handle whose names lie in the namespace `name` within this one's.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        let namespace = Some(Sans::namespace(self.namespace, name));
        Self { machine: Arc::clone(&self.machine), namespace }
    }

    /// Discovery keys of every stored core.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn list(&self) -> Result<Vec<DiscoveryKey>, OpenError> {
        match self.machine.request(Sans::list).await? {
            Outcome::Cores(cores) => Ok(cores),
            _ => Err(OpenError::Closed),
        }
    }

    /// Local names and the cores they name, of every namespace.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn list_names(&self) -> Result<Vec<StoredName>, OpenError> {
        match self.machine.request(Sans::list_names).await? {
            Outcome::Names(names) => Ok(names),
            _ => Err(OpenError::Closed),
        }
    }

    /// Replicates every open core over `stream` until either side ends it; cores a peer asks for are opened when they
    /// are stored. Whoever dialled is the initiator. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Ended`] when the store is closed.
    pub fn replicate<S>(&self, stream: S, role: Role) -> Result<Connection, Ended>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.start(stream, role, None)
    }

    /// Replicates every open core over a connection of the swarm, as [`Self::replicate`] does: its handshake is made.
    ///
    /// # Errors
    /// [`Ended`] when the store is closed.
    pub fn replicate_wire(&self, mut wire: Wire) -> Result<Connection, Ended> {
        let role = if wire.initiator { Role::Initiator } else { Role::Responder };
        let Some(split) = wire.split.take() else {
            let reason = "somebody else holds the keys of this connection".to_owned();
            return Err(Ended::Closed(CloseReason::Violation(reason)));
        };
        self.start(wire, role, Some(split))
    }

    /// Replicates over a byte stream whose Noise handshake is made elsewhere: it begins at the secret-stream's header.
    ///
    /// # Errors
    /// [`Ended`] when the store is closed.
    pub fn replicate_split<S>(&self, stream: S, role: Role, split: Split) -> Result<Connection, Ended>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.start(stream, role, Some(split))
    }

    fn start<S>(&self, stream: S, role: Role, split: Option<Split>) -> Result<Connection, Ended>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        match self.machine.connect(role, split) {
            Some((id, outgoing)) => Ok(connection::start(&self.machine, id, outgoing, stream)),
            None => Err(Ended::Closed(CloseReason::Local)),
        }
    }

    /// Every connection.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.machine.look(Sans::connections)
    }

    /// What happens to the store as a whole, from now on.
    pub fn events(&self) -> Subscription<StoreEvent> {
        self.machine.subscribe_store()
    }

    /// The public key we show on connections.
    pub fn public_key(&self) -> PublicKey {
        self.machine.look(Sans::public_key)
    }

    /// Ends every connection and closes the store. Everything acknowledged is stored; handles fail from here on.
    ///
    /// # Errors
    /// [`StorageError`] when the last flush fails.
    pub async fn close(&self) -> Result<(), StorageError> {
        self.machine.hang_up();
        // Connections get a moment to send what they still hold.
        let _ = tokio::time::timeout(PARTING, async {
            while !self.machine.is_vacant() {
                tokio::select! {
                    () = self.machine.vacated.notified() => {}
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        })
        .await;
        match self.machine.shut() {
            // What the last flush takes would hold up everybody else on this thread.
            Some(store) => tokio::task::spawn_blocking(|| store.close()).await.unwrap_or(Ok(())),
            None => Ok(()),
        }
    }
}

/// How long connections may take to end.
const PARTING: Duration = Duration::from_secs(3);
