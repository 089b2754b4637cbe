//! Keeps a server announced (`hyperdht/lib/announcer.js`): at the three nearest nodes, which pass handshakes on to it;
//! asks them every few seconds whether they are there, and announces anew when they are not, or after some minutes.

use super::identity::{Identity, Signable};
use super::machine::{HyperDht, QueryFor, RequestFor};
use super::output::{Event, ServerId};
use crate::swarm::dht_rpc::{QueryId, QuerySettings, Reply, RequestSettings};
use corestore_core::dht::{Command, MAX_RELAY_ADDRESSES, PeerRecord, RelayInfo, peer_target};
use corestore_core::time::Instant;
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

/// Where a server is announced.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// Nodes that pass messages on to us, and how they see us.
    pub(super) relays: Vec<RelayInfo>,
    /// The same nodes, and our own address when it is open.
    pub(super) relay_addresses: Vec<SocketAddrV4>,
    /// Nodes of this round, the last and the one before: handshakes may still come through any of them.
    rounds: [BTreeSet<SocketAddrV4>; 3],
    closest: Vec<SocketAddrV4>,
    query: Option<QueryId>,
    awaited: usize,
    pinging: usize,
    alive: usize,
    pings_left: u32,
    next_ping: Option<Instant>,
}

/// What a request of an announcer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnnouncerRequest {
    Announce,
    /// Of this node.
    Ping(SocketAddrV4),
}

impl Announcer {
    /// True when the node passes messages on to us.
    pub(super) fn is_relay(&self, node: &SocketAddrV4) -> bool {
        self.rounds.iter().any(|round| round.contains(node))
    }

    fn await_one(&mut self) {
        self.awaited = self.awaited.saturating_add(1);
    }

    fn current(&self) -> &BTreeSet<SocketAddrV4> {
        let [_, _, current] = &self.rounds;
        current
    }
}

