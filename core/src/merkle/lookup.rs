//! Nodes that a plan may use: the roots in memory, what was loaded, and what is known to be absent.

use super::node::{LoadedNodes, Node, TreeIndex};
use super::roots::Roots;

/// What is known of a node while planning.
pub(super) enum Known<'a> {
    /// Here it is.
    Here(&'a Node),
    /// It was asked for and is not stored.
    Absent,
    /// Nobody asked yet.
    Unasked,
}

/// A view over everything known.
pub(super) struct Lookup<'a> {
    pub(super) roots: &'a Roots,
    pub(super) loaded: &'a LoadedNodes,
    pub(super) asked: &'a [TreeIndex],
}

impl<'a> Lookup<'a> {
    pub(super) fn get(&self, index: TreeIndex) -> Known<'a> {
        let root = self.roots.nodes.iter().find(|root| root.index == index);
        match root.or_else(|| self.loaded.get(index)) {
            Some(node) => Known::Here(node),
            None if self.asked.contains(&index) => Known::Absent,
            None => Known::Unasked,
        }
    }
}
