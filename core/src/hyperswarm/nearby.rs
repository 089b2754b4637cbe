//! Peers on the local network that tell it of themselves: who they are, and tags by which only those who know a topic
//! recognise it.

use super::config::Config;
use crate::budget::Budget;
use crate::crypto::{Hash, PublicKey, blake2b_keyed};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// What a peer tells the local network of one topic. Whoever knows the topic can tell that the peer is in it; to others it
/// is a random number, and two peers in one topic have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub [u8; Self::LENGTH]);

/// A peer that was heard of on the local network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearby {
    /// Its key.
    pub public_key: PublicKey,
    /// Its topics, [`Nearby::MAX_TAGS`] at most.
    pub tags: Vec<Tag>,
    /// Where its DHT socket is; those that are on no private network are not used.
    pub addresses: Vec<SocketAddrV4>,
}

/// What the local network told, and what it was told.
#[derive(Debug)]
pub(super) struct Neighbourhood {
    known: BTreeMap<PublicKey, Nearby>,
    budget: Budget,
    told: Vec<Tag>,
}

impl Tag {
    /// Bytes of a tag.
    pub const LENGTH: usize = 16;

    /// The tag of a topic as this peer tells it.
    pub fn new(topic: &Hash, peer: &PublicKey) -> Self {
        let hash = blake2b_keyed(&topic.0, &[b"corestore nearby", &peer.0]);
        let mut tag = [0; Self::LENGTH];
        tag.copy_from_slice(hash.0.split_at(Self::LENGTH).0);
        Self(tag)
    }
}

impl Nearby {
    /// Topics that one peer tells of: what fits into one datagram of multicast DNS.
    pub const MAX_TAGS: usize = 32;

    /// Whether it is in this topic.
    pub(super) fn is_in(&self, topic: &Hash) -> bool {
        self.tags.contains(&Tag::new(topic, &self.public_key))
    }

    /// Forgets what no neighbour can mean: nobody is to be sent abroad by a lie on the local network.
    fn sound(mut self) -> Option<Self> {
        let near = |at: &SocketAddrV4| at.port() != 0 && (at.ip().is_private() || at.ip().is_link_local());
        self.addresses.retain(near);
        self.addresses.truncate(MAX_ADDRESSES);
        self.tags.truncate(Self::MAX_TAGS);
        (!self.addresses.is_empty()).then_some(self)
    }
}

impl Neighbourhood {
    pub(super) fn new(config: &Config) -> Self {
        Self { known: BTreeMap::new(), budget: Budget::new(Instant::ZERO, config.nearby_a_second), told: Vec::new() }
    }

    pub(super) fn get(&self, key: &PublicKey) -> Option<&Nearby> {
        self.known.get(key)
    }

    pub(super) fn keys(&self) -> Vec<PublicKey> {
        self.known.keys().copied().collect()
    }

    /// Takes in what was told of a peer; false when it is not wanted, or cannot be.
    pub(super) fn take(&mut self, now: Instant, config: &Config, nearby: Nearby) -> bool {
        let room = self.known.len() < config.max_nearby || self.known.contains_key(&nearby.public_key);
        if !config.nearby || !room || !self.budget.take(now) {
            return false;
        }
        let sound = nearby.sound();
        sound.is_some_and(|nearby| {
            self.known.insert(nearby.public_key, nearby);
            true
        })
    }

    pub(super) fn remove(&mut self, key: &PublicKey) {
        self.known.remove(key);
    }

    /// What the local network should be told; `None` when it was told that already.
    pub(super) fn tell(&mut self, tags: Vec<Tag>) -> Option<Vec<Tag>> {
        if tags == self.told {
            return None;
        }
        self.told.clone_from(&tags);
        Some(tags)
    }
}

