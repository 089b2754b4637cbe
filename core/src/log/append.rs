//! Appending: blocks and a key pair become nodes, a longer signed tree and a commit. Needs no read.

use super::bitfield::PART_BITS;
use super::change::{Applied, Change, Commit};
use super::head::Head;
use super::hypercore::{Hypercore, LogError};
use crate::crypto::BlockCipher;
use crate::merkle;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// A block may have at most this many bytes, padding included (`hypercore/index.js`, MAX_SUGGESTED_BLOCK_SIZE).
pub const MAX_BLOCK_SIZE: usize = 15 * 1024 * 1024;

impl Hypercore {
    /// Appends `blocks` as one batch under one signature, encrypted first when a cipher is given.
    ///
    /// # Errors
    /// [`LogError::NotWritable`], [`LogError::Frozen`], or [`LogError::BlockTooLarge`]; the log is unchanged then.
    pub fn append(&mut self, blocks: Vec<Bytes>, cipher: Option<&BlockCipher>) -> Result<Commit, LogError> {
        if self.is_frozen() {
            return Err(LogError::Frozen);
        }
        let verifier = self.verifier.as_ref().ok_or(LogError::NotWritable)?;
        let key_pair = self.key_pair.as_mut().ok_or(LogError::NotWritable)?.key_pair();
        let from = self.staged.head.roots.length;
        let blocks = encrypt(blocks, cipher, from, self.staged.head.roots.fork);
        if let Some((position, block)) = blocks.iter().enumerate().find(|(_, block)| block.len() > MAX_BLOCK_SIZE) {
            return Err(LogError::BlockTooLarge { position, size: block.len() });
        }
        if blocks.is_empty() {
            return Ok(self.stage(Vec::new(), Applied::default(), false));
        }
        let (roots, nodes) = merkle::append(&self.staged.head.roots, &blocks);
        let signature = verifier.sign(&roots, key_pair).map_err(|_| LogError::NotWritable)?;
        let end = roots.length;
        self.staged.head = Arc::new(Head { roots, signature });
        self.staged.bitfield.set_range(from..end, true);
        let mut changes =
            Vec::from([Change::PutBlocks { start: from, blocks: blocks.clone() }, Change::PutNodes(nodes)]);
        if self.staged.contiguous_length == from {
            self.staged.contiguous_length = end;
        } else {
            self.part_changes(from / PART_BITS..=end.saturating_sub(1) / PART_BITS, &mut changes);
        }
        let applied = Applied { grew_from: Some(from), added: Vec::from([(from, blocks)]), ..Applied::default() };
        Ok(self.stage(changes, applied, true))
    }
}

fn encrypt(blocks: Vec<Bytes>, cipher: Option<&BlockCipher>, from: u64, fork: u64) -> Vec<Bytes> {
    let Some(cipher) = cipher else { return blocks };
    (from..).zip(&blocks).map(|(index, block)| cipher.encrypt(index, fork, block)).collect()
}
