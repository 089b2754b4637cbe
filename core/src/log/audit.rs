//! Checking all that is stored of a core, in bounded steps: blocks against leaves, nodes against parents, the roots
//! against the head, the head against its signature. What was read is given; nothing is read or changed here.

use super::head::Head;
use super::hypercore::Hypercore;
use crate::crypto::leaf_hash;
use crate::merkle::{LoadedNodes, Node, TreeIndex};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::ops::Range;

/// What an audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Blocks that were hashed.
    pub blocks_checked: u64,
    /// Tree nodes that were compared.
    pub nodes_checked: u64,
    /// Bytes of those blocks.
    pub bytes_checked: u64,
    /// The first faults, at most 64, in the order they were found.
    pub faults: Vec<AuditFault>,
    /// How many there are in all.
    pub faults_found: u64,
}

/// One thing that is wrong with what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditFault {
    /// A block that should be stored is not.
    MissingBlock {
        /// Block index.
        index: u64,
    },
    /// A block does not hash to its leaf.
    WrongBlock {
        /// Block index.
        index: u64,
    },
    /// A tree node that stored blocks need is not stored.
    MissingNode {
        /// Where.
        index: TreeIndex,
    },
    /// A tree node is not what its children hash to, or not the root the head names.
    WrongNode {
        /// Where.
        index: TreeIndex,
    },
    /// The signature does not cover the head.
    Signature {
        /// The head's length in blocks.
        length: u64,
    },
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingBlock { index } => write!(f, "block {index} is missing"),
            Self::WrongBlock { index } => write!(f, "block {index} does not match its hash"),
            Self::MissingNode { index } => write!(f, "tree node {} is missing", index.0),
            Self::WrongNode { index } => write!(f, "tree node {} does not match the nodes below it", index.0),
            Self::Signature { length } => write!(f, "the signature over {length} blocks is wrong"),
        }
    }
}

/// An audit under way. It covers the log as it was when it began, as far as the log still holds that.
#[derive(Debug)]
pub struct Auditor {
    head: Arc<Head>,
    levels: u32,
    next: Option<(u32, u64)>,
    audit: Audit,
}

/// Rows to read for one step: the nodes of one small tree, and the blocks under it when it begins at the leaves.
#[derive(Clone, Debug)]
pub struct AuditStep {
    /// Nodes.
    pub nodes: Vec<TreeIndex>,
    /// Blocks.
    pub blocks: Vec<u64>,
    top: TreeIndex,
    bottom: u32,
}

impl Auditor {
    /// Begins an audit that reads at most `most_blocks` blocks, or about `most_bytes` bytes of them, at once.
    pub fn new(core: &Hypercore, most_blocks: u64, most_bytes: u64) -> Self {
        let head = Arc::clone(core.head());
        let average = head.roots.byte_length.checked_div(head.roots.length).unwrap_or(0);
        let by_bytes = most_bytes.checked_div(average).unwrap_or(u64::MAX);
        let levels = most_blocks.min(by_bytes).max(2).ilog2();
        Self { head, levels, next: Some((0, 0)), audit: Audit::default() }
    }

    /// What to read next; `None` when all was checked.
    pub fn next_step(&mut self, core: &Hypercore) -> Option<AuditStep> {
        let length = self.head.roots.length;
        loop {
            let (bottom, offset) = self.next?;
            let top = TreeIndex::from_depth_offset(bottom.saturating_add(self.levels), offset);
            if top.blocks().start < length {
                self.next = Some((bottom, offset.saturating_add(1)));
                let blocks = if bottom == 0 { stored_blocks(core, within(top, length)) } else { Vec::new() };
                let nodes = (0..=self.levels).flat_map(|below| level(top, below));
                let nodes = nodes.filter(|node| node.blocks().end <= length).collect();
                return Some(AuditStep { nodes, blocks, top, bottom });
            }
            // One tree reached over everything: no level is left.
            let done = offset <= 1;
            self.next = (!done).then(|| (bottom.saturating_add(self.levels), 0));
        }
    }

