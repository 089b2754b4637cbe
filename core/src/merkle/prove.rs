//! Making proofs: which nodes a request needs (geometry), then the proof from those nodes
//! (`hypercore/lib/merkle-tree.js`, `generateProof`).

use super::lookup::{Known, Lookup};
use super::node::{LoadedNodes, Node, TreeIndex};
use super::proof::{DataBlock, DataHash, DataSeek, DataUpgrade, Proof, ProofRequest, RequestSeek, RequestUpgrade};
use super::roots::Roots;
use super::seek::byte_offset_nodes;
use crate::flat_tree::full_roots;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// The asker asked for something no tree of this length can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The block or node lies past the tree.
    IndexOutOfBounds,
    /// The uncles asked for lie past the tree.
    NodesOutOfBounds,
    /// The upgrade is empty or ends past the tree.
    Upgrade,
    /// The byte lies outside the subtree asked for.
    Seek,
    /// A seek and a block past the asker's length exclude each other.
    SeekWithNewBlock,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IndexOutOfBounds => "the request names a block or node past the tree",
            Self::NodesOutOfBounds => "the request asks for more uncles than the tree has",
            Self::Upgrade => "the request asks for an upgrade past the tree, or for none",
            Self::Seek => "the request seeks a byte outside the nodes it asks for",
            Self::SeekWithNewBlock => "the request combines a seek with a block past its own length",
        })
    }
}

impl core::error::Error for InvalidRequest {}

/// A proof cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The store has no such node: the core is sparse here, or the store is damaged.
    MissingNode(TreeIndex),
    /// The block asked for was not given.
    MissingBlock,
    /// The loaded sizes showed that the request cannot be proven.
    Invalid(InvalidRequest),
}

/// A proof that is to be built from one tree, whose roots it is given at every step.
#[derive(Clone, Debug)]
pub struct ProofPlan {
    request: ProofRequest,
    /// Known once it depends on no node that is not loaded.
    layout: Option<Layout>,
    asked: Vec<TreeIndex>,
}

/// Which nodes go where.
#[derive(Clone, Debug, Default)]
struct Layout {
    node: Option<Vec<TreeIndex>>,
    seek: Option<Vec<TreeIndex>>,
    upgrade: Option<Vec<TreeIndex>>,
    additional: Option<Vec<TreeIndex>>,
}

/// Why a layout is not known yet.
enum Stop {
    Load(Vec<TreeIndex>),
    Missing(TreeIndex),
    Invalid(InvalidRequest),
}

impl From<InvalidRequest> for Stop {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Invalid(invalid)
    }
}

/// The block or node a request is about.
#[derive(Clone, Copy)]
struct Target {
    index: TreeIndex,
    nodes: u64,
    is_block: bool,
}

impl ProofPlan {
    /// Plans a proof of `request` from the tree with these roots.
    ///
    /// # Errors
    /// [`InvalidRequest`] names what no such tree can prove.
    pub fn new(roots: &Roots, request: &ProofRequest, prologue_length: Option<u64>) -> Result<Self, InvalidRequest> {
        let mut request = if roots.length == 0 { ProofRequest::default() } else { *request };
        if let (Some(upgrade), Some(prologue)) = (&mut request.upgrade, prologue_length)
            && upgrade.start < prologue
        {
            *upgrade = RequestUpgrade { start: 0, length: prologue };
        }
        let mut plan = Self { request, layout: None, asked: Vec::new() };
        match plan.find_layout(roots, &LoadedNodes::default()) {
            Err(Stop::Invalid(invalid)) => Err(invalid),
            _ => Ok(plan),
        }
    }

