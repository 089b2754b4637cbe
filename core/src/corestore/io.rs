//! What goes into the machine and what comes out.

use crate::crypto::{CoreKey, DiscoveryKey, PublicKey};
use crate::log::Audit;
use crate::manifest::Manifest;
use crate::merkle::Proof;
use crate::storage::{OpId, StorageError, StorageOp, StorageReply};
use crate::stream::Split;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// One connection to a peer; the driver chooses the number, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One session on a core: what callers hold. Several sessions may share a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One command; answered exactly once by [`Event::Resolved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Which side of a connection we are: the dialler is the initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We dialled.
    Initiator,
    /// We were dialled.
    Responder,
}

/// A fact from outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// A byte stream to a peer is up; the machine starts the Noise handshake on it.
    Opened {
        /// Chosen by the driver.
        connection: ConnectionId,
        /// Who dialled.
        role: Role,
    },
    /// A byte stream to a peer is up on which a handshake was made already, HyperDHT's say: the encrypted stream starts
    /// at its header.
    Secured {
        /// Chosen by the driver.
        connection: ConnectionId,
        /// Who dialled.
        role: Role,
        /// What the handshake gave.
        split: Box<Split>,
    },
    /// Bytes arrived, in any pieces.
    Received {
        /// From where.
        connection: ConnectionId,
        /// The bytes.
        bytes: Bytes,
    },
    /// How many bytes given out as [`Output::Transmit`] still wait in the transport.
    Writable {
        /// Which.
        connection: ConnectionId,
        /// Bytes not yet written.
        backlog: usize,
    },
    /// The byte stream is gone.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// A storage operation was carried out.
    Stored {
        /// Which.
        op: OpId,
        /// Its answer.
        result: Result<StorageReply, StorageError>,
    },
    /// The time of [`Output::Idle`] has come.
    Deadline,
}

/// Something for the outside to do or know.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write these bytes to the connection, in order.
    Transmit {
        /// Where to.
        connection: ConnectionId,
        /// The bytes.
        bytes: Bytes,
    },
    /// Close the connection after what was transmitted; no `Closed` input is expected for it.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Names the fault.
        reason: CloseReason,
    },
    /// Carry out a storage operation and answer with [`Input::Stored`]; strictly in order.
    Storage {
        /// Comes back in the answer.
        op: OpId,
        /// What to do.
        request: StorageOp,
    },
    /// Something callers want to know.
    Event(Event),
    /// Fully drained: call again with [`Input::Deadline`] at `deadline`, if there is one, or on any other input.
    Idle {
        /// The next time the machine has something to do by itself.
        deadline: Option<Instant>,
    },
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// We closed it.
    Local,
    /// The transport ended.
    Remote,
    /// The peer broke the protocol; the text names the fault.
    Violation(String),
    /// The peer did not speak in time.
    Timeout,
    /// The peer proved to be ourselves or a duplicate.
    Duplicate,
}

/// How to name the core to open.
#[derive(Clone, Debug)]
pub enum CoreName {
    /// A local name in a namespace; its key pair is derived from the primary key. Never sent.
    Name {
        /// The namespace, from [`super::Corestore::namespace`]; `None` is the store's own.
        namespace: Option<[u8; 32]>,
        /// The name.
        name: String,
    },
    /// By key.
    Key(CoreKey),
    /// By discovery key: only a core that is already stored.
    DiscoveryKey(DiscoveryKey),
    /// By a key pair of one's own, given as its 32-byte seed.
    KeyPair([u8; 32]),
    /// By manifest, with the seed of one's own signing key, if any.
    Manifest(Manifest, Option<[u8; 32]>),
}

/// What [`super::Corestore::open_core`] takes.
#[derive(Clone, Debug)]
pub struct OpenCore {
    /// Which core.
    pub name: CoreName,
    /// Block encryption key (32 bytes), if the core is encrypted.
    pub encryption_key: Option<[u8; 32]>,
    /// Create it when it is not stored yet (needs `Name`, `Key`, `KeyPair` or `Manifest`).
    pub create: bool,
    /// Compat core: its key is the signer's public key and signatures are bare.
    pub compat: bool,
    /// Never append through this session.
    pub read_only: bool,
}

impl OpenCore {
    /// Opens or creates the core with this local name.
    pub fn name(name: impl Into<String>) -> Self {
        Self::of(CoreName::Name { namespace: None, name: name.into() })
    }

    /// Opens or creates the core with this key.
    pub fn key(key: CoreKey) -> Self {
        Self::of(CoreName::Key(key))
    }

    /// Opens or creates `name`, unencrypted, not compat.
    pub fn of(name: CoreName) -> Self {
        Self { name, encryption_key: None, create: true, compat: false, read_only: false }
    }

