//! Deterministic filler that any language can repeat: SHA-256(seed:0) ‖ SHA-256(seed:1) ‖ …, cut to size.

use sha2::{Digest, Sha256};

/// `size` bytes of filler for `seed`.
pub(crate) fn bytes(seed: &str, size: usize) -> Vec<u8> {
    let mut filler = Vec::with_capacity(size.saturating_add(32));
    let mut counter = 0_u64;
    while filler.len() < size {
        filler.extend_from_slice(&Sha256::digest(format!("{seed}:{counter}")));
        counter = counter.saturating_add(1);
    }
    filler.truncate(size);
    filler
}

/// The SHA-256 of `bytes` in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_seed_and_counter() {
        assert_eq!(hex::encode(bytes("a", 40))[..64], sha256(b"a:0"));
        assert_eq!(hex::encode(bytes("a", 40))[64..], sha256(b"a:1")[..16]);
        assert!(bytes("a", 0).is_empty());
    }
}
