//! Block encryption: keys, blocks, and a whole encrypted core that was cut and appended to.

use crate::json::{Value, fixed, hex, list, number};
use crate::report::Report;
use crate::stored_core::StoredCore;
use bytes::Bytes;
use corestore_core::crypto::{BlockCipher, CoreKey, Hash, PADDING, PublicKey, blake2b};
use corestore_core::manifest::Manifest;

pub(crate) fn encryption(file: &Value, report: &mut Report) {
    let cipher = BlockCipher::new(&CoreKey(fixed(&file["coreKey"])), false, &fixed(&file["encryptionKey"]));
    keys(&cipher, file, report);
    for entry in list(file, "entries") {
        let (index, fork) = (number(&entry["index"]), number(&entry["fork"]));
        let (plain, encrypted) = (hex(&entry["plain"]), hex(&entry["encrypted"]));
        report.equal("encrypt", &cipher.encrypt(index, fork, &plain).to_vec(), &encrypted);
        report.equal("decrypt", &cipher.decrypt(index, &encrypted).map(|block| block.to_vec()), &Some(plain));
        report.equal("fork in the padding", &cipher.fork_of(index, &encrypted), &Some(fork));
    }
    for entry in list(file, "derivations") {
        let (key, encryption) = (CoreKey(fixed(&entry["coreKey"])), fixed(&entry["encryptionKey"]));
        let cipher = BlockCipher::new(&key, false, &encryption);
        keys(&cipher, entry, report);
        report.equal("exported block key", cipher.block_key(), &fixed(&entry["blockEncryptionKey"]));
        let compat = BlockCipher::new(&key, true, &encryption);
        report.equal("compat block key", compat.block_key(), &fixed(&entry["compatBlockKey"]));
        report.equal("compat blinding key", &blinding_key(&compat), &fixed(&entry["compatBlindingKey"]));
        keys(&BlockCipher::from_block_key(encryption), &entry["blockKeyGivenDirectly"], report);
    }
    whole_core(&file["core"], report);
}

fn keys(cipher: &BlockCipher, value: &Value, report: &mut Report) {
    report.equal("block key", cipher.block_key(), &fixed(&value["blockKey"]));
    report.equal("blinding key", &blinding_key(cipher), &fixed(&value["blindingKey"]));
}

/// The cipher keeps its blinding key to itself; every padding shows that it is this one.
fn blinding_key(cipher: &BlockCipher) -> [u8; 32] {
    blake2b(&[cipher.block_key()]).0
}

fn whole_core(core: &Value, report: &mut Report) {
    let key = CoreKey(fixed(&core["key"]));
    let public_key = PublicKey(fixed(&core["publicKey"]));
    let secret = hex(&core["secretKey"]);
    report.check("secret key", secret[32..] == public_key.0);
    let cipher = BlockCipher::new(&key, false, &fixed(&core["encryptionKey"]));
    keys(&cipher, core, report);
    let seed = secret[..32].try_into().expect("32 bytes");
    let mut writer = StoredCore::writer(Manifest::single(1, public_key), key, seed);
    for stage in ["before", "after"] {
        let state = &core[stage];
        let blocks: Vec<(Bytes, Bytes)> = list(state, "blocks")
            .iter()
            .map(|block| (hex(&block["plain"]).into(), hex(&block["raw"]).into()))
            .collect();
        let indexes: Vec<u64> = list(state, "blocks").iter().map(|block| number(&block["index"])).collect();
        report.equal(stage, &indexes, &(0..number(&state["length"])).collect());
        grow(&mut writer, number(&state["fork"]), &blocks, &cipher);
        compare(&mut writer, &cipher, &blocks, state, stage, report);
    }
}

/// Cuts where the blocks begin to differ, when the fork is a later one, and appends the rest.
fn grow(writer: &mut StoredCore, fork: u64, blocks: &[(Bytes, Bytes)], cipher: &BlockCipher) {
    if writer.fork() < fork {
        let shared =
            (0..).zip(blocks).take_while(|(index, (_, raw))| writer.block(*index).as_ref() == Some(raw)).count();
        writer.truncate(u64::try_from(shared).expect("small"));
    }
    let from = usize::try_from(writer.length()).expect("small");
    let plain = blocks[from..].iter().map(|(plain, _)| plain.clone()).collect();
    writer.append(plain, Some(cipher));
}

fn compare(
    writer: &mut StoredCore,
    cipher: &BlockCipher,
    blocks: &[(Bytes, Bytes)],
    state: &Value,
    stage: &str,
    report: &mut Report,
) {
    let name = |what: &str| format!("{stage}: {what}");
    let head = writer.core.head().clone();
    report.equal(&name("length"), &head.roots.length, &number(&state["length"]));
    report.equal(&name("fork"), &head.roots.fork, &number(&state["fork"]));
    report.equal(&name("stored byte length"), &head.roots.byte_length, &number(&state["storedByteLength"]));
    let padding = number(&state["padding"]);
    report.equal(&name("padding"), &u64::try_from(PADDING).expect("small"), &padding);
    let byte_length = head.roots.byte_length - head.roots.length * padding;
    report.equal(&name("byte length"), &byte_length, &number(&state["byteLength"]));
    report.equal(&name("tree hash"), &head.roots.tree_hash(), &Hash(fixed(&state["treeHash"])));
    report.equal(&name("signature"), &head.signature, &hex(&state["signature"]));
    for (index, (plain, raw)) in (0..).zip(blocks) {
        report.equal(&name("stored block"), &writer.block(index).as_ref(), &Some(raw));
        report.equal(&name("block"), &cipher.decrypt(index, raw).as_ref(), &Some(plain));
    }
}
