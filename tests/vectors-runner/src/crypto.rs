//! Keys, signatures, namespaces, local names, block encryption.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::report::Report;
use corestore_core::crypto::{
    BlockCipher, CoreKey, Hash, KeyPair, PublicKey, Signature, blake2b, capability, discovery_key, namespace,
    verify_signature,
};
use corestore_core::manifest::Manifest;

pub(crate) fn crypto(file: &Value, report: &mut Report) {
    for entry in list(file, "keys") {
        let pair = KeyPair::from_seed(&fixed(&entry["seed"]));
        let public_key = pair.public_key();
        report.equal("public key", &public_key, &PublicKey(fixed(&entry["publicKey"])));
        report.check("secret key", hex(&entry["secretKey"])[..32] == pair.seed());
        let named = discovery_key(&CoreKey(public_key.0)).0;
        report.equal("discovery key", &named, &fixed(&entry["discoveryKeyOfPublicKey"]));
        let message = hex(&entry["message"]);
        let signature = pair.sign(&message);
        report.equal("signature", &signature, &Signature(fixed(&entry["signature"])));
        report.check("signature holds", verify_signature(&public_key, &message, &signature));
        let mut bent = signature;
        bent.0[9] ^= 1;
        report.check("a bent signature does not", !verify_signature(&public_key, &message, &bent));
    }
    for entry in list(file, "discovery") {
        let ours = discovery_key(&CoreKey(fixed(&entry["key"]))).0;
        report.equal("discovery key", &ours, &fixed(&entry["discoveryKey"]));
    }
    for entry in list(file, "namespaces") {
        for (id, value) in list(entry, "ids").iter().zip(list(entry, "values")) {
            let id = u8::try_from(number(id)).expect("a byte");
            let ours = namespace::namespace(text(&entry["name"]), id);
            report.equal("namespace", &ours, &Hash(fixed(value)));
        }
    }
    for entry in list(file, "hashes") {
        report.equal("hash", &blake2b(&[&hex(&entry["message"])]), &Hash(fixed(&entry["blake2b256"])));
    }
    let constants = [
        ("MANIFEST", namespace::MANIFEST),
        ("DEFAULT_NAMESPACE", namespace::DEFAULT_NAMESPACE),
        ("DEFAULT_ENCRYPTION", namespace::DEFAULT_ENCRYPTION),
        ("TREE", namespace::TREE),
        ("REPLICATE_INITIATOR", namespace::REPLICATE_INITIATOR),
        ("REPLICATE_RESPONDER", namespace::REPLICATE_RESPONDER),
    ];
    for (name, ours) in constants {
        report.equal(name, &ours, &Hash(fixed(&file["constants"][name])));
    }
}

pub(crate) fn capabilities(file: &Value, report: &mut Report) {
    for entry in list(file, "capabilities") {
        let initiator = entry["isInitiator"].as_bool().expect("a flag");
        let ours = capability(initiator, &CoreKey(fixed(&entry["key"])), &fixed(&entry["handshakeHash"]));
        report.equal("capability", &ours, &Hash(fixed(&entry["capability"])));
    }
}

pub(crate) fn encryption(file: &Value, report: &mut Report) {
    let cipher = BlockCipher::new(&CoreKey(fixed(&file["coreKey"])), false, &fixed(&file["encryptionKey"]));
    report.equal("block key", cipher.block_key(), &fixed(&file["blockKey"]));
    for entry in list(file, "entries") {
        let (index, fork) = (number(&entry["index"]), number(&entry["fork"]));
        let (plain, encrypted) = (hex(&entry["plain"]), hex(&entry["encrypted"]));
        report.equal("encrypt", &cipher.encrypt(index, fork, &plain).to_vec(), &encrypted);
        report.equal("decrypt", &cipher.decrypt(index, &encrypted).map(|block| block.to_vec()), &Some(plain));
        report.equal("fork in the padding", &cipher.fork_of(index, &encrypted), &Some(fork));
    }
    for entry in list(file, "derivations") {
        let (key, encryption) = (CoreKey(fixed(&entry["coreKey"])), fixed(&entry["encryptionKey"]));
        let derived = |compat| *BlockCipher::new(&key, compat, &encryption).block_key();
        report.equal("derived block key", &derived(false), &fixed(&entry["blockKey"]));
        report.equal("compat block key", &derived(true), &fixed(&entry["compatBlockKey"]));
        report.equal("exported block key", &derived(false), &fixed(&entry["blockEncryptionKey"]));
    }
    let core = &file["core"];
    let cipher = BlockCipher::new(&CoreKey(fixed(&core["key"])), false, &fixed(&core["encryptionKey"]));
    for stage in ["before", "after"] {
        for block in list(&core[stage], "blocks") {
            let (index, raw) = (number(&block["index"]), hex(&block["raw"]));
            let plain = cipher.decrypt(index, &raw).map(|block| block.to_vec());
            report.equal("a stored block", &plain, &Some(hex(&block["plain"])));
            let fork = cipher.fork_of(index, &raw).unwrap_or(u64::MAX);
            report.equal("a block again", &cipher.encrypt(index, fork, &plain.unwrap_or_default()).to_vec(), &raw);
        }
    }
}

/// Key pairs of local names. The derivation is the machine's; here by the public parts it is made of.
pub(crate) fn corestore(file: &Value, report: &mut Report) {
    for entry in list(file, "entries") {
        let mut named = [0; 32];
        for name in list(entry, "namespaces") {
            named = blake2b(&[&named, text(name).as_bytes()]).0;
        }
        report.equal("namespace key", &named, &fixed(&entry["namespaceKey"]));
        let parts: [&[u8]; 3] = [namespace::CORESTORE.as_ref(), &named, text(&entry["name"]).as_bytes()];
        let seed = corestore_core::crypto::blake2b_keyed(&fixed::<32>(&entry["primaryKey"]), &parts);
        let public_key = KeyPair::from_seed(&seed.0).public_key();
        report.equal("public key", &public_key, &PublicKey(fixed(&entry["publicKey"])));
        let key = Manifest::single(1, public_key).key();
        report.equal("core key", &key, &CoreKey(fixed(&entry["coreKey"])));
        report.equal("discovery key", &discovery_key(&key).0, &fixed(&entry["discoveryKey"]));
    }
}
