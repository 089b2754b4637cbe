//! Storage as effects: core asks with a [`StorageOp`], an adapter answers with a [`StorageReply`].
//!
//! THE CONTRACT
//! 1. A store holds *records* (small values under byte keys, ordered by bytes), and for each core, named by its
//!    [`CoreSlot`], *nodes* by tree index and *blocks* by block index. How these are packed is the store's matter.
//! 2. Operations take effect in the order issued: a read sees every earlier write and no later one.
//! 3. The operations of one write batch apply in their order, and all or none of them, also across a crash.
//! 4. A write is answered when it would survive the process being killed ([`Durability::Buffered`]: may be lost then,
//!    but only as a suffix of the writes; [`Durability::Durable`]: would survive power loss as far as the platform can
//!    tell). Closing the store in good order loses nothing.
//! 5. After a write failed with [`StorageError::Broken`] every later write of that store fails until it is reopened.
//! 6. [`StorageError::Full`] is distinct from `Broken`: nothing of that batch was written and reads go on.
//!    A read may fail with [`StorageError::Damaged`]: what it asked for is lost, and the store goes on.
//! 7. Indexes of blocks and nodes are below 2^53; the end of a range may be any number, `u64::MAX` for "to the end", and
//!    a range that ends before it starts is empty. Record keys have at most 64 bytes.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod keys;
mod memory;
mod op;
pub mod records;
pub mod rows;

pub use memory::MemoryStore;
pub use op::{
    CoreSlot, Durability, OpId, ReadBatch, ReadReply, RecordKey, ScanRecords, StorageError, StorageOp, StorageReply,
    Store, WriteBatch, WriteOp,
};
