//! Hyperswarm (`hyperswarm/index.js`) as a sans-IO machine: which topics are looked up and announced and when, which
//! peers are dialled and in which order. See [`Hyperswarm`] for the contract.

mod config;
mod machine;
mod nearby;
mod peer;
mod topic;

pub use config::Config;
pub use machine::{Admission, Hyperswarm, LinkId, Output, Status};
pub use nearby::{Nearby, Tag};
pub use topic::JoinOptions;
