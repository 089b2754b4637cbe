//! Harness for tests across crates.
#![allow(clippy::panic, reason = "a test may fail loudly")]

pub mod harness;
