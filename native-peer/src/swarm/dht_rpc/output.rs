//! What goes into a node and comes out of it.

pub use crate::swarm::udx::SocketId;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::time::Duration;
use std::net::SocketAddrV4;

impl SocketId {
    /// The socket bound to the node's own port: open nodes speak from it.
    pub const SERVER: Self = Self(0);
    /// The socket a firewalled node speaks from.
    pub const CLIENT: Self = Self(1);
}

/// Names a request of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Names a query of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(super) u64);

/// Something the driver must do or the user should know.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit(Transmit),
    /// Something happened.
    Event(Event),
}

/// A datagram to send. Losing it is no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From this socket.
    pub socket: SocketId,
    /// To this address.
    pub to: SocketAddrV4,
    /// Hops it may live for, when not the usual number.
    pub ttl: Option<u8>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Something that happened to a node.
#[derive(Clone, Debug)]
pub enum Event {
    /// The first query is over; the table holds what there is.
    Bootstrapped,
    /// The node is a lasting one now: others know it by this id.
    Persistent(Hash),
    /// The node slept, or the network changed: it is no lasting one any more.
    Ephemeral,
    /// What others see of our address changed. Port 0: every one sees another port.
    Nat(Option<SocketAddrV4>),
    /// Requests are answered again, or not any more.
    Online(bool),
    /// Somebody asks for a command of the layer above. Answer with [`super::DhtRpc::answer`] or never.
    Request(IncomingRequest),
    /// A request was answered.
    Response {
        /// Ours.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// A request was not answered in time, or could not be sent.
    Failed(RequestId),
    /// A node answered a query, without an error.
    QueryReply {
        /// Ours.
        query: QueryId,
        /// The answer.
        reply: Reply,
    },
    /// A query is over.
    QueryDone {
        /// Ours.
        query: QueryId,
        /// The nearest lasting nodes that answered, nearest first.
        closest: Vec<Reply>,
        /// How many nodes answered.
        successes: usize,
        /// How many did not, or with an error.
        errors: usize,
    },
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The node.
    pub from: SocketAddrV4,
    /// Its id, when it is a lasting node; checked against its address.
    pub id: Option<Hash>,
    /// How it sees us.
    pub to: SocketAddrV4,
    /// The socket its answer came in by.
    pub socket: SocketId,
    /// Lets us store something there.
    pub token: Option<Hash>,
    /// Nodes nearer to the target.
    pub closer_nodes: Vec<SocketAddrV4>,
    /// 0, or the number of an error.
    pub error: u64,
    /// What it gives.
    pub value: Option<Bytes>,
    /// From the first sending to the answer.
    pub round_trip: Duration,
}

/// A request of another node. A token it holds was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRequest {
    /// Comes back in the answer.
    pub tid: u16,
    /// Who asks.
    pub from: SocketAddrV4,
    /// Its id, when it is a lasting node; checked against its address.
    pub id: Option<Hash>,
    /// How it sees us.
    pub to: SocketAddrV4,
    /// The socket it came in by.
    pub socket: SocketId,
    /// The token it holds: one of ours, given to its host.
    pub token: Option<Hash>,
    /// One of [`corestore_core::dht::InternalCommand`].
    pub internal: bool,
    /// What it asks.
    pub command: u64,
    /// The place in the key space it is about.
    pub target: Option<Hash>,
    /// What the command needs besides.
    pub value: Option<Bytes>,
}

/// An answer to an [`IncomingRequest`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0, or the number of an error.
    pub error: u64,
    /// What is given.
    pub value: Option<Bytes>,
    /// Gives the other a token.
    pub token: bool,
    /// Names nodes nearer to the target.
    pub closer_nodes: bool,
    /// Where it goes, when not back to the one who asked.
    pub to: Option<SocketAddrV4>,
    /// The socket it leaves by, when not the one the request came in by.
    pub socket: Option<SocketId>,
}

impl Answer {
    /// An answer with a token and nearer nodes.
    pub fn with_value(value: Option<Bytes>) -> Self {
        Self { value, token: true, closer_nodes: true, ..Self::default() }
    }

    /// An answer with nothing but `value`.
    pub fn plain(value: Option<Bytes>) -> Self {
        Self { value, ..Self::default() }
    }
}

/// How a request is made.
#[derive(Clone, Debug, Default)]
pub struct RequestSettings {
    /// One of [`corestore_core::dht::InternalCommand`].
    pub internal: bool,
    /// What is asked.
    pub command: u64,
    /// The place in the key space it is about.
    pub target: Option<Hash>,
    /// What the command needs besides.
    pub value: Option<Bytes>,
    /// A token the node gave us.
    pub token: Option<Hash>,
    /// The socket it leaves by, when not the usual one.
    pub socket: Option<SocketId>,
    /// How often it is sent again, when not the usual number.
    pub retries: Option<u32>,
    /// How long each sending may take, when not the usual time.
    pub timeout: Option<Duration>,
}

/// How a query is made.
#[derive(Clone, Debug, Default)]
pub struct QuerySettings {
    /// What is asked.
    pub command: u64,
    /// What the command needs besides.
    pub value: Option<Bytes>,
    /// Nodes to begin with, nearest first; the table's when empty.
    pub nodes: Vec<SocketAddrV4>,
    /// Asks those and no others.
    pub only_these: bool,
    /// How often a request is sent again, when not the usual number.
    pub retries: Option<u32>,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests made.
    pub requests: u64,
    /// Of these, answered.
    pub responses: u64,
    /// Of these, given up.
    pub timeouts: u64,
    /// Sendings beyond the first.
    pub retries: u64,
    /// Queries made.
    pub queries: u64,
    /// Requests of others.
    pub received: u64,
    /// Datagrams that were none of ours, malformed or too large.
    pub dropped: u64,
    /// Requests with a token that is not ours or too old.
    pub bad_tokens: u64,
    /// Ids that are not the hash of their sender's address.
    pub bad_ids: u64,
}
