//! What comes out of a member, and the names it gives.

use super::identity::{Foreign, Signable, SignatureId};
use crate::swarm::dht_rpc::{SocketId, Transmit};
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::{Contact, Firewall, HandshakePayload, PeerRecord};
use corestore_core::stream::Split;
use std::fmt;
use std::net::SocketAddrV4;

/// Names an operation on records of the DHT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(super) u64);

/// Names a server of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub(super) u64);

/// Names a connection being made, by us or to a server of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// Something the driver must do or the user should know.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit(Transmit),
    /// Open a socket on any port; datagrams for it may follow at once.
    OpenSocket(SocketId),
    /// Nobody needs the socket for the DHT any more. Close it once no stream uses it.
    CloseSocket(SocketId),
    /// Open a UDX stream with this number, not yet connected, that asks who may send to it. Whoever sends is to be told
    /// to [`super::HyperDht::handle_stream_packet`].
    OpenStream(u32),
    /// The stream will not be connected.
    CloseStream(u32),
    /// Something happened.
    Event(Event),
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The node of the DHT has something to say.
    Node(NodeEvent),
    /// A node named peers that are announced under the target of a lookup.
    Peers {
        /// The lookup.
        operation: OperationId,
        /// The node.
        from: Contact,
        /// How it sees us.
        to: SocketAddrV4,
        /// Lets us store something there.
        token: Option<Hash>,
        /// The peers. Their records are not signed: only a handshake proves a key.
        peers: Vec<PeerRecord>,
        /// Unix time in ms from which on it is worth to look again; 0 when nobody asked for that.
        bump: u64,
    },
    /// An operation is over.
    Done {
        /// The operation.
        operation: OperationId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A server was announced, or announced anew.
    Announced {
        /// The server.
        server: ServerId,
        /// How many nodes keep its record and pass handshakes on to it; 0 when none does.
        relays: usize,
    },
    /// Somebody else's announcement needs his signature: give it to [`super::HyperDht::signed`].
    Sign {
        /// Its name.
        signature: SignatureId,
        /// Whose.
        owner: Foreign,
        /// What is to be signed.
        signable: Signable,
    },
    /// Somebody else's handshake goes on: he is to take the other side's message, see
    /// [`super::HyperDht::handshake_read`].
    ReadHandshake {
        /// The connection.
        connection: ConnectionId,
        /// Whose.
        owner: Foreign,
        /// The message.
        noise: Bytes,
    },
    /// Somebody else's handshake goes on: he is to write his message, see [`super::HyperDht::handshake_written`].
    WriteHandshake {
        /// The connection.
        connection: ConnectionId,
        /// Whose.
        owner: Foreign,
        /// What it is to tell.
        payload: Box<HandshakePayload>,
    },
    /// A connection is made: create the UDX stream and start a secret-stream on it.
    Connected(Box<Connected>),
    /// The peers of a connection agreed on keys but meet at a blind relay, until a direct way opens. Connect to the
    /// relay, tell [`super::HyperDht::relay_reached`], pair there, then tell [`super::HyperDht::relayed`] or
    /// [`super::HyperDht::relay_failed`].
    MeetAtRelay {
        /// The connection.
        connection: ConnectionId,
        /// The relay's key.
        relay: PublicKey,
        /// What to name there.
        token: Hash,
        /// We chose the relay.
        initiator: bool,
        /// Our UDX stream's id.
        local_stream: u32,
    },
    /// A connection being made has come so far.
    Progress {
        /// The connection.
        connection: ConnectionId,
        /// How far.
        progress: Progress,
    },
    /// A connection could not be made.
    Failed {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: ConnectError,
    },
}

/// What the node below has to say.
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// The first query is over.
    Bootstrapped,
    /// The node is a lasting one now: it keeps records for others.
    Persistent(Hash),
    /// It is none any more.
    Ephemeral,
    /// What others see of our address changed. Port 0: every one sees another port.
    Nat(Option<SocketAddrV4>),
    /// Requests are answered again, or not any more.
    Online(bool),
    /// The machine is on another network than before; servers are announced anew.
    NetworkChanged,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A lookup or the search for a peer is over.
    LookedUp {
        /// How many nodes answered.
        nodes: usize,
    },
    /// So many nodes did what was asked: keep a record or a value, or drop a record.
    Stored {
        /// Where it lies: the hash of a plain value, else the target.
        target: Hash,
        /// How many nodes said that they did it.
        nodes: usize,
    },
    /// A node that keeps a signed value has a later one.
    Outdated {
        /// The node's own word on it.
        error: corestore_core::dht::PeerError,
    },
    /// The value; checked against its hash or its signature.
    Value {
        /// The value.
        value: Bytes,
        /// Its sequence number; 0 for plain values.
        seq: u64,
    },
    /// Nobody has such a value.
    NotFound,
    /// Too few nodes answered to keep anything.
    NoNodes,
}

