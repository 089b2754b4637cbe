//! Blind relays, ours and genuine ones, between peers of both kinds that punch no holes.

use crate::connections::{announced, asked, hex, member, open, pair, serve, talk, within};
use crate::js::Js;
use corestore_peer::swarm::hyperdht::{ConnectSettings, Path, ServerSettings};
use corestore_peer::swarm::member::Member;
use corestore_peer::swarm::relay_server::RelayServer;
use corestore_peer::swarm::{blind_relay, dht_rpc};
use serde_json::{Value, json};
use std::net::SocketAddrV4;

/// A node of theirs that stays behind its firewall.
fn hidden() -> Value {
    json!({ "ephemeral": true, "firewalled": true, "quickFirewall": false })
}

/// A member of ours that does.
fn behind(config: &mut dht_rpc::Config) {
    config.quick_check = false;
}

fn no_way_in() -> ServerSettings {
    ServerSettings { holepunch: false, share_local_addresses: false, ..ServerSettings::default() }
}

fn through(seed: u8) -> ConnectSettings {
    ConnectSettings { local: false, relay_through: Some(pair(seed).public_key()), ..ConnectSettings::default() }
}

/// Our relay under the key of this number, once others find it.
async fn our_relay(bootstrap: &[SocketAddrV4], seed: u8) -> (Member, RelayServer) {
    let host = member(bootstrap, seed, open);
    within(20, host.bootstrapped()).await;
    let relay = RelayServer::start(&host, &pair(seed), blind_relay::Config::default()).unwrap();
    (host, relay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_peers_meet_at_a_relay_of_ours() {
    let mut js = Js::start(4);
    let (_host, relay) = our_relay(&js.bootstrap, 61).await;
    let hidden = hidden();
    asked(&mut js, "listen", json!([hex(62), hidden, { "holepunch": false, "shareLocalAddress": false }])).await;
    let connect = json!({ "relayThrough": relay.public_key().to_string(), "localConnection": false });
    let options = json!({ "node": hidden, "connect": connect, "punch": false });
    let key = pair(62).public_key().to_string();
    assert_eq!(asked(&mut js, "connect", json!([key, "hello", options])).await, json!("HELLO"));
    assert_eq!(relay.stats().met, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_meet_at_a_relay_of_theirs() {
    let mut js = Js::start(4);
    asked(&mut js, "relay", json!([hex(63)])).await;
    let (server, client) = (member(&js.bootstrap, 64, behind), member(&js.bootstrap, 65, behind));
    within(20, async { tokio::join!(server.bootstrapped(), client.bootstrapped()) }).await;
    let listener = announced(&server, || server.listen(&pair(64), no_way_in()).unwrap()).await;
    let serving = tokio::spawn(serve(listener));
    let wire = within(30, client.connect(&pair(65), pair(64).public_key(), through(63))).await.unwrap();
    assert_eq!(wire.path, Path::Relayed);
    assert_eq!(within(10, talk(wire, Some("hello"))).await, "HELLO");
    assert_eq!(asked(&mut js, "relayed", json!([hex(63)])).await, json!(1));
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_and_theirs_meet_at_a_relay_of_ours_whoever_calls() {
    let mut js = Js::start(4);
    let (_host, relay) = our_relay(&js.bootstrap, 71).await;
    let hidden = hidden();
    let ours = member(&js.bootstrap, 72, behind);
    within(20, ours.bootstrapped()).await;
    // The one who is called names the relay.
    let named =
        json!({ "holepunch": false, "shareLocalAddress": false, "relayThrough": relay.public_key().to_string() });
    asked(&mut js, "listen", json!([hex(73), hidden, named])).await;
    let settings = ConnectSettings { local: false, ..ConnectSettings::default() };
    let wire = within(30, ours.connect(&pair(72), pair(73).public_key(), settings)).await.unwrap();
    assert_eq!(wire.path, Path::Relayed);
    assert_eq!(within(10, talk(wire, Some("hello"))).await, "HELLO");

    let settings = ServerSettings { relay_through: Some(relay.public_key()), ..no_way_in() };
    let listener = announced(&ours, || ours.listen(&pair(72), settings).unwrap()).await;
    let serving = tokio::spawn(serve(listener));
    let options = json!({ "node": hidden, "connect": { "localConnection": false }, "punch": false });
    let key = pair(72).public_key().to_string();
    assert_eq!(asked(&mut js, "connect", json!([key, "again", options])).await, json!("AGAIN"));
    assert_eq!(relay.stats().met, 2);
    serving.abort();
}
