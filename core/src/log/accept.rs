//! Accepting what a peer proved: nodes, a block, a longer tree, the manifest.

use super::bitfield::PAGE_BITS;
use super::change::{Applied, Change, Commit};
use super::head::Head;
use super::hypercore::{Hypercore, LogError};
use crate::manifest::{Manifest, Verifier};
use crate::merkle::Verified;
use alloc::sync::Arc;
use alloc::vec::Vec;

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
        if !verified.nodes().is_empty() {
            changes.push(Change::PutNodes(verified.nodes().to_vec()));
        }
        if let Some(upgrade) = verified.upgrade() {
            applied.grew_from = Some(upgrade.from);
            self.staged.head = Arc::new(Head { roots: upgrade.roots.clone(), signature: upgrade.signature.clone() });
        }
        if let Some((index, value)) = verified.block().filter(|(index, _)| !self.has_staged(*index)) {
            self.staged.bitfield.set(index, true);
            changes.push(Change::PutBlocks { start: index, blocks: Vec::from([value.clone()]) });
            applied.added.push((index, Vec::from([value.clone()])));
            if index == self.staged.contiguous_length {
                self.staged.contiguous_length = self.staged.bitfield.first_unset(index);
            } else {
                self.page_changes(core::iter::once(index / PAGE_BITS), &mut changes);
            }
        }
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
        if verified.block().is_some_and(|(index, _)| index >= length) {
            return Err(LogError::Moved);
        }
        Ok(())
    }
}
