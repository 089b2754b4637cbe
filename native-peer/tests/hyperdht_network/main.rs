//! Members in virtual time: peers meet through every pair of NATs, records survive churn, floods and lies change nothing.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod chance;
mod foreign;
mod hostile;
mod member;
mod records;
mod soak;
#[path = "../virtual_net/mod.rs"]
mod virtual_net;

use corestore_core::crypto::PublicKey;
use corestore_core::time::Duration;
use corestore_peer::swarm::dht_rpc::SocketId;
use corestore_peer::swarm::hyperdht::{Config, ConnectError, ConnectSettings, Event, Path, ServerSettings};
use member::{Member, add, failure, listen, network, pair};
use std::net::{Ipv4Addr, SocketAddrV4};
use virtual_net::{Nat, Net, PORT};

/// A server behind one NAT, a client behind another: how they meet, and how long it took.
fn meet(seed: u64, server_nat: Nat, client_nat: Nat) -> Result<(Path, Duration), ConnectError> {
    let mut net = network(seed, 20);
    let server = add(&mut net, server_nat, false, Config::default());
    let client = add(&mut net, client_nat, false, Config::default());
    net.run(Duration::from_secs(20));
    listen(&mut net, server, &pair(1));
    let began = net.now;
    let key = pair(1).public_key();
    net.with(client, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    let both = |net: &Net<Member>| {
        [server, client].iter().all(|number| net.hosts[*number].machine.streams.values().any(|stream| stream.heard))
    };
    let met = net.run_while(Duration::from_secs(90), |net| !both(net) && failure(&net.hosts[client].machine).is_none());
    if let Some(reason) = failure(&net.hosts[client].machine) {
        return Err(reason);
    }
    assert!(met, "neither met nor failed");
    let took = net.now.since(began);
    net.run(Duration::from_secs(90));
    let (client, server) = (&net.hosts[client].machine, &net.hosts[server].machine);
    let (ours, theirs) = (&client.connected[0], &server.connected[0]);
    let (split, other) = (ours.split.as_ref().unwrap(), theirs.split.as_ref().unwrap());
    assert_eq!((split.send, split.receive, split.hash), (other.receive, other.send, other.hash));
    assert_eq!((split.remote, other.remote), (pair(1).public_key(), pair(2).public_key()));
    for member in [client, server] {
        assert_eq!(member.connected.len(), 1);
        assert!(member.opened - member.closed <= 1, "{} opened, {} closed", member.opened, member.closed);
    }
    Ok((ours.path, took))
}

#[test]
fn an_open_server_is_reached_directly() {
    for (seed, nat) in [(1, Nat::Open), (2, Nat::Consistent), (3, Nat::Random)] {
        let (path, took) = meet(seed, Nat::Open, nat).unwrap();
        assert!(path == Path::Direct && took < Duration::from_secs(2), "{nat:?}: {path:?} {took:?}");
    }
}

#[test]
fn an_open_client_is_reached_by_the_server() {
    for (seed, nat) in [(4, Nat::Consistent), (5, Nat::Random)] {
        let (path, took) = meet(seed, nat, Nat::Open).unwrap();
        assert!(path == Path::Direct && took < Duration::from_secs(4), "{nat:?}: {path:?} {took:?}");
    }
}

#[test]
fn two_consistent_nats_are_punched_through() {
    let (path, took) = meet(6, Nat::Consistent, Nat::Consistent).unwrap();
    assert!(path == Path::HolePunched && took < Duration::from_secs(5), "{path:?} {took:?}");
}

#[test]
fn one_random_nat_is_punched_through_by_chance() {
    for (seed, server, client) in [(7, Nat::Random, Nat::Consistent), (8, Nat::Consistent, Nat::Random)] {
        let (path, took) = meet(seed, server, client).unwrap();
        assert!(path == Path::HolePunched && took < Duration::from_secs(60), "{path:?} {took:?}");
    }
}

#[test]
fn two_random_nats_are_told_apart_and_given_up() {
    assert_eq!(meet(9, Nat::Random, Nat::Random), Err(ConnectError::BothRandom));
}

#[test]
fn nobody_is_nobody_and_a_closed_server_is_gone() {
    let mut net = network(10, 20);
    let key = pair(1).public_key();
    let connect = |net: &mut Net<Member>, number: usize| {
        net.with(number, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
        net.run(Duration::from_secs(30));
        let failed = failure(&net.hosts[number].machine);
        net.hosts[number].machine.events.clear();
        failed
    };
    assert_eq!(connect(&mut net, 3), Some(ConnectError::PeerNotFound));
    let id = net.with(5, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
    net.run(Duration::from_secs(5));
    assert_eq!(connect(&mut net, 3), None);
    net.with(5, |member, now| member.dht.close_server(now, id));
    net.run(Duration::from_secs(5));
    assert_eq!(connect(&mut net, 3), Some(ConnectError::PeerNotFound));
}

#[test]
fn a_stranger_whom_the_server_does_not_admit_hears_nothing() {
    let mut net = network(11, 20);
    let friend = pair(2).public_key();
    let settings =
        ServerSettings { admit: Box::new(move |key: &PublicKey, _, _| *key == friend), ..ServerSettings::default() };
    net.with(5, |member, now| member.dht.listen(now, &pair(1), settings)).unwrap();
    net.run(Duration::from_secs(5));
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(3), key, ConnectSettings::default()));
    net.run(Duration::from_secs(40));
    assert_eq!(failure(&net.hosts[3].machine), Some(ConnectError::PeerUnreachable));
    net.with(4, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(5));
    assert_eq!((net.hosts[4].machine.connected.len(), net.hosts[5].machine.connected.len()), (1, 1));
}

#[test]
fn relay_addresses_spare_the_search_and_stale_ones_do_no_harm() {
    for (seed, stale) in [(12, false), (13, true)] {
        let mut net = network(seed, 20);
        let server = add(&mut net, Nat::Consistent, false, Config::default());
        net.run(Duration::from_secs(10));
        let id = net.with(server, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
        net.run(Duration::from_secs(5));
        let mut relay_addresses = net.hosts[server].machine.dht.relay_addresses(id).to_vec();
        assert_eq!(relay_addresses.len(), 3);
        if stale {
            relay_addresses = vec![SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, 1), 9); 2];
        }
        let settings = ConnectSettings { relay_addresses, ..ConnectSettings::default() };
        net.with(3, |member, now| member.dht.connect(now, &pair(2), pair(1).public_key(), settings));
        net.run(Duration::from_secs(20));
        assert_eq!(net.hosts[3].machine.connected.len(), 1, "stale: {stale}");
    }
}

