//! Whichever store a handle was opened over.

use crate::store::{Begun, FileStore, Synced};
use corestore_core::storage::{MemoryStore, StorageError, StorageOp, StorageReply, Store};

/// A store the machine runs over.
pub(crate) enum AnyStore {
    Files(Box<FileStore>),
    Memory(MemoryStore),
    Other(Box<dyn Store + Send>),
}

impl AnyStore {
    /// Begins an operation; only files may have to be waited for.
    pub(crate) fn begin(&mut self, op: StorageOp) -> Begun {
        match self {
            Self::Files(store) => store.begin(op),
            Self::Memory(store) => Begun::Answered(store.execute(op)),
            Self::Other(store) => Begun::Answered(store.execute(op)),
        }
    }

    /// The answer to a write whose sync came to this.
    pub(crate) fn synced(&mut self, synced: Synced) -> Result<StorageReply, StorageError> {
        match self {
            Self::Files(store) => store.synced(synced),
            Self::Memory(_) | Self::Other(_) => Ok(StorageReply::Written),
        }
    }

    /// Flushes and lets go.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        match self {
            Self::Files(store) => store.close(),
            Self::Memory(_) | Self::Other(_) => Ok(()),
        }
    }
}
