//! `cargo xtask bench`: our workloads beside the npm stack's, interleaved in one run.

mod bound;
mod job;
mod limits;
mod run;
mod stores;
mod table;
mod workload;

pub(crate) use run::run;
