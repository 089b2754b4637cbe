//! A member of HyperDHT (`hyperdht/index.js`) as a sans-IO machine over a node of dht-rpc: records and values,
//! servers, connections. See [`HyperDht`] for the contract.
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        clippy::cast_possible_truncation,
        reason = "a test may fail loudly"
    )
)]

mod budget;
mod config;
mod generations;
mod machine;
mod operations;
mod output;
mod records;
mod router;
mod store;
mod storing;

pub use config::Config;
pub use machine::HyperDht;
pub use output::{
    ConnectError, Connected, ConnectionId, Event, NodeEvent, OperationId, Outcome, Output, Path, ServerId,
};
