//! Replication of one core (`hypercore/lib/replicator.js`).

pub mod wire;

pub use wire::{Data, Handshake, Message, Request, Sync, Want};
