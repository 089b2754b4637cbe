//! Hashes, keys and signatures of Hypercore (`hypercore-crypto`); the primitives are libraries'.

mod block_cipher;
mod capability;
mod hash;
mod id;
mod key_text;
pub mod namespace;
mod sign;
mod signer;

pub use block_cipher::{BlockCipher, PADDING};
pub use capability::{capability, discovery_key};
pub use hash::{ROOTS, blake2b, blake2b_keyed, leaf_hash, leaf_hashes, parent_hash, parent_hashes};
pub use id::{CoreKey, DiscoveryKey, Hash, PublicKey, Signature};
pub use key_text::InvalidKey;
pub use sign::{KeyPair, LazyKeyPair, ReadyKey, verify_signature};
