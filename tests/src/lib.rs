//! Harness for tests across crates.

pub mod harness;
