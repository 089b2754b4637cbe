//! What a node does by itself: learns of nodes, checks on them, refreshes its table.

use super::machine::{DhtRpc, internal, is_usable};
use super::nodes::Node;
use super::output::Event;
use super::query::Kind;
use super::requests::Purpose;
use super::table::Added;
use corestore_core::crypto::Hash;
use corestore_core::dht::InternalCommand;
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

impl DhtRpc {
    /// A node spoke to us: it is there, and `to` is how it sees us. `sample`: it spoke to the socket we speak from.
    pub(super) fn note_node(
        &mut self,
        now: Instant,
        sample: bool,
        from: SocketAddrV4,
        id: Option<Hash>,
        to: SocketAddrV4,
    ) {
        let Some(id) = id else {
            self.sample_passing_node(from, to);
            return;
        };
        let (tick, old) = (self.tick, self.config.old_ticks);
        let Some(node) = self.nodes.get_mut(&id) else {
            if self.add_node(now, id, from) && sample {
                self.nodes.get_mut(&id).into_iter().for_each(|node| node.sampled = tick);
                self.sample_address(to);
            }
            return;
        };
        (node.pinged, node.seen) = (tick, tick);
        let due = sample && (node.sampled == 0 || tick.saturating_sub(node.sampled) >= old);
        if due {
            node.sampled = tick;
        }
        self.nodes.touch(&id);
        if due {
            self.sample_address(to);
        }
    }

    /// Nodes without an id tell how they see us too, but only as many of them as there are bootstrap nodes.
    fn sample_passing_node(&mut self, from: SocketAddrV4, to: SocketAddrV4) {
        if self.samplers.len() < self.config.bootstrap.len().max(1) && self.samplers.insert(from) {
            self.sample_address(to);
        }
    }

    fn sample_address(&mut self, address: SocketAddrV4) {
        let before = self.nat.address();
        self.nat.add(address);
        if before != self.nat.address() {
            self.event(Event::Nat(self.nat.address()));
        }
    }

    /// Adds a node to the table, or checks whether another one should make place for it.
    pub(super) fn add_node(&mut self, now: Instant, id: Hash, address: SocketAddrV4) -> bool {
        if !is_usable(&address) {
            return false;
        }
        let node = Node::new(id, address, self.tick);
        match self.nodes.add(node.clone()) {
            Added::New => true,
            Added::Known => false,
            Added::Full => {
                self.make_place(now, node);
                false
            }
        }
    }

    fn make_place(&mut self, now: Instant, new: Node) {
        if !self.bootstrap.is_done() || self.swapping >= MAX_SWAPS {
            return;
        }
        let tick = self.tick;
        let idle = self.nodes.bucket(&new.id).filter(|node| node.pinged != tick);
        let Some(oldest) = idle.min_by_key(|node| (node.pinged, node.added)) else { return };
        let recent = tick.saturating_sub(oldest.pinged) < self.config.recent_ticks;
        if recent && tick.saturating_sub(oldest.added) > self.config.old_ticks {
            return;
        }
        let (old, to, seen) = (oldest.id, oldest.address, oldest.seen);
        self.nodes.get_mut(&old).into_iter().for_each(|node| node.pinged = tick);
        self.swapping = self.swapping.saturating_add(1);
        let purpose = Purpose::Swap { old, new: Box::new(new), seen };
        if self.begin(now, to, None, internal(InternalCommand::Ping), purpose).is_none() {
            self.swapping = self.swapping.saturating_sub(1);
        }
    }

    /// The old node answered; it stays when it did so as the same node.
    pub(super) fn swap_answered(&mut self, now: Instant, old: &Hash, new: Node, seen: u64) {
        if self.nodes.get(old).is_none_or(|node| node.seen <= seen) {
            self.swap(now, old, new);
        } else {
            self.swapping = self.swapping.saturating_sub(1);
        }
    }

    pub(super) fn swap(&mut self, now: Instant, old: &Hash, new: Node) {
        self.swapping = self.swapping.saturating_sub(1);
        self.nodes.remove(old);
        if !self.suspended {
            self.add_node(now, new.id, new.address);
        }
    }

