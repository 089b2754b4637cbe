//! What comes out of a session.

use crate::swarm::hyperdht::{ConnectionId, ReadHandshake, SignatureId};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey, Signature};
use corestore_core::dht::{DhtRelayError, HolepunchKey};
use corestore_core::protomux::MuxError;

/// Names a stream, a server or a query of a session; the relay's number of it on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(pub u32);

/// Something the driver must do.
#[derive(Debug)]
pub enum Output {
    /// Send one WebSocket message.
    Frame(Bytes),
    /// Write to a stream's far peer.
    Write {
        /// The stream.
        stream: Part,
        /// The bytes, in order.
        data: Vec<Bytes>,
    },
    /// End our half towards a stream's far peer, after what was written.
    Finish(Part),
    /// A stream is over: reset it, or give it up if it is being made. Nothing more is to be said of it.
    Drop(Part),
    /// Ask the DHT.
    Request(Request),
}

/// Something the DHT is to do. Keys are the client's: see [`crate::swarm::hyperdht::Foreign`].
#[derive(Debug)]
pub enum Request {
    /// Connect: [`super::Session::connected`] or [`super::Session::failed`] follows.
    Connect {
        /// The stream.
        stream: Part,
        /// Whose key calls.
        key: PublicKey,
        /// Who is called.
        remote: PublicKey,
    },
    /// Listen, instead of anybody else under this key: its holder has proven that he has it.
    /// [`super::Session::announced`] follows, or [`super::Session::server_ended`].
    Listen {
        /// The server.
        server: Part,
        /// Its key.
        key: PublicKey,
    },
    /// Stop listening; signatures for this are still asked of the server.
    CloseServer(Part),
    /// Look up: [`super::Session::found`] for every answer, [`super::Session::query_done`] at the end.
    Lookup {
        /// The query.
        query: Part,
        /// The topic.
        topic: Hash,
    },
    /// Announce; events as for a lookup.
    Announce {
        /// The query.
        query: Part,
        /// The topic.
        topic: Hash,
        /// The key.
        key: PublicKey,
        /// The session's server under that key: its relaying nodes are announced with it.
        server: Option<Part>,
    },
    /// Take an announcement back; events as for a lookup.
    Unannounce {
        /// The query.
        query: Part,
        /// The topic.
        topic: Hash,
        /// The key.
        key: PublicKey,
    },
    /// For [`crate::swarm::hyperdht::HyperDht::signed`].
    Signed {
        /// The signature.
        signature: SignatureId,
        /// `None` when there will be none.
        given: Option<Signature>,
    },
    /// For [`crate::swarm::hyperdht::HyperDht::handshake_read`].
    HandshakeRead {
        /// The connection.
        connection: ConnectionId,
        /// `None` when the message does not hold, or the client refuses.
        read: Option<Box<ReadHandshake>>,
    },
    /// For [`crate::swarm::hyperdht::HyperDht::handshake_written`].
    HandshakeWritten {
        /// The connection.
        connection: ConnectionId,
        /// The message.
        noise: Bytes,
        /// The key of words on hole punching, when the client was called.
        holepunch_key: Option<HolepunchKey>,
    },
}

/// Why a session must end: the client broke a rule, or is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A frame cannot be read.
    #[error("{0}")]
    Frame(MuxError),
    /// A message cannot be read, or hands over a secret key.
    #[error("{0}")]
    Message(DhtRelayError),
    /// The client did not say who it is.
    #[error("the first message is to be `handshake`")]
    NoHandshake,
    /// It closed the channel.
    #[error("the client closed the channel")]
    Closed,
    /// Its signature does not hold: it has not the key it listens for.
    #[error("the signature does not hold: only a key's holder can listen under it")]
    NotTheHolder,
    /// Nothing was heard of it.
    #[error("the client is silent")]
    Silent,
    /// It listens under more keys than it may.
    #[error("too many servers on one connection")]
    TooManyServers,
}

impl Fault {
    /// The WebSocket close code that goes with it.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Frame(_) | Self::Message(_) | Self::NoHandshake | Self::NotTheHolder => 1008,
            Self::Closed | Self::Silent => 1000,
            Self::TooManyServers => 1013,
        }
    }
}
