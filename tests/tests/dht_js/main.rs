//! Our members of the DHT among genuine ones, on loopback: records and values travel both ways.
//!
//! They need Node and the npm packages of `tests/js`.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod churn;
mod connections;
mod js;
mod loopback;
mod pool;
mod relays;

use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair};
use corestore_peer::swarm::hyperdht::{Event, NodeEvent, OperationId, Outcome};
use js::Js;
use loopback::Member;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Runs our members until the JS side answers.
fn asked(js: &mut Js, members: &mut [&mut Member], method: &str, args: Value) -> Value {
    let id = js.ask(method, args);
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if let Some(answer) = js.answer(id) {
            return answer;
        }
        members.iter_mut().for_each(|member| member.step());
    }
    panic!("no answer to {method}");
}

fn bootstrapped(member: &mut Member) {
    member.wait(|event| matches!(event, Event::Node(NodeEvent::Bootstrapped)).then_some(())).unwrap();
}

fn outcome(member: &mut Member, id: OperationId) -> Outcome {
    member
        .wait(|event| match event {
            Event::Done { operation, outcome } if *operation == id => Some(outcome.clone()),
            _ => None,
        })
        .unwrap()
}

fn peers(member: &Member, id: OperationId) -> Vec<String> {
    let named = member.events.iter().filter_map(|event| match event {
        Event::Peers { operation, peers, .. } if *operation == id => Some(peers),
        _ => None,
    });
    let mut keys: Vec<String> = named.flatten().map(|peer| peer.public_key.to_string()).collect();
    keys.sort();
    keys.dedup();
    keys
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_client_of_ours_uses_a_network_of_theirs() {
    let mut js = Js::start(5);
    let mut ours = Member::new(js.bootstrap[..1].to_vec(), 1, |_| {});
    bootstrapped(&mut ours);
    let (pair, target) = (KeyPair::from_seed(&[9; 32]), Hash([7; 32]));

    let id = ours.with(|dht, now| dht.announce(now, target, &pair, Vec::new(), false, 0));
    assert!(matches!(outcome(&mut ours, id), Outcome::Stored { nodes: 3.., .. }));
    let found = asked(&mut js, &mut [&mut ours], "lookup", json!([target.to_string()]));
    assert_eq!(found, json!([pair.public_key().to_string()]));

    let theirs = asked(&mut js, &mut [&mut ours], "announce", json!([target.to_string(), hex(&[8; 32])]));
    let id = ours.with(|dht, now| dht.lookup(now, target));
    outcome(&mut ours, id);
    let mut expected = vec![pair.public_key().to_string(), theirs.as_str().unwrap().to_owned()];
    expected.sort();
    assert_eq!(peers(&ours, id), expected);

    let id = ours.with(|dht, now| dht.unannounce(now, target, &pair));
    assert!(matches!(outcome(&mut ours, id), Outcome::Stored { nodes: 3.., .. }));
    assert_eq!(asked(&mut js, &mut [&mut ours], "lookup", json!([target.to_string()])), json!([theirs]));
    values(&mut js, &mut ours, 3);
}

/// Values put by one side are got by the other.
fn values(js: &mut Js, ours: &mut Member, at_least: usize) {
    let id = ours.with(|dht, now| dht.immutable_put(now, Bytes::from_static(b"a value")));
    let Outcome::Stored { target, nodes } = outcome(ours, id) else { panic!("stored") };
    assert!(nodes >= at_least, "{nodes}");
    assert_eq!(asked(js, &mut [ours], "immutableGet", json!([target.to_string()])), json!(hex(b"a value")));
    let put = asked(js, &mut [ours], "immutablePut", json!([hex(b"theirs")]));
    let hash = corestore_core::crypto::blake2b(&[b"theirs"]);
    assert_eq!(put, json!(hash.to_string()));
    let id = ours.with(|dht, now| dht.immutable_get(now, hash));
    assert_eq!(outcome(ours, id), Outcome::Value { value: Bytes::from_static(b"theirs"), seq: 0 });
    let id = ours.with(|dht, now| dht.immutable_get(now, Hash([0; 32])));
    assert_eq!(outcome(ours, id), Outcome::NotFound);

    let pair = KeyPair::from_seed(&[4; 32]);
    let key = pair.public_key();
    for (seq, value) in [(1, "first"), (2, "second")] {
        let id = ours.with(|dht, now| dht.mutable_put(now, &pair, seq, Bytes::from_static(value.as_bytes())));
        assert!(matches!(outcome(ours, id), Outcome::Stored { .. }));
    }
    let got = asked(js, &mut [ours], "mutableGet", json!([key.to_string()]));
    assert_eq!(got, json!({ "seq": 2, "value": hex(b"second") }));
    let id = ours.with(|dht, now| dht.mutable_put(now, &pair, 1, Bytes::from_static(b"late")));
    assert!(matches!(outcome(ours, id), Outcome::Outdated { .. }));
    let put = asked(js, &mut [ours], "mutablePut", json!([hex(&[4; 32]), hex(b"third"), 3]));
    assert_eq!(put, json!(key.to_string()));
    let id = ours.with(|dht, now| dht.mutable_get(now, key, 0, true));
    assert_eq!(outcome(ours, id), Outcome::Value { value: Bytes::from_static(b"third"), seq: 3 });
}

#[test]
fn nodes_of_ours_keep_what_theirs_put() {
    let mut js = Js::start(1);
    let lasting = |config: &mut corestore_peer::swarm::dht_rpc::Config| {
        (config.ephemeral, config.firewalled) = (Some(false), false);
    };
    let mut ours: Vec<Member> = Vec::new();
    for seed in 1..5 {
        let mut member = Member::new(js.bootstrap.clone(), seed, lasting);
        let until = Instant::now() + Duration::from_secs(20);
        while !member.dht.node().is_bootstrapped() && Instant::now() < until {
            member.step();
            ours.iter_mut().for_each(Member::step);
        }
        assert!(member.dht.node().id().is_some(), "it lasts");
        ours.push(member);
    }
    let id = ours[1].dht.node().id().unwrap().to_string();
    let port = ours[1].port();
    let mut all: Vec<&mut Member> = ours.iter_mut().collect();
    let pong = asked(&mut js, &mut all, "ping", json!(["127.0.0.1", port]));
    assert_eq!(pong, json!({ "id": id }));

    let (target, seed) = (Hash([6; 32]).to_string(), hex(&[3; 32]));
    let key = asked(&mut js, &mut all, "announce", json!([target, seed]));
    assert_eq!(asked(&mut js, &mut all, "lookup", json!([target])), json!([key]));
    asked(&mut js, &mut all, "unannounce", json!([target, seed]));
    assert_eq!(asked(&mut js, &mut all, "lookup", json!([target])), json!([]));

    let hash = asked(&mut js, &mut all, "immutablePut", json!([hex(b"kept by ours")]));
    assert_eq!(asked(&mut js, &mut all, "immutableGet", json!([hash])), json!(hex(b"kept by ours")));
    let key = asked(&mut js, &mut all, "mutablePut", json!([seed, hex(b"signed"), 1]));
    let got = asked(&mut js, &mut all, "mutableGet", json!([key]));
    assert_eq!(got, json!({ "seq": 1, "value": hex(b"signed") }));
    let kept: u64 = all.iter().map(|member| member.dht.node().stats().received).sum();
    assert!(kept > 0);
}
