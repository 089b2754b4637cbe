//! Corestore and Hypercore for the browser: core's machine behind JavaScript classes, IndexedDB and WebSocket.
//!
//! This crate translates: promises to requests, rows to storage operations, messages to bytes. What the protocol does is
//! decided in `corestore_core`. `js/index.js` puts JavaScript's idioms (events, async iteration) over these exports.

mod bytes;
mod clock;
pub mod corestore;
pub mod dht;
mod driver;
mod entropy;
pub mod error;
mod events;
pub mod hypercore;
mod promise;
pub mod start;
pub mod storage;
mod task;
mod transport;
