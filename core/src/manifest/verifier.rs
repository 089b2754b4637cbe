//! Who may sign: making and checking signatures under a manifest (`hypercore/lib/verifier.js`, `caps.js`).

use super::multisig::{MultiSignature, PartialSignature, SignerProof, assemble, decode_v0};
use super::schema::{Manifest, Prologue, Signer};
use crate::crypto::namespace::TREE;
use crate::crypto::{CoreKey, Hash, KeyPair, ReadyKey, Signature, verify_signature};
use crate::encoding::{Decode, Encode};
use crate::merkle::{DataUpgrade, Node, Roots, upgrade_places, upgrade_roots};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::fmt;

/// A manifest does not belong to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongManifest;

impl fmt::Display for WrongManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the manifest does not belong to this core's key")
    }
}

impl core::error::Error for WrongManifest {}

/// A key pair is none of the manifest's signers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASigner;

/// Signs and checks trees of one core.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: CoreKey,
    manifest: Manifest,
    compat: bool,
    /// Of a core with one signer, made with the first check: most cores that are written here never need it.
    only_signer: OnceCell<ReadyKey>,
}

impl Verifier {
    /// The rules of the core with this key.
    ///
    /// # Errors
    /// [`WrongManifest`] when the manifest neither hashes to the key nor is that of the compat core with this key.
    pub fn new(manifest: Manifest, key: &CoreKey) -> Result<Self, WrongManifest> {
        let compat = matches!(manifest.signers.as_slice(), [signer] if signer.public_key.0 == key.0);
        if !compat && manifest.key() != *key {
            return Err(WrongManifest);
        }
        Ok(Self { key: *key, manifest, compat, only_signer: OnceCell::new() })
    }