    /// Nodes still to load; empty when the proof can be built. Only seeks need more than one round.
    pub fn needs(&mut self, roots: &Roots, loaded: &LoadedNodes) -> Vec<TreeIndex> {
        let needs = match self.find_layout(roots, loaded) {
            Err(Stop::Load(nodes)) => nodes,
            Err(Stop::Missing(_) | Stop::Invalid(_)) => Vec::new(),
            Ok(()) => {
                let lookup = Lookup { roots, loaded, asked: &self.asked };
                let all = self.layout.iter().flat_map(Layout::places);
                all.filter(|index| matches!(lookup.get(*index), Known::Unasked)).collect()
            }
        };
        self.asked.extend(needs.iter().copied());
        needs
    }

    /// The block whose bytes the proof carries.
    pub fn block(&self) -> Option<u64> {
        self.request.block.map(|block| block.index)
    }

    /// Builds the proof.
    ///
    /// # Errors
    /// [`BuildError`] names what the store did not have.
    pub fn build(
        mut self,
        roots: &Roots,
        loaded: &LoadedNodes,
        block: Option<Bytes>,
        signature: &[u8],
    ) -> Result<Proof, BuildError> {
        self.find_layout(roots, loaded).map_err(|stop| match stop {
            Stop::Load(nodes) => BuildError::MissingNode(nodes.first().copied().unwrap_or_default()),
            Stop::Missing(node) => BuildError::MissingNode(node),
            Stop::Invalid(invalid) => BuildError::Invalid(invalid),
        })?;
        let mut proof = Proof { fork: roots.fork, ..Proof::default() };
        if roots.length == 0 {
            return Ok(proof);
        }
        let layout = self.layout.unwrap_or_default();
        let lookup = Lookup { roots, loaded, asked: &self.asked };
        let fill = |places: Option<Vec<TreeIndex>>| -> Result<Vec<Node>, BuildError> {
            let places = places.unwrap_or_default().into_iter();
            places
                .map(|index| match lookup.get(index) {
                    Known::Here(node) => Ok(*node),
                    Known::Absent | Known::Unasked => Err(BuildError::MissingNode(index)),
                })
                .collect()
        };
        let seek = layout.seek.is_some();
        let nodes = fill(layout.node)?;
        if let Some(asked) = self.request.block {
            let value = block.ok_or(BuildError::MissingBlock)?;
            proof.block = Some(DataBlock { index: asked.index, value, nodes });
        } else if let Some(asked) = self.request.hash {
            proof.hash = Some(DataHash { index: TreeIndex(asked.index), nodes });
        }
        if let Some(asked) = self.request.seek.filter(|_| seek) {
            proof.seek = Some(DataSeek { bytes: asked.bytes, nodes: fill(layout.seek)? });
        }
        if let Some(asked) = self.request.upgrade {
            proof.upgrade = Some(DataUpgrade {
                start: asked.start,
                length: asked.length,
                nodes: fill(layout.upgrade)?,
                additional_nodes: fill(layout.additional)?,
                signature: signature.to_vec(),
            });
        }
        Ok(proof)
    }

    fn target(&self) -> Option<Target> {
        let block = self.request.block.map(|block| Target {
            index: TreeIndex::leaf(block.index),
            nodes: block.nodes,
            is_block: true,
        });
        block.or_else(|| {
            self.request.hash.map(|hash| Target { index: TreeIndex(hash.index), nodes: hash.nodes, is_block: false })
        })
    }

    fn find_layout(&mut self, roots: &Roots, loaded: &LoadedNodes) -> Result<(), Stop> {
        if self.layout.is_none() {
            self.layout = Some(self.lay_out(roots, loaded)?);
        }
        Ok(())
    }

