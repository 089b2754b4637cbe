//! A walk towards a target: asks ever nearer nodes until the nearest have all answered (`dht-rpc/lib/query.js`).

use super::output::{QuerySettings, Reply};
use super::table::distance;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// One query under way.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) target: Hash,
    pub(super) internal: bool,
    pub(super) command: u64,
    pub(super) value: Option<Bytes>,
    pub(super) retries: u32,
    pub(super) kind: Kind,
    pub(super) concurrency: usize,
    pub(super) successes: usize,
    pub(super) errors: usize,
    k: usize,
    in_flight: usize,
    slow: usize,
    slow_start: bool,
    from_table: bool,
    only_given: bool,
    visits_left: usize,
    seen: BTreeMap<SocketAddrV4, Seen>,
    pending: BTreeMap<[u8; 32], Candidate>,
    closest: BTreeMap<[u8; 32], Reply>,
}

/// Who made the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The layer above.
    User,
    /// The table is refreshed.
    Refresh,
    /// We bootstrap.
    Bootstrap,
}

/// A node to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: Hash,
    pub(super) address: SocketAddrV4,
}

/// Where a query stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Answers are awaited.
    Going,
    /// The nodes it was given did not answer: give it the table's.
    NeedsTable,
    /// It is over.
    Done,
}

/// A node that named another one which is down.
pub(super) struct Hint {
    pub(super) to: SocketAddrV4,
    pub(super) down: SocketAddrV4,
}

#[derive(Debug)]
enum Seen {
    /// To be asked, or being asked; named by these nodes.
    Pending(Vec<SocketAddrV4>),
    Answered,
    Down,
}

/// What a query may use.
pub(super) struct Limits {
    pub(super) k: usize,
    pub(super) concurrency: usize,
    pub(super) retries: u32,
    pub(super) max_visits: usize,
}

impl Query {
    pub(super) fn new(target: Hash, kind: Kind, internal: bool, settings: QuerySettings, limits: &Limits) -> Self {
        Self {
            target,
            internal,
            command: settings.command,
            value: settings.value,
            retries: settings.retries.unwrap_or(limits.retries),
            kind,
            concurrency: limits.concurrency,
            successes: 0,
            errors: 0,
            k: limits.k,
            in_flight: 0,
            slow: 0,
            slow_start: false,
            from_table: false,
            only_given: settings.only_these,
            visits_left: limits.max_visits,
            seen: BTreeMap::new(),
            pending: BTreeMap::new(),
            closest: BTreeMap::new(),
        }
    }

    /// How many nodes of the table it lacks to begin with.
    pub(super) fn wants(&self) -> usize {
        if self.only_given { 0 } else { self.k.saturating_sub(self.pending.len()) }
    }

    /// Adds nodes we know ourselves.
    pub(super) fn add_known(&mut self, nodes: impl IntoIterator<Item = Candidate>, from_table: bool) {
        self.from_table |= from_table;
        nodes.into_iter().for_each(|node| {
            self.add(node, None);
        });
    }

    /// Adds a node; false when it is farther than what we have. A hint is due when it is known to be down.
    fn add(&mut self, node: Candidate, named_by: Option<SocketAddrV4>) -> (bool, Option<Hint>) {
        let closer = self.is_closer(&node.id);
        match self.seen.get_mut(&node.address) {
            Some(Seen::Answered) => return (closer, None),
            Some(Seen::Down) => return (closer, named_by.map(|to| Hint { to, down: node.address })),
            Some(Seen::Pending(named)) => {
                named.extend(named_by.filter(|_| named.len() < MAX_NAMED_BY));
                return (closer, None);
            }
            None => {}
        }
        if !closer || self.seen.len() >= MAX_SEEN {
            return (closer, None);
        }
        self.seen.insert(node.address, Seen::Pending(named_by.into_iter().collect()));
        self.pending.insert(distance(&node.id, &self.target), node);
        (true, None)
    }

