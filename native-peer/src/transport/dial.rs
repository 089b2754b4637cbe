//! Dialling, once or again and again.

use super::{tcp, websocket};
use crate::connection::{Connection, Ended};
use crate::corestore::Corestore;
use crate::machine::FindingPeers;
use corestore_core::corestore::{ConnectionId, Role};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The TCP connection failed.
    #[error("cannot reach {address}: {source}")]
    Tcp {
        /// What was dialled.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The WebSocket connection failed.
    #[error("cannot reach {url}: {source}")]
    WebSocket {
        /// What was dialled.
        url: String,
        /// What went wrong.
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    /// Nobody answered in 10 s.
    #[error("cannot reach {address}: no answer")]
    Timeout {
        /// What was dialled.
        address: String,
    },
    /// The store was closed.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Keeps a connection to one peer: dials again whenever it is lost, first after 200 ms, then ever slower up to 3 s.
/// Dropping it ends the connection and the dialling.
#[derive(Debug)]
pub struct Dialer {
    state: watch::Receiver<DialState>,
    task: JoinHandle<()>,
}

/// How far a [`Dialer`] is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DialState {
    /// It is dialling.
    Dialling,
    /// The byte stream is up.
    Connected(ConnectionId),
    /// The connection is over; it will be dialled again.
    Lost(Ended),
    /// The peer could not be reached; it will be dialled again.
    Failed(Arc<DialError>),
}

#[derive(Clone, Debug)]
enum Target {
    Tcp(String),
    WebSocket(String),
}

impl Corestore {
    /// Dials `address` (`host:port`) once and replicates.
    ///
    /// # Errors
    /// [`DialError`] names the address.
    pub async fn connect_tcp(&self, address: impl Into<String>) -> Result<Connection, DialError> {
        connect(self, &Target::Tcp(address.into())).await
    }

    /// Dials `url` (`ws://host:port`) once and replicates.
    ///
    /// # Errors
    /// [`DialError`] names the address.
    pub async fn connect_websocket(&self, url: impl Into<String>) -> Result<Connection, DialError> {
        connect(self, &Target::WebSocket(url.into())).await
    }

    /// Keeps replicating with the peer at `address` (`host:port`).
    pub fn dial_tcp(&self, address: impl Into<String>) -> Dialer {
        Dialer::start(self.clone(), Target::Tcp(address.into()))
    }

    /// Keeps replicating with the peer at `url` (`ws://host:port`).
    pub fn dial_websocket(&self, url: impl Into<String>) -> Dialer {
        Dialer::start(self.clone(), Target::WebSocket(url.into()))
    }
}

impl Dialer {
    fn start(store: Corestore, target: Target) -> Self {
        let (sender, state) = watch::channel(DialState::Dialling);
        let first = store.machine.finding_peers();
        Self { state, task: tokio::spawn(keep_dialling(store, target, sender, first)) }
    }

    /// Its state, now and whenever it changes.
    pub fn state(&self) -> watch::Receiver<DialState> {
        self.state.clone()
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_dialling(store: Corestore, target: Target, state: watch::Sender<DialState>, first: FindingPeers) {
    let mut pause = FIRST_PAUSE;
    let mut first = Some(first);
    loop {
        state.send_replace(DialState::Dialling);
        let connected = connect(&store, &target).await;
        first.take();
        match connected {
            Ok(connection) => {
                let since = Instant::now();
                let guard = CloseOnDrop(connection);
                state.send_replace(DialState::Connected(guard.0.id()));
                let ended = guard.0.closed().await;
                state.send_replace(DialState::Lost(ended));
                if since.elapsed() >= WORTHWHILE {
                    pause = FIRST_PAUSE;
                }
            }
            Err(DialError::Ended(_)) => return,
            Err(error) => {
                state.send_replace(DialState::Failed(Arc::new(error)));
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(3).checked_div(2).unwrap_or(LAST_PAUSE).min(LAST_PAUSE);
    }
}

struct CloseOnDrop(Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn connect(store: &Corestore, target: &Target) -> Result<Connection, DialError> {
    let (Target::Tcp(address) | Target::WebSocket(address)) = target;
    let _finding = store.machine.finding_peers();
    let dialled = tokio::time::timeout(NO_ANSWER, async {
        match target {
            Target::Tcp(address) => {
                let failed = |source| DialError::Tcp { address: address.clone(), source };
                Ok(store.replicate(tcp::connect(address).await.map_err(failed)?, Role::Initiator)?)
            }
            Target::WebSocket(url) => {
                let failed = |source| DialError::WebSocket { url: url.clone(), source: Box::new(source) };
                Ok(store.replicate(websocket::connect(url).await.map_err(failed)?, Role::Initiator)?)
            }
        }
    });
    dialled.await.unwrap_or_else(|_| Err(DialError::Timeout { address: address.clone() }))
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// A connection that lasted so long was worth having: the next one is dialled soon.
const WORTHWHILE: Duration = Duration::from_secs(1);
const NO_ANSWER: Duration = Duration::from_secs(10);
