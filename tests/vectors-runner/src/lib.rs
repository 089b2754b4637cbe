//! Every golden-vector file, entry by entry, in both directions. `cargo test` runs the project's own folder;
//! `cargo xtask vectors DIR` any other of the same layout.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a vector file of another shape is a fault of the caller, told loudly"
)]

mod big;
mod compact_encoding;
mod corestore;
mod crypto;
mod dht_relay;
mod dht_rpc;
mod encryption;
mod flat_tree;
mod hyperdht;
mod json;
mod manifest;
mod merkle;
mod mux_replay;
mod proofs;
mod protomux;
mod recipe;
mod report;
mod run;
mod shown;
mod signatures;
mod stored_core;
mod streams;
mod transcripts;
mod udx;
mod wire;

pub use json::Value;
pub use report::Report;
pub use run::{Check, FILES, load, run_file, run_folder};
