//! The manifest's fields.

use crate::crypto::namespace::{DEFAULT_NAMESPACE, MANIFEST};
use crate::crypto::{CoreKey, Hash, PublicKey, blake2b};
use crate::encoding::Encode;
use alloc::vec::Vec;

/// Who may sign a core and under which rules; versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// 0 to 3.
    pub version: u8,
    /// A signer may have signed a longer tree, proven by patch nodes.
    pub allow_patch: bool,
    /// How many signers must sign.
    pub quorum: u64,
    /// The signers, by position.
    pub signers: Vec<Signer>,
    /// A tree that needs no signature.
    pub prologue: Option<Prologue>,
    /// Keys of linked cores (version 2 and up).
    pub linked: Option<Vec<[u8; 32]>>,
    /// Free bytes (version 2 and up).
    pub user_data: Option<Vec<u8>>,
}

/// A tree that is valid without a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prologue {
    /// Tree hash.
    pub hash: Hash,
    /// Blocks.
    pub length: u64,
}

/// One signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Signed along with the tree in version 0.
    pub namespace: Hash,
    /// Ed25519.
    pub public_key: PublicKey,
}

impl Manifest {
    /// The manifest of one signer with the default namespace.
    pub fn single(version: u8, public_key: PublicKey) -> Self {
        let signer = Signer { namespace: DEFAULT_NAMESPACE, public_key };
        Self {
            version,
            allow_patch: false,
            quorum: 1,
            signers: Vec::from([signer]),
            prologue: None,
            linked: None,
            user_data: None,
        }
    }

    /// The manifest of a compat core, whose key is this public key.
    pub fn compat(public_key: PublicKey) -> Self {
        Self::single(1, public_key)
    }

    /// The key of the core with this manifest (not of a compat core).
    pub fn key(&self) -> CoreKey {
        CoreKey(blake2b(&[MANIFEST.as_ref(), &self.to_bytes()]).0)
    }
}