    fn lay_out(&self, roots: &Roots, loaded: &LoadedNodes) -> Result<Layout, Stop> {
        let mut layout = Layout::default();
        let length = roots.length;
        if length == 0 {
            return Ok(layout);
        }
        let upgrade = self.request.upgrade;
        let from = upgrade.map_or(0, |upgrade| upgrade.start);
        let to = match upgrade {
            None => length,
            Some(upgrade) => upgrade.start.checked_add(upgrade.length).ok_or(InvalidRequest::Upgrade)?,
        };
        if from >= to || to > length {
            return Err(InvalidRequest::Upgrade.into());
        }
        let target = self.target();
        if target.is_some_and(|target| target.index.blocks().end > to) {
            return Err(InvalidRequest::IndexOutOfBounds.into());
        }
        let lookup = Lookup { roots, loaded, asked: &self.asked };
        let seek = self.request.seek;
        if seek.is_some() && upgrade.is_some() && target.is_some_and(|target| target.index.0 >= from.saturating_mul(2))
        {
            return Err(InvalidRequest::SeekWithNewBlock.into());
        }
        let old = target.filter(|target| upgrade.is_none() || target.index.blocks().end <= from);
        let mut sub_tree = None;
        if let Some(old) = old {
            let top = nodes_to_root(old.index, old.nodes, to)?;
            let seek_root = seek.map(|seek| seek_untrusted(&lookup, top, seek)).transpose()?;
            block_and_seek(target, seek_root, top, &mut layout);
        } else if upgrade.is_some() {
            sub_tree = match (seek, target) {
                (Some(seek), _) => seek_from_head(&lookup, to, seek)?,
                (None, target) => target.map(|target| target.index),
            };
        }
        if upgrade.is_some() {
            let wanted = Wanted { target, seek: seek.is_some(), sub_tree };
            upgrade_nodes(from, to, &wanted, &mut layout);
            if length > to {
                layout.additional = Some(upgrade_places(to, length));
            }
        }
        Ok(layout)
    }
}

impl Layout {
    fn places(&self) -> impl Iterator<Item = TreeIndex> {
        [&self.node, &self.seek, &self.upgrade, &self.additional].into_iter().flatten().flatten().copied()
    }
}

/// Where the nodes lie that lead from a tree of `from` blocks to one of `to`.
pub fn upgrade_places(from: u64, to: u64) -> Vec<TreeIndex> {
    let mut layout = Layout::default();
    upgrade_nodes(from, to, &Wanted { target: None, seek: false, sub_tree: None }, &mut layout);
    layout.upgrade.unwrap_or_default()
}

/// What an upgrade's nodes may take the place of.
struct Wanted {
    target: Option<Target>,
    seek: bool,
    sub_tree: Option<TreeIndex>,
}

/// The node `steps` parents above `index`, if the tree of `length` blocks holds all of it.
fn nodes_to_root(index: TreeIndex, steps: u64, length: u64) -> Result<TreeIndex, InvalidRequest> {
    let mut node = index;
    for _ in 0..steps {
        node = node.parent();
        if node.blocks().end > length {
            return Err(InvalidRequest::NodesOutOfBounds);
        }
    }
    Ok(node)
}

fn seek_path(seek_root: TreeIndex, top: TreeIndex, layout: &mut Layout) {
    let mut path = Vec::from([seek_root]);
    let mut node = seek_root;
    while node != top && top.contains(node) {
        path.push(node.sibling());
        node = node.parent();
    }
    layout.seek = Some(path);
}

fn block_and_seek(target: Option<Target>, seek_root: Option<TreeIndex>, top: TreeIndex, layout: &mut Layout) {
    let Some(target) = target else {
        if let Some(seek_root) = seek_root {
            seek_path(seek_root, top, layout);
        }
        return;
    };
    let mut places = Vec::new();
    if !target.is_block {
        places.push(target.index);
    }
    let mut node = target.index;
    while node != top && top.contains(node) {
        let sibling = node.sibling();
        match seek_root {
            Some(seek_root) if sibling.contains(seek_root) && sibling != seek_root => {
                seek_path(seek_root, sibling, layout);
            }
            _ => places.push(sibling),
        }
        node = node.parent();
    }
    layout.node = Some(places);
}

/// The nodes that lead from a tree of `from` blocks to one of `to`.
fn upgrade_nodes(from: u64, to: u64, wanted: &Wanted, layout: &mut Layout) {
    let mut places = Vec::new();
    let mut connected = from == 0;
    for root in full_roots(to) {
        let blocks = root.blocks();
        if blocks.end <= from {
            continue;
        }
        if !connected && blocks.start < from {
            connected = true;
            connect(TreeIndex::leaf(from.saturating_sub(1)), root, wanted, layout, &mut places);
            continue;
        }
        connected = true;
        place(root, wanted, layout, &mut places);
    }
    layout.upgrade = Some(places);
}

