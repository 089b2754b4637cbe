//! What a relay's client says, and why a relay is left.

use crate::dht::{DhtRelayError, PeerRecord};
use crate::protomux::MuxError;
use crate::stream::Split;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::SocketAddrV4;

/// Names a stream for as long as the client lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u32);

/// Names a query for as long as the client lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(super) u32);

/// Something to do or to know.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this to the relay as one message of the transport.
    Transmit(Bytes),
    /// The relay said its own key: it is a peer too, and one that lets others call us.
    Greeted,
    /// A node named peers. Nothing proves that they are there.
    Peers {
        /// Which query asked.
        query: QueryId,
        /// Who.
        peers: Vec<PeerRecord>,
    },
    /// A query is over.
    Finished {
        /// Which.
        query: QueryId,
    },
    /// Our server is announced.
    Listening {
        /// Where the relay is reached.
        address: SocketAddrV4,
    },
    /// Our server is closed.
    Unlistened,
    /// A stream is open: a secret-stream starts on it at its header.
    Connected {
        /// Which.
        stream: StreamId,
        /// We called.
        initiator: bool,
        /// What the handshake gave; it proves the other side's key.
        split: Box<Split>,
    },
    /// Bytes of a stream, in any pieces.
    Data {
        /// Which.
        stream: StreamId,
        /// Never empty.
        bytes: Bytes,
    },
    /// A stream is over, or could not be made.
    Closed {
        /// Which.
        stream: StreamId,
        /// Why, as the relay puts it, for people; `None` when it ended in good order.
        reason: Option<String>,
    },
}

/// The relay broke the rules or is gone; the connection to it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayError {
    /// It broke those of channels.
    Mux(MuxError),
    /// It broke those of messages.
    Message(DhtRelayError),
    /// It is no relay, or is one no more.
    Refused,
    /// It said nothing for too long.
    Silent,
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mux(error) => write!(f, "the relay broke the protocol: {error}"),
            Self::Message(error) => write!(f, "the relay broke the protocol: {error}"),
            Self::Refused => f.write_str("this is no relay, or it does not serve us"),
            Self::Silent => f.write_str("the relay was silent for too long"),
        }
    }
}

impl core::error::Error for RelayError {}

impl From<MuxError> for RelayError {
    fn from(error: MuxError) -> Self {
        Self::Mux(error)
    }
}

impl From<DhtRelayError> for RelayError {
    fn from(error: DhtRelayError) -> Self {
        Self::Message(error)
    }
}
