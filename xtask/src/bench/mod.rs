//! `cargo xtask bench`: our workloads beside the npm stack's, interleaved in one run.

mod bound;
mod browser;
mod job;
mod limits;
mod run;
mod stores;
mod table;
mod workload;

pub(crate) use browser::run as run_browser;
pub(crate) use run::run;
