//! Manifests: who may sign a core, and how its key and signatures follow from that (`hypercore/lib/verifier.js`).

mod codec;
mod multisig;
mod schema;
mod verifier;

pub use multisig::{MultiSignature, PartialSignature, SignerProof, assemble};
pub use schema::{Manifest, Prologue, Signer};
pub use verifier::{NotASigner, Verifier, WrongManifest, signable, signable_compat};
