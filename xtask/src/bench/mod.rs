//! `cargo xtask bench`: our workloads beside the npm stack's, interleaved in one run.

mod bound;
mod browser;
mod job;
mod limits;
mod pairs;
mod play;
mod run;
mod solo;
mod stores;
mod table;
mod testnet;
mod workload;

pub(crate) use browser::run as run_browser;
pub(crate) use run::run;
