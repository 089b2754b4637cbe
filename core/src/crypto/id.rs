//! Byte strings that must not be mixed up, each with a type of its own.

use core::fmt;

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; $size]> for $name {
            fn from(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

bytes_newtype!(
    /// A core's key: the hash of its manifest, or a signer's public key in a compat core. Whoever has it may read.
    CoreKey, 32
);
bytes_newtype!(
    /// What a core is announced and addressed by on the wire; tells nothing of the key.
    DiscoveryKey, 32
);
bytes_newtype!(
    /// A BLAKE2b-256 digest.
    Hash, 32
);
bytes_newtype!(
    /// An Ed25519 public key.
    PublicKey, 32
);
bytes_newtype!(
    /// An Ed25519 signature.
    Signature, 64
);
