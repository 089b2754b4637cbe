//! Manifests: who may sign a core, and how its key and signatures follow from that (`hypercore/lib/verifier.js`).

mod schema;

pub use schema::{Manifest, Prologue, Signer};
