//! Cutting the log: by its writer, or because the writer moved to a newer fork.

use super::bitfield::PART_BITS;
use super::change::{Applied, Change, Commit};
use super::head::Head;
use super::hypercore::{Hypercore, LogError};
use crate::merkle::{LoadedNodes, Node, Roots, TreeIndex, Verified};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The nodes a truncation needs, and the state it was planned on.
#[derive(Clone, Debug)]
pub struct TruncatePlan {
    fork: u64,
    length: u64,
    new_length: u64,
    new_fork: u64,
    needs: Vec<TreeIndex>,
}

impl TruncatePlan {
    /// Nodes to load.
    pub fn needs(&self) -> &[TreeIndex] {
        &self.needs
    }
}

impl Hypercore {
    /// Plans a cut to `new_length` blocks on `new_fork` (one past the present fork when not given).
    ///
    /// # Errors
    /// [`LogError::OutOfBounds`] when that is longer than the log or the fork is not newer; [`LogError::NotWritable`]
    /// without a signing key; [`LogError::Frozen`] after a conflict.
    pub fn plan_truncate(&self, new_length: u64, new_fork: Option<u64>) -> Result<TruncatePlan, LogError> {
        let roots = &self.staged_head().roots;
        let new_fork = new_fork.unwrap_or(roots.fork.saturating_add(1));
        if self.is_frozen() {
            return Err(LogError::Frozen);
        }
        if self.key_pair.is_none() {
            return Err(LogError::NotWritable);
        }
        let prologue = self.verifier.as_ref().and_then(|verifier| verifier.prologue()).map_or(0, |p| p.length);
        if new_length > roots.length || new_fork <= roots.fork || new_length < prologue {
            return Err(LogError::OutOfBounds);
        }
        let needs = Roots::indices(new_length);
        Ok(TruncatePlan { fork: roots.fork, length: roots.length, new_length, new_fork, needs })
    }

    /// Cuts the log as planned, signing the shorter tree on the new fork.
    ///
    /// # Errors
    /// [`LogError::Moved`] when the log changed since the plan, [`LogError::MissingNodes`] when the store lacks the
    /// shorter tree's roots.
    pub fn truncate(&mut self, plan: &TruncatePlan, loaded: &LoadedNodes) -> Result<Commit, LogError> {
        if (self.staged.head.roots.fork, self.staged.head.roots.length) != (plan.fork, plan.length) {
            return Err(LogError::Moved);
        }
        let nodes: Option<Vec<Node>> = plan.needs.iter().map(|index| loaded.get(*index).copied()).collect();
        let roots = nodes
            .and_then(|nodes| Roots::from_nodes(plan.new_fork, plan.new_length, nodes))
            .ok_or(LogError::MissingNodes)?;
        let verifier = self.verifier.as_ref().ok_or(LogError::NotWritable)?;
        let key_pair = self.key_pair.as_mut().ok_or(LogError::NotWritable)?.key_pair();
        let signature = verifier.sign(&roots, key_pair).map_err(|_| LogError::NotWritable)?;
        let mut changes = self.cut(plan.new_length);
        self.staged.head = Arc::new(Head { roots, signature });
        self.part_changes(core::iter::once(plan.new_length / PART_BITS), &mut changes);
        let applied = Applied { truncated_to: Some(plan.new_length), ..Applied::default() };
        Ok(self.stage(changes, applied, true))
    }

    /// Cuts the log to the `ancestors` blocks both histories share and goes on with a newer, verified fork.
    ///
    /// # Errors
    /// [`LogError::Moved`] when the proof is no newer fork's tree any more, [`LogError::Frozen`] after a conflict.
    pub fn reorg(&mut self, ancestors: u64, verified: &Verified) -> Result<Commit, LogError> {
        let upgrade = verified.upgrade().ok_or(LogError::Moved)?;
        if self.is_frozen() {
            return Err(LogError::Frozen);
        }
        let roots = &self.staged.head.roots;
        if verified.fork() <= roots.fork || ancestors > roots.length || ancestors > upgrade.roots.length {
            return Err(LogError::Moved);
        }
        let mut changes = self.cut(ancestors);
        changes.push(Change::PutNodes(verified.nodes().to_vec()));
        self.staged.head = Arc::new(Head { roots: upgrade.roots.clone(), signature: upgrade.signature.clone() });
        self.part_changes(core::iter::once(ancestors / PART_BITS), &mut changes);
        let grew_from = (upgrade.roots.length > ancestors).then_some(ancestors);
        let applied = Applied { truncated_to: Some(ancestors), grew_from, ..Applied::default() };
        Ok(self.stage(changes, applied, true))
    }

    /// Drops everything past `length` from the staged side and says what to delete.
    fn cut(&mut self, length: u64) -> Vec<Change> {
        let old = self.staged.head.roots.length;
        self.staged.bitfield.truncate(length);
        self.staged.contiguous_length = self.staged.contiguous_length.min(length);
        // Nodes over the cut have smaller indexes; the next append or upgrade writes each of them anew.
        Vec::from([
            Change::DeleteBlocks(length..old),
            Change::DeleteNodes(length.saturating_mul(2)..old.saturating_mul(2)),
            Change::DeleteParts(length / PART_BITS..(old / PART_BITS).saturating_add(1)),
        ])
    }
}
