//! Firewalled or open, passing or lasting.

use super::machine::DhtRpc;
use super::nat_sampler::NatSampler;
use super::output::{Event, Reply, SocketId};
use super::requests::Purpose;
use corestore_core::dht::node_id;
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

/// Some nodes were asked to reach our server socket.
#[derive(Debug)]
pub(super) struct NetworkCheck {
    /// Our address when the check began.
    address: SocketAddrV4,
    /// How they see us.
    sampler: NatSampler,
    asked: usize,
    missing: usize,
    reached: usize,
    only_firewall: bool,
    bootstrapping: bool,
}

impl DhtRpc {
    /// Finds out whether our port is open, and becomes a lasting node if so, unless `only_firewall`.
    pub(super) fn update_network_state(&mut self, now: Instant, only_firewall: bool, bootstrapping: bool) {
        let idle = self.network_check.is_none() && self.ephemeral && (self.firewalled || !only_firewall);
        if idle && !only_firewall {
            self.stable_in = self.config.more_stable_ticks;
            self.last_host = self.nat.host();
        }
        let Some(address) = self.nat.address().filter(|address| idle && address.port() != 0) else {
            return self.checked(now, bootstrapping, false);
        };
        let mut check = NetworkCheck {
            address,
            sampler: NatSampler::default(),
            asked: 0,
            missing: 0,
            reached: 0,
            only_firewall,
            bootstrapping,
        };
        if !self.firewalled {
            check.sampler = self.nat.clone();
            return self.conclude(now, &check, true);
        }
        let mut nodes: Vec<SocketAddrV4> = self.nodes.latest().take(PROBES).map(|node| node.address).collect();
        if nodes.len() < PROBES {
            let known = nodes.clone();
            nodes.extend(self.config.bootstrap.iter().filter(|address| !known.contains(address)));
        }
        (check.asked, check.missing) = (nodes.len(), nodes.len());
        self.network_check = Some(check);
        let settings = self.ping_nat();
        let begun =
            nodes.into_iter().filter_map(|to| self.begin(now, to, None, settings.clone(), Purpose::FirewallProbe));
        let begun = begun.count();
        if let Some(check) = &mut self.network_check {
            check.missing = begun;
        }
        self.conclude_when_all_answered(now);
    }

    pub(super) fn probe_answered(&mut self, now: Instant, reply: &Reply) {
        if let Some(check) = &mut self.network_check {
            check.missing = check.missing.saturating_sub(1);
            if reply.socket == SocketId::SERVER {
                check.reached = check.reached.saturating_add(1);
                check.sampler.add(reply.to);
            }
        }
        self.conclude_when_all_answered(now);
    }

    pub(super) fn probe_unanswered(&mut self, now: Instant) {
        if let Some(check) = &mut self.network_check {
            check.missing = check.missing.saturating_sub(1);
        }
        self.conclude_when_all_answered(now);
    }

    fn conclude_when_all_answered(&mut self, now: Instant) {
        if let Some(check) = self.network_check.take_if(|check| check.missing == 0) {
            // Few answers are a fluke.
            let needed = if check.asked >= PROBES { 3 } else { 1 };
            let seen = check.sampler.address();
            let open = check.reached >= needed
                && seen.is_some_and(|seen| Some(*seen.ip()) == self.nat.host())
                && seen.is_some_and(|seen| seen.port() == self.config.server_port);
            self.conclude(now, &check, open);
        }
    }

    fn conclude(&mut self, now: Instant, check: &NetworkCheck, open: bool) {
        let settled = open && self.become_open(now, check);
        self.checked(now, check.bootstrapping, settled);
    }

    fn become_open(&mut self, now: Instant, check: &NetworkCheck) -> bool {
        let was_firewalled = std::mem::replace(&mut self.firewalled, false);
        let Some(seen) = check.sampler.address().filter(|seen| seen.port() != 0) else { return false };
        // Our address changed meanwhile.
        if !self.ephemeral || self.nat.address() != Some(check.address) || seen.ip() != check.address.ip() {
            return false;
        }
        self.ephemeral = check.only_firewall;
        if was_firewalled {
            self.samplers.clear();
            let before = self.nat.address();
            self.nat = check.sampler.clone();
            if before != self.nat.address() {
                self.event(Event::Nat(self.nat.address()));
            }
        }
        let id = node_id(&seen);
        if id != self.nodes.own_id() {
            self.nodes.move_to(id, self.config.k);
            if self.bootstrap.is_done() {
                self.refresh(now);
            }
        }
        if !self.ephemeral {
            self.event(Event::Persistent(id));
        }
        true
    }

    fn checked(&mut self, now: Instant, bootstrapping: bool, open: bool) {
        if bootstrapping {
            self.bootstrap_checked(now, open);
        }
    }
}

/// Nodes that are asked to reach us.
const PROBES: usize = 5;
