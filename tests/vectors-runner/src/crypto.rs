//! Keys, signatures, namespaces.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::report::Report;
use corestore_core::crypto::{
    CoreKey, Hash, KeyPair, PublicKey, Signature, blake2b, capability, discovery_key, namespace, verify_signature,
};

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
    for entry in list(file, "z32") {
        let key = CoreKey(fixed(&entry["hex"]));
        report.equal("z-base-32", &key.to_z32(), &text(&entry["z32"]).to_owned());
        report.equal("z-base-32 read", &text(&entry["z32"]).parse(), &Ok(key));
        report.equal("hex read", &text(&entry["hex"]).parse(), &Ok(key));
    }
    for (name, id) in [
        ("ANNOUNCE", 4),
        ("UNANNOUNCE", 5),
        ("MUTABLE_PUT", 6),
        ("PEER_HANDSHAKE", 0),
        ("PEER_HOLEPUNCH", 1),
        ("PLUGIN", 10),
    ] {
        let ours = namespace::namespace("hyperswarm/dht", id);
        report.equal(name, &ours, &Hash(fixed(&file["constants"]["dht"][name])));
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
