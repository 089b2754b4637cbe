//! One core as an append-only log: what it holds, what may be added, and what each change stores
//! (`hypercore/lib/core.js`, `session-state.js`).

mod head;

pub use head::Head;
