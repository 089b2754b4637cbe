//! Limits and keys of one machine, all in one place.

use crate::replication::ReplicatorConfig;
use crate::time::Duration;

/// What a machine is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The primary key (32 bytes, a secret) for a new store; drawn from the seed when not given. A store that has one
    /// keeps its own.
    pub primary_key: Option<[u8; 32]>,
    /// Seed (32 bytes, a secret) of the key pair we show on streams; drawn from the machine's seed when not given.
    pub identity: Option<[u8; 32]>,
    /// Most connections at once; further ones are closed at once.
    pub max_connections: usize,
    /// Serving pauses while more than this many bytes wait in a connection's transport.
    pub max_backlog: usize,
    /// Requests of one connection held while its transport is full; one that sends more is closed.
    pub max_held_requests: usize,
    /// A core nobody holds and no peer replicates is closed after this long.
    pub idle_core: Duration,
    /// How long to wait before what a failed write left behind is written again.
    pub store_retry: Duration,
    /// Limits of every core's replication.
    pub replication: ReplicatorConfig,
    /// Rows an audit reads at once.
    pub audit_step: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            primary_key: None,
            identity: None,
            max_connections: 1024,
            max_backlog: 1 << 20,
            max_held_requests: 4096,
            idle_core: Duration::from_secs(8),
            store_retry: Duration::from_secs(5),
            replication: ReplicatorConfig::default(),
            audit_step: 512,
        }
    }
}
