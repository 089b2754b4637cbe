//! A gateway that holds no keys of those it serves.

use crate::member::{Member, add, failure, network, pair};
use crate::records::outcome;
use crate::virtual_net::{Nat, Net};
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair};
use corestore_core::dht::{Announce, Handshake};
use corestore_core::time::Duration;
use corestore_peer::swarm::hyperdht::{
    Config, ConnectSettings, Event, Foreign, Outcome, ReadHandshake, ServerSettings, Signable,
};

/// What somebody with his own key answers a gateway that has none.
fn answer_for(net: &mut Net<Member>, number: usize, key: &KeyPair, handshake: &mut Option<Handshake>) {
    for event in std::mem::take(&mut net.hosts[number].machine.events) {
        match event {
            Event::Sign { signature, signable: asked, .. } => {
                let Signable { unannounce, target, node, token, peer, bump } = asked;
                let signed = if unannounce {
                    Announce::sign_unannounce(key, &target, &node, &token)
                } else {
                    Announce::sign_announce(key, &target, &node, &token, peer, bump)
                };
                net.with(number, |member, now| member.dht.signed(now, signature, signed.signature));
            }
            Event::ReadHandshake { connection, noise, .. } => {
                let ours = handshake.get_or_insert_with(|| Handshake::responder(key, [5; 32]).unwrap());
                let read = ours.read(&noise).ok().map(|payload| ReadHandshake {
                    remote: ours.remote().unwrap(),
                    payload,
                    holepunch_key: ours.finish().map(|secrets| secrets.holepunch_key),
                });
                net.with(number, |member, now| member.dht.handshake_read(now, connection, read));
            }
            Event::WriteHandshake { connection, payload, .. } => {
                let ours = handshake.as_mut().unwrap();
                let noise = Bytes::from(ours.write(&payload).unwrap());
                let holepunch_key = ours.finish().map(|secrets| secrets.holepunch_key);
                net.with(number, |member, now| member.dht.handshake_written(now, connection, noise, holepunch_key));
            }
            other => net.hosts[number].machine.events.push(other),
        }
    }
}

#[test]
fn a_gateway_serves_and_connects_keys_it_does_not_have() {
    let mut net = network(20, 20);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    let client = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(20));
    let (ours, theirs) = (pair(1).public_key(), pair(2).public_key());
    let foreign = |key, holder| Foreign { key, holder };
    net.with(server, |member, now| member.dht.listen(now, foreign(ours, 1), ServerSettings::default())).unwrap();
    let mut served = None;
    let mut calling = Some(Handshake::initiator(&pair(2), ours, [6; 32]).unwrap());
    let mut go_on = |net: &mut Net<Member>, steps: u64| {
        for _ in 0..steps {
            net.run(Duration::from_millis(100));
            answer_for(net, server, &pair(1), &mut served);
            answer_for(net, client, &pair(2), &mut calling);
        }
    };
    go_on(&mut net, 50);
    net.with(client, |member, now| member.dht.connect(now, foreign(theirs, 2), ours, ConnectSettings::default()));
    go_on(&mut net, 100);
    assert_eq!(failure(&net.hosts[client].machine), None);
    for number in [client, server] {
        let member = &net.hosts[number].machine;
        assert_eq!(member.connected.len(), 1);
        assert!(member.connected[0].split.is_none() && !member.connected[0].moved);
        assert!(member.streams.values().all(|stream| stream.heard));
    }
    let target = Hash([8; 32]);
    let id = net.with(client, |member, now| member.dht.announce(now, target, foreign(theirs, 3), Vec::new(), true, 0));
    go_on(&mut net, 50);
    assert!(matches!(outcome(&mut net, client, id), Outcome::Stored { nodes: 10.., .. }));
}
