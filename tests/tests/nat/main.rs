//! Peers behind NATs meet: the program `corestore` and genuine JavaScript ones, each in a home of its own behind a router
//! of the kernel, on a small internet of network namespaces. The time until the first block came is printed, for both
//! kinds in one run; `CORESTORE_NAT=full` plays every cell, `CORESTORE_NAT=10` plays those where one router is random,
//! so that chance decides, ten times each.
//!
//! They need Node, the npm packages of `tests/js`, `ip` and `nft`, and a system that gives network namespaces, to root
//! or to anybody.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod cells;
mod internet;
mod neighbours;
mod peers;
mod routers;
mod sandbox;

use std::io::{Write, stderr};

#[test]
fn peers_behind_routers_meet() {
    sandbox::run("peers_behind_routers_meet", || {
        let folder = tempfile::tempdir().unwrap();
        internet::build(&internet::HOMES);
        routers::check();
        let network = peers::Network::start(folder.path());
        let cells = match std::env::var("CORESTORE_NAT").as_deref() {
            Ok("full") => cells::all(),
            Ok(times) => cells::by_chance(times.parse().expect("CORESTORE_NAT is `full` or a number")),
            Err(_) => cells::FEW.to_vec(),
        };
        for cell in cells {
            let took = cell.play(&network);
            let _ = writeln!(stderr(), "{cell} {:8.2} s", took.as_secs_f64());
        }
        neighbours::by_the_dht(&network);
    });
}

#[test]
fn neighbours_meet_without_the_internet() {
    sandbox::run("neighbours_meet_without_the_internet", || {
        // Multicast stays in the home, and nothing else leads out of it but its router, to nobody.
        internet::build(&internet::HOMES[..1]);
        neighbours::by_themselves();
    });
}
