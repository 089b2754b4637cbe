//! A native Corestore peer.

pub mod store;
pub mod swarm;
