//! Replication of one core (`hypercore/lib/replicator.js`).

mod activity;
mod config;
mod conflict;
mod demand;
mod effect;
mod forks;
mod parked;
mod peer;
mod push;
mod receive;
mod replicator;
mod requests;
mod scheduler;
mod serve;
mod view;
mod wants;
mod wire;

pub use config::ReplicatorConfig;
pub use demand::Range;
pub use effect::{Committed, DemandId, DemandResult, Effect, Load, LoadId, Loaded, PeerId};
pub use replicator::Replicator;
pub use view::CoreView;
pub use wire::{Data, Handshake, INVALID_REQUEST, Message, NOT_AVAILABLE, Request, Sync, Want};