    fn is_closer(&self, id: &Hash) -> bool {
        let farthest = self.closest.last_key_value().map(|(distance, _)| *distance);
        self.closest.len() < self.k || farthest.is_none_or(|farthest| distance(id, &self.target) < farthest)
    }

    /// The next node to ask, the nearest first.
    pub(super) fn next_visit(&mut self) -> Option<Candidate> {
        let base = if self.slow_start { SLOW_START } else { self.concurrency };
        if self.visits_left == 0 {
            self.pending.clear();
        }
        while self.visits_left > 0 && self.in_flight < base.saturating_add(self.slow) {
            let (_, node) = self.pending.pop_first()?;
            if !self.is_closer(&node.id) {
                continue;
            }
            self.visits_left = self.visits_left.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_add(1);
            return Some(node);
        }
        None
    }

    /// Where it stands, once [`Query::next_visit`] has nothing.
    pub(super) fn progress(&mut self) -> Progress {
        // Nodes kept from an earlier query get a moment to answer before others are asked.
        if !self.from_table && self.successes == 0 && self.errors == 0 {
            self.slow_start = true;
        }
        let waiting_in_vain = self.slow == self.in_flight && self.closest.len() >= self.k;
        if !self.pending.is_empty() || (self.in_flight > 0 && !waiting_in_vain) {
            return Progress::Going;
        }
        if !self.from_table && !self.only_given && self.successes < self.k / 4 {
            return Progress::NeedsTable;
        }
        Progress::Done
    }

    /// Takes an answer. `is_usable` says which of the nodes it names may be asked.
    pub(super) fn handle_reply(
        &mut self,
        reply: &Reply,
        was_slow: bool,
        is_usable: impl Fn(&Candidate) -> bool,
    ) -> Vec<Hint> {
        self.settle(was_slow);
        self.seen.insert(reply.from, Seen::Answered);
        if reply.error == 0 {
            self.successes = self.successes.saturating_add(1);
            self.keep_closest(reply);
        } else {
            self.errors = self.errors.saturating_add(1);
        }
        let mut hints = Vec::new();
        if !self.only_given {
            for address in reply.closer_nodes.iter().take(self.k) {
                let node = Candidate { id: corestore_core::dht::node_id(address), address: *address };
                if !is_usable(&node) {
                    continue;
                }
                let (closer, hint) = self.add(node, Some(reply.from));
                hints.extend(hint);
                if !closer {
                    break;
                }
            }
        }
        if !self.from_table && self.successes.saturating_add(self.errors) >= self.concurrency {
            self.slow_start = false;
        }
        hints
    }

    fn keep_closest(&mut self, reply: &Reply) {
        if let Some(id) = reply.id.filter(|id| self.is_closer(id)) {
            self.closest.entry(distance(&id, &self.target)).or_insert_with(|| reply.clone());
            if self.closest.len() > self.k {
                self.closest.pop_last();
            }
        }
    }

    /// A node did not answer: those that named it get a hint.
    pub(super) fn handle_failure(&mut self, address: SocketAddrV4, was_slow: bool) -> Vec<Hint> {
        self.settle(was_slow);
        self.errors = self.errors.saturating_add(1);
        match self.seen.insert(address, Seen::Down) {
            Some(Seen::Pending(named)) => named.into_iter().map(|to| Hint { to, down: address }).collect(),
            _ => Vec::new(),
        }
    }

    /// A node did not answer at once: another one is asked meanwhile.
    pub(super) fn handle_slow(&mut self) {
        self.slow = self.slow.saturating_add(1);
    }

    fn settle(&mut self, was_slow: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.slow = self.slow.saturating_sub(usize::from(was_slow));
    }

    /// The nearest lasting nodes that answered, nearest first.
    pub(super) fn into_closest(self) -> Vec<Reply> {
        self.closest.into_values().collect()
    }
}