    /// Asks a node of the table whether it is still there.
    pub(super) fn check(&mut self, now: Instant, id: &Hash) {
        let tick = self.tick;
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.pinged = tick;
        let (to, purpose) = (node.address, Purpose::Check { id: *id, seen: node.seen });
        if self.begin(now, to, None, internal(InternalCommand::Ping), purpose).is_some() {
            self.checking = self.checking.saturating_add(1);
        }
    }

    /// It goes when it answered without its id: it is no lasting node any more.
    pub(super) fn check_answered(&mut self, id: &Hash, seen: u64) {
        self.checking = self.checking.saturating_sub(1);
        if self.nodes.get(id).is_some_and(|node| node.seen <= seen) {
            self.nodes.remove(id);
        }
    }

    pub(super) fn check_unanswered(&mut self, id: &Hash) {
        self.checking = self.checking.saturating_sub(1);
        self.nodes.remove(id);
    }

    /// A slot of the window is over.
    pub(super) fn handle_slot(&mut self, now: Instant) {
        self.requests.turn_window();
        while let Some(tid) = self.requests.next_waiting() {
            self.send_now(now, tid);
        }
    }

    pub(super) fn handle_tick(&mut self, now: Instant) {
        let slept = now.since(self.last_tick) > self.config.sleep;
        self.last_tick = now;
        if slept {
            self.wake_up();
        } else {
            self.tick = self.tick.saturating_add(1);
        }
        if !self.bootstrap.is_done() {
            return;
        }
        if self.config.ephemeral.is_none() && self.ephemeral {
            self.stable_in = self.stable_in.saturating_sub(1);
            if self.stable_in == 0 {
                self.try_to_last(now);
            }
        }
        if self.tick & 7 == 0 {
            self.ping_some(now);
        }
        self.refresh_in = self.refresh_in.saturating_sub(1);
        if self.refresh_in == 0 || (self.tick & 63 == 0 && self.nodes.len() < self.config.k) {
            self.refresh(now);
        }
        self.hints_sent = 0;
        if let Some(online) = self.health.update(self.stats.responses, self.stats.timeouts) {
            self.event(Event::Online(online));
        }
    }

    fn try_to_last(&mut self, now: Instant) {
        if self.last_host == self.nat.host() {
            // This network was checked before.
            self.stable_in = self.config.more_stable_ticks;
        } else {
            self.update_network_state(now, false, false);
        }
    }

    /// After a sleep everything we know is old, and the network may be another one.
    pub(super) fn wake_up(&mut self) {
        self.tick = self.tick.saturating_add(self.config.old_ticks.saturating_mul(2));
        // Checks on nodes follow in two ticks, a refresh in one.
        self.tick = self.tick.saturating_add(6).saturating_sub(self.tick & 7);
        self.stable_in = self.config.more_stable_ticks;
        self.refresh_in = 1;
        self.last_host = None;
        self.health = super::health::Health::default();
        if self.config.ephemeral.is_none() && !self.ephemeral {
            self.ephemeral = true;
            self.event(Event::Ephemeral);
        }
    }

    fn ping_some(&mut self, now: Instant) {
        let tick = self.tick;
        let Some(oldest) = self.nodes.oldest().next() else {
            // A tiny network: ask the bootstrap nodes again.
            self.refresh(now);
            return;
        };
        let count = match (tick.saturating_sub(oldest.pinged) < self.config.recent_ticks, self.requests.len()) {
            (true, _) => 2,
            (false, 0..=2) => 5,
            (false, _) => 3,
        };
        let due = self.nodes.oldest().filter(|node| node.pinged != tick).take(count);
        for id in due.map(|node| node.id).collect::<Vec<_>>() {
            self.check(now, &id);
        }
    }

    /// Looks for nodes near one of those we know.
    pub(super) fn refresh(&mut self, now: Instant) {
        let target = self.nodes.random(self.entropy.u64()).unwrap_or_else(|| self.nodes.own_id());
        self.background_query(now, target, Kind::Refresh);
    }
}

/// Nodes that are asked at once whether they should make place.
const MAX_SWAPS: usize = 3;
