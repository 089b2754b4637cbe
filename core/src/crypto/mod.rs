//! Hashes, keys and signatures of Hypercore (`hypercore-crypto`); the primitives are libraries'.

mod id;

pub use id::{CoreKey, DiscoveryKey, Hash, PublicKey, Signature};
