//! Whichever store a handle was opened over.

use crate::store::FileStore;
use corestore_core::storage::{MemoryStore, StorageError, StorageOp, StorageReply, Store};

pub(crate) enum AnyStore {
    Files(FileStore),
    Memory(MemoryStore),
    Other(Box<dyn Store + Send>),
}

impl AnyStore {
    /// Flushes and lets go.
    pub(crate) fn close(self) -> Result<(), StorageError> {
        Ok(())
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
