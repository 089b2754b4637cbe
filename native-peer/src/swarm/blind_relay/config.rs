//! Every limit of a blind relay, with its unit. The reference has none of them.

use corestore_core::time::Duration;

/// What others may use of a relay.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections at once.
    pub max_sessions: usize,
    /// Connections of one key at once.
    pub max_sessions_per_key: usize,
    /// Meetings of one key at once, those that wait for their other side and those that run.
    pub max_meetings_per_key: usize,
    /// Meetings that run at once; each takes two UDX streams.
    pub max_joined: usize,
    /// Bytes a second that one key may send through the relay, in all its meetings; what comes beyond is dropped.
    pub max_bytes_per_key: u32,
    /// How long a meeting waits for its other side.
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_sessions: 4096,
            max_sessions_per_key: 128,
            max_meetings_per_key: 128,
            max_joined: 4096,
            max_bytes_per_key: 16 << 20,
            patience: Duration::from_secs(30),
        }
    }
}
