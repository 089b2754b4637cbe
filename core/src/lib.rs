//! Hypercore, its replication protocol and Corestore as one sans-IO machine.
//!
//! Nothing here performs I/O, reads a clock, draws randomness, spawns or awaits: time, entropy, received bytes and
//! storage replies come in as values, and everything the outside must do comes out as values
//! ([`corestore::Output`]). Modules are floors; each imports only from floors below it:
//!
//! 0. [`encoding`], [`crypto`], [`flat_tree`], [`time`], [`entropy`], [`budget`]
//! 1. [`merkle`], [`manifest`]
//! 2. [`log`]
//! 3. [`storage`]
//! 4. [`stream`], [`protomux`] (import floor 0 only)
//! 5. [`replication`], [`dht`], [`hyperswarm`] and [`relay_client`] (the last three import floors 0 and 4 only)
//! 6. [`corestore`]
#![no_std]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a test may fail loudly"
    )
)]

extern crate alloc;
#[cfg(any(test, feature = "conformance"))]
extern crate std;

pub mod budget;
pub mod corestore;
pub mod crypto;
pub mod dht;
pub mod encoding;
pub mod entropy;
pub mod flat_tree;
pub mod hyperswarm;
pub mod log;
pub mod manifest;
pub mod merkle;
pub mod protomux;
pub mod relay_client;
pub mod replication;
pub mod storage;
pub mod stream;
pub mod time;
