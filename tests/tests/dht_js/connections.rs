//! Connections between our members and genuine ones, end to end: handshake, way, UDX, secret-stream.

use crate::js::Js;
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair};
use corestore_core::entropy::Entropy;
use corestore_core::stream::{SecretStream, Split, StreamEvent};
use corestore_core::time::Instant;
use corestore_peer::swarm::dht_rpc;
use corestore_peer::swarm::hyperdht::{ConnectError, ConnectSettings, Event, Outcome, Path, ServerSettings};
use corestore_peer::swarm::member::{Member, MemberListener, MemberOptions};
use corestore_peer::swarm::wire::Wire;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) fn member(bootstrap: &[SocketAddrV4], seed: u8, change: impl FnOnce(&mut dht_rpc::Config)) -> Member {
    let mut node = dht_rpc::Config { bootstrap: bootstrap[..1].to_vec(), ..dht_rpc::Config::default() };
    change(&mut node);
    let options = MemberOptions { host: Ipv4Addr::LOCALHOST, port: 0, node, ..MemberOptions::default() };
    Member::start(options, [seed; 32]).unwrap()
}

pub(crate) fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

pub(crate) fn hex(seed: u8) -> String {
    format!("{seed:02x}").repeat(32)
}

pub(crate) async fn within<T>(seconds: u64, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), what).await.expect("in time")
}

pub(crate) async fn asked(js: &mut Js, method: &str, args: Value) -> Value {
    let id = js.ask(method, args);
    within(60, async {
        loop {
            if let Some(answer) = js.answer(id) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Says a word over a secret-stream and gives the answer, or hears one and answers in capitals.
pub(crate) async fn talk(mut stream: Wire, word: Option<&str>) -> String {
    let (initiator, split) = (stream.initiator, stream.split.take().unwrap());
    talk_over(stream, initiator, split, word).await
}

/// The same, over any bytes.
pub(crate) async fn talk_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    initiator: bool,
    split: Split,
    word: Option<&str>,
) -> String {
    let mut entropy = Entropy::from_seed([u8::from(initiator); 32]);
    let mut secret = SecretStream::from_split(initiator, split, &mut entropy, Instant::ZERO);
    word.into_iter().for_each(|word| secret.send(word.as_bytes()));
    let mut buffer = [0; 4096];
    let mut heard = None;
    loop {
        while let Some(event) = secret.poll_event() {
            match event {
                StreamEvent::Transmit(bytes) => stream.write_all(&bytes).await.unwrap(),
                StreamEvent::Message(bytes) => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    if word.is_none() {
                        secret.send(text.to_uppercase().as_bytes());
                    }
                    heard = Some(text);
                }
                _ => {}
            }
        }
        if let (Some(heard), true) = (&heard, word.is_some()) {
            return heard.clone();
        }
        match stream.read(&mut buffer).await {
            Ok(length) if length > 0 => {
                secret.handle_bytes(Instant::ZERO, &Bytes::copy_from_slice(&buffer[..length])).unwrap();
            }
            _ => return heard.unwrap_or_default(),
        }
    }
}

/// Answers everybody.
pub(crate) async fn serve(mut listener: MemberListener) {
    while let Some(wire) = listener.accept().await {
        tokio::spawn(talk(wire, None));
    }
}

pub(crate) async fn announced<L>(member: &Member, listen: impl FnOnce() -> L) -> L {
    let mut events = member.events();
    let listener = listen();
    within(20, async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Announced { relays: 1.., .. }) {
                return;
            }
        }
    })
    .await;
    listener
}

