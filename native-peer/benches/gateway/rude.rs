//! Clients that do harm, if they can.

use crate::honest::pair;
use crate::relay_client::RelayClient;
use bytes::Bytes;
use corestore_core::crypto::{PublicKey, blake2b};
use corestore_core::dht::DhtRelayMessage as Message;
use futures_util::SinkExt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message as Frame;

/// Sends noise, is shown out, and comes again: noise in the place of a frame, of a control message, of a message.
pub(crate) async fn garbage(to: SocketAddr) {
    for number in 0..100_000_usize {
        if let Ok(mut client) = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 1), pair(number)).await {
            let head: &[u8] = [&[0xff, 0xff][..], &[0, 1], &[1, 10, 0]][number % 3];
            let noise = Bytes::from([head, &blake2b(&[&number.to_le_bytes()]).0[..]].concat());
            let _ = client.socket.send(Frame::Binary(noise)).await;
            while client.hear().await.is_ok() {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks and connects as often as it can.
pub(crate) async fn greedy(to: SocketAddr) {
    let mut client = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 4), pair(3)).await.unwrap();
    let key = client.key.public_key();
    for number in 0..u32::MAX {
        let topic = blake2b(&[&number.to_le_bytes()]);
        let asked = client.send(&Message::Lookup { id: number, topic }).await;
        let connect = Message::Connect { alias: number, public_key: key, remote_public_key: PublicKey(topic.0) };
        if asked.is_err() || client.send(&connect).await.is_err() {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_millis(1), client.hear()).await;
    }
}

/// Sends as much as it can, and reads what comes back.
pub(crate) async fn flood(to: SocketAddr, peer: PublicKey) {
    let mut client = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 2), pair(1)).await.unwrap();
    let stream = client.open(peer).await.unwrap();
    let bytes = Bytes::from(vec![1; 64 << 10]);
    while client.send(&Message::Data { alias: stream.ours, data: vec![bytes.clone()] }).await.is_ok() {
        let _ = tokio::time::timeout(Duration::from_millis(1), client.hear()).await;
    }
}

/// Asks for much, and reads nothing; when it is given up, it comes again.
pub(crate) async fn slow(to: SocketAddr, peer: PublicKey) {
    for number in 0..100 {
        let mut client = RelayClient::connect(to, Ipv4Addr::new(127, 9, 0, 3), pair(100 + number)).await.unwrap();
        let stream = client.open(peer).await.unwrap();
        let bytes = Bytes::from(vec![1; 64 << 10]);
        while client.send(&Message::Data { alias: stream.ours, data: vec![bytes.clone()] }).await.is_ok() {}
    }
}
