//! What a NAT does to one socket, from how some nodes see it (`hyperdht/lib/nat.js`).

use corestore_core::dht::Firewall;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Sightings of a socket's address, and what they mean.
#[derive(Debug)]
pub(super) struct Nat {
    /// Nobody is in our way.
    open: bool,
    firewall: Firewall,
    hosts: Vec<(Ipv4Addr, usize)>,
    addresses: Vec<(SocketAddrV4, usize)>,
    /// Nodes that were asked; true: and that answered.
    asked: BTreeMap<SocketAddrV4, bool>,
    sampled: usize,
    pending: usize,
    rounds: usize,
    frozen: bool,
    analyzed: bool,
}

impl Nat {
    pub(super) fn new(open: bool) -> Self {
        Self {
            open,
            firewall: if open { Firewall::Open } else { Firewall::Unknown },
            hosts: Vec::new(),
            addresses: Vec::new(),
            asked: BTreeMap::new(),
            sampled: 0,
            pending: 0,
            rounds: 0,
            frozen: false,
            analyzed: false,
        }
    }

    /// Which of the nodes we know (the one heard of last first) should tell how they see the socket. The latest are
    /// left alone when there are many: everybody asks them.
    pub(super) fn choose_nodes(&mut self, nodes: &[SocketAddrV4]) -> Vec<SocketAddrV4> {
        self.rounds = self.rounds.saturating_add(1);
        let skip = if nodes.len() >= 8 { 5 } else { 0 };
        let wanted = SAMPLES.saturating_sub(self.sampled);
        let fresh = nodes.iter().skip(skip).filter(|node| !self.asked.contains_key(node));
        let chosen: Vec<SocketAddrV4> = fresh.take(wanted).copied().collect();
        self.asked.extend(chosen.iter().map(|node| (*node, false)));
        self.pending = chosen.len();
        self.analyzed |= chosen.is_empty() && self.rounds >= ROUNDS;
        chosen
    }

    /// A node that was asked answered, or not. True: ask more, by [`Nat::choose_nodes`].
    pub(super) fn answered(&mut self, sight: Option<(SocketAddrV4, SocketAddrV4)>) -> bool {
        self.pending = self.pending.saturating_sub(1);
        if let Some((to, from)) = sight {
            self.add(to, from);
        }
        self.wants_more()
    }

    /// True when the nodes that were asked are not enough.
    pub(super) fn wants_more(&mut self) -> bool {
        let short = self.pending == 0 && self.sampled < SAMPLES && !self.analyzed;
        if short && self.rounds >= ROUNDS {
            self.analyzed = true;
        }
        short && self.rounds < ROUNDS
    }

    /// `from` sees the socket as `address`.
    pub(super) fn add(&mut self, address: SocketAddrV4, from: SocketAddrV4) {
        if self.asked.insert(from, true) == Some(true) {
            return;
        }
        count(&mut self.hosts, *address.ip());
        count(&mut self.addresses, address);
        self.sampled = self.sampled.saturating_add(1);
        if !self.frozen && (self.sampled >= 3 || self.open) {
            self.firewall = self.judge();
        }
        self.analyzed |= self.firewall.is_consistent() || self.sampled >= SAMPLES;
    }

    fn judge(&self) -> Firewall {
        if self.open {
            return Firewall::Open;
        }
        let hits = |place: usize| self.addresses.get(place).map_or(0, |(_, hits)| *hits);
        match (hits(0), self.hosts.len()) {
            (3.., _) => Firewall::Consistent,
            (1, _) => Firewall::Random,
            // Two of one host, and two that differ.
            (_, 1) if self.sampled > 3 => Firewall::Random,
            // Twice the same on each of two hosts.
            (_, 2..) if hits(1) > 1 => Firewall::Consistent,
            _ if self.sampled > 4 => Firewall::Random,
            _ => self.firewall,
        }
    }

    pub(super) fn firewall(&self) -> Firewall {
        self.firewall
    }

    /// True once no more is to be learnt by waiting.
    pub(super) fn is_analyzed(&self) -> bool {
        self.analyzed
    }

