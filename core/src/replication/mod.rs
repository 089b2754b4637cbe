//! Replication of one core (`hypercore/lib/replicator.js`).

mod demand;
mod effect;
mod forks;
mod peer;
mod receive;
mod replicator;
mod scheduler;
mod serve;
mod view;
mod wire;

pub use demand::Range;
pub use effect::{Committed, DemandId, DemandResult, Effect, Load, LoadId, Loaded, PeerId};
pub use replicator::{Replicator, ReplicatorConfig};
pub use view::CoreView;
pub use wire::{Data, Handshake, INVALID_REQUEST, Message, NOT_AVAILABLE, Request, Sync, Want};
