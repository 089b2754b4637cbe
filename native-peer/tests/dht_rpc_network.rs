//! Networks of nodes in virtual time: they find each other, survive churn and loss, and are not moved by forgers.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "virtual_net/node.rs"]
mod node;
mod virtual_net;

use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b};
use corestore_core::dht::{Datagram, InternalCommand, Request, node_id};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::time::Duration;
use corestore_peer::swarm::dht_rpc::{Config, Event, QueryId, QuerySettings, Reply, RequestSettings, SocketId};
use node::Node;
use std::net::{Ipv4Addr, SocketAddrV4};
use virtual_net::{Machine, Nat, Net, PORT};

fn add(net: &mut Net<Node>, nat: Nat, change: impl FnOnce(&mut Config)) -> usize {
    let first = Net::<Node>::address(0);
    let mut config = if net.hosts.is_empty() { Config::bootstrapper(first) } else { Config::default() };
    if !net.hosts.is_empty() {
        config.bootstrap = vec![first];
        config.server_port = PORT;
    }
    change(&mut config);
    let (seed, now) = (net.seed(), net.now);
    net.add(nat, Node::new(config, seed, now))
}

/// A network of `count` lasting nodes.
fn network(seed: u64, count: usize) -> Net<Node> {
    let mut net = Net::new(seed);
    for _ in 0..count {
        add(&mut net, Nat::Open, |config| (config.ephemeral, config.firewalled) = (Some(false), false));
        net.run(Duration::from_millis(200));
    }
    net.run(Duration::from_secs(30));
    net
}

fn ask(net: &mut Net<Node>, number: usize, target: Hash) -> (Vec<Reply>, usize) {
    let id = net.with(number, |node, now| {
        node.dht.query(now, target, QuerySettings { command: 1, ..QuerySettings::default() })
    });
    assert!(net.run_while(Duration::from_secs(60), |net| done(&net.hosts[number].machine, id).is_none()));
    let events = std::mem::take(&mut net.hosts[number].machine.events);
    let replies =
        events.iter().filter(|event| matches!(event, Event::QueryReply { query, .. } if *query == id)).count();
    let closest = events.into_iter().find_map(|event| match event {
        Event::QueryDone { query, closest, .. } if query == id => Some(closest),
        _ => None,
    });
    (closest.unwrap(), replies)
}

fn done(node: &Node, id: QueryId) -> Option<()> {
    node.events.iter().any(|event| matches!(event, Event::QueryDone { query, .. } if *query == id)).then_some(())
}

fn nearest(net: &Net<Node>, target: &Hash, count: usize) -> Vec<Hash> {
    let alive = (0..net.hosts.len()).filter(|number| net.hosts[*number].alive);
    let mut ids: Vec<Hash> = alive.filter_map(|number| net.hosts[number].machine.dht.id()).collect();
    ids.sort_by_key(|id| id.0.iter().zip(&target.0).map(|(a, b)| a ^ b).collect::<Vec<_>>());
    ids.truncate(count);
    ids
}

/// How many of the truly nearest were found, of a thousand.
fn found(net: &Net<Node>, target: &Hash, closest: &[Reply]) -> usize {
    let truth = nearest(net, target, 20);
    let ids: Vec<Hash> = closest.iter().filter_map(|reply| reply.id).collect();
    1000 * truth.iter().filter(|id| ids.contains(id)).count() / truth.len()
}

#[test]
fn two_hundred_nodes_find_the_truly_nearest_and_every_one_lasts() {
    let mut net = network(1, 200);
    assert!(net.hosts.iter().all(|host| host.machine.dht.id().is_some() && host.machine.dht.is_bootstrapped()));
    for number in [3_usize, 77, 199] {
        let target = blake2b(&[&number.to_le_bytes()]);
        let (closest, replies) = ask(&mut net, number, target);
        assert!(replies < 80, "{replies} nodes were asked");
        assert!(found(&net, &target, &closest) >= 950);
        assert!(closest.iter().all(|reply| reply.value.as_deref() == Some(b"here") && reply.token.is_some()));
    }
}

#[test]
fn a_third_of_the_nodes_leaves_each_minute_and_queries_go_on() {
    let mut net = network(2, 60);
    net.loss = 20;
    let (mut asked, mut good) = (0, 0);
    for minute in 0..5 {
        let alive: Vec<usize> = (1..net.hosts.len()).filter(|number| net.hosts[*number].alive).collect();
        for _ in 0..20 {
            let draw = usize::from(u16::from_le_bytes(net.seed()[..2].try_into().unwrap()));
            let victim = alive[draw % alive.len()];
            net.kill(victim);
            add(&mut net, Nat::Open, |config| (config.ephemeral, config.firewalled) = (Some(false), false));
            net.run(Duration::from_millis(3000));
        }
        for try_number in 0..5_u64 {
            let mut living = (1..net.hosts.len()).filter(|number| net.hosts[*number].alive);
            let asker = living.rfind(|number| net.hosts[*number].machine.dht.is_bootstrapped()).unwrap();
            let target = blake2b(&[&[minute], &try_number.to_le_bytes()]);
            let (closest, _) = ask(&mut net, asker, target);
            asked += 1;
            good += usize::from(found(&net, &target, &closest) >= 800);
        }
    }
    assert!(good * 100 >= asked * 95, "{good} of {asked}");
}

