//! A native Corestore peer.

pub mod store;
