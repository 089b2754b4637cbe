//! Words on hole punching travel sealed past the nodes that relay them (`hyperdht/lib/secure-payload.js`).

use super::holepunch::HolepunchPayload;
use crate::encoding::{Decode, Encode};
use alloc::vec::Vec;
use core::fmt;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead, KeyInit};

/// The key both sides of a handshake seal their words with. A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HolepunchKey([u8; 32]);

impl fmt::Debug for HolepunchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HolepunchKey(..)")
    }
}

impl HolepunchKey {
    /// The key with these bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The bytes. A secret.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The nonce, then `payload` under it. `nonce` is 24 fresh random bytes.
    pub fn seal(&self, payload: &HolepunchPayload, nonce: [u8; 24]) -> Vec<u8> {
        let cipher = XSalsa20Poly1305::new(&self.0.into());
        // Fails for plaintexts of many gigabytes only.
        let sealed = cipher.encrypt(&nonce.into(), payload.to_bytes().as_slice()).unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// The payload; `None` when it was not sealed with this key, or is none.
    pub fn open(&self, sealed: &[u8]) -> Option<HolepunchPayload> {
        let (nonce, sealed) = sealed.split_first_chunk::<24>()?;
        let payload = XSalsa20Poly1305::new(&self.0.into()).decrypt(&(*nonce).into(), sealed).ok()?;
        HolepunchPayload::from_bytes(&payload).ok()
    }
}

/// Bytes a sealed word is longer than its payload: the nonce and the MAC.
pub const SEALED_OVERHEAD: usize = 24 + 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_opens() {
        let key = HolepunchKey::new([1; 32]);
        let payload = HolepunchPayload { round: 3, punching: true, ..HolepunchPayload::default() };
        let mut sealed = key.seal(&payload, [2; 24]);
        assert_eq!(sealed.len(), payload.to_bytes().len() + SEALED_OVERHEAD);
        assert_eq!(key.open(&sealed), Some(payload));
        assert_eq!(HolepunchKey::new([2; 32]).open(&sealed), None);
        sealed[30] ^= 1;
        assert_eq!(key.open(&sealed), None);
        assert_eq!(key.open(&sealed[..20]), None);
    }
}