pub(crate) fn open(config: &mut dht_rpc::Config) {
    (config.ephemeral, config.firewalled) = (Some(false), false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_ours_reaches_their_servers() {
    let mut js = Js::start(4);
    let ours = member(&js.bootstrap, 1, |_| {});
    within(20, ours.bootstrapped()).await;
    for (seed, options) in [(11, json!({})), (12, json!({ "ephemeral": true, "firewalled": true }))] {
        asked(&mut js, "listen", json!([hex(seed), options])).await;
        let key = pair(seed).public_key();
        let wire = within(30, ours.connect(&pair(1), key, ConnectSettings::default())).await.unwrap();
        assert_eq!(wire.split.as_ref().unwrap().remote, pair(seed).public_key());
        assert_eq!(within(10, talk(wire, Some("hello"))).await, "HELLO");
    }
    let nobody = within(30, ours.connect(&pair(1), pair(99).public_key(), ConnectSettings::default())).await;
    assert_eq!(nobody.unwrap_err(), ConnectError::PeerNotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_ours_is_reached_by_their_clients() {
    let mut js = Js::start(4);
    for (seed, is_open) in [(21, true), (22, false)] {
        let ours = member(&js.bootstrap, seed, |config| {
            if is_open {
                open(config)
            }
        });
        within(20, ours.bootstrapped()).await;
        let listen = || ours.listen(&pair(seed), ServerSettings::default()).unwrap();
        let listener = announced(&ours, listen).await;
        let serving = tokio::spawn(serve(listener));
        let key = pair(seed).public_key().to_string();
        assert_eq!(asked(&mut js, "connect", json!([key, "hello"])).await, json!("HELLO"));
        let hidden = json!({ "node": { "ephemeral": true, "firewalled": true } });
        assert_eq!(asked(&mut js, "connect", json!([key, "again", hidden])).await, json!("AGAIN"));
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_reach_ours_through_their_nodes_also_without_local_addresses() {
    let js = Js::start(4);
    let (server, client) = (member(&js.bootstrap, 31, |_| {}), member(&js.bootstrap, 32, |_| {}));
    within(20, async { tokio::join!(server.bootstrapped(), client.bootstrapped()) }).await;
    let settings = ServerSettings { share_local_addresses: false, ..ServerSettings::default() };
    let listener = announced(&server, || server.listen(&pair(31), settings).unwrap()).await;
    let serving = tokio::spawn(serve(listener));
    for local in [true, false] {
        let settings = ConnectSettings { local, ..ConnectSettings::default() };
        let wire = within(30, client.connect(&pair(32), pair(31).public_key(), settings)).await.unwrap();
        assert_ne!(wire.path, Path::Relayed);
        assert_eq!(within(10, talk(wire, Some("hello"))).await, "HELLO");
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_network_keeps_what_it_was_given_when_a_third_of_it_dies() {
    let mut js = Js::start(6);
    let mut ours = Vec::new();
    for seed in 41..49 {
        let member = member(&js.bootstrap, seed, open);
        within(20, member.bootstrapped()).await;
        ours.push(member);
    }
    let client = member(&js.bootstrap, 50, |_| {});
    within(20, client.bootstrapped()).await;
    let (target, value) = (Hash([5; 32]), Bytes::from_static(b"kept by both kinds"));
    let announced = client.outcome(|dht, now| dht.announce(now, target, &pair(50), Vec::new(), false, 0));
    assert!(matches!(within(20, announced).await, Outcome::Stored { nodes: 10.., .. }));
    let theirs = asked(&mut js, "announce", json!([target.to_string(), hex(51)])).await;
    let put = client.outcome(|dht, now| dht.immutable_put(now, value.clone()));
    let Outcome::Stored { target: hash, nodes: 10.. } = within(20, put).await else { panic!("stored") };
    // They die without a word.
    ours.truncate(3);
    let mut expected = vec![pair(50).public_key().to_string(), theirs.as_str().unwrap().to_owned()];
    expected.sort();
    for _ in 0..2 {
        let mut found = asked(&mut js, "lookup", json!([target.to_string()])).await;
        found.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        assert_eq!(found, json!(expected));
        let mut events = client.operate(|dht, now| dht.lookup(now, target));
        let mut named = Vec::new();
        while let Some(event) = within(60, events.recv()).await {
            if let Event::Peers { peers, .. } = event {
                named.extend(peers.into_iter().map(|peer| peer.public_key.to_string()));
            }
        }
        named.sort();
        named.dedup();
        assert_eq!(named, expected);
    }
    let got = asked(&mut js, "immutableGet", json!([hash.to_string()])).await;
    assert_eq!(got, json!(value.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    let got = client.outcome(|dht, now| dht.immutable_get(now, hash));
    assert_eq!(within(60, got).await, Outcome::Value { value, seq: 0 });
}