/// Addresses of one peer that are tried.
const MAX_ADDRESSES: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::{Hyperswarm, JoinOptions, LinkId, Output};
    use super::*;
    use crate::time::Duration;
    use alloc::vec;

    const TOPIC: Hash = Hash([7; 32]);

    fn dialled(swarm: &mut Hyperswarm) -> Vec<(LinkId, u8)> {
        let outputs = core::iter::from_fn(|| swarm.poll_output());
        let links = outputs.filter_map(|output| match output {
            Output::Connect { link, peer, .. } => Some((link, peer.0[0])),
            _ => None,
        });
        links.collect()
    }

    fn nearby(key: u8, topic: Hash, address: &str) -> Nearby {
        let public_key = PublicKey([key; 32]);
        let tags = vec![Tag([0; 16]), Tag::new(&topic, &public_key)];
        Nearby { public_key, tags, addresses: vec![address.parse().unwrap()] }
    }

    fn with_neighbours() -> Hyperswarm {
        let config = Config { nearby: true, ..Config::default() };
        let mut swarm = Hyperswarm::new(config, PublicKey([1; 32]), [1; 32]);
        swarm.join(TOPIC, JoinOptions::default());
        assert_eq!(swarm.poll_output(), Some(Output::Announce(TOPIC)));
        let tag = Tag::new(&TOPIC, &PublicKey([1; 32]));
        assert_eq!(swarm.poll_output(), Some(Output::TellNearby(vec![tag])));
        swarm
    }

    #[test]
    fn a_neighbour_in_our_topic_is_dialled_at_its_own_address() {
        let mut swarm = with_neighbours();
        swarm.found_nearby(Instant::ZERO, nearby(2, TOPIC, "192.168.1.2:7"));
        let Some(Output::Connect { link, peer, relay_addresses, .. }) = swarm.poll_output() else { panic!("dialled") };
        assert_eq!((peer.0[0], relay_addresses), (2, vec!["192.168.1.2:7".parse().unwrap()]));
        assert!(swarm.connected(Instant::ZERO, link));
        // Told again, and by somebody else for us: nothing new.
        swarm.found_nearby(Instant::ZERO, nearby(2, TOPIC, "192.168.1.2:7"));
        swarm.found_nearby(Instant::ZERO, nearby(1, TOPIC, "192.168.1.1:7"));
        assert_eq!(swarm.poll_output(), None);
        swarm.leave(TOPIC);
        assert_eq!(swarm.poll_output(), Some(Output::Unannounce(TOPIC)));
        assert_eq!(swarm.poll_output(), Some(Output::TellNearby(Vec::new())));
    }

    #[test]
    fn a_neighbour_in_another_topic_waits_until_that_is_joined() {
        let (mut swarm, other) = (with_neighbours(), Hash([8; 32]));
        swarm.found_nearby(Instant::ZERO, nearby(2, other, "10.0.0.2:7"));
        swarm.found_nearby(Instant::ZERO, nearby(3, other, "10.0.0.3:7"));
        swarm.lost_nearby(&PublicKey([3; 32]));
        assert_eq!(swarm.poll_output(), None);
        swarm.join(other, JoinOptions { server: false, ..JoinOptions::default() });
        assert_eq!(swarm.poll_output(), Some(Output::Lookup(other)));
        assert_eq!(dialled(&mut swarm).iter().map(|(_, key)| *key).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn lies_of_the_local_network_lead_nobody_abroad_and_floods_are_rationed() {
        let mut swarm = with_neighbours();
        for address in ["8.8.8.8:53", "127.0.0.1:7", "192.168.1.9:0"] {
            swarm.found_nearby(Instant::ZERO, nearby(2, TOPIC, address));
        }
        assert!(dialled(&mut swarm).is_empty());
        let later = Instant::ZERO.after(Duration::from_secs(1));
        (3..100).for_each(|key| swarm.found_nearby(later, nearby(key, TOPIC, "10.0.0.2:7")));
        assert_eq!(swarm.status().known, 16);
        let mut silent = Hyperswarm::new(Config::default(), PublicKey([1; 32]), [1; 32]);
        silent.join(TOPIC, JoinOptions::default());
        assert_eq!(silent.poll_output(), Some(Output::Announce(TOPIC)));
        silent.found_nearby(later, nearby(2, TOPIC, "10.0.0.2:7"));
        assert_eq!(silent.poll_output(), None);
    }
}