    /// With this block encryption key.
    #[must_use]
    pub fn encrypted(mut self, key: [u8; 32]) -> Self {
        self.encryption_key = Some(key);
        self
    }
}

/// A core as its caller sees it now. Lengths are published ones: what would survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreInfo {
    /// Key.
    pub key: CoreKey,
    /// Discovery key.
    pub discovery_key: DiscoveryKey,
    /// Blocks.
    pub length: u64,
    /// Bytes of all blocks, without encryption padding.
    pub byte_length: u64,
    /// Fork.
    pub fork: u64,
    /// Blocks from 0 on without a gap.
    pub contiguous_length: u64,
    /// Blocks stored here.
    pub stored_blocks: u64,
    /// The longest contiguous length any peer has said.
    pub remote_contiguous_length: u64,
    /// True when this session may append.
    pub writable: bool,
    /// True when blocks are encrypted and the session has the key.
    pub encrypted: bool,
    /// True after a conflict: the core is frozen.
    pub frozen: bool,
    /// Peers replicating this core now.
    pub peers: u64,
}

/// How far a core reaches for one session. Lengths are published ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Fork.
    pub fork: u64,
    /// Blocks.
    pub length: u64,
    /// Bytes of all blocks, without encryption padding.
    pub byte_length: u64,
    /// Blocks from 0 on without a gap.
    pub contiguous_length: u64,
}

/// How to fetch a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetOptions {
    /// Ask peers when it is not stored; otherwise answer `None` at once.
    pub wait: bool,
    /// Give up after this many milliseconds; 0 waits forever.
    pub timeout_ms: u64,
    /// Keep the ciphertext.
    pub raw: bool,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self { wait: true, timeout_ms: 0, raw: false }
    }
}

/// Blocks to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadRange {
    /// `start..end`; without an end it follows the log as it grows and never finishes.
    Range {
        /// First block.
        start: u64,
        /// First block past the range.
        end: Option<u64>,
        /// In order rather than spread over what peers have.
        linear: bool,
    },
    /// These blocks.
    Blocks(Vec<u64>),
}

