//! Byte streams to peers: TCP and WebSocket. Both carry the same bytes; whoever dials is the Noise initiator.

mod dial;
mod listen;
mod tcp;
mod upgrade;
pub(crate) mod websocket;

pub use dial::{DialError, DialState, Dialer};
pub use listen::{ListenError, Listener};
pub use websocket::MAX_MESSAGE;
