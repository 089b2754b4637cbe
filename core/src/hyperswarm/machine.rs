//! The machine: topics, peers, links, and the queue between them.

use super::config::Config;
use super::nearby::{Nearby, Neighbourhood, Tag};
use super::peer::{Peer, Priority};
use super::topic::{JoinOptions, Topic};
use crate::crypto::{Hash, PublicKey};
use crate::dht::PeerRecord;
use crate::entropy::Entropy;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddrV4;

/// Names a connection, from its first try to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

/// Something the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Look the topic up, tell what is found by [`Hyperswarm::found`], and the end by [`Hyperswarm::refreshed`].
    Lookup(Hash),
    /// The same, and announce it.
    Announce(Hash),
    /// Take the announcement back.
    Unannounce(Hash),
    /// Tell the local network these tags in place of earlier ones; nothing when there are none.
    TellNearby(Vec<Tag>),
    /// Connect; [`Hyperswarm::connected`] or [`Hyperswarm::closed`] follows.
    Connect {
        /// Its name.
        link: LinkId,
        /// To whom.
        peer: PublicKey,
        /// Nodes that may reach it; itself, when it was heard of on the local network.
        relay_addresses: Vec<SocketAddrV4>,
        /// No hole could be punched before: use a blind relay.
        relay: bool,
    },
    /// End a connection, or stop trying. No [`Hyperswarm::closed`] is expected.
    Close(LinkId),
}

/// What becomes of a peer's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Take it.
    Admitted(LinkId),
    /// There is a connection to this peer that stays.
    Duplicate,
    /// It is unwanted.
    Refused,
}

/// Figures of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Topics joined.
    pub topics: usize,
    /// Connections that stand.
    pub connections: usize,
    /// Connections being made.
    pub connecting: usize,
    /// Peers that wait to be dialled.
    pub queued: usize,
    /// Peers known.
    pub known: usize,
    /// Nothing is under way: every topic was looked up, and every peer found was tried.
    pub settled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    id: LinkId,
    /// Since when it stands.
    open: Option<Instant>,
    client: bool,
}

/// One swarm. Tell it what happens, then do what [`Hyperswarm::poll_output`] says, and come back at
/// [`Hyperswarm::deadline`]. It never has two connections to one peer.
#[derive(Debug)]
pub struct Hyperswarm {
    config: Config,
    own: PublicKey,
    entropy: Entropy,
    topics: BTreeMap<Hash, Topic>,
    peers: BTreeMap<PublicKey, Peer>,
    links: BTreeMap<PublicKey, Link>,
    by_link: BTreeMap<LinkId, PublicKey>,
    queue: BTreeMap<(Priority, u64), PublicKey>,
    retries: BTreeSet<(Instant, PublicKey)>,
    outputs: VecDeque<Output>,
    last_link: u64,
    suspended: bool,
    neighbourhood: Neighbourhood,
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