/// A local name; never sent to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredName {
    /// The namespace it lies in; zeros for the store's own.
    pub namespace: [u8; 32],
    /// The name.
    pub name: String,
    /// The core it names.
    pub discovery_key: DiscoveryKey,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A session was opened.
    Opened(SessionId, CoreInfo),
    /// Blocks were appended and stored; lengths after that.
    Appended {
        /// Blocks.
        length: u64,
        /// Bytes.
        byte_length: u64,
    },
    /// A block, or `None` when it is not stored and was not to be waited for.
    Block(Option<Bytes>),
    /// Whether the log grew.
    Updated(bool),
    /// The block that holds a byte, and the byte's offset in it; `None` when past the end.
    Sought(Option<(u64, u64)>),
    /// Discovery keys of stored cores.
    Cores(Vec<DiscoveryKey>),
    /// Local names and the cores they name.
    Names(Vec<StoredName>),
    /// A proof of what was asked for.
    Proof(Box<Proof>),
    /// A proof holds, and what it proves is stored if it was to be.
    Proven {
        /// Blocks of the tree it proves, or ours when it brings no longer one.
        length: u64,
    },
    /// What an audit found.
    Audited(Audit),
    /// Done, nothing to tell.
    Done,
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The session was closed, or never existed.
    SessionClosed,
    /// The request was cancelled.
    Cancelled,
    /// No answer in time.
    Timeout,
    /// The core is not stored and may not be created.
    NotFound,
    /// We hold no key to sign with.
    NotWritable,
    /// A block is larger than 15 MiB; its position in the batch and its size in bytes.
    BlockTooLarge {
        /// Position in the batch.
        position: usize,
        /// Bytes.
        size: usize,
    },
    /// An index past the end, or a range that ends before it starts.
    OutOfBounds,
    /// The block lies outside a snapshot's length, or was truncated away.
    SnapshotNotAvailable,
    /// Two histories are signed for this key: the core is frozen.
    Conflict,
    /// The encryption key given is not the one this core was opened with, or the block is too short to be encrypted.
    WrongEncryptionKey,
    /// What was asked for is not stored here.
    NotStored,
    /// A proof does not hold; names what is wrong.
    InvalidProof(String),
    /// A stored value cannot be read; names it.
    Damaged(String),
    /// An argument makes no sense; names it.
    BadArgument(String),
    /// The store failed.
    Storage(StorageError),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SessionClosed => "the session is closed: open the core again",
            Self::Cancelled => "the request was cancelled",
            Self::Timeout => "no peer answered in time: check the connection, or wait longer",
            Self::NotFound => "no such core is stored here: open it by its key to create it",
            Self::NotWritable => {
                "the core cannot be written here: its signing key is elsewhere, or the session may only read"
            }
            Self::BlockTooLarge { position, size } => {
                return write!(
                    f,
                    "block {position} of the batch has {size} bytes, and a block may have 15 MiB: split it"
                );
            }
            Self::OutOfBounds => "the index lies outside the core, or the range ends before it starts",
            Self::SnapshotNotAvailable => {
                "the block lies outside this snapshot, or was truncated away: take a new snapshot"
            }
            Self::Conflict => {
                "two histories are signed for this key, so the core is frozen: ask its author which one holds"
            }
            Self::WrongEncryptionKey => {
                "the encryption key does not open this core's blocks: open the core with the right one"
            }
            Self::NotStored => "what was asked for is not stored here: download it first",
            Self::InvalidProof(what) => {
                return write!(f, "the proof does not hold: {what}; ask another peer for it");
            }
            Self::Damaged(what) => {
                return write!(f, "something stored cannot be read: {what}; clear it and download it again");
            }
            Self::BadArgument(what) => what,
            Self::Storage(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for CommandError {}

/// Something callers want to know.
#[derive(Clone, Debug)]
pub enum Event {
    /// A command's answer.
    Resolved {
        /// Which command.
        request: RequestId,
        /// What it came to.
        result: Result<Outcome, CommandError>,
    },
    /// The log grew, by our own append or a peer's proof.
    Appended {
        /// Which core.
        core: DiscoveryKey,
        /// Its length in blocks.
        length: u64,
        /// Its length in bytes.
        byte_length: u64,
    },
    /// The log was cut to `length` blocks, and is now on `fork`.
    Truncated {
        /// Which core.
        core: DiscoveryKey,
        /// Blocks that stay.
        length: u64,
        /// The new fork.
        fork: u64,
    },
    /// Blocks arrived, verified, and are stored.
    Downloaded {
        /// Which core.
        core: DiscoveryKey,
        /// Block index.
        index: u64,
        /// Bytes.
        byte_length: usize,
        /// From which connection.
        connection: ConnectionId,
    },
    /// A block was sent to a peer.
    Uploaded {
        /// Which core.
        core: DiscoveryKey,
        /// Block index.
        index: u64,
        /// Bytes.
        byte_length: usize,
        /// To which connection.
        connection: ConnectionId,
    },
    /// Stored blocks were cleared.
    Cleared {
        /// Which core.
        core: DiscoveryKey,
        /// Block indexes.
        range: Range<u64>,
    },
    /// The core left the store, and every session of it was closed.
    Purged {
        /// Which core.
        core: DiscoveryKey,
    },
    /// A peer began to replicate this core.
    PeerAdded {
        /// Which core.
        core: DiscoveryKey,
        /// On which connection.
        connection: ConnectionId,
        /// Who.
        public_key: PublicKey,
    },
    /// A peer stopped.
    PeerRemoved {
        /// Which core.
        core: DiscoveryKey,
        /// On which connection.
        connection: ConnectionId,
    },
    /// A peer sent something that is not true; nothing of it was stored.
    VerificationFailed {
        /// Which core.
        core: DiscoveryKey,
        /// From which connection.
        connection: ConnectionId,
        /// Names the fault.
        reason: String,
    },
    /// Two valid signatures over different histories exist: the core is frozen.
    Conflicted {
        /// Which core.
        core: DiscoveryKey,
        /// The length both signed.
        length: u64,
        /// The fork both signed.
        fork: u64,
    },
    /// The longest contiguous length of a peer changed.
    RemoteContiguousLength {
        /// Which core.
        core: DiscoveryKey,
        /// Blocks.
        length: u64,
    },
    /// A peer's extension message.
    Extension {
        /// Which core.
        core: DiscoveryKey,
        /// From which connection.
        connection: ConnectionId,
        /// The extension's name.
        name: String,
        /// What it said.
        payload: Bytes,
    },
    /// A connection finished its handshake.
    Connected {
        /// Which.
        connection: ConnectionId,
        /// The peer's key on this stream.
        public_key: PublicKey,
    },
    /// A connection is over.
    Disconnected {
        /// Which.
        connection: ConnectionId,
        /// Names the fault, if one.
        reason: CloseReason,
    },
    /// A peer asked for a core that is not stored here.
    UnknownDiscoveryKey {
        /// On which connection.
        connection: ConnectionId,
        /// Which core.
        discovery_key: DiscoveryKey,
    },
}
