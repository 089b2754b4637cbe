//! Whichever store a handle was opened over.

use crate::store::FileStore;
use corestore_core::storage::{MemoryStore, StorageError, StorageOp, StorageReply, Store};

/// A store the machine runs over.
pub(crate) enum AnyStore {
    Files(Box<FileStore>),
    Memory(MemoryStore),
    Other(Box<dyn Store + Send>),
}

impl AnyStore {
    /// Flushes and lets go.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        match self {
            Self::Files(store) => store.close(),
            Self::Memory(_) | Self::Other(_) => Ok(()),
        }
    }
}

impl Store for AnyStore {
    fn execute(&mut self, op: StorageOp) -> Result<StorageReply, StorageError> {
        match self {
            Self::Files(store) => store.execute(op),
            Self::Memory(store) => store.execute(op),
            Self::Other(store) => store.execute(op),
        }
    }
}
