//! Large blocks, given by recipe; only in folders that ask for them.

use crate::json::{Value, fixed, hex, list, number, text};
use crate::recipe::{bytes, sha256};
use crate::report::Report;
use crate::stored_core::StoredCore;
use bytes::Bytes;
use corestore_core::crypto::{CoreKey, Hash, PublicKey, leaf_hash};
use corestore_core::log::{LogError, MAX_BLOCK_SIZE};
use corestore_core::manifest::Manifest;

pub(crate) fn big(file: &Value, report: &mut Report) {
    let public_key = PublicKey(fixed(&file["publicKey"]));
    let secret = hex(&file["secretKey"]);
    let seed = secret[..32].try_into().expect("32 bytes");
    let mut core = StoredCore::writer(Manifest::single(1, public_key), CoreKey(fixed(&file["key"])), seed);
    for entry in list(file, "entries") {
        let size = number(&entry["size"]);
        let block = bytes(text(&entry["seed"]), size);
        let name = |what: &str| format!("{size} bytes: {what}");
        report.equal(&name("recipe"), &sha256(&block), &fixed(&entry["sha256"]));
        report.equal(&name("leaf"), &leaf_hash(&block), &Hash(fixed(&entry["leafHash"])));
        core.append(Vec::from([block]), None);
        let head = core.core.head();
        report.equal(&name("length"), &head.roots.length, &number(&entry["length"]));
        report.equal(&name("byte length"), &head.roots.byte_length, &number(&entry["byteLength"]));
        report.equal(&name("tree hash"), &head.roots.tree_hash(), &Hash(fixed(&entry["treeHash"])));
        report.equal(&name("signature"), &head.signature, &hex(&entry["signature"]));
    }
    report.equal("largest block", &u64::try_from(MAX_BLOCK_SIZE).expect("small"), &number(&file["maxBlock"]));
    let refused = core.core.append(Vec::from([Bytes::from(vec![0; MAX_BLOCK_SIZE + 1])]), None);
    let too_large = matches!(refused, Err(LogError::BlockTooLarge { .. }));
    report.equal("a larger one is refused", &too_large, &file["overMax"].as_str().is_some());
}
