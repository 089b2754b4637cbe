//! The swarm: how peers find and reach each other over UDP.

pub mod blind_relay;
pub mod dht_rpc;
mod driver;
pub mod hyperdht;
mod local_network;
pub mod member;
mod multicast_dns;
mod node_cache;
pub mod pool;
mod relay_meeting;
pub mod relay_server;
pub mod udp;
mod udp_socket;
pub mod udx;
pub mod udx_stream;
pub mod wire;

pub use corestore_core::hyperswarm;
pub use driver::{AdmitPeer, Connections, Swarm, SwarmConnection, SwarmOptions, SwarmStats};
