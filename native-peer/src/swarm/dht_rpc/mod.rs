//! A node of dht-rpc (`dht-rpc/index.js`, `lib/io.js`, `lib/query.js`) as a sans-IO machine: routing table, queries,
//! tokens, time-outs, and what the node learns of its own address.
//!
//! Datagrams, addresses and time come in; datagrams and events come out. See [`DhtRpc`] for the contract.

mod adaptive_timeout;
mod bootstrap;
mod config;
mod health;
mod incoming;
mod machine;
mod maintenance;
mod nat_sampler;
mod network_state;
mod nodes;
mod output;
mod queries;
mod query;
mod requests;
mod table;
mod tokens;
mod window;

pub use config::Config;
pub use machine::DhtRpc;
pub use nat_sampler::NatSampler;
pub use output::{
    Answer, Event, IncomingRequest, Output, QueryId, QuerySettings, Reply, RequestId, RequestSettings, SocketId, Stats,
    Transmit,
};
