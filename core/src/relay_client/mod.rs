//! A member of the DHT that has no UDP, a browser: a relay carries its words (`@hyperswarm/dht-relay` 0.4.3, without its
//! custodial forms). Key pair, handshakes and encryption stay here: the relay sees topics, keys, addresses, times and
//! sizes, and can refuse; it can neither read nor pretend to be anybody.

mod client;
mod config;
mod handshakes;
mod io;
mod queries;
mod streams;
mod swarm;

pub use client::RelayClient;
pub use config::{Config, page_swarm};
pub use io::{Output, QueryId, RelayError, StreamId};
pub use swarm::{RelayedSwarm, SwarmOutput};