/// From the last leaf of the shorter tree up to the root over it: every right sibling on the way.
fn connect(last: TreeIndex, root: TreeIndex, wanted: &Wanted, layout: &mut Layout, places: &mut Vec<TreeIndex>) {
    let mut node = last;
    while node != root && root.contains(node) {
        let sibling = node.sibling();
        if sibling > last {
            place(sibling, wanted, layout, places);
        }
        node = node.parent();
    }
}

/// One node of an upgrade, or the path to what was asked for below it, which re-derives the node.
fn place(node: TreeIndex, wanted: &Wanted, layout: &mut Layout, places: &mut Vec<TreeIndex>) {
    let below = wanted.sub_tree.filter(|sub| node.contains(*sub) && layout.node.is_none() && layout.seek.is_none());
    match below {
        Some(sub) => block_and_seek(wanted.target, wanted.seek.then_some(sub), node, layout),
        None => places.push(node),
    }
}

fn seek_from_head(lookup: &Lookup<'_>, length: u64, seek: RequestSeek) -> Result<Option<TreeIndex>, Stop> {
    let mut bytes = seek.bytes;
    for root in full_roots(length) {
        let node = match lookup.get(root) {
            Known::Here(node) => node,
            Known::Unasked => return Err(Stop::Load(full_roots(length))),
            Known::Absent => return Err(Stop::Missing(root)),
        };
        let size = node.unpadded_size(seek.padding);
        if bytes == size {
            return Ok(Some(root));
        }
        if bytes < size {
            return seek_down(lookup, root, bytes, seek.padding).map(Some);
        }
        bytes = bytes.saturating_sub(size);
    }
    Ok(None)
}

/// Goes down from `root` towards the byte, as far as nodes are stored.
fn seek_down(lookup: &Lookup<'_>, root: TreeIndex, bytes: u64, padding: u64) -> Result<TreeIndex, Stop> {
    if bytes == 0 {
        return Ok(root);
    }
    let (mut node, mut left_over) = (root, bytes);
    while let Some((left, right)) = node.children() {
        let size = match lookup.get(left) {
            Known::Here(found) => found.unpadded_size(padding),
            Known::Unasked => return Err(Stop::Load(Vec::from([left]))),
            Known::Absent => return Ok(node),
        };
        if size == left_over {
            return Ok(left);
        }
        if size > left_over {
            node = left;
        } else {
            left_over = left_over.saturating_sub(size);
            node = right;
        }
    }
    Ok(node)
}

/// Finds the byte below `root` without trusting that it is there.
fn seek_untrusted(lookup: &Lookup<'_>, root: TreeIndex, seek: RequestSeek) -> Result<TreeIndex, Stop> {
    let first = root.blocks().start;
    let mut places = byte_offset_nodes(lookup.roots, first);
    places.push(root);
    let mut unasked = Vec::new();
    let mut sizes = Vec::new();
    for place in places {
        match lookup.get(place) {
            Known::Here(node) => sizes.push(node.unpadded_size(seek.padding)),
            Known::Absent => return Err(Stop::Missing(place)),
            Known::Unasked => unasked.push(place),
        }
    }
    if !unasked.is_empty() {
        return Err(Stop::Load(unasked));
    }
    let size = sizes.pop().unwrap_or(0);
    let offset = sizes.into_iter().fold(0_u64, u64::saturating_add);
    let Some(bytes) = seek.bytes.checked_sub(offset) else { return Err(InvalidRequest::Seek.into()) };
    if bytes > 0 && size <= bytes {
        return Err(InvalidRequest::Seek.into());
    }
    seek_down(lookup, root, bytes, seek.padding)
}
