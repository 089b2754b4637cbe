//! Proofs of a core's blocks and tree, made and checked by hand. Replication does the same by itself.

use crate::error::ProofError;
use crate::hypercore::Hypercore;
use corestore_core::corestore::Outcome;
use corestore_core::crypto::Hash;
use corestore_core::manifest::Manifest;
use corestore_core::merkle::{Proof, ProofRequest};

impl Hypercore {
    /// Proves what `request` asks for, from what is stored here, against the core's present tree.
    ///
    /// # Errors
    /// [`ProofError`] when no such tree can prove it, or not all of it is stored.
    pub async fn proof(&self, request: ProofRequest) -> Result<Proof, ProofError> {
        match self.prove(|machine, session| machine.prove(session, &request)).await? {
            Outcome::Proof(proof) => Ok(*proof),
            _ => Err(ProofError::Closed),
        }
    }

    /// Checks a proof against what is known here of the core; nothing is stored. Gives the length in blocks of the
    /// tree it proves, or of ours when it brings no longer one.
    ///
    /// # Errors
    /// [`ProofError::Invalid`] names what does not hold.
    pub async fn verify_proof(&self, proof: &Proof) -> Result<u64, ProofError> {
        self.check(proof, false).await
    }

    /// Checks a proof and stores what it proves: nodes, a block, a longer tree. Done when it is stored. Gives the
    /// length in blocks of the tree it proves, or of ours when it brings no longer one.
    ///
    /// # Errors
    /// [`ProofError`]; then nothing was stored.
    pub async fn apply_proof(&self, proof: &Proof) -> Result<u64, ProofError> {
        self.check(proof, true).await
    }

    async fn check(&self, proof: &Proof, store: bool) -> Result<u64, ProofError> {
        match self.prove(|machine, session| machine.check_proof(session, proof, store)).await? {
            Outcome::Proven { length } => Ok(length),
            _ => Err(ProofError::Closed),
        }
    }

    /// How many uncles a proof of block `index` must bring along to be checked here (`RequestBlock::nodes`).
    pub fn missing_nodes(&self, index: u64) -> u64 {
        let session = self.session();
        session.machine.look(|machine| machine.missing_nodes(session.id, index))
    }

    /// The hash over the roots of the core's present tree: what its signature covers. `None` once the store is closed.
    pub fn tree_hash(&self) -> Option<Hash> {
        let session = self.session();
        session.machine.look(|machine| machine.tree_hash(session.id))
    }

    /// Who may sign the core; `None` while that is not known here.
    pub fn manifest(&self) -> Option<Manifest> {
        let session = self.session();
        session.machine.look(|machine| machine.manifest(session.id))
    }
}
