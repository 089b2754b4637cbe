//! Records and values on a network.

use crate::member::{Member, network, pair};
use crate::virtual_net::Net;
use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::time::Duration;
use corestore_peer::swarm::hyperdht::{Event, OperationId, Outcome};

pub(crate) fn outcome(net: &mut Net<Member>, number: usize, id: OperationId) -> Outcome {
    let find = |net: &Net<Member>| {
        net.hosts[number].machine.events.iter().find_map(|event| match event {
            Event::Done { operation, outcome } if *operation == id => Some(outcome.clone()),
            _ => None,
        })
    };
    assert!(net.run_while(Duration::from_secs(60), |net| find(net).is_none()));
    find(net).unwrap()
}

#[test]
fn records_and_values_are_found_from_everywhere_and_taken_back() {
    let mut net = network(16, 60);
    let target = Hash([3; 32]);
    for number in [5_u8, 6] {
        let key = pair(number);
        let id = net.with(usize::from(number), |m, now| m.dht.announce(now, target, &key, Vec::new(), true, 0));
        assert!(matches!(outcome(&mut net, usize::from(number), id), Outcome::Stored { nodes: 15.., .. }));
    }
    let looked_up = |net: &mut Net<Member>, number: usize| {
        let id = net.with(number, |member, now| member.dht.lookup(now, target));
        outcome(net, number, id);
        let events = &net.hosts[number].machine.events;
        let peers = events.iter().filter_map(|event| match event {
            Event::Peers { operation, peers, .. } if *operation == id => Some(peers),
            _ => None,
        });
        let mut keys: Vec<PublicKey> = peers.flatten().map(|peer| peer.public_key).collect();
        keys.sort();
        keys.dedup();
        keys.len()
    };
    assert_eq!(looked_up(&mut net, 50), 2);
    let id = net.with(5, |member, now| member.dht.unannounce(now, target, &pair(5)));
    assert!(matches!(outcome(&mut net, 5, id), Outcome::Stored { nodes: 15.., .. }));
    assert_eq!(looked_up(&mut net, 51), 1);
    net.run(Duration::from_secs(30 * 60));
    assert_eq!(looked_up(&mut net, 52), 0);

    let value = Bytes::from_static(b"kept");
    let id = net.with(9, |member, now| member.dht.immutable_put(now, value.clone()));
    let Outcome::Stored { target, .. } = outcome(&mut net, 9, id) else { panic!("stored") };
    for number in 10..30 {
        net.kill(number);
    }
    let id = net.with(40, |member, now| member.dht.immutable_get(now, target));
    assert_eq!(outcome(&mut net, 40, id), Outcome::Value { value, seq: 0 });
}
