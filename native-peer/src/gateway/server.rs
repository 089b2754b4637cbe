//! A running gateway.

use super::http::{self, Ticket};
use super::hub;
use super::limits::Limits;
use super::log::Log;
use super::metrics::Counted;
use super::page::{Page, PageError};
use super::shared::{Parts, Shared};
use super::tls::{self, TlsError};
use crate::corestore::Corestore;
use crate::swarm::Swarm;
use corestore_core::crypto::KeyPair;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How a gateway starts.
#[derive(Clone)]
pub struct GatewayOptions {
    /// `host:port`; port 0 for any.
    pub listen: String,
    /// The folder of the reader page.
    pub page: Option<PathBuf>,
    /// PEM files of the certificate chain and its key, for TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// It stands behind a proxy, whose `X-Forwarded-For` tells where browsers come from.
    pub proxy: bool,
    /// What it grants.
    pub limits: Limits,
    /// Takes what happens.
    pub log: Log,
}

impl std::fmt::Debug for GatewayOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayOptions").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            page: None,
            tls: None,
            proxy: false,
            limits: Limits::default(),
            log: Arc::new(|_| {}),
        }
    }
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no page.
    #[error(transparent)]
    Page(#[from] PageError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running gateway. Dropping it ends it at once; [`Gateway::shutdown`] ends it well.
#[derive(Debug)]
pub struct Gateway {
    local: SocketAddr,
    tls: bool,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    hub: JoinHandle<()>,
    /// Ends when the last connection's task is over.
    over: mpsc::Receiver<()>,
    patience: Duration,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.accepting.abort();
        self.hub.abort();
    }
}

impl Gateway {
    /// Starts a gateway to `swarm`, that serves the cores of `store`. `key_pair` is the one `swarm` was started with.
    ///
    /// # Errors
    /// [`GatewayError`].
    pub async fn start(
        store: Corestore,
        swarm: Swarm,
        key_pair: KeyPair,
        options: GatewayOptions,
    ) -> Result<Self, GatewayError> {
        let page = options.page.as_deref().map(Page::load).transpose()?.unwrap_or_default();
        let tls = options.tls.as_ref().map(|(certificate, key)| tls::acceptor(certificate, key)).transpose()?;
        let failed = |source| GatewayError::Listen { address: options.listen.clone(), source };
        let socket = TcpListener::bind(&options.listen).await.map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let (stop, stopping) = watch::channel(false);
        let patience = options.limits.shutdown;
        let member = swarm.member().clone();
        let GatewayOptions { limits, proxy, log, .. } = options;
        let shared = Shared::new(Parts { store, swarm, key_pair, limits, page, proxy, log }, stopping);
        let hub = tokio::spawn(hub::run(Arc::clone(&shared.hub), member));
        let (working, over) = mpsc::channel(1);
        let has_tls = tls.is_some();
        let accepting = tokio::spawn(accept(shared, socket, tls, working));
        Ok(Self { local, tls: has_tls, stop, accepting, hub, over, patience })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where a browser finds the page.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = match self.local.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            std::net::IpAddr::V4(ip) => ip.to_string(),
        };
        format!("{scheme}://{host}:{}", self.local.port())
    }

    /// Lets nobody in any more, tells every browser, and waits for their connections to end, for some seconds.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.accepting.abort();
        let _ = tokio::time::timeout(self.patience, self.over.recv()).await;
    }
}

async fn accept(shared: Arc<Shared>, socket: TcpListener, tls: Option<TlsAcceptor>, working: mpsc::Sender<()>) {
    let room = Arc::new(Semaphore::new(shared.limits.sockets));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, peer)) => {
                let (shared, tls, working) = (Arc::clone(&shared), tls.clone(), working.clone());
                let counted = Counted::new(&shared.metrics, |metrics| &metrics.sockets, 1);
                let ticket: Ticket = Arc::new((permit, working, counted));
                tokio::spawn(welcome(shared, stream, peer, tls, ticket));
            }
            // Out of descriptors, or the peer went away meanwhile: others may still come.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn welcome(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, ticket: Ticket) {
    // Only latency suffers without it.
    let _ = stream.set_nodelay(true);
    match tls {
        None => http::serve(shared, stream, peer.ip(), ticket).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                http::serve(shared, stream, peer.ip(), ticket).await;
            }
        }
    }
}

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the handshake of TLS may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
