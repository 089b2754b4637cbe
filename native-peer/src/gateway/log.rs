//! What an operator may want to read line by line.

use super::admission::Refusal;
use corestore_core::crypto::PublicKey;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Takes every event; it must not wait.
pub type Log = Arc<dyn Fn(LogEvent) + Send + Sync>;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogEvent {
    /// A browser connected and said who it is.
    Connected {
        /// The connection.
        connection: u32,
        /// Where it comes from.
        address: IpAddr,
        /// The key it named; not proven.
        key: PublicKey,
    },
    /// A browser's connection is over.
    Disconnected {
        /// The connection.
        connection: u32,
        /// Where it came from.
        address: IpAddr,
        /// Why.
        reason: String,
        /// How long it was there.
        lasted: Duration,
        /// Bytes of streams from it.
        from_browser: u64,
        /// Bytes of streams to it.
        to_browser: u64,
    },
    /// Somebody was not let in.
    Refused {
        /// Where he came from.
        address: IpAddr,
        /// Why.
        reason: Refusal,
    },
}
