//! The index: what the log's entries add up to, on disk as of the last checkpoint and in memory since.

pub(super) mod checkpoint;
pub(super) mod head;
pub(super) mod items;
pub(super) mod merge;
pub(super) mod overlay;
pub(super) mod page;
pub(super) mod pager;
mod range_set;
pub(super) mod recent;
pub(super) mod salvage;
pub(super) mod scan;
pub(super) mod tree;
pub(super) mod usage;
pub(super) mod writer;
