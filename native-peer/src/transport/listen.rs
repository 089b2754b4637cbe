//! Listening sockets.

use super::{tcp, websocket};
use crate::corestore::Corestore;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A listening socket. Dropping it stops listening; connections made through it stay.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    task: JoinHandle<()>,
}

/// Why listening is not possible.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", explain(.source))]
pub struct ListenError {
    /// What was asked for.
    pub address: String,
    /// What the system says.
    pub source: io::Error,
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    WebSocket,
}

impl Corestore {
    /// Accepts peers over TCP at `address` (`host:port`; port 0 for any) and replicates with them.
    ///
    /// # Errors
    /// [`ListenError`] names the address.
    pub async fn listen_tcp(&self, address: impl ToSocketAddrs + fmt::Display) -> Result<Listener, ListenError> {
        self.listen(address, Kind::Tcp).await
    }

    /// Accepts peers over WebSocket at `address` (`host:port`; port 0 for any) and replicates with them. The origin
    /// of a page is not checked: a peer proves that it knows a core's key before it gets anything.
    ///
    /// # Errors
    /// [`ListenError`] names the address.
    pub async fn listen_websocket(&self, address: impl ToSocketAddrs + fmt::Display) -> Result<Listener, ListenError> {
        self.listen(address, Kind::WebSocket).await
    }

    async fn listen(&self, address: impl ToSocketAddrs + fmt::Display, kind: Kind) -> Result<Listener, ListenError> {
        let named = address.to_string();
        let failed = |source| ListenError { address: named.clone(), source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let task = tokio::spawn(accept(self.clone(), socket, kind));
        Ok(Listener { local, task })
    }
}

impl Listener {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(store: Corestore, socket: TcpListener, kind: Kind) {
    let upgrades = Arc::new(Semaphore::new(MAX_UPGRADES));
    loop {
        match socket.accept().await {
            Ok((stream, _)) => welcome(&store, stream, kind, &upgrades),
            // Out of descriptors, or the peer went away meanwhile: others may still come.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn welcome(store: &Corestore, stream: TcpStream, kind: Kind, upgrades: &Arc<Semaphore>) {
    match kind {
        Kind::Tcp => drop(tcp::accept(store, stream)),
        Kind::WebSocket => {
            let Ok(permit) = Arc::clone(upgrades).try_acquire_owned() else { return };
            let store = store.clone();
            tokio::spawn(async move {
                // Whoever speaks no WebSocket was told so; nobody else needs to know.
                drop(websocket::accept(&store, stream).await);
                drop(permit);
            });
        }
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; choose another, or 0 for any".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted; choose a port above 1023".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// WebSocket handshakes under way at once on one socket.
const MAX_UPGRADES: usize = 256;
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
