//! The program `corestore`: writes, reads and looks after stores.
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")
)]

mod address;
mod append;
mod backup;
mod batches;
mod cat;
mod clear;
mod failure;
mod filler;
mod follow;
mod gateway;
mod info;
mod input;
mod known;
mod ls;
mod output;
mod progress;
mod purge;
mod read;
mod reclaim;
mod selection;
mod stop;
mod swarm;
mod truncate;
mod verify;
mod write;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// Signed, append-only logs, shared between peers.
#[derive(Debug, Parser)]
#[command(name = "corestore", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write lines from standard input to two cores that a third one names, and serve them.
    Write(write::WriteArguments),
    /// Follow every core that a core's first block names, from peers.
    Read(read::ReadArguments),
    /// Show what is known of a store, or of one core in it.
    Info(info::InfoArguments),
    /// List the cores of a store.
    Ls(ls::LsArguments),
    /// Print a core's stored blocks.
    Cat(cat::CatArguments),
    /// Append blocks to a core of a store at rest.
    Append(append::AppendArguments),
    /// Cut a core of a store at rest; it goes on as the next fork.
    Truncate(truncate::TruncateArguments),
    /// Drop stored blocks of a core of a store at rest; its peers can give them again.
    Clear(clear::ClearArguments),
    /// Remove a core from a store at rest, with everything that is stored of it.
    Purge(purge::PurgeArguments),
    /// Give the room of what was dropped back to the disk, of a store at rest.
    Reclaim(reclaim::ReclaimArguments),
    /// Hash everything again and say where a store is damaged.
    Verify(verify::VerifyArguments),
    /// Copy a store, also one in use, to a new directory.
    Backup(backup::BackupArguments),
    /// Run a private network of nodes on this machine, until standard input ends.
    Testnet(swarm::TestnetArguments),
    /// Run one lasting node that others begin with and that passes their handshakes on.
    Node(swarm::NodeArguments),
    /// Carry browsers to the swarm, and keep cores online.
    Gateway(gateway::GatewayArguments),
    /// Tell which peers a network names for a core.
    Lookup(known::KnownArguments),
    /// Connect to every peer a network names for a core, and tell how, or where it fails.
    Ping(known::KnownArguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Write(arguments) => write::run(arguments).await,
        Command::Read(arguments) => read::run(arguments).await,
        Command::Info(arguments) => info::run(arguments).await,
        Command::Ls(arguments) => ls::run(arguments).await,
        Command::Cat(arguments) => cat::run(arguments).await,
        Command::Append(arguments) => append::run(arguments).await,
        Command::Truncate(arguments) => truncate::run(arguments).await,
        Command::Clear(arguments) => clear::run(arguments).await,
        Command::Purge(arguments) => purge::run(arguments).await,
        Command::Reclaim(arguments) => reclaim::run(arguments).await,
        Command::Verify(arguments) => verify::run(arguments).await,
        Command::Backup(arguments) => backup::run(arguments).await,
        Command::Testnet(arguments) => swarm::testnet(arguments).await,
        Command::Node(arguments) => swarm::node(arguments).await,
        Command::Gateway(arguments) => gateway::run(arguments).await,
        Command::Lookup(arguments) => known::lookup(arguments).await,
        Command::Ping(arguments) => known::ping(arguments).await,
    };
    match result {
        Ok(code) => code,
        // Whoever read our output has gone: nobody is left to tell.
        Err(Failure::OutputGone) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("corestore: {failure}");
            ExitCode::FAILURE
        }
    }
}
