//! Readers as a page has them, without the page: `relay_client` over a WebSocket, and a store each.

use crate::content;
use crate::counted::Sent;
use crate::peer::end_of_input;
use bytes::Bytes;
use corestore_core::corestore::Role;
use corestore_core::crypto::{Hash, KeyPair};
use corestore_core::hyperswarm::{JoinOptions, LinkId};
use corestore_core::relay_client::{Config, RelayedSwarm, SwarmOutput, page_swarm};
use corestore_core::stream::Split;
use corestore_core::time::Instant;
use corestore_peer::{CoreOptions, Corestore, Options, keys};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub(crate) async fn read(arguments: &[&str]) {
    let [url, count, key, blocks] = arguments else { panic!("{arguments:?}") };
    println!("{}", json!({}));
    let (key, blocks) = (keys::parse_core_key(key).unwrap(), blocks.parse().unwrap());
    let (sent, mut readers) = (Sent::default(), JoinSet::new());
    let begun = std::time::Instant::now();
    let mut swarms = JoinSet::new();
    for _ in 0..count.parse().unwrap() {
        let store = Corestore::in_memory(&Options::default()).unwrap();
        let core = store.get(CoreOptions::key(key)).await.unwrap();
        let browser = Browser::new(url, store, Hash(core.discovery_key().0), sent.clone()).await;
        swarms.spawn(browser.run());
        readers.spawn(async move {
            let digest = content::read(&core, blocks).await;
            println!("{}", json!({ "digest": digest.to_string(), "seconds": begun.elapsed().as_secs_f64() }));
            core
        });
    }
    let _cores = readers.join_all().await;
    end_of_input().await;
    println!("{}", json!({ "sent": sent.megabytes() }));
}

/// The driver of one reader's swarm. It holds no protocol.
struct Browser {
    socket: Socket,
    store: Corestore,
    machine: RelayedSwarm,
    epoch: std::time::Instant,
    /// Bytes for the store's connections.
    links: BTreeMap<LinkId, mpsc::UnboundedSender<Bytes>>,
    said: mpsc::Receiver<(LinkId, Bytes)>,
    say: mpsc::Sender<(LinkId, Bytes)>,
    sent: Sent,
}

impl Browser {
    async fn new(url: &str, store: Corestore, topic: Hash, sent: Sent) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let [mut identity, mut seed] = [[0; 32]; 2];
        getrandom::fill(&mut identity).and_then(|()| getrandom::fill(&mut seed)).unwrap();
        let mut machine = RelayedSwarm::new(Config::default(), page_swarm(), KeyPair::from_seed(&identity), seed);
        machine.join(Instant::ZERO, topic, JoinOptions::default());
        machine.relay_opened(Instant::ZERO);
        let (say, said) = mpsc::channel(64);
        let (epoch, links) = (std::time::Instant::now(), BTreeMap::new());
        Self { socket, store, machine, epoch, links, said, say, sent }
    }

    async fn run(mut self) {
        while self.flush().await {
            let now = self.now();
            let sleep = self.machine.deadline().map_or(HOUR, |at| at.since(now));
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => self.machine.handle_message(self.now(), &bytes).unwrap(),
                    Some(Ok(_)) => {}
                    other => panic!("the gateway went away: {other:?}"),
                },
                word = self.said.recv() => {
                    let (link, bytes) = word.unwrap();
                    match bytes.is_empty() {
                        true => self.machine.close(self.now(), link),
                        false => {
                            self.sent.add(bytes.len());
                            self.machine.send(link, &bytes);
                        }
                    }
                }
                () = tokio::time::sleep(sleep) => self.machine.handle_deadline(self.now()).unwrap(),
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap())
    }

    /// False when the gateway takes nothing any more.
    async fn flush(&mut self) -> bool {
        while let Some(output) = self.machine.poll_output() {
            match output {
                SwarmOutput::Transmit(bytes) => {
                    if self.socket.send(Message::Binary(bytes)).await.is_err() {
                        return false;
                    }
                }
                SwarmOutput::Connected { link, initiator, split, .. } => self.connected(link, initiator, *split),
                SwarmOutput::Data { link, bytes } => {
                    let _ = self.links.get(&link).map(|link| link.send(bytes));
                }
                SwarmOutput::Closed { link, .. } => drop(self.links.remove(&link)),
            }
        }
        true
    }

    fn connected(&mut self, link: LinkId, initiator: bool, split: Split) {
        let (ours, theirs) = tokio::io::duplex(256 << 10);
        let role = if initiator { Role::Initiator } else { Role::Responder };
        self.store.replicate_split(ours, role, split).unwrap();
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let (sender, mut received) = mpsc::unbounded_channel::<Bytes>();
        self.links.insert(link, sender);
        tokio::spawn(async move {
            while let Some(bytes) = received.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = writer.shutdown().await;
        });
        let say = self.say.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            // The empty word tells the end.
            while let Ok(length) = reader.read(&mut buffer).await {
                let told = say.send((link, Bytes::copy_from_slice(&buffer[..length]))).await;
                if told.is_err() || length == 0 {
                    return;
                }
            }
        });
    }
}

const HOUR: Duration = Duration::from_secs(3600);
