//! The contract of [`super`] as checks every backend runs (feature `conformance`).
//!
//! Synchronous stores call [`run`]. Asynchronous ones walk [`checks`] themselves: each is a list of [`Step`]s with the
//! replies due. [`History`] serves crash tests: it tells which prefix of its batches a store holds.

mod blocks;
mod edges;
mod history;
mod nodes;
mod records;
mod suite;

pub use history::History;
pub use suite::{Check, Exchange, Failure, Step, checks, compare, run};
