//! Bytes that the files give by recipe.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The first bytes of SHA-256(seed:0), SHA-256(seed:1), and so on.
pub(crate) fn bytes(seed: &str, length: u64) -> Bytes {
    let length = usize::try_from(length).expect("small");
    let mut bytes = Vec::with_capacity(length + 32);
    for counter in 0.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(&Sha256::digest(format!("{seed}:{counter}")));
    }
    bytes.truncate(length);
    bytes.into()
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
