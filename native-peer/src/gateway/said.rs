//! What a session's task is told: by the DHT, by the streams it has begun, by the gateway.

use super::metrics::Counted;
use super::session::Part;
use crate::swarm::hyperdht::{ConnectionId, Signable, SignatureId};
use bytes::Bytes;
use corestore_core::dht::{Announcers, HandshakePayload};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

/// A byte stream to a far peer.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One word for a session.
pub(super) enum Said {
    Sign(Part, SignatureId, Box<Signable>),
    ReadHandshake(Part, ConnectionId, Bytes),
    WriteHandshake(Part, ConnectionId, Box<HandshakePayload>),
    Announced(Part, usize),
    /// Another connection listens under this server's key.
    Superseded(Part),
    /// A stream of the client's is made.
    Connected(Part, ConnectionId, Box<dyn Duplex>),
    /// A stream of the client's could not be made.
    Failed(Part, String),
    /// A peer came to a server of the client's.
    Called(Part, ConnectionId, Box<dyn Duplex>),
    /// Bytes of a far peer.
    Data(Part, Held),
    /// A far peer sends no more.
    Ended(Part),
    /// A stream is over; why, unless both sides ended it.
    Over(Part, Option<String>),
    Found(Part, Box<Announcers>),
    QueryDone(Part),
}

/// Bytes on their way to a browser, and the room they take.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) room: (OwnedSemaphorePermit, Counted),
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Said(..)")
    }
}