    /// Looks every topic up again: the network changed.
    pub fn refresh_all(&mut self) {
        self.topics.keys().copied().collect::<Vec<_>>().into_iter().for_each(|topic| self.refresh(topic));
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

    /// A connection we tried to make stands. False: it is not wanted any more.
    pub fn connected(&mut self, now: Instant, link: LinkId) -> bool {
        let Some(key) = self.by_link.get(&link).copied() else { return false };
        self.links.get_mut(&key).into_iter().for_each(|link| link.open = Some(now));
        self.peers.entry(key).or_insert_with(Peer::new).connected(now);
        self.dial();
        true
    }

    /// A peer called us. `spoke`: bytes went both ways on the connection to it that we have, if any; then it must have
    /// lost that one. Otherwise both called at once, and on both sides the call of the greater key stays; so it does when
    /// our own call stands since a moment ago: the peer's may have been under way before.
    pub fn called(&mut self, now: Instant, key: PublicKey, spoke: impl FnOnce(LinkId) -> bool) -> Admission {
        if self.suspended || !self.admits(&key) {
            return Admission::Refused;
        }
        if let Some(Link { id: existing, open, client }) = self.links.get(&key).copied() {
            let crossing = self.config.crossing;
            let lost = open.is_some_and(|since| !client || now.since(since) >= crossing) && spoke(existing);
            if !lost && self.own > key {
                return Admission::Duplicate;
            }
            self.outputs.push_back(Output::Close(existing));
            self.end_link(now, existing);
        }
        self.unqueue(&key);
        self.peers.entry(key).or_insert_with(Peer::new).called();
        let link = self.link(key, Some(now));
        Admission::Admitted(link)
    }

    /// Whether a peer may connect.
    pub fn admits(&self, key: &PublicKey) -> bool {
        *key != self.own && !self.peers.get(key).is_some_and(|peer| peer.banned)
    }

    /// A connection is over, or could not be made.
    pub fn closed(&mut self, now: Instant, link: LinkId) {
        self.end_link(now, link);
        self.forget_idle();
        self.dial();
    }

    /// A connection could not be made, because no hole can be punched: a blind relay helps, and soon.
    pub fn unpunchable(&mut self, now: Instant, link: LinkId) {
        let key = self.by_link.get(&link).copied();
        key.and_then(|key| self.peers.get_mut(&key)).into_iter().for_each(Peer::needs_relay);
        self.closed(now, link);
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

    /// Dials a peer of the local network if it shares a topic with us.
    fn meet_nearby(&mut self, key: PublicKey) {
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

    fn tell_nearby(&mut self) {
        let served = self.topics.iter().filter(|(_, topic)| topic.options.server && !self.suspended);
        let tags = served.map(|(id, _)| Tag::new(id, &self.own)).take(Nearby::MAX_TAGS);
        let news = self.config.nearby.then(|| self.neighbourhood.tell(tags.collect())).flatten();
        self.outputs.extend(news.map(Output::TellNearby));
    }

    fn refresh(&mut self, id: Hash) {
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

    fn enqueue(&mut self, key: PublicKey) {
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

    fn unqueue(&mut self, key: &PublicKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(place) = peer.queued.take() {
            self.queue.remove(&place);
        }
        if let Some(at) = peer.retry_at.take() {
            self.retries.remove(&(at, *key));
        }
    }

    /// Dials the most urgent peers while there is room.
    fn dial(&mut self) {
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
    fn is_wanted(&self, key: &PublicKey) -> bool {
        let Some(peer) = self.peers.get(key).filter(|peer| !peer.banned) else { return false };
        let has_room = |id: &Hash| {
            let limit = self.topics.get(id).filter(|topic| topic.options.client).map(|topic| topic.options.limit);
            limit.is_some_and(|limit| limit == usize::MAX || self.linked_with(id) < limit)
        };
        peer.explicit || peer.topics.iter().any(has_room)
    }

    fn linked_with(&self, topic: &Hash) -> usize {
        let of_topic = |key: &&PublicKey| self.peers.get(*key).is_some_and(|peer| peer.topics.contains(topic));
        self.links.keys().filter(of_topic).count()
    }

    /// `called`: when the peer made it; `None` when we are about to.
    fn link(&mut self, key: PublicKey, called: Option<Instant>) -> LinkId {
        self.last_link = self.last_link.saturating_add(1);
        let id = LinkId(self.last_link);
        self.links.insert(key, Link { id, open: called, client: called.is_none() });
        self.by_link.insert(id, key);
        id
    }

    fn unlink(&mut self, id: LinkId) -> Option<(PublicKey, Link)> {
        let key = self.by_link.remove(&id)?;
        Some((key, self.links.remove(&key)?))
    }

    fn end_link(&mut self, now: Instant, id: LinkId) {
        let Some((key, link)) = self.unlink(id) else { return };
        let jitter = self.chance(self.config.backoff_jitter);
        let wanted = !self.suspended && self.is_wanted(&key);
        let Some(peer) = self.peers.get_mut(&key).filter(|_| link.client) else { return };
        peer.disconnected(now, &self.config);
        if let Some(pause) = peer.backoff(&self.config).filter(|_| wanted) {
            let at = now.after(pause).after(jitter);
            peer.retry_at = Some(at);
            self.retries.insert((at, key));
        }
    }

    fn forget_idle(&mut self) {
        let links = &self.links;
        self.peers.retain(|key, peer| !peer.is_idle() || links.contains_key(key));
    }

    fn chance(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.entropy.u64() % micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const TOPIC: Hash = Hash([7; 32]);

    fn swarm(own: u8) -> Hyperswarm {
        let mut swarm = Hyperswarm::new(Config::default(), PublicKey([own; 32]), [own; 32]);
        swarm.join(TOPIC, JoinOptions::default());
        assert_eq!(swarm.poll_output(), Some(Output::Announce(TOPIC)));
        swarm
    }

    fn record(key: u8) -> PeerRecord {
        PeerRecord { public_key: PublicKey([key; 32]), relay_addresses: Vec::new() }
    }

    fn dialled(swarm: &mut Hyperswarm) -> Vec<(LinkId, u8)> {
        let mut links = Vec::new();
        while let Some(output) = swarm.poll_output() {
            if let Output::Connect { link, peer, .. } = output {
                links.push((link, peer.0[0]));
            }
        }
        links
    }

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
    fn of_two_calls_at_once_the_greater_keys_stays_on_both_sides() {
        for (own, other, admitted) in [(1, 2, true), (2, 1, false)] {
            let mut swarm = swarm(own);
            swarm.found(TOPIC, vec![record(other)]);
            let [(link, _)] = dialled(&mut swarm)[..] else { panic!("one is dialled") };
            let answer = swarm.called(Instant::ZERO, PublicKey([other; 32]), |_| false);
            assert_eq!(matches!(answer, Admission::Admitted(_)), admitted);
            assert_eq!(swarm.poll_output(), admitted.then_some(Output::Close(link)));
            assert_eq!(swarm.connected(Instant::ZERO, link), !admitted);
        }
    }

    #[test]
    fn a_call_that_crosses_ours_is_no_sign_of_a_loss() {
        let (mut swarm, other) = (swarm(9), PublicKey([2; 32]));
        swarm.found(TOPIC, vec![record(2)]);
        let [(link, _)] = dialled(&mut swarm)[..] else { panic!("one is dialled") };
        assert!(swarm.connected(Instant::ZERO, link));
        let (soon, later) = (Instant::ZERO.after(Duration::from_secs(2)), Instant::ZERO.after(Duration::from_secs(9)));
        assert_eq!(swarm.called(soon, other, |_| true), Admission::Duplicate);
        assert_eq!(swarm.called(later, other, |_| false), Admission::Duplicate);
        assert!(matches!(swarm.called(later, other, |_| true), Admission::Admitted(_)));
    }

    #[test]
    fn a_peer_that_lost_its_connection_gets_another() {
        let (mut swarm, other) = (swarm(9), PublicKey([2; 32]));
        let Admission::Admitted(first) = swarm.called(Instant::ZERO, other, |_| false) else { panic!("admitted") };
        assert_eq!(swarm.called(Instant::ZERO, other, |_| false), Admission::Duplicate);
        assert!(matches!(swarm.called(Instant::ZERO, other, |_| true), Admission::Admitted(_)));
        assert_eq!(swarm.poll_output(), Some(Output::Close(first)));
        assert_eq!(swarm.status().connections, 1);
    }

    #[test]
    fn a_lost_connection_is_made_again_and_a_limit_counts() {
        let mut swarm = swarm(1);
        swarm.join(TOPIC, JoinOptions { limit: 1, ..JoinOptions::default() });
        swarm.found(TOPIC, vec![record(2), record(3)]);
        let [(link, key)] = dialled(&mut swarm)[..] else { panic!("the limit is one") };
        assert!(swarm.connected(Instant::ZERO, link));
        swarm.closed(Instant::ZERO, link);
        let again = swarm.deadline().unwrap();
        assert!(again >= Instant::ZERO.after(Duration::from_secs(1)));
        swarm.handle_deadline(again);
        assert_eq!(dialled(&mut swarm)[0].1, key);
    }

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
    fn a_peer_no_hole_leads_to_is_dialled_by_a_relay_soon() {
        let mut swarm = swarm(1);
        swarm.found(TOPIC, vec![record(2)]);
        let Some(Output::Connect { link, relay: false, .. }) = swarm.poll_output() else { panic!("dialled") };
        swarm.unpunchable(Instant::ZERO, link);
        let again = swarm.deadline().unwrap();
        assert!(again <= Instant::ZERO.after(Duration::from_secs(2)), "{again:?}");
        swarm.handle_deadline(again);
        assert!(matches!(swarm.poll_output(), Some(Output::Connect { relay: true, .. })));
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
