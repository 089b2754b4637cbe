//! Signatures by several signers, each perhaps over a longer tree, with the nodes that lead there
//! (`hypercore/lib/multisig.js`; `messages.js`, `multiSignature`).

use crate::crypto::Signature;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::merkle::{Node, decode_nodes, encode_nodes};
use alloc::vec::Vec;

/// The signature form of manifests from version 1 on, even for one signer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiSignature {
    /// One per signer that signed.
    pub proofs: Vec<SignerProof>,
    /// Nodes for every `patch`.
    pub patch: Vec<Node>,
}

/// One signer's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerProof {
    /// Position in the manifest.
    pub signer: u64,
    /// Ed25519.
    pub signature: Signature,
    /// This signer signed a tree longer by so many blocks.
    pub patch: u64,
}

/// One signer's signature with the nodes from the common length to the one it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialSignature {
    /// The signature.
    pub proof: SignerProof,
    /// Upgrade nodes; empty without a patch.
    pub nodes: Vec<Node>,
}

/// Joins several signers' parts; a node two of them need is kept once.
pub fn assemble(parts: &[PartialSignature]) -> MultiSignature {
    let mut patch: Vec<Node> = Vec::new();
    for node in parts.iter().flat_map(|part| &part.nodes) {
        if patch.iter().all(|kept| kept.index != node.index) {
            patch.push(*node);
        }
    }
    MultiSignature { proofs: parts.iter().map(|part| part.proof).collect(), patch }
}

impl Encode for MultiSignature {
    fn encode(&self, writer: &mut Writer) {
        writer.count(self.proofs.len());
        for proof in &self.proofs {
            writer.uint(proof.signer);
            writer.raw(proof.signature.as_ref());
            writer.uint(proof.patch);
        }
        encode_nodes(&self.patch, writer);
    }
}

impl Decode for MultiSignature {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.count(66, "signatures")?;
        let proofs: Result<Vec<SignerProof>, DecodeError> = (0..count).map(|_| decode_proof(reader)).collect();
        Ok(Self { proofs: proofs?, patch: decode_nodes(reader)? })
    }
}

fn decode_proof(reader: &mut Reader<'_>) -> Result<SignerProof, DecodeError> {
    Ok(SignerProof {
        signer: reader.uint("signer")?,
        signature: Signature(reader.array("signature")?),
        patch: reader.uint("signature patch")?,
    })
}

/// The form of version 0 manifests with several signers: nodes are named by their place in one list.
pub(super) fn decode_v0(bytes: &[u8]) -> Result<MultiSignature, DecodeError> {
    let reader = &mut Reader::new(bytes);
    let count = reader.count(66, "signatures")?;
    let mut proofs = Vec::new();
    for _ in 0..count {
        let flags = reader.uint("signature flags")?;
        let signer = reader.uint("signer")?;
        let signature = Signature(reader.array("signature")?);
        let patch = if flags & 1 != 0 { decode_v0_patch(reader)? } else { 0 };
        proofs.push(SignerProof { signer, signature, patch });
    }
    Ok(MultiSignature { proofs, patch: decode_nodes(reader)? })
}

fn decode_v0_patch(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    reader.uint("patch start")?;
    let length = reader.uint("patch length")?;
    let count = reader.count(1, "patch nodes")?;
    (0..count).try_for_each(|_| reader.uint("patch node").map(|_| ()))?;
    Ok(length)
}
