//! The program `corestore-bench`: one process of a measured workload. It prints `{"event":"ready",…}`, waits for `go`
//! on standard input, works, prints `{"event":"result",…}`, and leaves when standard input closes.
//!
//! Everything goes through the crate's public interface with the settings it has by default.
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")
)]

mod append;
mod counted;
mod data;
mod fetch;
mod follow;
mod job;
mod limit;
mod many;
mod passing;
mod proofs;
mod read;
mod serve;
mod simulated;
mod swarm;

use clap::{Parser, Subcommand};
use job::{Failure, Job};
use std::process::ExitCode;

/// One process of a measured workload.
#[derive(Debug, Parser)]
#[command(name = "corestore-bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Append blocks to a new core, each append awaited.
    Append(append::AppendArguments),
    /// Read blocks of a stored core.
    Read(read::ReadArguments),
    /// Serve a stored core to any number of peers.
    Serve(serve::ServeArguments),
    /// Fetch from a peer into an empty store.
    Fetch(fetch::FetchArguments),
    /// Serve or fetch a core through a swarm on a private DHT.
    Swarm(swarm::SwarmArguments),
    /// Create or reopen many named cores.
    Many(many::ManyArguments),
    /// Make, check and store proofs of a stored core; seek, clear and truncate it.
    Proofs(proofs::ProofsArguments),
    /// What this machine can do at all.
    Limit(limit::LimitArguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let job = Job::start();
    match run(arguments.command, job).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("corestore-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, job: Job) -> Result<(), Failure> {
    match command {
        Command::Append(arguments) => append::run(arguments, job).await,
        Command::Read(arguments) => read::run(arguments, job).await,
        Command::Serve(arguments) => serve::run(arguments, job).await,
        Command::Fetch(arguments) => fetch::run(arguments, job).await,
        Command::Swarm(arguments) => swarm::run(arguments, job).await,
        Command::Many(arguments) => many::run(arguments, job).await,
        Command::Proofs(arguments) => proofs::run(arguments, job).await,
        Command::Limit(arguments) => limit::run(arguments, job).await,
    }
}
