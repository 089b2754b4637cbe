//! From local names to key pairs (`corestore/index.js`, `createKeyPair`). Names never leave the machine.

use crate::crypto::namespace::CORESTORE;
use crate::crypto::{KeyPair, blake2b, blake2b_keyed};
use core::fmt;

/// What all of a store's key pairs derive from. A secret; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrimaryKey(pub [u8; 32]);

impl fmt::Debug for PrimaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrimaryKey(..)")
    }
}

/// The namespace of a store's root session.
pub const DEFAULT_NAMESPACE: [u8; 32] = [0; 32];

/// The namespace `name` within `parent`.
pub fn namespace(parent: &[u8; 32], name: &str) -> [u8; 32] {
    blake2b(&[parent, name.as_bytes()]).0
}

/// The key pair of a name.
pub fn key_pair(primary: &PrimaryKey, namespace: &[u8; 32], name: &str) -> KeyPair {
    let seed = blake2b_keyed(&primary.0, &[CORESTORE.as_ref(), namespace, name.as_bytes()]);
    KeyPair::from_seed(&seed.0)
}
