//! Ed25519 key pairs and signatures.

use super::id::{PublicKey, Signature};
use super::signer::Signer;
use alloc::boxed::Box;
use core::fmt;
use ed25519_dalek::VerifyingKey;

/// A signing key and its public key. Wiped when dropped; `Debug` shows the public key only.
#[derive(Clone)]
pub struct KeyPair(Signer);

impl KeyPair {
    /// The key pair of a 32-byte seed (a secret).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Signer::new(seed))
    }

    /// The seed. A secret.
    pub fn seed(&self) -> [u8; 32] {
        self.0.seed()
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyPair").field(&self.public_key()).finish()
    }
}

/// A key pair known by its seed (a secret) and made when it is first needed: making it costs as much as a signature.
#[derive(Clone)]
pub struct LazyKeyPair {
    seed: [u8; 32],
    made: Option<Box<KeyPair>>,
}

impl LazyKeyPair {
    /// The seed. A secret.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The key pair.
    pub fn key_pair(&mut self) -> &KeyPair {
        self.made.get_or_insert_with(|| Box::new(KeyPair::from_seed(&self.seed)))
    }
}

impl From<[u8; 32]> for LazyKeyPair {
    fn from(seed: [u8; 32]) -> Self {
        Self { seed, made: None }
    }
}

impl From<KeyPair> for LazyKeyPair {
    fn from(pair: KeyPair) -> Self {
        Self { seed: pair.seed(), made: Some(Box::new(pair)) }
    }
}

impl PartialEq for LazyKeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

impl Eq for LazyKeyPair {}

impl fmt::Debug for LazyKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyKeyPair(..)")
    }
}

/// A public key made ready for many checks: finding its point costs a tenth of a check.
#[derive(Clone, Debug)]
pub struct ReadyKey(Option<Box<VerifyingKey>>);

impl ReadyKey {
    /// Bytes that are no key verify nothing.
    pub fn new(public_key: &PublicKey) -> Self {
        Self(VerifyingKey::from_bytes(&public_key.0).ok().map(Box::new))
    }

    /// True when `signature` is this key's over `message`. Weak keys and malleable signatures are refused.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.as_ref().is_some_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// True when `signature` is `public_key`'s over `message`. Weak keys and malleable signatures are refused.
pub fn verify_signature(public_key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    ReadyKey::new(public_key).verifies(message, signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn a_seed_gives_the_known_key_and_its_signature_holds() {
        let pair = KeyPair::from_seed(&[7; 32]);
        let expected = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
        assert_eq!(pair.public_key().to_string(), expected);
        let signature = pair.sign(b"message");
        assert!(verify_signature(&pair.public_key(), b"message", &signature));
        assert!(!verify_signature(&pair.public_key(), b"massage", &signature));
        let ready = ReadyKey::new(&pair.public_key());
        assert!(ready.verifies(b"message", &signature) && !ready.verifies(b"massage", &signature));
        assert!(!ReadyKey::new(&KeyPair::from_seed(&[8; 32]).public_key()).verifies(b"message", &signature));
        // Neither all zeros, a point of small order, nor what is no point at all.
        assert!(
            [[0; 32], [2; 32]].into_iter().all(|key| !ReadyKey::new(&PublicKey(key)).verifies(b"message", &signature))
        );
        assert!(!format!("{pair:?}").contains("0707"));
        let mut lazy = LazyKeyPair::from([7; 32]);
        assert_eq!(lazy, LazyKeyPair::from(pair));
        assert_eq!(lazy.key_pair().public_key().to_string(), expected);
    }
}
