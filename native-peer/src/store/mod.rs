//! The durable store: a log of write batches, and an index over it.
//!
//! [`log`] holds every batch as it came, blocks included; a block is written once and read from there. [`index`] is a
//! copy-on-write tree of records, tree nodes and block places that follows the log in checkpoints; what is newer than
//! the last checkpoint lives in memory and is replayed on open. `docs/storage.md` has the promises and the bytes.
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")
)]

mod backup;
mod check;
mod compact;
pub mod disk;
mod error;
mod fault;
mod file_store;
mod index;
mod log;
mod options;
mod reading;
mod repair;
mod units;

pub use backup::{Backup, BackupError, BackupFiles, backup};
pub use check::{CheckReport, DamagedPlace};
pub use error::OpenError;
pub(crate) use file_store::{Begun, Synced, Syncing};
pub use file_store::{FileStore, StoreStats};
pub use options::{DurabilityLevel, StoreOptions};
pub use repair::{Repair, RepairOutcome, repair, repair_on};