    /// Checks what was read for a step.
    pub fn check(&mut self, core: &Hypercore, step: &AuditStep, nodes: &LoadedNodes, blocks: &BTreeMap<u64, Bytes>) {
        for index in &step.blocks {
            // Cleared or cut while it was read: not a fault.
            if core.has(*index) && core.has_staged(*index) {
                self.check_block(*index, nodes, blocks.get(index));
            }
        }
        for index in &step.nodes {
            self.check_node(core, step, *index, nodes);
        }
    }

    /// True while the log is on the fork the audit began on; after that it has to begin again.
    pub fn is_current(&self, core: &Hypercore) -> bool {
        let roots = core.head();
        roots.roots.fork == self.head.roots.fork && core.staged_head().roots.fork == self.head.roots.fork
    }

    /// Checks the signature and gives what was found.
    pub fn finish(mut self, core: &Hypercore) -> Audit {
        let length = self.head.roots.length;
        let signed = core.verifier().is_some_and(|verifier| verifier.verify(&self.head.roots, &self.head.signature));
        if length > 0 && !signed {
            self.fault(AuditFault::Signature { length });
        }
        self.audit
    }

    fn check_block(&mut self, index: u64, nodes: &LoadedNodes, block: Option<&Bytes>) {
        let Some(block) = block else { return self.fault(AuditFault::MissingBlock { index }) };
        let size = u64::try_from(block.len()).unwrap_or(u64::MAX);
        self.audit.blocks_checked = self.audit.blocks_checked.saturating_add(1);
        self.audit.bytes_checked = self.audit.bytes_checked.saturating_add(size);
        let leaf = nodes.get(TreeIndex::leaf(index));
        if leaf.is_some_and(|leaf| leaf.size != size || leaf.hash != leaf_hash(block)) {
            self.fault(AuditFault::WrongBlock { index });
        }
    }

    fn check_node(&mut self, core: &Hypercore, step: &AuditStep, index: TreeIndex, nodes: &LoadedNodes) {
        let root = self.head.roots.nodes.iter().find(|root| root.index == index).copied();
        // The top of a step is looked at once more as the bottom of the next level's.
        let again = index == step.top && root.is_none();
        let Some(node) = nodes.get(index).copied() else {
            let needed = root.is_some() || core.bitfield().any(index.parent().blocks());
            if needed && !again && self.is_inner(index) {
                self.fault(AuditFault::MissingNode { index });
            }
            return;
        };
        if !again {
            self.audit.nodes_checked = self.audit.nodes_checked.saturating_add(1);
        }
        if root.is_some_and(|root| root != node) {
            return self.fault(AuditFault::WrongNode { index });
        }
        if index.depth() > step.bottom
            && let Some((left, right)) = children(index, nodes)
            && Node::parent(&left, &right) != node
        {
            self.fault(AuditFault::WrongNode { index });
        }
    }

    /// True for a root of this tree and for every node below one.
    fn is_inner(&self, index: TreeIndex) -> bool {
        let length = self.head.roots.length;
        index.parent().blocks().end <= length || self.head.roots.nodes.iter().any(|root| root.index == index)
    }

    fn fault(&mut self, fault: AuditFault) {
        self.audit.faults_found = self.audit.faults_found.saturating_add(1);
        if self.audit.faults.len() < MAX_FAULTS {
            self.audit.faults.push(fault);
        }
    }
}

fn children(index: TreeIndex, nodes: &LoadedNodes) -> Option<(Node, Node)> {
    let (left, right) = index.children()?;
    Some((*nodes.get(left)?, *nodes.get(right)?))
}

fn within(top: TreeIndex, length: u64) -> Range<u64> {
    let blocks = top.blocks();
    blocks.start..blocks.end.min(length)
}

fn stored_blocks(core: &Hypercore, range: Range<u64>) -> Vec<u64> {
    range.filter(|index| core.has(*index)).collect()
}

/// The nodes `below` levels under `top`.
fn level(top: TreeIndex, below: u32) -> impl Iterator<Item = TreeIndex> {
    let depth = top.depth().saturating_sub(below);
    let count = 1_u64.checked_shl(below).unwrap_or(0);
    let first = top.offset().saturating_mul(count);
    (first..first.saturating_add(count)).map(move |offset| TreeIndex::from_depth_offset(depth, offset))
}

/// Faults that are named; all are counted.
const MAX_FAULTS: usize = 64;
