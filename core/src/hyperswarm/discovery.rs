//! Finding peers: topics looked up, announced and refreshed, and what the local network tells.

use super::machine::Hyperswarm;
use super::nearby::{Nearby, Tag};
use super::output::Output;
use super::peer::Peer;
use crate::crypto::{Hash, PublicKey};
use crate::dht::PeerRecord;
use crate::time::Instant;
use alloc::vec::Vec;

impl Hyperswarm {
    /// Looks every topic up again: the network changed.
    pub fn refresh_all(&mut self) {
        self.topics.keys().copied().collect::<Vec<_>>().into_iter().for_each(|topic| self.refresh(topic));
    }

    /// A lookup of the topic named peers.
    pub fn found(&mut self, topic: Hash, records: Vec<PeerRecord>) {
        if self.suspended || !self.topics.get(&topic).is_some_and(|topic| topic.options.client) {
            return;
        }
        for PeerRecord { public_key: key, relay_addresses } in records {
            let room = self.peers.len() < self.config.max_known || self.peers.contains_key(&key);
            if key == self.own || !room {
                continue;
            }
            let peer = self.peers.entry(key).or_insert_with(Peer::new);
            peer.relay_addresses = relay_addresses;
            peer.topics.insert(topic);
            if !self.links.contains_key(&key) {
                peer.found();
                self.enqueue(key);
            }
        }
        self.dial();
    }

    /// The local network told of a peer, or told something new of it.
    pub fn found_nearby(&mut self, now: Instant, nearby: Nearby) {
        let key = nearby.public_key;
        if key != self.own && self.neighbourhood.take(now, &self.config, nearby) {
            self.meet_nearby(key);
        }
    }

    /// A peer took back what it told the local network, or has been silent for long.
    pub fn lost_nearby(&mut self, key: &PublicKey) {
        self.neighbourhood.remove(key);
    }

    /// The lookup or announcement of the topic is over.
    pub fn refreshed(&mut self, now: Instant, topic: Hash) {
        let usual = self.config.refresh_interval.saturating_add(self.chance(self.config.refresh_jitter));
        let alone = self.linked_with(&topic) == 0;
        let first = self.config.alone_interval;
        let Some(joined) = self.topics.get_mut(&topic).filter(|topic| topic.refreshing) else { return };
        joined.refreshing = false;
        let pause = first.filter(|_| alone && joined.options.client);
        let pause = pause.map(|first| first.saturating_mul(1 << joined.alone.min(20)));
        joined.alone = if pause.is_some() { joined.alone.saturating_add(1) } else { 0 };
        joined.refresh_at = Some(now.after(pause.map_or(usual, |pause| pause.min(usual))));
        if core::mem::take(&mut joined.again) {
            self.refresh(topic);
        }
    }

    /// Dials a peer of the local network if it shares a topic with us.
    pub(super) fn meet_nearby(&mut self, key: PublicKey) {
        let Some(nearby) = self.neighbourhood.get(&key).filter(|_| !self.suspended) else { return };
        let shared = self.topics.iter().filter(|(id, topic)| topic.options.client && nearby.is_in(id));
        let shared: Vec<Hash> = shared.map(|(id, _)| *id).collect();
        let room = self.peers.len() < self.config.max_known || self.peers.contains_key(&key);
        if shared.is_empty() || !room {
            return;
        }
        let peer = self.peers.entry(key).or_insert_with(Peer::new);
        peer.topics.extend(shared);
        if !self.links.contains_key(&key) {
            peer.found();
            self.enqueue(key);
            self.dial();
        }
    }

    pub(super) fn tell_nearby(&mut self) {
        let served = self.topics.iter().filter(|(_, topic)| topic.options.server && !self.suspended);
        let tags = served.map(|(id, _)| Tag::new(id, &self.own)).take(Nearby::MAX_TAGS);
        let news = self.config.nearby.then(|| self.neighbourhood.tell(tags.collect())).flatten();
        self.outputs.extend(news.map(Output::TellNearby));
    }

    pub(super) fn refresh(&mut self, id: Hash) {
        let Some(topic) = self.topics.get_mut(&id).filter(|_| !self.suspended) else { return };
        if topic.refreshing {
            topic.again = true;
            return;
        }
        topic.refresh_at = None;
        topic.refreshing = topic.options.server || topic.options.client;
        if topic.options.server {
            topic.announced = true;
            self.outputs.push_back(Output::Announce(id));
        } else if topic.options.client {
            self.outputs.push_back(Output::Lookup(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hyperswarm::machine::testing::{TOPIC, record, swarm};
    use crate::hyperswarm::{Config, JoinOptions};
    use crate::time::Duration;
    use alloc::vec;

    #[test]
    fn who_is_alone_looks_again_sooner_but_ever_later() {
        let config = Config { alone_interval: Some(Duration::from_secs(5)), ..Config::default() };
        let mut swarm = Hyperswarm::new(config, PublicKey([1; 32]), [1; 32]);
        swarm.join(TOPIC, JoinOptions::default());
        let pause = |swarm: &mut Hyperswarm| {
            swarm.refreshed(Instant::ZERO, TOPIC);
            let at = swarm.deadline().unwrap();
            swarm.handle_deadline(at);
            at.since(Instant::ZERO).as_secs()
        };
        let pauses: Vec<u64> = (0..9).map(|_| pause(&mut swarm)).collect();
        assert_eq!(pauses[..7], [5, 10, 20, 40, 80, 160, 320]);
        assert!(pauses[8] >= 600);
        swarm.found(TOPIC, vec![record(2)]);
        assert!(pause(&mut swarm) >= 600, "with a peer nothing is in a hurry");
    }

    #[test]
    fn a_topic_is_looked_up_again_and_a_suspended_swarm_is_silent() {
        let mut swarm = swarm(1);
        swarm.refreshed(Instant::ZERO, TOPIC);
        assert!(swarm.status().settled);
        let at = swarm.deadline().unwrap();
        assert!(at >= Instant::ZERO.after(Duration::from_secs(600)));
        swarm.handle_deadline(at);
        assert_eq!(swarm.poll_output(), Some(Output::Announce(TOPIC)));
        swarm.suspend();
        assert_eq!(swarm.poll_output(), Some(Output::Unannounce(TOPIC)));
        assert_eq!(swarm.deadline(), None);
        swarm.found(TOPIC, vec![record(2)]);
        assert_eq!(swarm.poll_output(), None);
        swarm.resume();
        assert_eq!(swarm.poll_output(), Some(Output::Announce(TOPIC)));
    }
}