    /// What was told to the other side stays so.
    pub(super) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Where packets of the socket seem to come from; port 0 behind a random NAT.
    pub(super) fn addresses(&self) -> Option<Vec<SocketAddrV4>> {
        match self.firewall {
            Firewall::Unknown | Firewall::Open => None,
            Firewall::Random => self.hosts.first().map(|(host, _)| vec![SocketAddrV4::new(*host, 0)]),
            Firewall::Consistent => {
                let worth = self.addresses.iter().enumerate().filter(|(place, (_, hits))| *place < 2 || *hits >= 2);
                Some(worth.map(|(_, (address, _))| *address).collect())
            }
        }
    }
}

/// Counts a sighting; the most often seen stay first.
fn count<T: PartialEq>(seen: &mut Vec<(T, usize)>, what: T) {
    match seen.iter_mut().find(|(known, _)| *known == what) {
        Some((_, hits)) => *hits = hits.saturating_add(1),
        None => seen.push((what, 1)),
    }
    seen.sort_by_key(|(_, hits)| std::cmp::Reverse(*hits));
}

const SAMPLES: usize = 4;
/// How often nodes are asked.
const ROUNDS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, host), port)
    }

    fn judged(seen: &[(u8, u16)]) -> Firewall {
        let mut nat = Nat::new(false);
        seen.iter().zip(1..).for_each(|((host, port), from)| nat.add(address(*host, *port), address(99, from)));
        nat.firewall()
    }

    #[test]
    fn judgements() {
        assert_eq!(judged(&[(1, 7), (1, 7)]), Firewall::Unknown);
        assert_eq!(judged(&[(1, 7), (1, 7), (1, 7)]), Firewall::Consistent);
        assert_eq!(judged(&[(1, 7), (1, 8), (1, 9)]), Firewall::Random);
        assert_eq!(judged(&[(1, 7), (1, 7), (1, 8)]), Firewall::Unknown);
        assert_eq!(judged(&[(1, 7), (1, 7), (1, 8), (1, 9)]), Firewall::Random);
        assert_eq!(judged(&[(1, 7), (1, 7), (2, 8), (2, 8)]), Firewall::Consistent);
        assert_eq!(judged(&[(1, 7), (1, 7), (2, 8), (2, 9), (2, 5)]), Firewall::Random);
    }

    #[test]
    fn a_node_counts_once_and_frozen_is_frozen() {
        let mut nat = Nat::new(false);
        (0..9).for_each(|_| nat.add(address(1, 7), address(99, 1)));
        assert_eq!(nat.sampled, 1);
        nat.add(address(1, 7), address(99, 2));
        nat.freeze();
        nat.add(address(1, 7), address(99, 3));
        assert_eq!(nat.firewall(), Firewall::Unknown);
    }

    #[test]
    fn when_nobody_answers_it_asks_others_once_and_gives_up() {
        let nodes: Vec<SocketAddrV4> = (1..20).map(|port| address(99, port)).collect();
        let mut nat = Nat::new(false);
        let first = nat.choose_nodes(&nodes);
        assert_eq!(first, nodes[5..9]);
        assert!((0..3).all(|_| !nat.answered(None)));
        assert!(nat.answered(None) && !nat.is_analyzed());
        assert_eq!(nat.choose_nodes(&nodes), nodes[9..13]);
        (0..4).for_each(|_| assert!(!nat.answered(None)));
        assert!(nat.is_analyzed());
        assert_eq!(nat.addresses(), None);
    }

    #[test]
    fn a_tiny_network_is_enough_or_is_given_up_at_once() {
        let nodes = [address(99, 1), address(99, 2), address(99, 3)];
        let mut nat = Nat::new(false);
        assert_eq!(nat.choose_nodes(&nodes).len(), 3);
        for node in nodes {
            nat.answered(Some((address(1, 7), node)));
        }
        assert_eq!((nat.firewall(), nat.is_analyzed()), (Firewall::Consistent, true));
        assert_eq!(nat.addresses(), Some(vec![address(1, 7)]));
        let mut alone = Nat::new(false);
        assert!(alone.choose_nodes(&[]).is_empty() && alone.wants_more());
        alone.choose_nodes(&[]);
        assert!(alone.is_analyzed());
    }
}
