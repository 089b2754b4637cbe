//! The nodes we know: the routing table, and who was heard of last.

use super::table::{Added, Table};
use corestore_core::crypto::Hash;
use std::collections::BTreeMap;
use std::net::SocketAddrV4;

/// A lasting node of the network. Times are ticks.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: Hash,
    pub(super) address: SocketAddrV4,
    /// When it last told how it sees us; 0: never.
    pub(super) sampled: u64,
    pub(super) added: u64,
    /// When we last had to do with it.
    pub(super) pinged: u64,
    /// When we last heard of it.
    pub(super) seen: u64,
    pub(super) down_hints: u32,
    order: u64,
}

/// Every node of the table, by id and by when it was heard of.
#[derive(Debug)]
pub(super) struct Nodes {
    table: Table,
    by_id: BTreeMap<Hash, Node>,
    by_order: BTreeMap<u64, Hash>,
    next_order: u64,
}

impl Node {
    pub(super) fn new(id: Hash, address: SocketAddrV4, tick: u64) -> Self {
        Self { id, address, sampled: 0, added: tick, pinged: tick, seen: tick, down_hints: 0, order: 0 }
    }
}

impl Nodes {
    pub(super) fn new(id: Hash, k: usize) -> Self {
        Self { table: Table::new(id, k), by_id: BTreeMap::new(), by_order: BTreeMap::new(), next_order: 1 }
    }

    pub(super) fn own_id(&self) -> Hash {
        self.table.id()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &Hash) -> Option<&Node> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &Hash) -> Option<&mut Node> {
        self.by_id.get_mut(id)
    }

    /// Adds a node, as the one heard of last.
    pub(super) fn add(&mut self, node: Node) -> Added {
        if node.id == self.table.id() {
            return Added::Known;
        }
        let added = self.table.add(node.id);
        if added == Added::New {
            let id = node.id;
            self.by_id.insert(id, node);
            self.touch(&id);
        }
        added
    }

    /// Makes a node the one heard of last.
    pub(super) fn touch(&mut self, id: &Hash) {
        if let Some(node) = self.by_id.get_mut(id) {
            self.by_order.remove(&node.order);
            node.order = self.next_order;
            self.by_order.insert(node.order, *id);
            self.next_order = self.next_order.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, id: &Hash) {
        if let Some(node) = self.by_id.remove(id) {
            self.by_order.remove(&node.order);
            self.table.remove(id);
        }
    }

    /// The nodes in the bucket where `id` belongs.
    pub(super) fn bucket(&self, id: &Hash) -> impl Iterator<Item = &Node> {
        self.table.bucket(id).iter().filter_map(|id| self.by_id.get(id))
    }

    /// Up to `count` nodes, the nearest to `target` first.
    pub(super) fn closest(&self, target: &Hash, count: usize) -> Vec<&Node> {
        self.table.closest(target, count).iter().filter_map(|id| self.by_id.get(id)).collect()
    }

    /// Nodes, the one heard of last first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Node> {
        self.by_order.values().rev().filter_map(|id| self.by_id.get(id))
    }

    /// Nodes, the one not heard of for the longest time first.
    pub(super) fn oldest(&self) -> impl Iterator<Item = &Node> {
        self.by_order.values().filter_map(|id| self.by_id.get(id))
    }

    /// A node's id, by chance.
    pub(super) fn random(&self, draw: u64) -> Option<Hash> {
        let count = u64::try_from(self.table.len()).ok().filter(|count| *count > 0)?;
        self.table.nth(usize::try_from(draw % count).ok()?)
    }

    /// Sorts the nodes anew around another id of ours; those that find no place are forgotten.
    pub(super) fn move_to(&mut self, id: Hash, k: usize) {
        let mut moved = Self::new(id, k);
        for order in self.by_order.values() {
            if let Some(node) = self.by_id.get(order) {
                moved.add(node.clone());
            }
        }
        *self = moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corestore_core::dht::node_id;
    use std::net::Ipv4Addr;

    #[test]
    fn order_follows_what_was_heard_and_survives_a_move() {
        let mut nodes = Nodes::new(Hash([0; 32]), 20);
        let ids: Vec<Hash> = (1..=5)
            .map(|port| {
                let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
                nodes.add(Node::new(node_id(&address), address, 1));
                node_id(&address)
            })
            .collect();
        nodes.touch(&ids[0]);
        nodes.remove(&ids[3]);
        let latest = |nodes: &Nodes| nodes.latest().map(|node| node.address.port()).collect::<Vec<_>>();
        assert_eq!(latest(&nodes), [1, 5, 3, 2]);
        assert_eq!(nodes.oldest().next().unwrap().address.port(), 2);
        nodes.move_to(Hash([9; 32]), 20);
        assert_eq!(latest(&nodes), [1, 5, 3, 2]);
        nodes.move_to(ids[1], 20);
        assert_eq!(latest(&nodes), [1, 5, 3]);
    }
}
