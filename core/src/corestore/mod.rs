//! The machine: many cores, many connections, one store (`corestore/index.js`).

mod audit;
mod changes;
mod commands;
mod config;
pub mod connection;
mod connections;
mod cores;
#[allow(clippy::module_inception, reason = "the file of the machine bears the machine's name")]
mod corestore;
mod io;
pub mod names;
mod naming;
mod opening;
mod pending;
mod proofs;
mod purging;
mod sessions;
mod timers;
mod waiting;
mod writes;

pub use config::Config;
pub use connections::ConnectionInfo;
pub use corestore::Corestore;
pub use io::*;
