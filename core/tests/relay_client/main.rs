//! Members of the DHT by way of a relay: with one that does its work, and with ones that do not.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod fake_relay;
mod hostile;
mod members;
mod world;
