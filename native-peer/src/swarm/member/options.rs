//! How a member starts.

use crate::swarm::dht_rpc;
use crate::swarm::hyperdht::Config;
use crate::swarm::udx;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// How a member starts.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The address its sockets are bound to; `0.0.0.0` for all.
    pub host: Ipv4Addr,
    /// The port others know it by, when it is free, or one of the five after it, or any.
    pub port: u16,
    /// The node of the DHT; its port is filled in.
    pub node: dht_rpc::Config,
    /// Limits.
    pub config: Config,
    /// UDX.
    pub udx: udx::Config,
    /// Where nodes are kept for a fast start, in a folder that is there or can be made.
    pub nodes_file: Option<PathBuf>,
}

impl Default for MemberOptions {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::UNSPECIFIED,
            port: DEFAULT_PORT,
            node: dht_rpc::Config::default(),
            config: Config::default(),
            udx: udx::Config::default(),
            nodes_file: None,
        }
    }
}

/// The port a member listens on when nothing else is said.
pub const DEFAULT_PORT: u16 = 49_737;
