//! A store as the driver sees it: operations in, answers at once or later.

use super::indexed_db::IndexedDb;
use crate::error::OpenError;
use core::fmt;
use corestore_core::storage::{MemoryStore, OpId, StorageError, StorageOp, StorageReply, Store as _};
use js_sys::Promise;
use std::rc::Rc;
use wasm_bindgen::JsValue;

/// The outcome of an operation.
pub type Answer = Result<StorageReply, StorageError>;

/// Takes the answers that came later; several at once when one transaction brought them.
pub type Answers = Rc<dyn Fn(Vec<(OpId, Answer)>)>;

/// Where a machine keeps its cores.
pub enum Store {
    /// Nowhere: gone with the page.
    Memory(Box<MemoryStore>),
    /// In a database of the browser's.
    IndexedDb(IndexedDb),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Store::Memory",
            Self::IndexedDb(_) => "Store::IndexedDb",
        })
    }
}

impl Store {
    /// A store in memory.
    pub fn memory() -> Self {
        Self::Memory(Box::default())
    }

    /// Opens or creates the IndexedDB store `name`; answers that come later go to `answers`. What was written is folded
    /// into pages whenever it has come to more than `journal_limit` bytes ([`JOURNAL_BYTES`] is a good many).
    ///
    /// # Errors
    /// A `CorestoreError` with a code that begins with `STORAGE_`.
    pub async fn indexed_db(name: &str, journal_limit: usize, answers: Answers) -> Result<Self, JsValue> {
        let opened = IndexedDb::open(name, journal_limit, answers).await;
        opened.map(Self::IndexedDb).map_err(|error: OpenError| crate::error::of_opening(&error))
    }

    /// Takes an operation; `None` when its answer comes later. Operations take effect in the order given.
    pub fn execute(&mut self, op: OpId, request: StorageOp) -> Option<Answer> {
        match self {
            Self::Memory(store) => Some(store.execute(request)),
            Self::IndexedDb(store) => store.execute(op, request),
        }
    }

    /// Starts the writes that would gather for a while: the page may be gone soon.
    pub fn write_out(&self) {
        if let Self::IndexedDb(store) = self {
            store.write_out();
        }
    }

    /// Starts the reads that were gathered since the last call.
    pub fn flush(&self) {
        if let Self::IndexedDb(store) = self {
            store.flush();
        }
    }

    /// Lets the store go; every operation given before is still carried out, and the promise is of that.
    pub fn close(&self) -> Promise {
        match self {
            Self::Memory(_) => Promise::resolve(&JsValue::UNDEFINED),
            Self::IndexedDb(store) => store.close(),
        }
    }
}

/// Bytes a journal may grow to: they are held in memory as well, and read back on opening.
pub const JOURNAL_BYTES: usize = 4 << 20;
