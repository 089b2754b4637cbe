//! The head: how long the log is, and the signature that says so.

use crate::merkle::Roots;
use alloc::vec::Vec;

/// A tree and the signature over it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Fork, length, byte length, root nodes.
    pub roots: Roots,
    /// 64 bytes (version 0 and compat) or the multi-signature form; empty when nothing was signed yet.
    pub signature: Vec<u8>,
}
