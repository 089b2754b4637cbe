//! The far side, a process of its own: a private network, and a peer that sends everything back.

use corestore_core::crypto::KeyPair;
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperdht::{Event, ServerSettings};
use corestore_peer::swarm::member::{Member, MemberOptions};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

/// Says where it is in one line of JSON, and runs until its input ends.
pub(crate) async fn run() {
    let (nodes, members) = network().await;
    let texts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let node = Config { bootstrap: nodes, ..Config::default() };
    let options = MemberOptions { host: Ipv4Addr::LOCALHOST, node, ..MemberOptions::default() };
    let peer = Member::start(options, [77; 32]).unwrap();
    peer.bootstrapped().await;
    let pair = KeyPair::from_seed(&[7; 32]);
    let mut events = peer.events();
    let mut listener = peer.listen(&pair, ServerSettings::default()).unwrap();
    while !matches!(events.recv().await, Some(Event::Announced { relays: 1.., .. })) {}
    tokio::spawn(async move {
        while let Some(wire) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(wire);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    println!("{}", serde_json::json!({ "nodes": texts.join(","), "peer": pair.public_key().to_string() }));
    let over = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let _ = over.await;
    drop(members);
}

async fn network() -> (Vec<SocketAddrV4>, Vec<Member>) {
    let (mut nodes, mut members) = (Vec::new(), Vec::new());
    for number in 0..4_u8 {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let node = Config { bootstrap: nodes.first().copied().into_iter().collect(), ..Config::bootstrapper(address) };
        let options = MemberOptions { host: Ipv4Addr::LOCALHOST, port, node, ..MemberOptions::default() };
        let member = Member::start(options, [number; 32]).unwrap();
        member.bootstrapped().await;
        nodes.push(address);
        members.push(member);
    }
    (nodes, members)
}
