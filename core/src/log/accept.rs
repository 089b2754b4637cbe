//! Accepting what a peer proved: nodes, a block, a longer tree, the manifest.

use super::bitfield::PART_BITS;
use super::change::{Applied, Change, Commit};
use super::head::Head;
use super::hypercore::{Hypercore, LogError};
use crate::manifest::{Manifest, Verifier};
use crate::merkle::Verified;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

impl Hypercore {
    /// Stores what was verified. `manifest` is given when it was not known before.
    ///
    /// # Errors
    /// [`LogError::Moved`] when the proof starts from another tree than the staged one, [`LogError::Frozen`] after a
    /// conflict; the log is unchanged then.
    pub fn accept(&mut self, verified: Verified, manifest: Option<Manifest>) -> Result<Commit, LogError> {
        self.check_acceptable(&verified)?;
        let mut changes = Vec::new();
        let mut applied = Applied::default();
        if let Some(manifest) = manifest.filter(|_| self.verifier.is_none()) {
            let verifier = Verifier::new(manifest, self.key()).map_err(|_| LogError::Moved)?;
            self.verifier = Some(verifier);
            applied.manifest = true;
            changes.push(Change::PutAuth(self.auth()));
        }
        if let Some(upgrade) = verified.upgrade() {
            applied.grew_from = Some(upgrade.from);
            self.staged.head = Arc::new(Head { roots: upgrade.roots.clone(), signature: upgrade.signature.clone() });
        }
        let (nodes, blocks) = verified.into_parts();
        if !nodes.is_empty() {
            changes.push(Change::PutNodes(nodes));
        }
        let mut parts = BTreeSet::new();
        for (index, value) in blocks {
            if !self.staged.bitfield.set(index, true) {
                continue;
            }
            if index == self.staged.contiguous_length {
                self.staged.contiguous_length = self.staged.bitfield.first_unset(index);
            } else {
                parts.insert(index / PART_BITS);
            }
            add_block(&mut applied.added, index, value);
        }
        for (start, blocks) in &applied.added {
            changes.push(Change::PutBlocks { start: *start, blocks: blocks.clone() });
        }
        self.part_changes(parts.into_iter(), &mut changes);
        Ok(self.stage(changes, applied, false))
    }

    fn check_acceptable(&self, verified: &Verified) -> Result<(), LogError> {
        let roots = &self.staged.head.roots;
        if self.is_frozen() {
            return Err(LogError::Frozen);
        }
        if verified.fork() != roots.fork || verified.upgrade().is_some_and(|upgrade| upgrade.from != roots.length) {
            return Err(LogError::Moved);
        }
        let length = verified.upgrade().map_or(roots.length, |upgrade| upgrade.roots.length);
        if verified.blocks().iter().any(|(index, _)| *index >= length) {
            return Err(LogError::Moved);
        }
        Ok(())
    }
}

/// Adds a block to the last run of blocks, if it follows it.
fn add_block(runs: &mut Vec<(u64, Vec<Bytes>)>, index: u64, block: Bytes) {
    let follows = |(start, run): &(u64, Vec<Bytes>)| {
        u64::try_from(run.len()).is_ok_and(|length| start.checked_add(length) == Some(index))
    };
    match runs.last_mut().filter(|run| follows(run)) {
        Some((_, run)) => run.push(block),
        None => runs.push((index, Vec::from([block]))),
    }
}
