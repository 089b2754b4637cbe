//! Errors by operation.

use crate::request::Failure;
use corestore_core::corestore::CommandError;
use corestore_core::crypto::CoreKey;
use corestore_core::storage::StorageError;

/// Why a store could not be opened or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// Its files could not be opened.
    #[error(transparent)]
    Files(#[from] crate::store::OpenError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
    /// The runtime was shut down meanwhile.
    #[error("the runtime ended while the store was being opened")]
    RuntimeEnded,
}

/// Why a core could not be opened, or cores not be listed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No such core is stored, and it was not to be created.
    #[error("no such core is stored here")]
    NotFound,
    /// A stored value cannot be read.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// An argument makes no sense.
    #[error("{0}")]
    BadArgument(String),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else the machine says.
    #[error(transparent)]
    Other(CommandError),
}

/// Why a core could not be changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No signing key is held here, or the handle may only read.
    #[error("core {core} cannot be written here: its signing key is not in this store")]
    NotWritable {
        /// Which core.
        core: CoreKey,
    },
    /// A block is larger than 15 MiB.
    #[error("block {position} of the batch has {size} bytes; a block may have 15 MiB")]
    BlockTooLarge {
        /// Position in the batch.
        position: usize,
        /// Bytes.
        size: usize,
    },
    /// An index past the end, or a range that ends before it starts.
    #[error("the range lies outside of core {core}")]
    OutOfBounds {
        /// Which core.
        core: CoreKey,
    },
    /// Two signed histories exist: the core is frozen.
    #[error("core {core} is frozen: two histories are signed with its key")]
    Conflict {
        /// Which core.
        core: CoreKey,
    },
    /// A stored value cannot be read.
    #[error("core {core} is damaged: {what}")]
    Damaged {
        /// Which core.
        core: CoreKey,
        /// Names it.
        what: String,
    },
    /// The store failed; nothing of this change was stored.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The handle or the store was closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else the machine says.
    #[error("core {core}: {error}")]
    Other {
        /// Which core.
        core: CoreKey,
        /// What it says.
        error: CommandError,
    },
}

/// Why something could not be read or fetched.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No answer in the time given.
    #[error("no peer answered in time")]
    Timeout,
    /// The block lies outside a snapshot, or was truncated away.
    #[error("the block is not part of this snapshot of core {core}")]
    SnapshotNotAvailable {
        /// Which core.
        core: CoreKey,
    },
    /// A range that ends before it starts, or lies past the end for good.
    #[error("the range lies outside of core {core}")]
    OutOfBounds {
        /// Which core.
        core: CoreKey,
    },
    /// Two signed histories exist: the core is frozen.
    #[error("core {core} is frozen: two histories are signed with its key")]
    Conflict {
        /// Which core.
        core: CoreKey,
    },
    /// The block does not decrypt with the key given.
    #[error("the encryption key given is not the one of core {core}")]
    WrongEncryptionKey {
        /// Which core.
        core: CoreKey,
    },
    /// A stored value cannot be read.
    #[error("core {core} is damaged: {what}")]
    Damaged {
        /// Which core.
        core: CoreKey,
        /// Names it.
        what: String,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The handle or the store was closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else the machine says.
    #[error("core {core}: {error}")]
    Other {
        /// Which core.
        core: CoreKey,
        /// What it says.
        error: CommandError,
    },
}

/// Why a proof could not be made, or does not hold.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No tree of the core's length can prove that.
    #[error("core {core}: {what}")]
    InvalidRequest {
        /// Which core.
        core: CoreKey,
        /// Names what is wrong with it.
        what: String,
    },
    /// The block, or a tree node on its way, is not stored here.
    #[error("core {core} does not hold here what was to be proven: download it first")]
    NotStored {
        /// Which core.
        core: CoreKey,
    },
    /// The proof is not true of this core; nothing of it was stored.
    #[error("the proof does not hold for core {core}: {what}")]
    Invalid {
        /// Which core.
        core: CoreKey,
        /// Names what is wrong with it.
        what: String,
    },
    /// The core was truncated meanwhile, or two histories are signed for it.
    #[error("core {core} moved to another history meanwhile")]
    Moved {
        /// Which core.
        core: CoreKey,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The handle or the store was closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else the machine says.
    #[error("core {core}: {error:?}")]
    Other {
        /// Which core.
        core: CoreKey,
        /// What it says.
        error: CommandError,
    },
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed | Failure::Command(CommandError::SessionClosed) => Self::Closed,
            Failure::Command(CommandError::NotFound) => Self::NotFound,
            Failure::Command(CommandError::Damaged(what)) => Self::Damaged(what),
            Failure::Command(CommandError::BadArgument(what)) => Self::BadArgument(what),
            Failure::Command(CommandError::Storage(error)) => Self::Storage(error),
            Failure::Command(other) => Self::Other(other),
        }
    }
}

impl WriteError {
    pub(crate) fn of(core: CoreKey, failure: Failure) -> Self {
        match failure {
            Failure::Closed | Failure::Command(CommandError::SessionClosed) => Self::Closed,
            Failure::Command(CommandError::NotWritable) => Self::NotWritable { core },
            Failure::Command(CommandError::BlockTooLarge { position, size }) => Self::BlockTooLarge { position, size },
            Failure::Command(CommandError::OutOfBounds) => Self::OutOfBounds { core },
            Failure::Command(CommandError::Conflict) => Self::Conflict { core },
            Failure::Command(CommandError::Damaged(what)) => Self::Damaged { core, what },
            Failure::Command(CommandError::Storage(error)) => Self::Storage(error),
            Failure::Command(error) => Self::Other { core, error },
        }
    }
}

impl ProofError {
    pub(crate) fn of(core: CoreKey, failure: Failure) -> Self {
        match failure {
            Failure::Closed | Failure::Command(CommandError::SessionClosed) => Self::Closed,
            Failure::Command(CommandError::BadArgument(what)) => Self::InvalidRequest { core, what },
            Failure::Command(CommandError::NotStored) => Self::NotStored { core },
            Failure::Command(CommandError::InvalidProof(what)) => Self::Invalid { core, what },
            Failure::Command(
                CommandError::Conflict | CommandError::OutOfBounds | CommandError::SnapshotNotAvailable,
            ) => Self::Moved { core },
            Failure::Command(CommandError::Storage(error)) => Self::Storage(error),
            Failure::Command(error) => Self::Other { core, error },
        }
    }
}

impl ReadError {
    pub(crate) fn of(core: CoreKey, failure: Failure) -> Self {
        match failure {
            Failure::Closed | Failure::Command(CommandError::SessionClosed) => Self::Closed,
            Failure::Command(CommandError::Timeout) => Self::Timeout,
            Failure::Command(CommandError::SnapshotNotAvailable) => Self::SnapshotNotAvailable { core },
            Failure::Command(CommandError::OutOfBounds) => Self::OutOfBounds { core },
            Failure::Command(CommandError::Conflict) => Self::Conflict { core },
            Failure::Command(CommandError::WrongEncryptionKey) => Self::WrongEncryptionKey { core },
            Failure::Command(CommandError::Damaged(what)) => Self::Damaged { core, what },
            Failure::Command(CommandError::Storage(error)) => Self::Storage(error),
            Failure::Command(error) => Self::Other { core, error },
        }
    }
}
