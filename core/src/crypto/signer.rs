//! What makes Ed25519 signatures: ed25519-dalek everywhere, and AWS-LC where the feature `aws-lc` brings it. It signs and
//! makes public keys in half the time (10.5 against 21 µs), which is most of what a single append costs; a check takes as
//! long in both, and stays with ed25519-dalek's strict one. Both give the same bytes (RFC 8032).

use ed25519_dalek::{Signer as _, SigningKey};

#[cfg(not(feature = "aws-lc"))]
pub(super) use portable::Signer;
#[cfg(feature = "aws-lc")]
pub(super) use with_aws_lc::Signer;

#[cfg(not(feature = "aws-lc"))]
mod portable {
    use super::{SigningKey, signed};

    /// A seed made ready for signing. Wiped when dropped.
    #[derive(Clone)]
    pub(in crate::crypto) struct Signer(SigningKey);

    impl Signer {
        pub(in crate::crypto) fn new(seed: &[u8; 32]) -> Self {
            Self(SigningKey::from_bytes(seed))
        }

        pub(in crate::crypto) fn seed(&self) -> [u8; 32] {
            self.0.to_bytes()
        }

        pub(in crate::crypto) fn public_key(&self) -> [u8; 32] {
            self.0.verifying_key().to_bytes()
        }

        pub(in crate::crypto) fn sign(&self, message: &[u8]) -> [u8; 64] {
            signed(&self.0, message)
        }
    }
}

#[cfg(feature = "aws-lc")]
mod with_aws_lc {
    use super::{SigningKey, signed};
    use alloc::sync::Arc;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use zeroize::Zeroizing;

    /// A seed made ready for signing. Wiped when dropped.
    #[derive(Clone)]
    pub(in crate::crypto) struct Signer {
        seed: Zeroizing<[u8; 32]>,
        /// `None` when the library had no memory for it: the other one signs then.
        pair: Option<Arc<Ed25519KeyPair>>,
    }

    impl Signer {
        pub(in crate::crypto) fn new(seed: &[u8; 32]) -> Self {
            let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Arc::new);
            Self { seed: Zeroizing::new(*seed), pair }
        }

        pub(in crate::crypto) fn seed(&self) -> [u8; 32] {
            *self.seed
        }

        pub(in crate::crypto) fn public_key(&self) -> [u8; 32] {
            let key = self.pair.as_ref().and_then(|pair| pair.public_key().as_ref().try_into().ok());
            key.unwrap_or_else(|| self.portable().verifying_key().to_bytes())
        }

        pub(in crate::crypto) fn sign(&self, message: &[u8]) -> [u8; 64] {
            let signature = self.pair.as_ref().and_then(|pair| pair.try_sign(message).ok());
            let signature = signature.and_then(|signature| signature.as_ref().try_into().ok());
            signature.unwrap_or_else(|| signed(&self.portable(), message))
        }

        fn portable(&self) -> SigningKey {
            SigningKey::from_bytes(&self.seed)
        }
    }
}

fn signed(key: &SigningKey, message: &[u8]) -> [u8; 64] {
    key.sign(message).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_and_signatures_are_those_of_ed25519_dalek(
            seed in any::<[u8; 32]>(), message in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let (signer, dalek) = (Signer::new(&seed), SigningKey::from_bytes(&seed));
            prop_assert_eq!(signer.seed(), seed);
            prop_assert_eq!(signer.public_key(), dalek.verifying_key().to_bytes());
            prop_assert_eq!(signer.clone().sign(&message), signed(&dalek, &message));
        }
    }
}
