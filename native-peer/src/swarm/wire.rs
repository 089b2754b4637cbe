//! A connection to a peer, once the way is open.

use super::hyperdht::{ConnectionId, Path};
use super::udx::Remote;
use super::udx_stream::UdxStream;
use core::pin::Pin;
use core::task::{Context, Poll};
use corestore_core::stream::Split;
use std::io;
use std::net::SocketAddrV4;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that was made: keys are agreed on, the bytes read and written are not sealed yet.
pub struct Wire {
    stream: UdxStream,
    /// Go after the stream.
    guards: Vec<SocketGuard>,
    /// Its name in events.
    pub connection: ConnectionId,
    /// Starts the secret-stream at its header; `None` when somebody else has the keys.
    pub split: Option<Split>,
    /// We called.
    pub initiator: bool,
    /// How the way was found.
    pub path: Path,
    /// The other side's address.
    pub remote_address: SocketAddrV4,
}

/// What is known of a connection beside its stream.
pub(super) struct Made {
    pub(super) connection: ConnectionId,
    pub(super) split: Option<Split>,
    pub(super) initiator: bool,
    pub(super) path: Path,
    pub(super) remote_address: SocketAddrV4,
}

/// Does something when it goes.
pub(super) struct SocketGuard(Option<Box<dyn FnOnce() + Send + Sync>>);

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connection, path, remote_address, .. } = self;
        write!(f, "Wire({connection:?}, {path:?}, {remote_address})")
    }
}

impl SocketGuard {
    pub(super) fn new(close: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(close)))
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|close| close());
    }
}

impl Wire {
    pub(super) fn new(stream: UdxStream, socket: Option<SocketGuard>, made: Made) -> Self {
        let Made { connection, split, initiator, path, remote_address } = made;
        Self { stream, guards: socket.into_iter().collect(), connection, split, initiator, path, remote_address }
    }

    /// Does something when it goes.
    pub(super) fn on_drop(&mut self, act: impl FnOnce() + Send + Sync + 'static) {
        self.guards.push(SocketGuard::new(act));
    }

    /// The far end, as UDX knows it.
    pub fn remote(&self) -> Option<Remote> {
        self.stream.remote()
    }

    /// The UDX stream.
    pub fn stream(&self) -> &UdxStream {
        &self.stream
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
