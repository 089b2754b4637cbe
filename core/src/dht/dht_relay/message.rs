//! The 28 messages (`@hyperswarm/dht-relay/lib/messages.js`), without the forms that hand over a secret key.
//!
//! Names: each side numbers its own streams, servers and queries. An `alias` is the sender's number, a `remote_alias`
//! the receiver's. The relay numbers handshakes and signatures.

use crate::crypto::{Hash, PublicKey, Signature};
use crate::dht::HolepunchKey;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddrV4;

/// One message. C→R: a client sends it; R→C: a relay does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtRelayMessage {
    /// C→R, first: the client's key.
    Handshake {
        /// Its key.
        public_key: PublicKey,
    },
    /// Either way: is anyone there?
    Ping,
    /// Either way: yes.
    Pong,
    /// C→R: connect to a peer.
    Connect {
        /// The client's stream.
        alias: u32,
        /// Whose key calls.
        public_key: PublicKey,
        /// Who is called.
        remote_public_key: PublicKey,
    },
    /// R→C: a peer connected to a server of the client's.
    Connection {
        /// The relay's stream.
        alias: u32,
        /// The relay's number of the server.
        server_alias: u32,
        /// Who called.
        remote_public_key: PublicKey,
        /// The handshake that was for it.
        handshake: u32,
    },
    /// C→R: the answer to `Connection`.
    Connected {
        /// The client's stream.
        alias: u32,
        /// The relay's stream.
        remote_alias: u32,
    },
    /// R→C: may this peer connect? Relays that have the client's keys ask so.
    Incoming {
        /// Names the question.
        id: u32,
        /// The relay's number of the server.
        server_alias: u32,
        /// Who calls.
        remote_public_key: PublicKey,
        /// A [`crate::dht::HandshakePayload`].
        payload: Bytes,
    },
    /// C→R: no, it may not.
    Deny {
        /// Names the question.
        id: u32,
    },
    /// C→R: yes, it may.
    Accept {
        /// Names the question.
        id: u32,
    },
    /// Either way: a stream is over at once.
    Destroy {
        /// Which.
        stream: StreamAlias,
        /// Why, for people.
        error: Option<String>,
    },
    /// C→R: listen under a key.
    Listen {
        /// The client's server.
        alias: u32,
        /// Its key.
        public_key: PublicKey,
    },
    /// R→C: the server is announced.
    Listening {
        /// The relay's number of the server.
        alias: u32,
        /// The client's.
        remote_alias: u32,
        /// Where the relay is reached.
        address: SocketAddrV4,
    },
    /// C→R: close a server.
    Close {
        /// The client's number of it.
        alias: u32,
    },
    /// R→C: a server is closed.
    Closed {
        /// The relay's number of it.
        alias: u32,
    },
    /// R→C: the stream of a `Connect` is open.
    Open {
        /// The relay's stream.
        alias: u32,
        /// The client's.
        remote_alias: u32,
        /// The handshake that was for it.
        handshake: u32,
    },
    /// Either way: the sender's half of a stream is over.
    End {
        /// The sender's stream.
        alias: u32,
    },
    /// Either way: bytes of a stream. Where one chunk ends tells nothing; empty ones keep a stream alive.
    Data {
        /// The sender's stream.
        alias: u32,
        /// Its bytes.
        data: Vec<Bytes>,
    },
    /// R→C: one answer of a query, an [`super::Announcers`].
    Result {
        /// The client's query.
        id: u32,
        /// The answer.
        data: Bytes,
    },
    /// R→C: a query is over.
    Finished {
        /// The client's query.
        id: u32,
    },
    /// C→R: who is announced under a topic?
    Lookup {
        /// The client's query.
        id: u32,
        /// The topic.
        topic: Hash,
    },
    /// C→R: announce a key under a topic.
    Announce {
        /// The client's query.
        id: u32,
        /// The topic.
        topic: Hash,
        /// The key.
        public_key: PublicKey,
    },
    /// C→R: take the announcement back.
    Unannounce {
        /// The client's query.
        id: u32,
        /// The topic.
        topic: Hash,
        /// The key.
        public_key: PublicKey,
    },
    /// R→C: sign an announcement for a node: see [`crate::dht::Announce::sign_announce`].
    SignAnnounce {
        /// Names the signature.
        id: u32,
        /// The client's query or server it is for.
        signee: u32,
        /// The node's token.
        token: Hash,
        /// The node's id.
        node: Hash,
        /// What is announced with the key.
        relay_addresses: Vec<SocketAddrV4>,
    },
    /// R→C: sign an announcement's end.
    SignUnannounce {
        /// Names the signature.
        id: u32,
        /// The client's query or server it is for.
        signee: u32,
        /// The node's token.
        token: Hash,
        /// The node's id.
        node: Hash,
        /// What was announced with the key.
        relay_addresses: Vec<SocketAddrV4>,
    },
    /// C→R: a signature.
    Signature {
        /// Names it.
        id: u32,
        /// `None` (an empty buffer): there will be none. The reference never sends that.
        signature: Option<Signature>,
    },
    /// R→C: write your next handshake message, with this payload.
    NoiseSend {
        /// Names the handshake.
        id: u32,
        /// The client calls: its stream.
        stream: Option<u32>,
        /// A [`crate::dht::HandshakePayload`].
        payload: Bytes,
    },
    /// R→C: read the other side's handshake message.
    NoiseReceive {
        /// Names the handshake.
        id: u32,
        /// The client is called: the relay's number of the server.
        server: Option<u32>,
        /// The message.
        payload: Bytes,
    },
    /// C→R: the answer to `NoiseSend` and `NoiseReceive`.
    NoiseReply {
        /// Names the handshake.
        id: u32,
        /// The message written, or the payload read. Empty: the call is refused.
        payload: Bytes,
        /// How far the handshake is.
        progress: NoiseProgress,
    },
}

