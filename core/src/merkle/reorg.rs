//! Where our history and a newer, signed fork part: a descent from the first root that differs, one hash request at
//! a time (`hypercore/lib/merkle-tree.js`, `ReorgBatch`).

use super::lookup::{Known, Lookup};
use super::node::{LoadedNodes, Node, TreeIndex};
use super::proof::{Proof, RequestBlock};
use super::roots::Roots;
use super::verify::{InvalidProof, Verified, VerifiedUpgrade, verify_tree, verify_upgrade};
use alloc::vec::Vec;

/// The search for the last block both histories share.
#[derive(Clone, Debug)]
pub struct Reorg {
    local: Roots,
    upgrade: VerifiedUpgrade,
    nodes: Vec<Node>,
    fresh: LoadedNodes,
    asked: Vec<TreeIndex>,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Comparing the newer fork's roots with ours.
    Roots,
    /// Going down from `diff` with the nodes at hand.
    Down { diff: Node },
    /// Waiting for the nodes below `diff`.
    Ask { diff: Node },
    /// Found.
    Done { ancestors: u64 },
}

impl Reorg {
    /// Starts with the newer fork's proof: an upgrade from 0, perhaps with a block.
    ///
    /// # Errors
    /// [`InvalidProof`] when it is no signed tree.
    pub fn new(local: &Roots, proof: &Proof, check: &dyn Fn(&Roots, &[u8]) -> bool) -> Result<Self, InvalidProof> {
        let data = proof.upgrade.as_ref().ok_or(InvalidProof::Empty)?;
        if data.start != 0 {
            return Err(InvalidProof::UpgradeOutOfBounds);
        }
        let mut nodes = Vec::new();
        let top = verify_tree(leaf_of(proof), proof, &mut nodes)?;
        let (roots, used) = verify_upgrade(&Roots::default(), proof.fork, data, top, &mut nodes)?;
        if let Some(top) = top.filter(|_| !used) {
            return Err(InvalidProof::HashMismatch { node: top.index });
        }
        if !check(&roots, &data.signature) {
            return Err(InvalidProof::Signature { length: roots.length });
        }
        let upgrade = VerifiedUpgrade { from: 0, roots, signature: data.signature.clone() };
        let fresh = nodes.iter().copied().collect();
        Ok(Self { local: local.clone(), upgrade, nodes, fresh, asked: Vec::new(), stage: Stage::Roots })
    }

    /// The newer fork's number.
    pub fn fork(&self) -> u64 {
        self.upgrade.roots.fork
    }

    /// The newer fork's length in blocks.
    pub fn length(&self) -> u64 {
        self.upgrade.roots.length
    }

    /// Goes on with our own nodes that were loaded; gives the ones to load next, empty when it has to ask the peer or
    /// is done.
    pub fn advance(&mut self, loaded: &LoadedNodes) -> Vec<TreeIndex> {
        loop {
            let needs = match self.stage.clone() {
                Stage::Roots => self.compare_roots(loaded),
                Stage::Down { diff } => self.descend(loaded, diff),
                Stage::Ask { .. } | Stage::Done { .. } => return Vec::new(),
            };
            if let Err(needs) = needs {
                self.asked.extend(needs.iter().copied());
                return needs;
            }
        }
    }

    fn compare_roots(&mut self, loaded: &LoadedNodes) -> Result<(), Vec<TreeIndex>> {
        let mut differing = None;
        for root in &self.upgrade.roots.nodes {
            match self.own(root.index, loaded) {
                Known::Here(own) if own.hash == root.hash => {}
                Known::Unasked => return Err(self.upgrade.roots.nodes.iter().map(|root| root.index).collect()),
                Known::Here(_) | Known::Absent => {
                    differing = Some(*root);
                    break;
                }
            }
        }
        self.stage = match differing {
            None => Stage::Done { ancestors: self.upgrade.roots.length.min(self.local.length) },
            Some(root) => Stage::Down { diff: root },
        };
        Ok(())
    }

    /// Our node at `index`. One that reaches past our tree may be left over from before a cut: it says nothing.
    fn own<'a>(&'a self, index: TreeIndex, loaded: &'a LoadedNodes) -> Known<'a> {
        if index.blocks().end > self.local.length {
            return Known::Absent;
        }
        Lookup { roots: &self.local, loaded, asked: &self.asked }.get(index)
    }

    /// One step down the side that differs.
    fn descend(&mut self, loaded: &LoadedNodes, diff: Node) -> Result<(), Vec<TreeIndex>> {
        let at = diff.index;
        if at.is_leaf() || at.blocks().start >= self.local.length {
            self.stage = Stage::Done { ancestors: at.blocks().start.min(self.local.length) };
            return Ok(());
        }
        let children = at.children().and_then(|(left, right)| Some((*self.fresh.get(left)?, *self.fresh.get(right)?)));
        let Some((left, right)) = children else {
            self.stage = Stage::Ask { diff };
            return Ok(());
        };
        let next = match self.own(left.index, loaded) {
            Known::Unasked => return Err(Vec::from([left.index])),
            Known::Here(own) if own.hash == left.hash => right,
            Known::Here(_) | Known::Absent => left,
        };
        self.stage = Stage::Down { diff: next };
        Ok(())
    }

    /// The hash request to send next; `None` while comparing or when done. `index` is a tree index.
    pub fn want(&self) -> Option<RequestBlock> {
        let Stage::Ask { diff } = &self.stage else { return None };
        let (first, _) = diff.index.spans();
        Some(RequestBlock { index: first.0, nodes: u64::from(diff.index.depth()) })
    }

    /// Takes the answer to [`Reorg::want`].
    ///
    /// # Errors
    /// [`InvalidProof`] when it does not hash up to the node that differs.
    pub fn update(&mut self, proof: &Proof) -> Result<(), InvalidProof> {
        let Stage::Ask { diff } = &self.stage else { return Ok(()) };
        let diff = *diff;
        let mut nodes = Vec::new();
        let top = verify_tree(leaf_of(proof), proof, &mut nodes)?.ok_or(InvalidProof::Empty)?;
        if top.index != diff.index || top.hash != diff.hash {
            return Err(InvalidProof::HashMismatch { node: diff.index });
        }
        self.fresh.extend(nodes.iter().copied());
        self.nodes.extend(nodes);
        self.stage = Stage::Down { diff };
        Ok(())
    }

    /// How many blocks both histories share, once known.
    pub fn ancestors(&self) -> Option<u64> {
        match self.stage {
            Stage::Done { ancestors } => Some(ancestors),
            _ => None,
        }
    }

    /// The newer fork's tree, to go on with.
    pub fn into_verified(self) -> Verified {
        Verified::new(self.upgrade.roots.fork, self.nodes, Some(self.upgrade))
    }
}

fn leaf_of(proof: &Proof) -> Option<Node> {
    proof.block.as_ref().map(|block| Node::leaf(block.index, &block.value))
}
