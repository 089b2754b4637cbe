//! One core as an append-only log: what it holds, what may be added, and what each change stores
//! (`hypercore/lib/core.js`, `session-state.js`).

mod accept;
mod append;
mod audit;
mod bit_runs;
mod bitfield;
mod bitfield_page;
mod change;
mod clear;
mod conflict;
mod head;
mod hypercore;
mod truncate;

pub use append::MAX_BLOCK_SIZE;
pub use audit::{Audit, AuditFault, AuditStep, Auditor};
pub use bitfield::{Bitfield, PAGE_BITS, PAGE_BYTES, PART_BITS, PART_BYTES};
pub use change::{Applied, Auth, Change, Commit, CommitId, StoredState};
pub use head::Head;
pub use hypercore::{Hypercore, LogError};
pub use truncate::TruncatePlan;
