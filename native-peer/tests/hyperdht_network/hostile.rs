//! Members among liars, forgers and floods: what they take is bounded, and everybody else goes on.

use crate::member::{Member, add, failure, listen, network, pair};
use crate::virtual_net::{Nat, Net};
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair, PublicKey, blake2b};
use corestore_core::dht::{
    Command, Datagram, Handshake, HandshakeMessage, HandshakePayload, Mode, RelayThrough, Request, UdxInfo, peer_target,
};
use corestore_core::encoding::Encode;
use corestore_core::time::Duration;
use corestore_peer::swarm::dht_rpc::SocketId;
use corestore_peer::swarm::hyperdht::{Config, ConnectError, ConnectSettings, Event, Outcome, ServerSettings};
use std::net::{Ipv4Addr, SocketAddrV4};

#[test]
fn a_node_that_forges_handshakes_delays_nobody_for_long() {
    let mut net = network(18, 20);
    net.with(5, |member, now| member.dht.listen(now, &pair(1), ServerSettings::default())).unwrap();
    net.run(Duration::from_secs(5));
    net.hosts[7].machine.lies = true;
    let settings =
        ConnectSettings { relay_addresses: vec![Net::<Member>::address(7); 2], ..ConnectSettings::default() };
    let key = pair(1).public_key();
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, settings));
    net.run(Duration::from_secs(5));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
    // Nobody but liars: the reason says so.
    net.hosts.iter_mut().for_each(|host| host.machine.lies = true);
    net.with(4, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(30));
    assert_eq!(failure(&net.hosts[4].machine), Some(ConnectError::BadHandshake));
}

/// A handshake message for the server, from a key nobody knows.
fn handshake(number: u64, server: &PublicKey, relay_through: Option<RelayThrough>) -> Bytes {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let mut handshake = Handshake::initiator(&KeyPair::from_seed(&seed), *server, seed).unwrap();
    let udx = Some(UdxInfo { version: 1, reusable_socket: false, id: 9, seq: 0 });
    let payload = HandshakePayload { version: 1, udx, relay_through, ..HandshakePayload::default() };
    let noise = Bytes::from(handshake.write(&payload).unwrap());
    let client = Some(SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 7));
    let message = HandshakeMessage { mode: Mode::FromRelay, noise, peer_address: client, relay_address: None };
    let request = Request {
        tid: 7,
        to: Net::<Member>::address(0),
        id: None,
        token: None,
        internal: false,
        command: Command::PeerHandshake.number(),
        target: Some(peer_target(server)),
        value: Some(Bytes::from(message.to_bytes())),
    };
    Bytes::from(Datagram::Request(request).to_bytes())
}

#[test]
fn a_flood_of_handshakes_costs_so_many_a_second_and_is_forgotten() {
    let mut net = network(15, 10);
    let config = Config { max_handshakes: 20, max_incoming: 50, ..Config::default() };
    let server = add(&mut net, Nat::Consistent, false, config);
    net.run(Duration::from_secs(10));
    listen(&mut net, server, &pair(1));
    let key = pair(1).public_key();
    let relay = Net::<Member>::address(1);
    let before = net.hosts[server].machine.opened;
    for second in 0..5 {
        for number in 0..100 {
            let bytes = handshake(second * 1000 + number, &key, None);
            net.with(server, |member, now| member.dht.handle_datagram(now, SocketId::CLIENT, relay, &bytes));
        }
        net.run(Duration::from_secs(1));
    }
    let member = &net.hosts[server].machine;
    assert!(member.opened - before <= 50 * 4, "{} sockets", member.opened);
    // Whoever repeats itself is answered, and costs nothing.
    net.run(Duration::from_secs(60));
    let member = &net.hosts[server].machine;
    assert_eq!(member.opened, member.closed);
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}

