//! What a lookup costs by the size of the network, in virtual time, for a client behind a NAT while every twentieth node
//! is gone: requests it made, datagrams and bytes of UDP payload it sent and received, milliseconds, how many of the
//! twenty nearest nodes it found; and what a node sends in an hour in which nobody looks for anything.
//!
//!     cargo bench -p corestore-peer --bench dht_size -- 100 1000 10000
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, missing_docs, reason = "a program for people")]

#[path = "../../tests/virtual_net/node.rs"]
mod node;
#[path = "../../tests/virtual_net/mod.rs"]
mod virtual_net;

use corestore_core::crypto::{Hash, blake2b};
use corestore_core::time::Duration;
use corestore_peer::swarm::dht_rpc::{Config, Event};
use node::Node;
use virtual_net::{Nat, Net};

fn main() {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100, 300] } else { sizes };
    println!("nodes  requests  datagrams  bytes  ms  nearest found  sent a node and hour when idle: datagrams, bytes");
    for size in sizes {
        measure(size);
    }
}

fn measure(size: usize) {
    let mut net = Net::new(1);
    for number in 0..size {
        let first = Net::<Node>::address(0);
        let mut config = Config::bootstrapper(Net::<Node>::address(number));
        (config.known_address, config.bootstrap) =
            if number == 0 { (Some(first), vec![]) } else { (None, vec![first]) };
        let (seed, now) = (net.seed(), net.now);
        net.add(Nat::Open, Node::new(config, seed, now));
        net.run(Duration::from_millis(20));
    }
    net.run(Duration::from_secs(60));
    let config =
        Config { bootstrap: vec![Net::<Node>::address(0)], server_port: virtual_net::PORT, ..Config::default() };
    let (seed, now) = (net.seed(), net.now);
    let client = net.add(Nat::Consistent, Node::new(config, seed, now));
    net.run(Duration::from_secs(10));
    (1..size).step_by(20).for_each(|number| net.kill(number));
    let ids: Vec<Hash> = net.hosts.iter().filter_map(|host| host.machine.dht.id()).collect();
    let (mut asked, mut datagrams, mut bytes, mut took, mut found) = (0, 0, 0, 0, 0);
    for round in 0..LOOKUPS {
        let number = client;
        let target = blake2b(&[&round.to_le_bytes()]);
        let (stats, began) = (net.hosts[number].machine.dht.stats(), net.now);
        let before = net.hosts[number].traffic;
        net.hosts[number].machine.events.clear();
        net.with(number, |node, now| node.dht.find_node(now, target));
        net.run_while(Duration::from_secs(60), |net| closest(&net.hosts[number].machine).is_none());
        let closest = closest(&net.hosts[number].machine).unwrap();
        asked += net.hosts[number].machine.dht.stats().requests - stats.requests;
        let after = net.hosts[number].traffic;
        (datagrams, bytes) = (datagrams + after.0 - before.0, bytes + after.1 - before.1);
        took += net.now.since(began).as_millis();
        found += closest.min(ids.len());
    }
    let alive = net.hosts.iter().filter(|host| host.alive).count();
    let before = net.sent;
    net.run(IDLE);
    let idle = (net.sent.0 - before.0, net.sent.1 - before.1);
    let hourly = |sent: u64| sent * 3600 / IDLE.as_secs() / u64::try_from(alive).unwrap();
    println!(
        "{size:5}  {:8}  {:9}  {:5}  {:3}  {:13}  {}, {}",
        asked / LOOKUPS,
        datagrams / LOOKUPS,
        bytes / LOOKUPS,
        took / u128::from(LOOKUPS),
        found / usize::try_from(LOOKUPS).unwrap(),
        hourly(idle.0),
        hourly(idle.1)
    );
}

/// How many of the nearest nodes the query found, once it is over.
fn closest(node: &Node) -> Option<usize> {
    node.events.iter().find_map(|event| match event {
        Event::QueryDone { closest, .. } => Some(closest.len()),
        _ => None,
    })
}

const LOOKUPS: u64 = 20;
/// A multiple of what nodes do by themselves.
const IDLE: Duration = Duration::from_secs(20 * 60);