    /// True when the core's key is its signer's public key and signatures are bare.
    pub fn is_compat(&self) -> bool {
        self.compat
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The tree that needs no signature, if there is one.
    pub fn prologue(&self) -> Option<&Prologue> {
        self.manifest.prologue.as_ref().filter(|_| !self.compat)
    }

    /// The bytes `signer` signs for a tree.
    pub fn signable(&self, roots: &Roots, signer: &Signer) -> Vec<u8> {
        self.signable_of(&Claim::of(roots), signer)
    }

    fn signable_of(&self, claim: &Claim<'_>, signer: &Signer) -> Vec<u8> {
        if self.compat {
            return signable_compat(&claim.tree_hash, claim.length, claim.fork, false);
        }
        let context = if self.manifest.version == 0 { signer.namespace } else { Hash(self.key.0) };
        signable(&context, &claim.tree_hash, claim.length, claim.fork)
    }

    /// Signs a tree: the whole signature for a single signer, this signer's bare part for several.
    ///
    /// # Errors
    /// [`NotASigner`] when the manifest does not name the key pair.
    pub fn sign(&self, roots: &Roots, key_pair: &KeyPair) -> Result<Vec<u8>, NotASigner> {
        let public_key = key_pair.public_key();
        let signer = self.manifest.signers.iter().find(|signer| signer.public_key == public_key).ok_or(NotASigner)?;
        let signature = key_pair.sign(&self.signable(roots, signer));
        if self.compat || self.manifest.version == 0 || self.manifest.signers.len() != 1 {
            return Ok(signature.0.to_vec());
        }
        let proof = SignerProof { signer: 0, signature, patch: 0 };
        Ok(assemble(&[PartialSignature { proof, nodes: Vec::new() }]).to_bytes())
    }

    /// True when `signature` covers the tree under the manifest's rules.
    pub fn verify(&self, roots: &Roots, signature: &[u8]) -> bool {
        self.verify_claim(&Claim::of(roots), signature)
    }

    /// The same for a tree of which only the hash is known; parts signed over a longer tree are refused then.
    pub fn verify_tree_hash(&self, tree_hash: Hash, length: u64, fork: u64, signature: &[u8]) -> bool {
        self.verify_claim(&Claim { tree_hash, length, fork, roots: None }, signature)
    }

    fn verify_claim(&self, claim: &Claim<'_>, signature: &[u8]) -> bool {
        if self.compat || self.manifest.version == 0 {
            return self.verify_v0(claim, signature);
        }
        match self.prologue() {
            Some(prologue) if claim.length <= prologue.length => {
                claim.length == prologue.length && claim.tree_hash == prologue.hash
            }
            _ => MultiSignature::from_bytes(signature).is_ok_and(|multi| self.verify_multi(claim, &multi)),
        }
    }

    fn verify_v0(&self, claim: &Claim<'_>, signature: &[u8]) -> bool {
        match self.manifest.signers.as_slice() {
            [signer] if self.compat || !self.manifest.allow_patch => {
                let signature = signature.try_into().map(Signature);
                signature.is_ok_and(|signature| self.verify_one(claim, signer, &signature))
            }
            _ => decode_v0(signature).is_ok_and(|multi| self.verify_multi(claim, &multi)),
        }
    }

    fn verify_one(&self, claim: &Claim<'_>, signer: &Signer, signature: &Signature) -> bool {
        let message = self.signable_of(claim, signer);
        match self.manifest.signers.as_slice() {
            [only] => self.only_signer.get_or_init(|| ReadyKey::new(&only.public_key)).verifies(&message, signature),
            _ => verify_signature(&signer.public_key, &message, signature),
        }
    }

    /// The first `quorum` parts must hold, each from another signer.
    fn verify_multi(&self, claim: &Claim<'_>, multi: &MultiSignature) -> bool {
        let Some(quorum) = usize::try_from(self.manifest.quorum).ok().filter(|quorum| *quorum > 0) else {
            return false;
        };
        let Some(proofs) = multi.proofs.get(..quorum) else { return false };
        let mut tried = BTreeSet::new();
        proofs.iter().all(|proof| {
            let signer = usize::try_from(proof.signer).ok().and_then(|at| self.manifest.signers.get(at));
            let Some(signer) = signer.filter(|_| tried.insert(proof.signer)) else { return false };
            if proof.patch == 0 || !self.manifest.allow_patch {
                return self.verify_one(claim, signer, &proof.signature);
            }
            let longer = claim.roots.and_then(|roots| patched(roots, proof.patch, &multi.patch));
            longer.is_some_and(|longer| self.verify_one(&Claim::of(&longer), signer, &proof.signature))
        })
    }
}

/// What a signature is said to cover.
struct Claim<'a> {
    tree_hash: Hash,
    length: u64,
    fork: u64,
    /// Needed for parts over a longer tree.
    roots: Option<&'a Roots>,
}

impl<'a> Claim<'a> {
    fn of(roots: &'a Roots) -> Self {
        Self { tree_hash: roots.tree_hash(), length: roots.length, fork: roots.fork, roots: Some(roots) }
    }
}

/// The tree `patch` blocks longer, from the nodes that lead there.
fn patched(roots: &Roots, patch: u64, nodes: &[Node]) -> Option<Roots> {
    let to = roots.length.checked_add(patch)?;
    let places = upgrade_places(roots.length, to).into_iter();
    let nodes: Option<Vec<Node>> = places.map(|place| nodes.iter().find(|node| node.index == place).copied()).collect();
    let upgrade = DataUpgrade {
        start: roots.length,
        length: patch,
        nodes: nodes?,
        additional_nodes: Vec::new(),
        signature: Vec::new(),
    };
    upgrade_roots(roots, &upgrade).ok()
}

/// The bytes signed for a tree: 112.
pub fn signable(context: &Hash, tree_hash: &Hash, length: u64, fork: u64) -> Vec<u8> {
    [TREE.as_ref(), context.as_ref(), tree_hash.as_ref(), &length.to_le_bytes(), &fork.to_le_bytes()].concat()
}

/// The bytes signed for a compat core's tree: 80, or 48 in the legacy form without namespace.
pub fn signable_compat(tree_hash: &Hash, length: u64, fork: u64, legacy: bool) -> Vec<u8> {
    let namespace: &[u8] = if legacy { &[] } else { TREE.as_ref() };
    [namespace, tree_hash.as_ref(), &length.to_le_bytes(), &fork.to_le_bytes()].concat()
}