#[test]
fn an_open_node_lasts_after_twenty_minutes_and_one_behind_a_nat_never_does() {
    let mut net = network(3, 30);
    let open = add(&mut net, Nat::Open, |_| {});
    let hidden = add(&mut net, Nat::Consistent, |_| {});
    let random = add(&mut net, Nat::Random, |_| {});
    net.run(Duration::from_secs(20));
    let is = |net: &Net<Node>, number: usize| {
        let dht = &net.hosts[number].machine.dht;
        (dht.id().is_some(), dht.is_firewalled(), dht.address().is_some_and(|address| address.port() != 0))
    };
    assert_eq!(is(&net, open), (false, false, true));
    assert_eq!(is(&net, hidden), (false, true, true));
    net.run(Duration::from_secs(25 * 60));
    assert_eq!(is(&net, open), (true, false, true));
    assert_eq!(is(&net, hidden), (false, true, true));
    assert_eq!(is(&net, random), (false, true, false));
    assert_eq!(net.hosts[open].machine.dht.id(), Some(node_id(&Net::<Node>::address(open))));
}

#[test]
fn a_node_that_slept_is_no_lasting_one_until_it_was_stable_again() {
    let mut net = network(4, 30);
    let open = add(&mut net, Nat::Open, |_| {});
    net.run(Duration::from_secs(25 * 60));
    assert!(net.hosts[open].machine.dht.id().is_some());
    net.with(open, |node, now| node.dht.suspend(now));
    net.run(Duration::from_secs(600));
    net.with(open, |node, now| node.dht.resume(now));
    assert_eq!(net.hosts[open].machine.dht.id(), None);
    net.run(Duration::from_secs(65 * 60));
    assert!(net.hosts[open].machine.dht.id().is_some());
}

fn request(to: SocketAddrV4, command: InternalCommand, target: Option<Hash>, value: Option<Bytes>) -> Request {
    Request { tid: 7, to, id: None, token: None, internal: true, command: command.number(), target, value }
}

#[test]
fn a_spoofed_id_gets_nobody_into_a_table() {
    let mut net = network(5, 3);
    let (victim, forger) = (Net::<Node>::address(1), SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 9));
    let before = net.hosts[1].machine.dht.nodes(100).len();
    let mut forged = request(victim, InternalCommand::Ping, None, None);
    forged.id = Some(node_id(&Net::<Node>::address(1)));
    net.inject(forger, victim, Bytes::from(Datagram::Request(forged).to_bytes()));
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[1].machine.dht.nodes(100).len(), before);
    assert_eq!(net.hosts[1].machine.dht.stats().bad_ids, 1);
}

#[test]
fn a_forged_or_borrowed_token_is_refused() {
    let mut net = network(6, 4);
    let (closest, _) = ask(&mut net, 1, Hash([1; 32]));
    let theirs = closest.iter().find(|reply| reply.from == Net::<Node>::address(2)).unwrap();
    let with = |net: &mut Net<Node>, number: usize, token: Hash| {
        let settings = RequestSettings { command: 1, token: Some(token), ..RequestSettings::default() };
        let id = net.with(number, |node, now| node.dht.request(now, Net::<Node>::address(2), settings));
        net.run(Duration::from_secs(2));
        let events = std::mem::take(&mut net.hosts[number].machine.events);
        let reply = events.into_iter().find_map(|event| match event {
            Event::Response { request, reply } if request == id => Some(reply),
            _ => None,
        });
        reply.unwrap().error
    };
    assert_eq!(with(&mut net, 1, theirs.token.unwrap()), 0);
    assert_eq!(with(&mut net, 3, theirs.token.unwrap()), 2);
    assert_eq!(with(&mut net, 1, Hash([9; 32])), 2);
    net.run(Duration::from_secs(30));
    assert_eq!(with(&mut net, 1, theirs.token.unwrap()), 2);
}

