//! The machine: topics and peers as the user wants them, and time. Finding them is in `discovery.rs`, calling them in
//! `dialling.rs`, connections are in `links.rs`.

use super::config::Config;
use super::links::Link;
use super::nearby::Neighbourhood;
use super::output::{LinkId, Output, Status};
use super::peer::{Peer, Priority};
use super::topic::{JoinOptions, Topic};
use crate::crypto::{Hash, PublicKey};
use crate::entropy::Entropy;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// One swarm. Tell it what happens, then do what [`Hyperswarm::poll_output`] says, and come back at
/// [`Hyperswarm::deadline`]. It never has two connections to one peer.
#[derive(Debug)]
pub struct Hyperswarm {
    pub(super) config: Config,
    pub(super) own: PublicKey,
    pub(super) entropy: Entropy,
    pub(super) topics: BTreeMap<Hash, Topic>,
    pub(super) peers: BTreeMap<PublicKey, Peer>,
    pub(super) links: BTreeMap<PublicKey, Link>,
    pub(super) by_link: BTreeMap<LinkId, PublicKey>,
    pub(super) queue: BTreeMap<(Priority, u64), PublicKey>,
    pub(super) retries: BTreeSet<(Instant, PublicKey)>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) last_link: u64,
    pub(super) suspended: bool,
    pub(super) neighbourhood: Neighbourhood,
}

impl Hyperswarm {
    /// A swarm of the peer with the key `own`; `seed` is 32 fresh random bytes.
    pub fn new(config: Config, own: PublicKey, seed: [u8; 32]) -> Self {
        Self {
            neighbourhood: Neighbourhood::new(&config),
            config,
            own,
            entropy: Entropy::from_seed(seed),
            topics: BTreeMap::new(),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            by_link: BTreeMap::new(),
            queue: BTreeMap::new(),
            retries: BTreeSet::new(),
            outputs: VecDeque::new(),
            last_link: 0,
            suspended: false,
        }
    }

    /// Joins a topic, or joins it in another way.
    pub fn join(&mut self, topic: Hash, options: JoinOptions) {
        let joined = self.topics.entry(topic).or_insert_with(|| Topic::new(options));
        joined.options = options;
        let unannounce = joined.announced && !options.server;
        if unannounce {
            joined.announced = false;
            self.outputs.push_back(Output::Unannounce(topic));
        }
        self.refresh(topic);
        self.tell_nearby();
        self.neighbourhood.keys().into_iter().for_each(|key| self.meet_nearby(key));
    }

    /// Leaves a topic. Connections stay; lost ones are not made again.
    pub fn leave(&mut self, topic: Hash) {
        let Some(left) = self.topics.remove(&topic) else { return };
        if left.announced {
            self.outputs.push_back(Output::Unannounce(topic));
        }
        for peer in self.peers.values_mut() {
            peer.topics.remove(&topic);
        }
        self.forget_idle();
        self.tell_nearby();
    }

    /// Keeps a connection to this peer, whatever its topics.
    pub fn join_peer(&mut self, key: PublicKey) {
        if key != self.own {
            self.peers.entry(key).or_insert_with(Peer::new).explicit = true;
            self.enqueue(key);
            self.dial();
        }
    }

    /// Ends what [`Hyperswarm::join_peer`] began; a connection stays.
    pub fn leave_peer(&mut self, key: &PublicKey) {
        self.peers.get_mut(key).into_iter().for_each(|peer| peer.explicit = false);
        self.forget_idle();
    }

    /// Has nothing to do with this peer, or has again.
    pub fn ban(&mut self, key: PublicKey, banned: bool) {
        self.peers.entry(key).or_insert_with(Peer::new).banned = banned;
        if banned {
            self.unqueue(&key);
            if let Some(link) = self.links.get(&key).map(|link| link.id) {
                self.outputs.push_back(Output::Close(link));
                self.unlink(link);
            }
            self.dial();
        }
        self.forget_idle();
    }

