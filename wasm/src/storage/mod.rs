//! Stores behind core's storage contract: IndexedDB, and memory for stores that keep nothing.

mod cache;
mod database;
mod fold;
mod folding;
mod indexed_db;
mod journal;
mod layout;
mod overlay;
mod owner;
mod pages;
mod range_map;
mod read;
mod scan;
mod store;
mod write;

pub use store::{Answer, Answers, JOURNAL_BYTES, Store};
