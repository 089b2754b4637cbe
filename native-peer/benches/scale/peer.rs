//! A native peer: the writer, or a reader that stays to serve.

use crate::content;
use crate::counted::{Counted, Sent};
use corestore_core::corestore::Role;
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperswarm::JoinOptions;
use corestore_peer::swarm::member::MemberOptions;
use corestore_peer::swarm::{Connections, Swarm, SwarmOptions};
use corestore_peer::{CoreOptions, Corestore, DiscoveryKey, Options, keys};
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::Instant;

pub(crate) async fn write(arguments: &[&str]) {
    let [nodes, blocks] = arguments else { panic!("{arguments:?}") };
    let store = Corestore::in_memory(&Options::default()).unwrap();
    let core = store.get("core").await.unwrap();
    let blocks: u64 = blocks.parse().unwrap();
    for number in 0..blocks {
        core.append(content::block(number)).await.unwrap();
    }
    let peer = Peer::join(store, core.discovery_key(), nodes);
    peer.swarm.flush().await;
    println!("{}", json!({ "key": core.key().to_string(), "digest": content::digest(blocks).to_string() }));
    peer.serve().await;
}

pub(crate) async fn read(arguments: &[&str]) {
    let [nodes, key, blocks] = arguments else { panic!("{arguments:?}") };
    println!("{}", json!({}));
    let begun = Instant::now();
    let store = Corestore::in_memory(&Options::default()).unwrap();
    let core = store.get(CoreOptions::key(keys::parse_core_key(key).unwrap())).await.unwrap();
    let peer = Peer::join(store, core.discovery_key(), nodes);
    let digest = content::read(&core, blocks.parse().unwrap()).await;
    println!("{}", json!({ "digest": digest.to_string(), "seconds": begun.elapsed().as_secs_f64() }));
    peer.serve().await;
}

struct Peer {
    swarm: Swarm,
    sent: Sent,
}

impl Peer {
    fn join(store: Corestore, core: DiscoveryKey, nodes: &str) -> Self {
        let bootstrap = nodes.split(',').map(|node| node.parse().unwrap()).collect();
        let node = Config { bootstrap, ..Config::default() };
        let member = MemberOptions { host: Ipv4Addr::LOCALHOST, port: 0, node, ..MemberOptions::default() };
        let (swarm, connections) = Swarm::start(SwarmOptions { member, ..SwarmOptions::default() }).unwrap();
        let sent = Sent::default();
        tokio::spawn(replicate(store, connections, sent.clone()));
        swarm.join(core, JoinOptions::default());
        Self { swarm, sent }
    }

    /// Serves until standard input ends, then reports.
    async fn serve(self) {
        end_of_input().await;
        let stats = self.swarm.stats().await;
        let report = json!({
            "sent": self.sent.megabytes(),
            "connections": stats.swarm.connections,
            "queries": stats.node.queries,
            "requests": stats.node.requests,
        });
        println!("{report}");
    }
}

async fn replicate(store: Corestore, mut connections: Connections, sent: Sent) {
    while let Some(connection) = connections.next().await {
        let mut wire = connection.wire;
        let role = if wire.initiator { Role::Initiator } else { Role::Responder };
        let split = wire.split.take().unwrap();
        store.replicate_split(Counted(wire, sent.clone()), role, split).unwrap();
    }
}

pub(crate) async fn end_of_input() {
    let over = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let _ = over.await;
}
