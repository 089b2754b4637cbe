//! Clients that keep the rules.

use crate::relay_client::RelayClient;
use bytes::Bytes;
use corestore_core::crypto::{KeyPair, PublicKey, blake2b};
use futures_util::stream::{self, StreamExt};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

/// What the active clients saw.
#[derive(Clone, Default)]
pub(crate) struct Times(Arc<Mutex<Seen>>);

#[derive(Default)]
pub(crate) struct Seen {
    /// From sending to the last byte of the answer.
    pub(crate) answers: Vec<Duration>,
    /// How late the clients' own process was to send.
    pub(crate) late: Vec<Duration>,
}

impl Times {
    /// What was seen since the last time.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Connects clients; each address has its fair share of them.
pub(crate) async fn connect(to: SocketAddr, numbers: std::ops::Range<usize>) -> Vec<RelayClient> {
    let one = |number| async move {
        for _ in 0..50 {
            match RelayClient::connect(to, home(number), pair(number)).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
        panic!("client {number} was not let in");
    };
    stream::iter(numbers).map(one).buffer_unordered(64).collect().await
}

/// Answers pings.
pub(crate) async fn keep(mut client: RelayClient) {
    while client.hear().await.is_ok() {}
}

/// Connects every client to the peer, then has each send bytes and wait for them at its own moment of every period.
pub(crate) async fn work(clients: Vec<RelayClient>, peer: PublicKey, times: &Times, tasks: &mut JoinSet<()>) {
    let opened = stream::iter(clients).map(|mut client| async move {
        let stream = client.open(peer).await.unwrap();
        (client, stream)
    });
    let opened: Vec<_> = opened.buffer_unordered(64).collect().await;
    let (count, begun) = (u32::try_from(opened.len()).unwrap(), tokio::time::Instant::now());
    for (number, (mut client, stream)) in (0..).zip(opened) {
        let times = times.clone();
        tasks.spawn(async move {
            let mut next = begun + PERIOD * number / count;
            loop {
                // Pings are answered meanwhile.
                while timeout_at(next, client.hear()).await.is_ok() {}
                let late = next.elapsed();
                let sent = Instant::now();
                client.echo(&stream, Bytes::from_static(&[5; 256])).await.unwrap();
                let mut seen = times.0.lock().unwrap();
                seen.answers.push(sent.elapsed());
                seen.late.push(late);
                drop(seen);
                next = (next + PERIOD).max(tokio::time::Instant::now());
            }
        });
    }
}

fn home(number: usize) -> Ipv4Addr {
    let house = u32::try_from(number / 60).unwrap();
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + house)
}

pub(crate) fn pair(number: usize) -> KeyPair {
    KeyPair::from_seed(&blake2b(&[&number.to_le_bytes()]).0)
}

const PERIOD: Duration = Duration::from_millis(200);