/// Which stream a `Destroy` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamAlias {
    /// By the sender's number: both sides know both numbers.
    Sender(u32),
    /// By the receiver's: it does not know the sender's.
    Receiver(u32),
}

/// How far a handshake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoiseProgress {
    /// The client called: its message is written.
    Called,
    /// The client is called: it read who calls.
    CalledBy(PublicKey),
    /// Both messages passed.
    Complete {
        /// The client called.
        initiator: bool,
        /// The responder's stream id of the secret-stream.
        remote_id: Hash,
        /// Seals the words on hole punching.
        holepunch_key: HolepunchKey,
    },
}

impl DhtRelayMessage {
    /// The protocol's name on protomux.
    pub const PROTOCOL: &str = "@hyperswarm/dht-relay";

    /// Its number on the channel.
    pub const fn kind(&self) -> u64 {
        match self {
            Self::Handshake { .. } => 0,
            Self::Ping => 1,
            Self::Pong => 2,
            Self::Connect { .. } => 3,
            Self::Connection { .. } => 4,
            Self::Connected { .. } => 5,
            Self::Incoming { .. } => 6,
            Self::Deny { .. } => 7,
            Self::Accept { .. } => 8,
            Self::Destroy { .. } => 9,
            Self::Listen { .. } => 10,
            Self::Listening { .. } => 11,
            Self::Close { .. } => 12,
            Self::Closed { .. } => 13,
            Self::Open { .. } => 14,
            Self::End { .. } => 15,
            Self::Data { .. } => 16,
            Self::Result { .. } => 17,
            Self::Finished { .. } => 18,
            Self::Lookup { .. } => 19,
            Self::Announce { .. } => 20,
            Self::Unannounce { .. } => 21,
            Self::SignAnnounce { .. } => 22,
            Self::SignUnannounce { .. } => 23,
            Self::Signature { .. } => 24,
            Self::NoiseSend { .. } => 25,
            Self::NoiseReceive { .. } => 26,
            Self::NoiseReply { .. } => 27,
        }
    }
}
