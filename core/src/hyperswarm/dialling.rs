//! Whom to dial, and in which order.

use super::machine::Hyperswarm;
use super::output::Output;
use crate::crypto::{Hash, PublicKey};
use alloc::vec::Vec;

impl Hyperswarm {
    pub(super) fn enqueue(&mut self, key: PublicKey) {
        let place = self.entropy.u64();
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if self.suspended || self.links.contains_key(&key) {
            return;
        }
        if let Some(priority) = peer.update_priority() {
            if let Some(at) = peer.retry_at.take() {
                self.retries.remove(&(at, key));
            }
            peer.queued = Some((priority, place));
            self.queue.insert((priority, place), key);
        }
    }

    pub(super) fn unqueue(&mut self, key: &PublicKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(place) = peer.queued.take() {
            self.queue.remove(&place);
        }
        if let Some(at) = peer.retry_at.take() {
            self.retries.remove(&(at, *key));
        }
    }

    /// Dials the most urgent peers while there is room.
    pub(super) fn dial(&mut self) {
        let mut held = Vec::new();
        while self.links.values().filter(|link| link.open.is_none()).count() < self.config.max_parallel {
            let Some((place, key)) = self.queue.pop_last() else { break };
            let explicit = self.peers.get(&key).is_some_and(|peer| peer.explicit);
            if !explicit && self.links.len() >= self.config.max_peers {
                held.push((place, key));
                continue;
            }
            self.peers.get_mut(&key).into_iter().for_each(|peer| peer.queued = None);
            if self.links.contains_key(&key) || !self.is_wanted(&key) {
                continue;
            }
            let link = self.link(key, None);
            let nearby = self.neighbourhood.get(&key).map(|nearby| nearby.addresses.as_slice()).unwrap_or_default();
            let known = self.peers.get(&key).map(|peer| (peer.relay_addresses.as_slice(), peer.relay));
            let (relays, relay) = known.unwrap_or_default();
            let relay_addresses = [nearby, relays].concat();
            self.outputs.push_back(Output::Connect { link, peer: key, relay_addresses, relay });
        }
        self.queue.extend(held);
    }

    /// A topic of the peer has room, or the user named it.
    pub(super) fn is_wanted(&self, key: &PublicKey) -> bool {
        let Some(peer) = self.peers.get(key).filter(|peer| !peer.banned) else { return false };
        let has_room = |id: &Hash| {
            let limit = self.topics.get(id).filter(|topic| topic.options.client).map(|topic| topic.options.limit);
            limit.is_some_and(|limit| limit == usize::MAX || self.linked_with(id) < limit)
        };
        peer.explicit || peer.topics.iter().any(has_room)
    }

    pub(super) fn linked_with(&self, topic: &Hash) -> usize {
        let of_topic = |key: &&PublicKey| self.peers.get(*key).is_some_and(|peer| peer.topics.contains(topic));
        self.links.keys().filter(of_topic).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hyperswarm::Admission;
    use crate::hyperswarm::machine::testing::{TOPIC, dialled, record, swarm};
    use crate::time::Instant;
    use alloc::vec;

    #[test]
    fn three_are_dialled_at_once_and_the_next_when_one_stands() {
        let mut swarm = swarm(1);
        swarm.found(TOPIC, (1..9).map(record).collect());
        let first = dialled(&mut swarm);
        assert_eq!(first.len(), 3);
        assert!(first.iter().all(|(_, key)| *key != 1), "never ourselves");
        assert!(swarm.connected(Instant::ZERO, first[0].0));
        assert_eq!(dialled(&mut swarm).len(), 1);
        assert!(!swarm.status().settled);
    }

    #[test]
    fn banned_peers_and_left_topics_are_not_dialled() {
        let mut swarm = swarm(1);
        swarm.ban(PublicKey([2; 32]), true);
        swarm.found(TOPIC, vec![record(2)]);
        assert!(dialled(&mut swarm).is_empty());
        assert_eq!(swarm.called(Instant::ZERO, PublicKey([2; 32]), |_| true), Admission::Refused);
        swarm.leave(TOPIC);
        assert_eq!(swarm.poll_output(), Some(Output::Unannounce(TOPIC)));
        swarm.found(TOPIC, vec![record(3)]);
        assert!(dialled(&mut swarm).is_empty());
    }
}
