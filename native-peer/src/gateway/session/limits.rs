//! What one session may use, with units.

use corestore_core::time::Duration;

/// What one session may use.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Streams at once, those being made included.
    pub streams: usize,
    /// Servers at once.
    pub servers: usize,
    /// Queries at once.
    pub queries: usize,
    /// Noise handshakes at once, ours and calls to its servers.
    pub handshakes: usize,
    /// Signatures asked for at once.
    pub signatures: usize,
    /// How long the client may take for its first message.
    pub greeting: Duration,
    /// How long the client may take for a signature or a Noise message.
    pub answer: Duration,
    /// Between two pings.
    pub heartbeat: Duration,
    /// After so long without a word the client is given up.
    pub silence: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            streams: 64,
            servers: 8,
            queries: 16,
            handshakes: 64,
            signatures: 256,
            greeting: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            silence: Duration::from_secs(45),
        }
    }
}
