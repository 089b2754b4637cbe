//! Block encryption (`hypercore/lib/default-encryption.js`): 8 bytes of padding, then the block under XSalsa20.
//!
//! There is no MAC: the Merkle tree covers the ciphertext.

use super::hash::{blake2b, blake2b_keyed};
use super::id::CoreKey;
use super::namespace::DEFAULT_ENCRYPTION;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};

/// Bytes in front of every encrypted block.
pub const PADDING: usize = 8;

/// Encrypts and decrypts the blocks of one core.
#[derive(Clone)]
pub struct BlockCipher {
    block_key: [u8; 32],
    blinding_key: [u8; 32],
}

impl fmt::Debug for BlockCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockCipher(..)")
    }
}

impl BlockCipher {
    /// The cipher of a core under an encryption key (32 bytes, a secret).
    pub fn new(key: &CoreKey, compat: bool, encryption_key: &[u8; 32]) -> Self {
        let block_key = if compat {
            blake2b_keyed(key.as_ref(), &[encryption_key])
        } else {
            blake2b(&[DEFAULT_ENCRYPTION.as_ref(), key.as_ref(), encryption_key])
        };
        Self::from_block_key(block_key.0)
    }

    /// The cipher with a block key that was derived elsewhere.
    pub fn from_block_key(block_key: [u8; 32]) -> Self {
        Self { blinding_key: blake2b(&[&block_key]).0, block_key }
    }

    /// The derived block key (a secret).
    pub fn block_key(&self) -> &[u8; 32] {
        &self.block_key
    }

    /// The block as it is stored and replicated: [`PADDING`] bytes longer. `fork` is the core's at the time.
    pub fn encrypt(&self, index: u64, fork: u64, block: &[u8]) -> Bytes {
        let padding = self.blind(index, fork.to_le_bytes());
        let mut stored = Vec::with_capacity(block.len().saturating_add(PADDING));
        stored.extend_from_slice(&padding);
        stored.extend_from_slice(block);
        if let Some(body) = stored.get_mut(PADDING..) {
            self.apply(index, padding, body);
        }
        Bytes::from(stored)
    }

    /// The block as it was appended; `None` when it is too short to be an encrypted one.
    pub fn decrypt(&self, index: u64, stored: &[u8]) -> Option<Bytes> {
        let (padding, body) = stored.split_first_chunk::<PADDING>()?;
        let mut block = body.to_vec();
        self.apply(index, *padding, &mut block);
        Some(Bytes::from(block))
    }

    /// The fork the block was encrypted on, as its padding tells: a number no core has when the key is wrong.
    pub fn fork_of(&self, index: u64, stored: &[u8]) -> Option<u64> {
        let (padding, _) = stored.split_first_chunk::<PADDING>()?;
        Some(u64::from_le_bytes(self.blind(index, *padding)))
    }

    fn blind(&self, index: u64, mut padding: [u8; PADDING]) -> [u8; PADDING] {
        xor(&self.blinding_key, index, [0; PADDING], &mut padding);
        padding
    }

    fn apply(&self, index: u64, padding: [u8; PADDING], body: &mut [u8]) {
        xor(&self.block_key, index, padding, body);
    }
}

fn xor(key: &[u8; 32], index: u64, padding: [u8; PADDING], bytes: &mut [u8]) {
    let mut nonce = [0; 24];
    for (to, from) in nonce.iter_mut().zip(index.to_le_bytes().into_iter().chain(padding)) {
        *to = from;
    }
    XSalsa20::new(&(*key).into(), &nonce.into()).apply_keystream(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_block() {
        let cipher = BlockCipher::new(&CoreKey([1; 32]), false, &[5; 32]);
        let stored = cipher.encrypt(3, 1, b"hello");
        let expected = [0x58, 0x28, 0x2e, 0x4e, 0xb8, 0x13, 0x1e, 0x2e, 0x3f, 0x0a, 0xac, 0x9f, 0x6b];
        assert_eq!(&stored[..], expected);
    }

    proptest! {
        #[test]
        fn what_is_encrypted_comes_back(block: Vec<u8>, index: u64, fork: u64, compat: bool) {
            let cipher = BlockCipher::new(&CoreKey([1; 32]), compat, &[2; 32]);
            let stored = cipher.encrypt(index, fork, &block);
            prop_assert_eq!(stored.len(), block.len() + PADDING);
            prop_assert_eq!(cipher.fork_of(index, &stored), Some(fork));
            prop_assert_eq!(cipher.decrypt(index, &stored).unwrap(), block);
            prop_assert_eq!(cipher.decrypt(index, &stored[..7]), None);
        }
    }
}
