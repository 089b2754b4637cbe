//! The driver of a member of HyperDHT: UDP sockets, UDX streams and the clock around the
//! [`HyperDht`](super::hyperdht::HyperDht) machine. It holds no protocol.

mod connecting;
mod handle;
mod listener;
mod options;
mod shared;
mod streams;
mod upkeep;

pub use connecting::Connecting;
pub use handle::{EVENT_BACKLOG, Member};
pub use listener::MemberListener;
pub use options::{DEFAULT_PORT, MemberOptions};
pub(super) use shared::Shared;
