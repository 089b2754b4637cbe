//! A network for hours: what its members hold does not grow. `CORESTORE_SOAK=NODES,HOURS` changes its size; each hour
//! tells the entries of every table and the traffic.

use crate::member::{Member, add, failure, listen, network_of, pair};
use crate::virtual_net::{Nat, Net};
use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b};
use corestore_core::time::Duration;
use corestore_peer::swarm::hyperdht::{Config, ConnectSettings};
use std::collections::BTreeMap;

#[test]
fn members_that_work_for_hours_hold_no_more_than_in_the_first() {
    let (nodes, hours) = size();
    // Values outlast the hours otherwise.
    let config = Config { value_age: Duration::from_secs(20 * 60), ..Config::default() };
    let mut net = network_of(31, nodes, &config);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(20));
    listen(&mut net, server, &pair(1));
    let mut held = Vec::new();
    for hour in 0..hours {
        let before = net.sent;
        for minute in 0..60 {
            work(&mut net, hour * 60 + minute, nodes);
            net.run(Duration::from_secs(60));
            settle(&mut net);
        }
        let (datagrams, bytes) = (net.sent.0 - before.0, net.sent.1 - before.1);
        let tables = tables(&net);
        let sum = tables.values().sum::<usize>();
        let each = net.hosts.len() as u64;
        println!(
            "hour {hour}: {sum} entries, {} datagrams and {} bytes a node, {} kB in all",
            datagrams / each,
            bytes / each,
            resident()
        );
        println!("  {tables:?}");
        held.push(tables);
    }
    check(&held, nodes);
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(failure(&net.hosts[3].machine), None);
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}

/// A lookup, an announcement, a value and a connection, each from another node.
fn work(net: &mut Net<Member>, minute: usize, nodes: usize) {
    let target = blake2b(&[b"soak", &minute.to_le_bytes()]);
    let at = |step: usize| 1 + (minute * 7 + step) % (nodes - 1);
    let key = pair(u8::try_from(minute % 200).unwrap());
    net.with(at(0), |member, now| member.dht.announce(now, target, &key, Vec::new(), false, 0));
    net.with(at(1), |member, now| member.dht.lookup(now, Hash([7; 32])));
    let value = Bytes::copy_from_slice(target.as_ref());
    net.with(at(2), |member, now| member.dht.immutable_put(now, value));
    let server = pair(1).public_key();
    net.with(at(3), |member, now| member.dht.connect(now, &key, server, ConnectSettings::default()));
}

/// No table holds more at the end of any hour than at the end of the first two, but for a twentieth, and for what happens
/// to be under way.
fn check(held: &[BTreeMap<&'static str, usize>], nodes: usize) {
    let (first, later) = held.split_at(held.len().min(2));
    for (hour, tables) in (first.len()..).zip(later) {
        for (name, entries) in tables {
            let before = first.iter().map(|tables| tables[name]).max().unwrap();
            assert!(*entries <= before + before / 20 + nodes / 5, "{entries} {name} in hour {hour}, {before} before");
        }
    }
}

/// Entries of all members, by table.
fn tables(net: &Net<Member>) -> BTreeMap<&'static str, usize> {
    let mut sums = BTreeMap::new();
    for (name, entries) in net.hosts.iter().flat_map(|host| host.machine.dht.tables()) {
        *sums.entry(name).or_default() += entries;
    }
    sums
}

/// What the test itself keeps.
fn settle(net: &mut Net<Member>) {
    for host in &mut net.hosts {
        host.machine.events = Vec::new();
        host.machine.connected = Vec::new();
        host.machine.streams.clear();
    }
}

fn size() -> (usize, usize) {
    let text = std::env::var("CORESTORE_SOAK").unwrap_or_default();
    let mut numbers = text.split(',').filter_map(|number| number.trim().parse().ok());
    (numbers.next().unwrap_or(25), numbers.next().unwrap_or(3))
}

/// Memory of this process, in kB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
