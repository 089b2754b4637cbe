//! Every limit of a relay's client, with its unit.

use crate::hyperswarm;
use crate::time::Duration;

/// What a relay may use of us, and how long it may take.
#[derive(Clone, Debug)]
pub struct Config {
    /// Streams at once, those being connected included.
    pub max_streams: usize,
    /// Handshakes under way at once.
    pub max_handshakes: usize,
    /// Handshake messages written or read each second.
    pub handshakes_each_second: u32,
    /// Signatures given each second.
    pub signatures_each_second: u32,
    /// Queries at once.
    pub max_queries: usize,
    /// Peers taken from one query.
    pub max_query_peers: usize,
    /// Bytes of one chunk of a stream, at most.
    pub max_chunk: usize,
    /// A relay so long silent is asked whether it is there.
    pub ping_after: Duration,
    /// A relay so long silent is gone.
    pub silence: Duration,
    /// A handshake takes so long, at most.
    pub handshake_time: Duration,
    /// A connection is made within so long.
    pub connect_time: Duration,
    /// A query takes so long, at most.
    pub query_time: Duration,
    /// A server is announced within so long; afterwards topics are announced without waiting for it.
    pub listen_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_streams: 256,
            max_handshakes: 64,
            handshakes_each_second: 64,
            signatures_each_second: 128,
            max_queries: 128,
            max_query_peers: 1024,
            max_chunk: 64 * 1024,
            ping_after: Duration::from_secs(20),
            silence: Duration::from_secs(45),
            handshake_time: Duration::from_secs(30),
            connect_time: Duration::from_secs(30),
            query_time: Duration::from_secs(60),
            listen_time: Duration::from_secs(10),
        }
    }
}

/// How a swarm behaves that lives as long as a page is open: alone, it looks again soon.
pub fn page_swarm() -> hyperswarm::Config {
    hyperswarm::Config { alone_interval: Some(Duration::from_secs(5)), ..hyperswarm::Config::default() }
}