impl HyperDht {
    /// Announces a server, or announces it anew.
    pub(super) fn announce_server(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id).filter(|server| server.announcer.query.is_none()) else { return };
        let target = peer_target(&server.identity.public_key());
        server.announcer.next_ping = None;
        server.announcer.rounds.rotate_left(1);
        server.announcer.rounds.iter_mut().skip(2).for_each(BTreeSet::clear);
        let nodes = server.announcer.closest.clone();
        let settings = QuerySettings { command: Command::FindPeer.number(), nodes, ..QuerySettings::default() };
        let query = self.rpc.query(now, target, settings);
        self.queries.insert(query, QueryFor::Announcer(id));
        self.servers.get_mut(&id).into_iter().for_each(|server| server.announcer.query = Some(query));
    }

    pub(super) fn announcer_queried(&mut self, now: Instant, id: ServerId, closest: &[Reply]) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        server.announcer.query = None;
        server.announcer.closest = closest.iter().map(|reply| reply.from).collect();
        server.announcer.relays.clear();
        server.announcer.relay_addresses = self.rpc.open_address().into_iter().collect();
        let identity = server.identity.clone();
        let public_key = identity.public_key();
        let target = peer_target(&public_key);
        for reply in closest.iter().take(RELAYS) {
            let (Some(node), Some(token)) = (reply.id, reply.token) else { continue };
            let peer = PeerRecord { public_key, relay_addresses: Vec::new() };
            let signable = Signable { unannounce: false, target, node, token, peer, bump: 0 };
            self.servers.get_mut(&id).into_iter().for_each(|server| server.announcer.await_one());
            let owner = RequestFor::Announcer(id, AnnouncerRequest::Announce);
            self.request_signed(now, &identity, signable, reply.from, owner);
        }
        self.finish_announcing(now, id);
    }

    pub(super) fn announcer_answered(
        &mut self,
        now: Instant,
        id: ServerId,
        what: AnnouncerRequest,
        reply: Option<&Reply>,
    ) {
        match what {
            AnnouncerRequest::Announce => self.announce_answered(now, id, reply),
            AnnouncerRequest::Ping(node) => {
                if reply.is_some() {
                    self.relay_heard(now, node);
                }
                self.relay_pinged(now, id, reply.is_some());
            }
        }
    }

    fn announce_answered(&mut self, now: Instant, id: ServerId, reply: Option<&Reply>) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let announcer = &mut server.announcer;
        announcer.awaited = announcer.awaited.saturating_sub(1);
        if let Some(reply) = reply.filter(|reply| reply.error == 0) {
            if announcer.relay_addresses.len() < MAX_RELAY_ADDRESSES {
                announcer.relay_addresses.push(reply.from);
            }
            announcer.relays.push(RelayInfo { relay_address: reply.from, peer_address: reply.to });
            announcer.rounds.iter_mut().skip(2).for_each(|round| round.extend([reply.from]));
        }
        self.finish_announcing(now, id);
    }

    fn finish_announcing(&mut self, now: Instant, id: ServerId) {
        let interval = self.config.relay_ping_interval;
        let Some(server) = self.servers.get_mut(&id).filter(|server| server.announcer.awaited == 0) else { return };
        let announcer = &mut server.announcer;
        let relays = announcer.relays.len();
        announcer.pings_left = self.config.relay_pings;
        announcer.next_ping = Some(now.after(interval));
        self.pings_due.insert((now.after(interval), id));
        let [_, last, current] = &announcer.rounds;
        let left: Vec<SocketAddrV4> = last.difference(current).copied().collect();
        let identity = server.identity.clone();
        self.event(Event::Announced { server: id, relays });
        left.into_iter().for_each(|node| self.take_back(now, node, &identity));
    }

    /// Asks the relaying nodes whether they are there.
    fn ping_relays(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let announcer = &mut server.announcer;
        announcer.next_ping = None;
        announcer.pings_left = announcer.pings_left.saturating_sub(1);
        let nodes: Vec<SocketAddrV4> = announcer.current().iter().copied().collect();
        if nodes.is_empty() || announcer.pings_left == 0 {
            return self.announce_server(now, id);
        }
        // Another server of ours asked some of them just now.
        let interval = self.config.relay_ping_interval;
        let heard = |node: &SocketAddrV4| self.heard.get(node).is_some_and(|at| now.since(*at) < interval);
        let (alive, silent): (Vec<_>, Vec<_>) = nodes.into_iter().partition(heard);
        (announcer.pinging, announcer.alive) = (silent.len().saturating_add(1), alive.len().saturating_sub(1));
        for node in silent {
            let request = self.rpc.ping(now, node, None, PING_RETRIES);
            self.requests.insert(request, RequestFor::Announcer(id, AnnouncerRequest::Ping(node)));
        }
        self.relay_pinged(now, id, !alive.is_empty());
    }

    fn relay_heard(&mut self, now: Instant, node: SocketAddrV4) {
        if self.heard.len() >= MAX_HEARD {
            let interval = self.config.relay_ping_interval;
            self.heard.retain(|_, at| now.since(*at) < interval);
        }
        if self.heard.len() < MAX_HEARD {
            self.heard.insert(node, now);
        }
    }

    /// Asks the relaying nodes of those servers whose time it is.
    pub(super) fn handle_pings(&mut self, now: Instant) {
        while let Some((at, id)) = self.pings_due.first().copied().filter(|(at, _)| *at <= now) {
            self.pings_due.remove(&(at, id));
            if self.servers.get(&id).is_some_and(|server| server.announcer.next_ping == Some(at)) {
                self.ping_relays(now, id);
            }
        }
    }

    fn relay_pinged(&mut self, now: Instant, id: ServerId, alive: bool) {
        let interval = self.config.relay_ping_interval;
        let Some(server) = self.servers.get_mut(&id) else { return };
        let announcer = &mut server.announcer;
        announcer.alive = announcer.alive.saturating_add(usize::from(alive));
        announcer.pinging = announcer.pinging.saturating_sub(1);
        if announcer.pinging > 0 || announcer.query.is_some() {
            return;
        }
        if announcer.alive < announcer.current().len().min(RELAYS) {
            self.announce_server(now, id);
        } else {
            announcer.next_ping = Some(now.after(interval));
            self.pings_due.insert((now.after(interval), id));
        }
    }

    /// Takes an announcement back at every node that has it.
    pub(super) fn take_back_all(&mut self, now: Instant, announcer: &Announcer, identity: &Identity) {
        announcer.query.into_iter().for_each(|query| {
            self.queries.remove(&query);
            self.rpc.cancel_query(query);
        });
        announcer.current().iter().for_each(|node| self.take_back(now, *node, identity));
    }

    fn take_back(&mut self, now: Instant, node: SocketAddrV4, identity: &Identity) {
        let target = Some(peer_target(&identity.public_key()));
        let settings = RequestSettings { command: Command::FindPeer.number(), target, ..RequestSettings::default() };
        let request = self.rpc.request(now, node, settings);
        self.requests.insert(request, RequestFor::TakeBack(Box::new(identity.clone())));
    }

    /// A node gave a token with which to take an announcement back.
    pub(super) fn take_back_found(&mut self, now: Instant, identity: &Identity, reply: &Reply) {
        let (Some(node), Some(token), Some(_)) = (reply.id, reply.token, &reply.value) else { return };
        let public_key = identity.public_key();
        let peer = PeerRecord { public_key, relay_addresses: Vec::new() };
        let target = peer_target(&public_key);
        let signable = Signable { unannounce: true, target, node, token, peer, bump: 0 };
        self.request_signed(now, identity, signable, reply.from, RequestFor::Nobody);
    }
}

/// Nodes a server is announced at.
const RELAYS: usize = 3;
const PING_RETRIES: u32 = 3;
/// Nodes whose last sign of life is remembered.
const MAX_HEARD: usize = 4096;
