//! What a gateway grants, with units.

use super::session::SessionLimits;
use std::time::Duration;

/// What a gateway grants.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What one connection may use.
    pub session: SessionLimits,
    /// TCP connections at once.
    pub sockets: usize,
    /// WebSockets at once.
    pub connections: usize,
    /// WebSockets at once from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// WebSockets at once from one address that name the same key. A key that is named is not proven; by itself it
    /// counts for nothing.
    pub connections_per_key: usize,
    /// Streams to peers at once from one address, of all its connections: each may hold a window of unread bytes.
    pub streams_per_address: usize,
    /// New WebSockets a second from one address; four times as many at once.
    pub new_connections: u32,
    /// Bytes a second from and to one address, of all its connections; twice as many at once.
    pub bytes: u32,
    /// Lookups and announcements a second from one address; four times as many at once.
    pub lookups: u32,
    /// Connections to peers begun a second from one address; four times as many at once.
    pub connects: u32,
    /// Bytes on their way to one browser: far peers are not read above it.
    pub buffered_out: usize,
    /// Bytes on their way from one browser: it is not read above this.
    pub buffered_in: usize,
    /// Who takes no byte for so long is given up: a browser, or one stream's far peer.
    pub stall: Duration,
    /// How long a shutdown waits for connections to end.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session: SessionLimits::default(),
            sockets: 16_384,
            connections: 8192,
            connections_per_address: 64,
            connections_per_key: 8,
            streams_per_address: 256,
            new_connections: 16,
            bytes: 16 << 20,
            lookups: 8,
            connects: 16,
            buffered_out: 512 << 10,
            buffered_in: 1 << 20,
            stall: Duration::from_secs(30),
            shutdown: Duration::from_secs(5),
        }
    }
}
