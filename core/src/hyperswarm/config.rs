//! Every limit of a swarm, with its unit.

use crate::time::Duration;

/// How a swarm behaves. The defaults are the reference's, except where a field says otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections at once; peers that are named by [`super::Hyperswarm::join_peer`] are dialled beyond it.
    pub max_peers: usize,
    /// Connections being made at once.
    pub max_parallel: usize,
    /// Peers known at once. The reference has no such limit.
    pub max_known: usize,
    /// Between two refreshes of a topic, at least.
    pub refresh_interval: Duration,
    /// A topic without a connection to any of its peers is refreshed after so long, then after twice as long, and so
    /// on up to `refresh_interval`; `None`, as in the reference, makes no difference.
    pub alone_interval: Option<Duration>,
    /// Up to so much is added to it by chance.
    pub refresh_jitter: Duration,
    /// Pauses before a peer is dialled again: short, middle, long; and for peers named explicitly, at last.
    pub backoffs: [Duration; 4],
    /// Up to so much is added to them by chance.
    pub backoff_jitter: Duration,
    /// A connection that lasted so long was a good one.
    pub good_connection: Duration,
    /// A peer that we reached by a call of ours, and that calls us within so long, began before it heard of ours: it has
    /// lost nothing. The reference closes both then.
    pub crossing: Duration,
    /// Tell the local network of our topics ([`super::Tag`]), and take in what it tells. The reference does not.
    pub nearby: bool,
    /// Peers of the local network known at once.
    pub max_nearby: usize,
    /// Peers of the local network taken in a second: anybody there can make some up.
    pub nearby_a_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_peers: 64,
            max_parallel: 3,
            max_known: 4096,
            refresh_interval: Duration::from_secs(600),
            alone_interval: None,
            refresh_jitter: Duration::from_secs(120),
            backoffs: [1, 5, 15, 600].map(Duration::from_secs),
            backoff_jitter: Duration::from_millis(1000),
            good_connection: Duration::from_secs(15),
            crossing: Duration::from_secs(3),
            nearby: false,
            max_nearby: 256,
            nearby_a_second: 16,
        }
    }
}