#[test]
fn callers_that_name_relays_send_us_to_few_of_them() {
    let mut net = network(22, 10);
    let server = add(&mut net, Nat::Consistent, false, Config::default());
    net.run(Duration::from_secs(10));
    listen(&mut net, server, &pair(1));
    let (key, node, victim) = (pair(1).public_key(), Net::<Member>::address(1), pair(50).public_key());
    for second in 0..5 {
        for number in 0..100 {
            let relay = RelayThrough { version: 1, public_key: victim, token: Hash([3; 32]) };
            let bytes = handshake(second * 1000 + number, &key, Some(relay));
            net.with(server, |member, now| member.dht.handle_datagram(now, SocketId::CLIENT, node, &bytes));
        }
        net.run(Duration::from_secs(1));
    }
    let events = net.hosts[server].machine.events.iter();
    let meetings = events.filter(|event| matches!(event, Event::MeetAtRelay { .. })).count();
    assert!((1..=8 * 6).contains(&meetings), "{meetings}");
    // Who needs no relay is served meanwhile.
    net.with(3, |member, now| member.dht.connect(now, &pair(2), key, ConnectSettings::default()));
    net.run(Duration::from_secs(10));
    assert_eq!(net.hosts[3].machine.connected.len(), 1);
}

#[test]
fn nodes_that_make_up_nearer_nodes_keep_no_lookup_from_its_end() {
    let mut net = network(23, 30);
    let target = Hash([4; 32]);
    let id = net.with(20, |member, now| member.dht.announce(now, target, &pair(1), Vec::new(), false, 0));
    assert!(matches!(crate::records::outcome(&mut net, 20, id), Outcome::Stored { nodes: 10.., .. }));
    (2..30).step_by(4).for_each(|number| net.hosts[number].machine.invents = true);
    let before = (net.hosts[21].machine.dht.node().stats(), net.now);
    let id = net.with(21, |member, now| member.dht.lookup(now, target));
    let named = |net: &Net<Member>| {
        let mut events = net.hosts[21].machine.events.iter();
        events.any(
            |event| matches!(event, Event::Peers { operation, peers, .. } if *operation == id && !peers.is_empty()),
        )
    };
    assert!(net.run_while(Duration::from_secs(5), |net| !named(net)), "the record is found meanwhile");
    let over = |net: &Net<Member>| {
        let mut events = net.hosts[21].machine.events.iter();
        events.any(|event| matches!(event, Event::Done { operation, .. } if *operation == id))
    };
    assert!(net.run_while(Duration::from_secs(900), |net| !over(net)), "it ends");
    let asked = net.hosts[21].machine.dht.node().stats().requests - before.0.requests;
    assert!(asked < 600, "{asked} requests in {:?}", net.now.since(before.1));
}

/// The reference's rule: id, token, 20 nearer nodes and 20 records, in one datagram.
#[test]
fn no_question_of_a_stranger_is_answered_by_more_than_one_datagram_of_the_usual_size() {
    let mut net = network(24, 20);
    let target = Hash([6; 32]);
    for seed in 0..40 {
        let relays = vec![Net::<Member>::address(3); 3];
        let id = net.with(9, |member, now| member.dht.announce(now, target, &pair(seed), relays, false, 0));
        crate::records::outcome(&mut net, 9, id);
    }
    let stranger = SocketAddrV4::new(Ipv4Addr::new(10, 99, 9, 9), 9);
    let value = |bytes: &[u8]| Some(Bytes::copy_from_slice(bytes));
    let questions = [
        (Command::FindPeer, None),
        (Command::Lookup, None),
        (Command::Announce, value(&[0; 100])),
        (Command::Unannounce, value(&[0; 100])),
        (Command::MutableGet, value(&[0])),
        (Command::MutablePut, value(&[0; 100])),
        (Command::ImmutableGet, None),
        (Command::ImmutablePut, value(b"value")),
        (Command::PeerHandshake, value(&[0, 0, 0])),
        (Command::PeerHolepunch, value(&[0, 0, 0, 0])),
    ];
    for number in 1..20 {
        for (command, value) in &questions {
            let request = Request {
                tid: 7,
                to: Net::<Member>::address(number),
                id: None,
                token: None,
                internal: false,
                command: command.number(),
                target: Some(target),
                value: value.clone(),
            };
            let bytes = Datagram::Request(request).to_bytes();
            let before = net.sent;
            net.with(number, |member, now| member.dht.handle_datagram(now, SocketId::SERVER, stranger, &bytes));
            let (datagrams, size) = (net.sent.0 - before.0, net.sent.1 - before.1);
            assert!(datagrams <= 1 && size <= 1400, "{command:?}: {datagrams} datagrams, {size} bytes");
        }
    }
    // A value that was not asked for by somebody with a token is not kept.
    let hash = blake2b(&[b"value"]);
    let id = net.with(5, |member, now| member.dht.immutable_get(now, hash));
    assert_eq!(crate::records::outcome(&mut net, 5, id), Outcome::NotFound);
}
