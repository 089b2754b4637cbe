//! Hyperswarm (`hyperswarm/index.js`) as a sans-IO machine: which topics are looked up and announced and when, which
//! peers are dialled and in which order. See [`Hyperswarm`] for the contract.

mod config;
mod dialling;
mod discovery;
mod links;
mod machine;
mod nearby;
mod output;
mod peer;
mod topic;

pub use config::Config;
pub use machine::Hyperswarm;
pub use nearby::{Nearby, Tag};
pub use output::{Admission, LinkId, Output, Status};
pub use topic::JoinOptions;
