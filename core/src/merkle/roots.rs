//! The roots of a tree: all of it that must stay in memory, log2(length) nodes.

use super::node::Node;
use alloc::vec::Vec;

/// A tree of some length on some fork, as its roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// Rises with every truncation.
    pub fork: u64,
    /// Blocks.
    pub length: u64,
    /// Bytes of all blocks.
    pub byte_length: u64,
    /// Full roots of `length`, left to right.
    pub nodes: Vec<Node>,
}
