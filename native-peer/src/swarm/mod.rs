//! The swarm: how peers find and reach each other.

pub mod dht_rpc;
pub mod hyperdht;
