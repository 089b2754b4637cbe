//! What is signed, how signatures are stored, and what a verifier must refuse.

use crate::json::{self, Value, fixed, hex, list, number, present};
use crate::report::Report;
use bytes::Bytes;
use corestore_core::crypto::namespace::DEFAULT_NAMESPACE;
use corestore_core::crypto::{CoreKey, Hash, KeyPair, PublicKey, Signature, verify_signature};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::manifest::{
    Manifest, MultiSignature, PartialSignature, SignerProof, Verifier, assemble, signable, signable_compat,
};
use corestore_core::merkle::{Roots, append};

pub(crate) fn signatures(file: &Value, report: &mut Report) {
    for entry in list(file, "single") {
        single(entry, report);
    }
    for entry in list(file, "compat") {
        let message =
            signable_compat(&tree_hash(entry), number(&entry["length"]), number(&entry["fork"]), flag(entry, "legacy"));
        report.equal("compat signable", &message, &hex(&entry["signable"]));
        let public_key = PublicKey(fixed(&entry["publicKey"]));
        let signature = Signature(fixed(&entry["signature"]));
        report.check("compat signature", verify_signature(&public_key, &message, &signature));
    }
    for entry in list(file, "large") {
        let key = Hash(fixed(&entry["key"]));
        let message = signable(&key, &tree_hash(entry), number(&entry["length"]), number(&entry["fork"]));
        report.equal("signable of a large core", &message, &hex(&entry["signable"]));
    }
    for entry in list(file, "multi") {
        multi(entry, report);
    }
    for entry in list(file, "verdicts") {
        verdict(entry, report);
    }
}

fn flag(entry: &Value, key: &str) -> bool {
    entry[key].as_bool().expect("a flag")
}

fn tree_hash(entry: &Value) -> Hash {
    Hash(fixed(&entry["treeHash"]))
}

/// One signer, manifests of version 0 to 2; here by the signed bytes, since the blocks are not in the file.
fn single(entry: &Value, report: &mut Report) {
    let version = number(&entry["version"]);
    let name = |what: &str| format!("version {version}: {what}");
    let secret = hex(&entry["secretKey"]);
    let pair = KeyPair::from_seed(secret[..32].try_into().expect("32 bytes"));
    report.equal(&name("public key"), &pair.public_key(), &PublicKey(fixed(&entry["publicKey"])));
    let key = CoreKey(fixed(&entry["key"]));
    let mut manifest = Manifest::single(u8::try_from(version).expect("a version"), pair.public_key());
    if version == 2 {
        manifest.user_data = Some(b"u".to_vec());
    }
    report.equal(&name("key"), &manifest.key(), &key);
    let context = if version == 0 { DEFAULT_NAMESPACE } else { Hash(key.0) };
    let message = signable(&context, &tree_hash(entry), number(&entry["length"]), number(&entry["fork"]));
    report.equal(&name("signable"), &message, &hex(&entry["signable"]));
    let bare = pair.sign(&message);
    let stored = hex(&entry["signature"]);
    let ours = if version == 0 {
        bare.0.to_vec()
    } else {
        let proof = SignerProof { signer: 0, signature: bare, patch: 0 };
        assemble(&[PartialSignature { proof, nodes: Vec::new() }]).to_bytes()
    };
    report.equal(&name("signature"), &ours, &stored);
    if version > 0 {
        let back = MultiSignature::from_bytes(&stored).map(|multi| multi.proofs[0].signature);
        report.equal(&name("signature read back"), &back, &Ok(bare));
    }
}

fn multi(entry: &Value, report: &mut Report) {
    let manifest = json::manifest(&entry["manifest"]);
    let name =
        |what: &str| format!("{} of {}, patch {}: {what}", entry["quorum"], entry["signers"], entry["allowPatch"]);
    let key = CoreKey(fixed(&entry["key"]));
    report.equal(&name("quorum"), &manifest.quorum, &number(&entry["quorum"]));
    report.equal(&name("signers"), &manifest.signers.len().to_string(), &number(&entry["signers"]).to_string());
    report.equal(&name("patches"), &manifest.allow_patch, &flag(entry, "allowPatch"));
    report.equal(&name("manifest"), &manifest.to_bytes(), &hex(&entry["encodedManifest"]));
    report.equal(&name("key"), &manifest.key(), &key);
    let blocks: Vec<Bytes> = list(entry, "blocks").iter().map(|block| hex(block).into()).collect();
    let (roots, _) = append(&Roots::default(), &blocks);
    report.equal(&name("length"), &roots.length, &number(&entry["length"]));
    report.equal(&name("tree hash"), &roots.tree_hash(), &tree_hash(entry));
    let verifier = Verifier::new(manifest.clone(), &key).expect("a manifest of this key");
    let partials: Vec<PartialSignature> = list(entry, "partials").iter().map(partial).collect();
    for (partial, value) in partials.iter().zip(list(entry, "partials")) {
        let signed = number(&value["signedLength"]);
        report.equal(&name("signed length"), &(roots.length + partial.proof.patch), &signed);
        let message = signable(&Hash(key.0), &tree_hash(value), signed, 0);
        let signer = &manifest.signers[usize::try_from(partial.proof.signer).expect("small")];
        report.check(&name("part"), verify_signature(&signer.public_key, &message, &partial.proof.signature));
    }
    let bytes = hex(&entry["signature"]);
    report.equal(&name("assemble"), &assemble(&partials).to_bytes(), &bytes);
    let decoded = &entry["decodedSignature"];
    let theirs = MultiSignature {
        proofs: list(decoded, "proofs").iter().map(signer_proof).collect(),
        patch: list(decoded, "patch").iter().map(json::node).collect(),
    };
    report.equal(&name("decode"), &MultiSignature::from_bytes(&bytes).as_ref(), &Ok(&theirs));
    report.equal(&name("encode"), &theirs.to_bytes(), &bytes);
    report.equal(&name("stored"), &hex(&entry["stored"]), &bytes);
    report.equal(&name("verdict"), &verifier.verify(&roots, &bytes), &flag(entry, "accepted"));
    for at in 0..theirs.proofs.len() {
        let mut bent = theirs.clone();
        bent.proofs[at].signature.0[40] ^= 1;
        report.check(&name("a bent part"), !verifier.verify(&roots, &bent.to_bytes()));
    }
}

fn signer_proof(value: &Value) -> SignerProof {
    let signature = Signature(fixed(&value["signature"]));
    SignerProof { signer: number(&value["signer"]), signature, patch: number(&value["patch"]) }
}

fn partial(value: &Value) -> PartialSignature {
    let nodes = present(&value["nodes"]).and_then(Value::as_array).map(|nodes| nodes.iter().map(json::node).collect());
    PartialSignature { proof: signer_proof(value), nodes: nodes.unwrap_or_default() }
}

fn verdict(entry: &Value, report: &mut Report) {
    let manifest = Manifest::from_bytes(&hex(&entry["encodedManifest"])).expect("a manifest");
    let key = CoreKey(fixed(&entry["key"]));
    let verifier = Verifier::new(manifest, &key).expect("a manifest of this key");
    let (length, fork) = (number(&entry["length"]), number(&entry["fork"]));
    let held = verifier.verify_tree_hash(tree_hash(entry), length, fork, &hex(&entry["signature"]));
    report.equal(&format!("verdict: {}", json::text(&entry["name"])), &held, &flag(entry, "accepted"));
}