#[test]
fn a_server_survives_the_nodes_it_was_announced_at() {
    let mut net = network(14, 40);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(10));
    let id = net.with(server, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
    net.run(Duration::from_secs(5));
    let relays = net.hosts[server].machine.dht.relay_addresses(id).to_vec();
    for number in 1..40 {
        if relays.contains(&Net::<Member>::address(number)) {
            net.kill(number);
        }
    }
    net.run(Duration::from_secs(40));
    let alive = (1..40).rev().find(|number| net.hosts[*number].alive).unwrap();
    let key = pair(1).public_key();
    net.with(alive, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(20));
    assert_eq!(net.hosts[alive].machine.connected.len(), 1);
}

#[test]
fn two_random_nats_meet_at_a_relay() {
    let mut net = network(19, 20);
    let server = add(&mut net, Nat::Random, false, Config::default());
    let client = add(&mut net, Nat::Random, false, Config::default());
    net.run(Duration::from_secs(20));
    listen(&mut net, server, &pair(1));
    let relay = pair(9).public_key();
    let settings = ConnectSettings { relay_through: Some(relay), ..ConnectSettings::default() };
    let key = pair(1).public_key();
    net.with(client, |member, now| member.dht.connect(now, &pair(2), key, settings));
    net.run(Duration::from_secs(12));
    assert_eq!(failure(&net.hosts[client].machine), None);
    let met = |net: &Net<Member>, number: usize| {
        net.hosts[number].machine.events.iter().find_map(|event| match event {
            Event::MeetAtRelay { connection, relay, token, initiator, local_stream } => {
                Some((*connection, *relay, *token, *initiator, *local_stream))
            }
            _ => None,
        })
    };
    let (ours, theirs) = (met(&net, client).unwrap(), met(&net, server).unwrap());
    assert_eq!((ours.1, ours.2, ours.3), (relay, theirs.2, true));
    assert_eq!((theirs.1, theirs.3), (relay, false));
    let at = Net::<Member>::address(2);
    // The other side may speak through the relay before we are told that it is there: that is no direct way.
    let stream = theirs.4;
    let early = net.with(server, |member, now| {
        member.dht.relay_reached(theirs.0, SocketId::CLIENT, at);
        member.dht.handle_stream_packet(now, SocketId::CLIENT, at, stream)
    });
    assert!(!early);
    for (number, connection) in [(client, ours.0), (server, theirs.0)] {
        net.with(number, |member, now| member.dht.relayed(now, connection, SocketId::CLIENT, at, 5));
        let connected = &net.hosts[number].machine.connected[0];
        assert!(connected.path == Path::Relayed && connected.split.is_some() && connected.remote == at);
    }
    net.run(Duration::from_secs(120));
    assert_eq!((failure(&net.hosts[client].machine), failure(&net.hosts[server].machine)), (None, None));
}

#[test]
fn a_hundred_servers_of_one_member_ask_their_nodes_once() {
    let mut net = network(26, 12);
    let host = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(10));
    listen(&mut net, host, &pair(1));
    for seed in 2..=100 {
        net.with(host, |member, now| member.dht.listen(now, &pair(seed), ServerSettings::default())).unwrap();
    }
    net.run(Duration::from_secs(60));
    let requests = |net: &Net<Member>| net.hosts[host].machine.dht.node().stats().requests;
    let before = requests(&net);
    net.run(Duration::from_secs(60));
    // Twelve nodes each three seconds, and the node's own upkeep; not a hundred times three.
    let asked = requests(&net) - before;
    assert!((100..900).contains(&asked), "{asked} requests in a minute");
    net.with(3, |member, now| member.dht.connect(now, &pair(120), pair(77).public_key(), ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}

#[test]
fn a_network_change_announces_servers_anew() {
    let mut net = network(17, 20);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(10));
    listen(&mut net, server, &pair(1));
    net.with(server, |member, now| member.dht.suspend(now));
    net.run(Duration::from_secs(600));
    net.with(server, |member, now| member.dht.resume(now));
    net.run(Duration::from_secs(20));
    let announced = |net: &Net<Member>| {
        let events = net.hosts[server].machine.events.iter();
        events.filter(|event| matches!(event, Event::Announced { relays: 1.., .. })).count()
    };
    let before = announced(&net);
    let addresses = vec![SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 2), PORT)];
    for _ in 0..3 {
        let addresses = addresses.clone();
        net.with(server, |member, now| member.dht.network_seen(now, addresses));
        net.run(Duration::from_secs(10));
    }
    assert_eq!(announced(&net), before + 1, "the same network is no news");
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}
