//! Forty nodes of both kinds, a third of which is replaced each minute while both sides announce, put, look up and get.
//! `CORESTORE_CHURN=MINUTES` runs it at that pace for so long; otherwise one round is made in haste.

use crate::connections::{asked, hex, member, open, pair, within};
use crate::js::Js;
use bytes::Bytes;
use corestore_core::crypto::{Hash, blake2b};
use corestore_peer::swarm::hyperdht::{Event, Outcome};
use corestore_peer::swarm::member::Member;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const EACH: usize = 20;
/// A third of forty, of each kind.
const REPLACED: usize = 7;

struct Network {
    theirs: Vec<u64>,
    ours: Vec<Member>,
    client: Member,
    /// Questions to the JS side whose answer is the port of a node that comes.
    coming: Vec<u64>,
    seed: u8,
    replaced: usize,
    tried: usize,
    good: usize,
    /// Ends last.
    js: Js,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lookups_across_kinds_outlast_the_loss_of_a_third_each_minute() {
    let minutes: usize = std::env::var("CORESTORE_CHURN").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let step = Duration::from_millis(if minutes == 0 { 100 } else { 60_000 / u64::try_from(REPLACED).unwrap() });
    let mut network = Network::start().await;
    let began = Instant::now();
    // A step that took too long is caught up with.
    let mut steps = tokio::time::interval(step);
    for minute in 0..minutes.max(1) {
        let told = network.tell(minute).await;
        for _ in 0..REPLACED {
            steps.tick().await;
            network.replace_two();
            if minutes > 0 {
                network.find(minute, &told).await;
            }
        }
        if minutes == 0 {
            network.find(minute, &told).await;
        }
        let Network { good, tried, replaced, .. } = network;
        println!("minute {minute}: {good} of {tried} found, {replaced} nodes replaced in {:?}", began.elapsed());
    }
    network.settle().await;
    assert!(network.good * 100 >= network.tried * 99, "{} of {}", network.good, network.tried);
}

impl Network {
    async fn start() -> Self {
        let mut js = Js::start_alone(1);
        let mut theirs = Vec::new();
        for _ in 1..EACH {
            theirs.push(asked(&mut js, "grow", json!([])).await.as_u64().unwrap());
        }
        let client = member(&js.bootstrap, 200, |_| {});
        within(20, client.bootstrapped()).await;
        let (ours, coming) = (Vec::new(), Vec::new());
        let mut network = Self { js, theirs, ours, client, coming, seed: 0, replaced: 0, tried: 0, good: 0 };
        for _ in 0..EACH {
            network.grow();
            within(20, network.ours.last().unwrap().bootstrapped()).await;
        }
        network
    }

    fn grow(&mut self) {
        self.seed = self.seed.wrapping_add(1);
        self.ours.push(member(&self.js.bootstrap, self.seed, open));
    }

    /// One node of each kind dies, and another comes; nobody waits until it knows its way.
    fn replace_two(&mut self) {
        self.welcome();
        drop(self.ours.remove(0));
        self.grow();
        let port = self.theirs.remove(0);
        self.js.ask("kill", json!([port]));
        self.coming.push(self.js.ask("grow", json!([])));
        self.replaced += 2;
    }

    fn welcome(&mut self) {
        let (js, theirs) = (&mut self.js, &mut self.theirs);
        self.coming.retain(|id| match js.answer(*id) {
            Some(port) => {
                theirs.push(port.as_u64().unwrap());
                false
            }
            None => true,
        });
    }

    /// Every node that was to come has come.
    async fn settle(&mut self) {
        within(60, async {
            while !self.coming.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.welcome();
            }
        })
        .await;
        assert_eq!((self.theirs.len(), self.ours.len()), (EACH - 1, EACH));
        for member in &self.ours {
            within(30, member.bootstrapped()).await;
        }
    }

    /// Each side announces itself, and keeps a plain and a signed value; the hashes of the plain ones.
    async fn tell(&mut self, round: usize) -> [Hash; 2] {
        let topic = topic(round);
        let announced = self.client.outcome(|dht, now| dht.announce(now, topic, &pair(201), Vec::new(), false, 0));
        assert!(matches!(within(30, announced).await, Outcome::Stored { nodes: 10.., .. }));
        asked(&mut self.js, "announce", json!([topic.to_string(), hex(202)])).await;
        let value = Bytes::from(format!("ours {round}"));
        let put = self.client.outcome(|dht, now| dht.immutable_put(now, value));
        let Outcome::Stored { target: ours, .. } = within(30, put).await else { panic!("stored") };
        let seq = u64::try_from(round).unwrap() + 1;
        let value = Bytes::from(format!("signed {round}"));
        within(30, self.client.outcome(|dht, now| dht.mutable_put(now, &pair(203), seq, value))).await;
        let text: String = format!("theirs {round}").bytes().map(|byte| format!("{byte:02x}")).collect();
        let theirs = blake2b(&[format!("theirs {round}").as_bytes()]);
        let put = asked(&mut self.js, "immutablePut", json!([text])).await;
        assert_eq!(put, json!(theirs.to_string()));
        asked(&mut self.js, "mutablePut", json!([hex(204), text, seq])).await;
        [ours, theirs]
    }

    /// Each side looks for everything.
    async fn find(&mut self, round: usize, [ours, theirs]: &[Hash; 2]) {
        let both = [pair(201).public_key().to_string(), pair(202).public_key().to_string()];
        let named = asked(&mut self.js, "lookup", json!([topic(round).to_string()])).await;
        let named: Vec<String> = named.as_array().unwrap().iter().map(|key| key.as_str().unwrap().into()).collect();
        self.count(both.iter().all(|key| named.contains(key)));
        let named = self.looked_up(topic(round)).await;
        self.count(both.iter().all(|key| named.contains(key)));
        let got = asked(&mut self.js, "immutableGet", json!([ours.to_string()])).await;
        self.count(got != Value::Null);
        let hash = *theirs;
        let got = within(60, self.client.outcome(|dht, now| dht.immutable_get(now, hash))).await;
        self.count(matches!(got, Outcome::Value { .. }));
        let got = asked(&mut self.js, "mutableGet", json!([pair(203).public_key().to_string()])).await;
        self.count(got["seq"] == json!(round + 1));
        let (key, newest) = (pair(204).public_key(), u64::try_from(round).unwrap() + 1);
        let got = within(60, self.client.outcome(|dht, now| dht.mutable_get(now, key, 0, true))).await;
        self.count(matches!(got, Outcome::Value { seq, .. } if seq == newest));
    }

    async fn looked_up(&self, topic: Hash) -> Vec<String> {
        let mut events = self.client.operate(|dht, now| dht.lookup(now, topic));
        let mut named = Vec::new();
        while let Some(event) = within(60, events.recv()).await {
            if let Event::Peers { peers, .. } = event {
                named.extend(peers.into_iter().map(|peer| peer.public_key.to_string()));
            }
        }
        named
    }

    fn count(&mut self, good: bool) {
        self.tried += 1;
        self.good += usize::from(good);
    }
}

fn topic(round: usize) -> Hash {
    blake2b(&[b"churn", &round.to_le_bytes()])
}
