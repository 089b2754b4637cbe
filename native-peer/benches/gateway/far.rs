//! The far side, a process of its own: a private network, a peer that sends everything back or pours when it is asked
//! to, and the same where no way leads but a blind relay.

use corestore_core::crypto::{KeyPair, PublicKey};
use corestore_peer::swarm::dht_rpc::Config;
use corestore_peer::swarm::hyperdht::{Event, ServerSettings};
use corestore_peer::swarm::member::{Member, MemberOptions};
use corestore_peer::swarm::wire::Wire;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says where it is in one line of JSON, and runs until its input ends.
pub(crate) async fn run() {
    let (nodes, members) = network().await;
    let texts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let open = Config { bootstrap: nodes.clone(), ..Config::default() };
    let hidden = Config { bootstrap: nodes, quick_check: false, ..Config::default() };
    let closed = ServerSettings { holepunch: false, share_local_addresses: false, ..ServerSettings::default() };
    let (open, peer) = serve(open, 7, ServerSettings::default()).await;
    let (hidden, hidden_peer) = serve(hidden, 8, closed).await;
    let first = serde_json::json!({
        "nodes": texts.join(","), "peer": peer.to_string(), "hidden": hidden_peer.to_string(),
    });
    println!("{first}");
    let over = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let _ = over.await;
    drop((members, open, hidden));
}

async fn serve(node: Config, seed: u8, settings: ServerSettings) -> (Member, PublicKey) {
    let options = MemberOptions { host: Ipv4Addr::LOCALHOST, port: 0, node, ..MemberOptions::default() };
    let member = Member::start(options, [seed + 70; 32]).unwrap();
    member.bootstrapped().await;
    let pair = KeyPair::from_seed(&[seed; 32]);
    let mut events = member.events();
    let mut listener = member.listen(&pair, settings).unwrap();
    while !matches!(events.recv().await, Some(Event::Announced { relays: 1.., .. })) {}
    tokio::spawn(async move {
        while let Some(wire) = listener.accept().await {
            tokio::spawn(answer(wire));
        }
    });
    (member, pair.public_key())
}

/// Sends back what comes, or as many bytes as are asked for first.
async fn answer(mut wire: Wire) -> std::io::Result<()> {
    let first = wire.read_u8().await?;
    if first == ASK {
        let count = wire.read_u64_le().await?;
        tokio::io::copy(&mut tokio::io::repeat(1).take(count), &mut wire).await?;
        // Who asked closes.
        let _ = wire.read_u8().await;
        return Ok(());
    }
    wire.write_all(&[first]).await?;
    let (mut reader, mut writer) = tokio::io::split(wire);
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
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

/// The first byte of who wants to be poured to; the count follows.
pub(crate) const ASK: u8 = 0xff;
