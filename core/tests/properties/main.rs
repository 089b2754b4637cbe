//! Random inputs against slow twins: trees, proofs, forks, logs, decoders, signatures.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

mod decoders;
mod dht_relay;
mod forks;
mod logs;
mod proofs;
mod signatures;
mod stored_log;