    /// Ends every connection and is silent until [`Hyperswarm::resume`].
    pub fn suspend(&mut self) {
        self.suspended = true;
        let announced: Vec<Hash> = self.topics.iter().filter(|(_, topic)| topic.announced).map(|(id, _)| *id).collect();
        for topic in self.topics.values_mut() {
            (topic.refreshing, topic.again, topic.announced, topic.refresh_at) = (false, false, false, None);
        }
        self.outputs.extend(announced.into_iter().map(Output::Unannounce));
        self.outputs.extend(self.by_link.keys().copied().map(Output::Close));
        self.by_link.clear();
        self.links.clear();
        self.queue.clear();
        self.retries.clear();
        for peer in self.peers.values_mut() {
            (peer.queued, peer.retry_at) = (None, None);
        }
        self.forget_idle();
        self.tell_nearby();
    }

    /// Goes on.
    pub fn resume(&mut self) {
        self.suspended = false;
        self.refresh_all();
        let explicit = self.peers.iter().filter(|(_, peer)| peer.explicit).map(|(key, _)| *key);
        explicit.collect::<Vec<_>>().into_iter().for_each(|key| self.enqueue(key));
        self.dial();
        self.tell_nearby();
        self.neighbourhood.keys().into_iter().for_each(|key| self.meet_nearby(key));
    }

    /// Does what is due at `now`.
    pub fn handle_deadline(&mut self, now: Instant) {
        while let Some((at, key)) = self.retries.first().copied().filter(|(at, _)| *at <= now) {
            self.retries.remove(&(at, key));
            self.peers.get_mut(&key).into_iter().for_each(|peer| peer.retry_at = None);
            if !self.links.contains_key(&key) {
                self.enqueue(key);
            }
        }
        let due = self.topics.iter().filter(|(_, topic)| topic.refresh_at.is_some_and(|at| at <= now));
        due.map(|(topic, _)| *topic).collect::<Vec<_>>().into_iter().for_each(|topic| self.refresh(topic));
        self.forget_idle();
        self.dial();
    }

    /// When [`Hyperswarm::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let retry = self.retries.first().map(|(at, _)| *at);
        self.topics.values().filter_map(|topic| topic.refresh_at).chain(retry).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Figures of this moment.
    pub fn status(&self) -> Status {
        let connections = self.links.values().filter(|link| link.open.is_some()).count();
        let connecting = self.links.len().saturating_sub(connections);
        let refreshing = self.topics.values().any(|topic| topic.refreshing);
        let full = self.links.len() >= self.config.max_peers;
        Status {
            topics: self.topics.len(),
            connections,
            connecting,
            queued: self.queue.len(),
            known: self.peers.len(),
            settled: !refreshing && connecting == 0 && (self.queue.is_empty() || full),
        }
    }

    /// Topics under which a peer was found.
    pub fn topics_of(&self, key: &PublicKey) -> Vec<Hash> {
        self.peers.get(key).map(|peer| peer.topics.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn forget_idle(&mut self) {
        let links = &self.links;
        self.peers.retain(|key, peer| !peer.is_idle() || links.contains_key(key));
    }

    pub(super) fn chance(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.entropy.u64() % micros)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::dht::PeerRecord;

    pub(in crate::hyperswarm) const TOPIC: Hash = Hash([7; 32]);

    pub(in crate::hyperswarm) fn swarm(own: u8) -> Hyperswarm {
        let mut swarm = Hyperswarm::new(Config::default(), PublicKey([own; 32]), [own; 32]);
        swarm.join(TOPIC, JoinOptions::default());
        assert_eq!(swarm.poll_output(), Some(Output::Announce(TOPIC)));
        swarm
    }

    pub(in crate::hyperswarm) fn record(key: u8) -> PeerRecord {
        PeerRecord { public_key: PublicKey([key; 32]), relay_addresses: Vec::new() }
    }

    pub(in crate::hyperswarm) fn dialled(swarm: &mut Hyperswarm) -> Vec<(LinkId, u8)> {
        let mut links = Vec::new();
        while let Some(output) = swarm.poll_output() {
            if let Output::Connect { link, peer, .. } = output {
                links.push((link, peer.0[0]));
            }
        }
        links
    }
}
