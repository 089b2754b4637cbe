//! One browser's session as a sans-IO machine: frames of its WebSocket and what the DHT says go in; frames, bytes for far
//! peers and requests to the DHT come out. See [`Session`] for the contract.

mod handshakes;
mod limits;
mod machine;
mod output;
mod queries;
mod servers;
mod signatures;
mod streams;

#[cfg(test)]
mod tests;

pub use limits::SessionLimits;
pub use machine::Session;
pub use output::{Fault, Output, Part, Request};