/// Requests at once while kept nodes get their moment.
const SLOW_START: usize = 3;
/// Addresses a query remembers.
const MAX_SEEN: usize = 2048;
/// Nodes remembered as having named another.
const MAX_NAMED_BY: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use corestore_core::dht::node_id;
    use corestore_core::time::Duration;
    use std::net::Ipv4Addr;

    fn candidate(port: u16) -> Candidate {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        Candidate { id: node_id(&address), address }
    }

    fn reply(port: u16, closer: &[u16]) -> Reply {
        let node = candidate(port);
        Reply {
            from: node.address,
            id: Some(node.id),
            to: node.address,
            socket: super::super::SocketId::SERVER,
            token: None,
            closer_nodes: closer.iter().map(|port| candidate(*port).address).collect(),
            error: 0,
            value: None,
            round_trip: Duration::ZERO,
        }
    }

    fn query(k: usize, max_visits: usize) -> Query {
        let limits = Limits { k, concurrency: 3, retries: 1, max_visits };
        Query::new(Hash([7; 32]), Kind::User, false, QuerySettings::default(), &limits)
    }

    fn visit_all(query: &mut Query) -> Vec<u16> {
        std::iter::from_fn(|| query.next_visit()).map(|node| node.address.port()).collect()
    }

    #[test]
    fn it_goes_on_until_the_nearest_have_answered() {
        let mut query = query(4, 100);
        query.add_known([candidate(1), candidate(2)], true);
        assert_eq!(visit_all(&mut query).len(), 2);
        query.handle_reply(&reply(1, &[3, 4, 5, 6]), false, |_| true);
        assert!(!visit_all(&mut query).is_empty());
        assert_eq!(query.progress(), Progress::Going);
        let mut asked = 0;
        while query.progress() == Progress::Going && asked < 50 {
            for port in 2..7 {
                if matches!(query.seen.get(&candidate(port).address), Some(Seen::Pending(_))) {
                    query.handle_reply(&reply(port, &[]), false, |_| true);
                }
            }
            visit_all(&mut query);
            asked += 1;
        }
        let mut all: Vec<Hash> = (1..7).map(|port| candidate(port).id).collect();
        all.sort_by_key(|id| distance(id, &Hash([7; 32])));
        let found: Vec<Hash> = query.into_closest().into_iter().filter_map(|reply| reply.id).collect();
        assert_eq!(found, all[..4]);
    }

    #[test]
    fn whoever_named_a_dead_node_is_told() {
        let mut query = query(20, 100);
        query.add_known([candidate(1)], true);
        visit_all(&mut query);
        query.handle_reply(&reply(1, &[2]), false, |_| true);
        visit_all(&mut query);
        let hints = query.handle_failure(candidate(2).address, false);
        assert_eq!(hints.iter().map(|hint| hint.to.port()).collect::<Vec<_>>(), [1]);
        assert_eq!(query.progress(), Progress::Done);
    }

    #[test]
    fn a_slow_node_lets_another_one_be_asked() {
        let mut query = query(20, 100);
        query.add_known((1..9).map(candidate), true);
        assert_eq!(visit_all(&mut query).len(), 3);
        query.handle_slow();
        assert_eq!(visit_all(&mut query).len(), 1);
    }

    #[test]
    fn liars_cannot_keep_it_busy() {
        let mut query = query(20, 30);
        query.add_known([candidate(1)], true);
        let mut next = 2;
        let mut visits = 0;
        while let Some(node) = query.next_visit() {
            visits += 1;
            let named: Vec<u16> = (next..next + 20).collect();
            next += 20;
            let mut lie = reply(node.address.port(), &named);
            // Without an id it never counts among the nearest, so every name it gives looks nearer.
            lie.id = None;
            query.handle_reply(&lie, false, |_| true);
        }
        assert_eq!((visits, query.progress()), (30, Progress::Done));
        assert!(query.seen.len() <= MAX_SEEN);
    }
}
