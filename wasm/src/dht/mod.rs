//! The page as a member of the DHT: a WebSocket to a relay, the swarm on it, and a connection for each peer it brings.

mod handle;
mod peer;
mod relay_socket;
mod swarm;

pub use handle::SwarmHandle;
