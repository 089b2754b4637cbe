//! The log: segment files of entries, one entry for each write batch.

mod ahead;
mod entries;
pub(super) mod entry;
pub(super) mod mask;
mod replay;
pub(super) mod segment;
pub(super) mod window;
mod writer;

pub(super) use ahead::Ahead;
pub(super) use entries::Entries;
pub(super) use entry::{LogOp, Place};
pub(super) use replay::{Replay, replay};
pub(super) use writer::{LogPosition, LogWriter, Unsynced};