/// A connection that was made.
pub struct Connected {
    /// Its name.
    pub connection: ConnectionId,
    /// The server of ours that was called; `None` when we called.
    pub server: Option<ServerId>,
    /// Our UDX stream's id.
    pub local_stream: u32,
    /// The other side's.
    pub remote_stream: u32,
    /// The socket that leads there.
    pub socket: SocketId,
    /// The other side's address.
    pub remote: SocketAddrV4,
    /// Keys, hash and the other side's key: a secret-stream starts from them at its header. `None` when the stream
    /// runs already, or when somebody else has the keys.
    pub split: Option<Split>,
    /// The stream runs already: only its path changes.
    pub moved: bool,
    /// How the way was found.
    pub path: Path,
}

/// How far a connection being made has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nodes are asked who knows the peer.
    Searching,
    /// A handshake is passed on by a node that knows it.
    Calling,
    /// The peer answered: both sides have keys.
    Agreed,
    /// Both sides find out what their NATs do.
    Probing,
    /// Both sides punch.
    Punching,
    /// Both sides go to a blind relay, and look for a direct way meanwhile.
    MeetingAtRelay,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Searching => "searching for nodes that know the peer",
            Self::Calling => "calling the peer through a node that knows it",
            Self::Agreed => "agreed on keys",
            Self::Probing => "finding out what both NATs do",
            Self::Punching => "punching a hole",
            Self::MeetingAtRelay => "meeting at a relay",
        })
    }
}

/// How the way to a peer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// One side is reachable by everybody, or both are on one host.
    Direct,
    /// On the local network.
    Local,
    /// Through two NATs.
    HolePunched,
    /// By a blind relay, for now.
    Relayed,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Local => "local",
            Self::HolePunched => "hole punched",
            Self::Relayed => "relayed",
        })
    }
}

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody announced this key.
    PeerNotFound,
    /// The peer is announced, but no node reached it.
    PeerUnreachable,
    /// The remote key is no key.
    BadKey,
    /// The peer's handshake does not hold.
    BadHandshake,
    /// The peer speaks another version.
    Incompatible,
    /// The peer refused.
    Refused,
    /// The peer gave up punching.
    RemoteAborted,
    /// Neither side's NAT could be made out in time: ours, theirs.
    NatUnknown(Firewall, Firewall),
    /// Both NATs show every destination another port: only a relay helps.
    BothRandom,
    /// The peer cannot be punched through to.
    CannotHolepunch,
    /// Punching did not get through.
    NotPunched,
    /// A punch at a random NAT is under way already, or was just now.
    TryLater,
    /// It took too long.
    Timeout,
    /// There is no direct way, and the blind relay could not be used.
    RelayFailed,
    /// Too many connections are being made.
    TooMany,
    /// It was cancelled, or the node was suspended.
    Cancelled,
}

impl ConnectError {
    /// There is no direct way: by a blind relay there may be one.
    pub fn wants_relay(self) -> bool {
        matches!(
            self,
            Self::RemoteAborted
                | Self::NatUnknown(..)
                | Self::BothRandom
                | Self::CannotHolepunch
                | Self::NotPunched
                | Self::TryLater
        )
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerNotFound => "nobody is announced under this key; is the peer online?",
            Self::PeerUnreachable => "the peer is announced, but no node could pass a handshake on to it",
            Self::BadKey => "the remote key is no public key",
            Self::BadHandshake => "the peer's handshake does not hold",
            Self::Incompatible => "the peer speaks another version of the protocol",
            Self::Refused => "the peer refused the connection",
            Self::RemoteAborted => "the peer gave up punching a hole",
            Self::NatUnknown(Firewall::Unknown, Firewall::Unknown) => {
                "neither our NAT nor the peer's could be made out; try again, or use a relay"
            }
            Self::NatUnknown(Firewall::Unknown, _) => "our NAT could not be made out; try again, or use a relay",
            Self::NatUnknown(..) => "the peer's NAT could not be made out; try again, or use a relay",
            Self::BothRandom => "both sides are behind NATs that change ports; use a relay",
            Self::CannotHolepunch => "the peer offers no way to punch a hole; use a relay",
            Self::NotPunched => "no packet came through the NATs; use a relay",
            Self::TryLater => "another punch at a changing NAT is under way; try later, or use a relay",
            Self::Timeout => "the connection took too long",
            Self::RelayFailed => "no hole could be punched, and the relay could not be used; is the relay online?",
            Self::TooMany => "too many connections are being made; try later",
            Self::Cancelled => "the connection was cancelled",
        })
    }
}

impl std::error::Error for ConnectError {}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("connection", &self.connection)
            .field("server", &self.server)
            .field("remote", &self.remote)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
