//! A connection that several hold.

use crate::swarm::hyperdht::{ConnectionId, Path};
use crate::swarm::udx_stream::Grip;
use crate::swarm::wire::Wire;
use core::pin::Pin;
use core::task::{Context, Poll};
use corestore_core::crypto::PublicKey;
use corestore_core::stream::Split;
use std::io;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection of a pool. Clones share it: one task may read at a time, and one may write. It ends by
/// [`SharedWire::close`], or when its pool and every clone are gone.
#[derive(Clone, Debug)]
pub struct SharedWire {
    wire: Arc<Mutex<Wire>>,
    grip: Grip,
    /// The peer.
    pub public_key: PublicKey,
    /// Its name in events.
    pub connection: ConnectionId,
    /// We called.
    pub initiator: bool,
    /// How the way was found.
    pub path: Path,
    /// The other side's address.
    pub remote_address: SocketAddrV4,
}

impl SharedWire {
    pub(super) fn new(public_key: PublicKey, wire: Wire) -> Self {
        let Wire { connection, initiator, path, remote_address, .. } = wire;
        let grip = wire.stream().grip();
        Self { wire: Arc::new(Mutex::new(wire)), grip, public_key, connection, initiator, path, remote_address }
    }

    /// The keys that seal it, for the first who asks: whoever has them has the stream above.
    pub fn take_split(&self) -> Option<Split> {
        self.lock().split.take()
    }

    /// Ends it for all who hold it.
    pub fn close(&self) {
        self.grip.destroy();
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        self.grip.over().await;
    }

    pub(super) fn grip(&self) -> Grip {
        self.grip.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for SharedWire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(context, out)
    }
}

impl AsyncWrite for SharedWire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(context)
    }
}
