//! What replication may see of the core it replicates.

use crate::crypto::{CoreKey, DiscoveryKey};
use crate::log::{Bitfield, Head};
use crate::manifest::{Manifest, Verifier};
use alloc::sync::Arc;

/// A core's state, lent for one call.
#[derive(Clone, Copy, Debug)]
pub struct CoreView<'a> {
    /// Key.
    pub key: &'a CoreKey,
    /// Discovery key.
    pub discovery_key: &'a DiscoveryKey,
    /// The published tree: what peers may be told and served.
    pub head: &'a Arc<Head>,
    /// The tree with commits still on their way to the store: what new proofs are verified against.
    pub staged: &'a Head,
    /// Blocks stored and published.
    pub bitfield: &'a Bitfield,
    /// Blocks from 0 on without a gap.
    pub contiguous_length: u64,
    /// The manifest, once known.
    pub manifest: Option<&'a Manifest>,
    /// Checks signatures, once the manifest is known.
    pub verifier: Option<&'a Verifier>,
    /// We hold a signing key.
    pub writable: bool,
    /// A conflict was found: nothing is asked or accepted any more.
    pub frozen: bool,
}
