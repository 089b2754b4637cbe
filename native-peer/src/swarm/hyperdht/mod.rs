//! A member of HyperDHT (`hyperdht/index.js`) as a sans-IO machine over a node of dht-rpc: records and values,
//! servers, connections. See [`HyperDht`] for the contract.

mod addresses;
mod announcer;
mod config;
mod connect;
mod generations;
mod identity;
mod incoming;
mod machine;
mod meeting;
mod nat;
mod operations;
mod output;
mod puncher;
mod punching;
mod records;
mod router;
mod server;
mod spans;
mod stats;
mod store;
mod storing;
mod timetable;

pub use config::{BOOTSTRAP_NODES, Config};
pub use connect::ConnectSettings;
pub use identity::{Foreign, Identity, ReadHandshake, Signable, SignatureId};
pub use machine::HyperDht;
pub use output::{
    ConnectError, Connected, ConnectionId, Event, NodeEvent, OperationId, Outcome, Output, Path, Progress, ServerId,
};
pub use server::{Admit, ServerSettings};
pub use stats::Stats;