#[test]
fn an_answer_counts_only_from_the_node_that_was_asked() {
    let mut net = network(7, 2);
    let settings = RequestSettings { command: 1, ..RequestSettings::default() };
    let nobody = SocketAddrV4::new(Ipv4Addr::new(10, 8, 8, 8), 8);
    net.with(1, |node, now| node.dht.request(now, nobody, settings));
    let sent = net.hosts[1].machine.sent.last().unwrap().bytes.clone();
    let Datagram::Request(asked) = Datagram::from_bytes(&sent).unwrap() else { panic!("a request") };
    let answer = corestore_core::dht::Response {
        tid: asked.tid,
        to: Net::<Node>::address(1),
        id: None,
        token: None,
        closer_nodes: Vec::new(),
        error: 0,
        value: None,
    };
    let bytes = Bytes::from(Datagram::Response(answer).to_bytes());
    net.inject(SocketAddrV4::new(Ipv4Addr::new(10, 7, 7, 7), 8), Net::<Node>::address(1), bytes.clone());
    net.run(Duration::from_millis(200));
    assert!(!net.hosts[1].machine.events.iter().any(|event| matches!(event, Event::Response { .. })));
    net.inject(nobody, Net::<Node>::address(1), bytes);
    net.run(Duration::from_millis(200));
    assert!(net.hosts[1].machine.events.iter().any(|event| matches!(event, Event::Response { .. })));
}

/// What the reference's rule allows an answer to weigh more than its question: id, token and 20 nearer nodes, no more.
#[test]
fn no_answer_to_a_stranger_is_larger_than_the_rule_allows() {
    let mut net = network(8, 60);
    let (to, stranger) = (Net::<Node>::address(1), SocketAddrV4::new(Ipv4Addr::new(10, 9, 9, 9), 9));
    let target = Some(Hash([3; 32]));
    let port = Some(Bytes::from_static(&[9, 0]));
    let small = [
        (request(to, InternalCommand::Ping, None, None), 32),
        (request(to, InternalCommand::PingNat, None, port), 32),
        (request(to, InternalCommand::Ping, target, None), 0),
        (request(to, InternalCommand::DownHint, None, Some(Bytes::from_static(&[1; 6]))), 32),
        (request(to, InternalCommand::FindNode, target, None), 1 + 20 * 6),
    ];
    for (request, allowed) in small {
        let bytes = Datagram::Request(request).to_bytes();
        let now = net.now;
        net.hosts[1].machine.dht.handle_datagram(now, SocketId::SERVER, stranger, &bytes);
        let answers = net.hosts[1].machine.drain();
        let out: usize = answers.iter().filter(|answer| *answer.to.ip() == *stranger.ip()).map(|a| a.bytes.len()).sum();
        assert!(out > 0 && out <= bytes.len() + allowed, "{out} for {}", bytes.len());
    }
    // A request with a bad token, and one for an unknown command, weigh no more.
    let mut bad = request(to, InternalCommand::Ping, None, None);
    (bad.token, bad.internal, bad.command) = (Some(Hash([1; 32])), false, 99);
    let bytes = Datagram::Request(bad).to_bytes();
    let now = net.now;
    net.hosts[1].machine.dht.handle_datagram(now, SocketId::SERVER, stranger, &bytes);
    assert!(net.hosts[1].machine.drain()[0].bytes.len() <= bytes.len() + 34);
}

#[test]
fn a_flood_of_requests_delayed_pings_and_hints_leaves_memory_where_it_was() {
    let mut net = network(9, 10);
    let to = Net::<Node>::address(1);
    let now = net.now;
    let node = &mut net.hosts[1].machine;
    let mut answers = 0;
    for number in 0..20_000_u32 {
        let stranger = SocketAddrV4::new(Ipv4Addr::from_bits((11 << 24) + number), 9);
        let hint = Bytes::copy_from_slice(&number.to_le_bytes()[..].repeat(2)[..6]);
        let mut ping = request(to, InternalCommand::Ping, None, None);
        ping.id = Some(node_id(&stranger));
        for request in [
            ping,
            request(to, InternalCommand::DelayedPing, None, Some(Bytes::from_static(&[0x10, 0x27, 0, 0]))),
            request(to, InternalCommand::DelayedPing, None, Some(Bytes::from_static(&[0xff, 0xff, 0, 0]))),
            request(to, InternalCommand::DownHint, None, Some(hint)),
        ] {
            node.dht.handle_datagram(now, SocketId::SERVER, stranger, &Datagram::Request(request).to_bytes());
        }
        answers += node.drain().len();
    }
    assert!(node.dht.nodes(usize::MAX).len() < 256 * 20 / 4);
    assert!(answers < 20_000 * 2 + 100, "{answers}");
    node.dht.handle_deadline(now.after(Duration::from_secs(10)));
    assert!(node.drain().len() <= 1024 + 300);
}

#[test]
fn a_network_that_nobody_uses_hardly_speaks() {
    let mut net = network(10, 50);
    let before = net.sent.0;
    net.run(Duration::from_secs(600));
    let each_minute = (net.sent.0 - before) / 50 / 10;
    assert!(each_minute < 60, "{each_minute} datagrams a node and minute");
}
