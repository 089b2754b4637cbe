//! Limits of one core's replication, all in one place.

use crate::time::Duration;

/// What a replicator may ask for, remember and put up with.
#[derive(Clone, Copy, Debug)]
pub struct ReplicatorConfig {
    /// Seed of where random downloads begin, and of the linger.
    pub seed: u64,
    /// Fewest requests a peer may have unanswered.
    pub min_window: usize,
    /// Requests a close-by peer may have unanswered; grows with the round trip.
    pub window: usize,
    /// Bytes a peer may owe whatever the round trip: small blocks get a larger window than `window`.
    pub near_bytes: u64,
    /// Most requests a peer may have unanswered.
    pub max_window: usize,
    /// The round trip from which on the window grows.
    pub long_round_trip: Duration,
    /// Bytes expected of one peer at once, by the core's average block; at least two blocks.
    pub window_bytes: u64,
    /// Cancelled requests of one peer whose numbers are not free yet; nothing more is asked of it past that.
    pub max_cancelled: usize,
    /// Peers asked for the same wanted block at most.
    pub hotswap_peers: usize,
    /// A block is not asked of another peer too before this time is over, nor before three times what answers of the
    /// peer that has it usually take: a peer with much to do is slow, not gone.
    pub hotswap_after: Duration,
    /// It is then, however slow the peer is.
    pub hotswap_at_last: Duration,
    /// Requests of one peer that may wait to be served; one that sends more is cut off.
    pub max_serving: usize,
    /// Requests of one peer that are read from the store at once.
    pub max_loads: usize,
    /// Bytes read from the store at once for one peer, by the core's average block.
    pub load_bytes: u64,
    /// Invalid requests after which a peer is cut off.
    pub max_invalid_requests: u32,
    /// Blocks a peer may fail to give before nothing is asked of it any more.
    pub max_not_available: u32,
    /// Untrue answers after which a peer is asked nothing more, even if its history proves to be ours.
    pub max_bad_data: u32,
    /// Answers of a peer that may wait for an earlier one, since their proofs end at nodes that come with it.
    pub max_parked: usize,
    /// Bytes of blocks of those.
    pub parked_bytes: usize,
    /// How long they wait.
    pub park_patience: Duration,
    /// Answers that waited in vain, or came in an order that proves nothing, after which every request to a peer asks
    /// for all it needs by itself.
    pub max_unproven: u32,
    /// Regions a peer is asked to tell of at once.
    pub max_wanted: usize,
    /// Pages of 32,768 blocks remembered of what one peer has.
    pub max_pages: usize,
    /// How long after the last session a core goes on downloading: shortest and longest.
    pub linger: (Duration, Duration),
    /// How long a peer on a newer fork may leave a request unanswered before another is tried.
    pub fork_patience: Duration,
    /// How long nothing is asked after the store failed.
    pub store_retry: Duration,
}

impl Default for ReplicatorConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            min_window: 16,
            window: 64,
            near_bytes: 512 << 10,
            max_window: 512,
            long_round_trip: Duration::from_millis(50),
            window_bytes: 64 << 20,
            max_cancelled: 4096,
            hotswap_peers: 3,
            hotswap_after: Duration::from_millis(500),
            hotswap_at_last: Duration::from_secs(10),
            max_serving: 4096,
            max_loads: 256,
            load_bytes: 1 << 20,
            max_invalid_requests: 64,
            max_not_available: 32,
            max_bad_data: 8,
            max_parked: 512,
            parked_bytes: 8 << 20,
            park_patience: Duration::from_millis(500),
            max_unproven: 64,
            max_wanted: 64,
            max_pages: 4096,
            linger: (Duration::from_secs(20), Duration::from_secs(40)),
            fork_patience: Duration::from_secs(5),
            store_retry: Duration::from_secs(5),
        }
    }
}
