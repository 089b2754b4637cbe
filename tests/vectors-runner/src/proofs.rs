//! Proofs in both directions: made from the writer's rows, checked by a reader; and what a reader must refuse.

use crate::json::{self, Value, fixed, hex, list, number, text};
use crate::report::Report;
use crate::stored_core::StoredCore;
use crate::wire;
use bytes::Bytes;
use corestore_core::crypto::{CoreKey, Hash, PublicKey, discovery_key};
use corestore_core::encoding::Encode;
use corestore_core::manifest::Manifest;
use corestore_core::merkle::{ProofRequest, RequestBlock, RequestUpgrade};
use corestore_core::replication::{Data, Message};

const DATA: u64 = 3;

pub(crate) fn proofs(file: &Value, report: &mut Report) {
    let key = CoreKey(fixed(&file["key"]));
    let manifest = json::manifest(&file["manifest"]);
    report.equal("manifest", &manifest.to_bytes(), &hex(&file["encodedManifest"]));
    report.equal("key", &manifest.key(), &key);
    report.equal("discovery key", &discovery_key(&key).0, &fixed(&file["discoveryKey"]));
    let secret = hex(&file["secretKey"]);
    let seed = secret[..32].try_into().expect("32 bytes");
    let public_key = PublicKey(fixed(&file["publicKey"]));
    report.equal("public key", &manifest.signers[0].public_key, &public_key);
    report.check("secret key", secret[32..] == public_key.0);
    let mut writer = StoredCore::writer(manifest.clone(), key, seed);
    for (number, phase) in list(file, "phases").iter().enumerate() {
        log(&mut writer, &phase["state"], text(&phase["name"]), report);
        phase["note"].skip("prose");
        for sequence in list(phase, "sequences") {
            run_sequence(&mut writer, &manifest, sequence, report);
        }
        for proof in list(phase, "proofs") {
            made(&mut writer, Some(&manifest), proof, "proof of a later fork", report);
        }
        if number == 0 {
            fully_remote(&mut writer, &manifest, list(file, "fullyRemote"), report);
        }
    }
    for damaged in list(file, "damaged") {
        verdict(key, damaged, report);
    }
}

/// Brings the writer to a phase's blocks and compares tree and signature.
fn log(writer: &mut StoredCore, state: &Value, name: &str, report: &mut Report) {
    let blocks: Vec<Bytes> = list(state, "blocks").iter().map(|block| hex(block).into()).collect();
    writer.become_log(number(&state["fork"]), &blocks);
    let head = writer.core.head();
    report.equal(&format!("{name}: length"), &head.roots.length, &number(&state["length"]));
    report.equal(&format!("{name}: byte length"), &head.roots.byte_length, &number(&state["byteLength"]));
    report.equal(&format!("{name}: tree hash"), &head.roots.tree_hash(), &Hash(fixed(&state["treeHash"])));
    report.equal(&format!("{name}: signature"), &head.signature, &hex(&state["signature"]));
    for (index, block) in (0..).zip(&blocks) {
        report.equal(&format!("{name}: block {index}"), &writer.block(index).as_ref(), &Some(block));
    }
}

fn run_sequence(writer: &mut StoredCore, manifest: &Manifest, sequence: &Value, report: &mut Report) {
    let name = text(&sequence["name"]);
    let mut reader = StoredCore::reader(*writer.core.key());
    for (at, step) in list(sequence, "steps").iter().enumerate() {
        let name = format!("{name}, step {at}");
        compare(&reader, &step["before"], &format!("{name}: before"), report);
        let data = made(writer, Some(manifest).filter(|_| at == 0), step, &name, report);
        let accepted = step["accepted"].as_bool().expect("a flag");
        let result = reader.apply_proof(&data);
        report.equal(&format!("{name}: verdict {result:?}"), &result.is_ok(), &accepted);
        compare(&reader, &step["after"], &format!("{name}: after"), report);
        if let Some(block) = &data.proof.block {
            report.equal(&format!("{name}: stored block"), &reader.block(block.index).as_ref(), &Some(&block.value));
        }
    }
}

/// The proof that was asked for: decoded, made from our own rows, and encoded again.
fn made(writer: &mut StoredCore, manifest: Option<&Manifest>, entry: &Value, name: &str, report: &mut Report) -> Data {
    let bytes = hex(&entry["data"]);
    let data = decode(&bytes);
    report.equal(&format!("{name}: encode"), &data.as_ref().map(encode), &Some(bytes));
    let data = data.expect("a message that can be read");
    if let Some(decoded) = entry.get("decoded") {
        report.equal(&format!("{name}: decode"), &data, &wire::data(decoded));
    }
    let proof = writer.prove(&wire::proof_request(&entry["ask"]));
    let ours = proof.map(|proof| Data { request: 1, proof, manifest: manifest.cloned() });
    report.equal(&format!("{name}: make"), &ours.as_ref(), &Ok(&data));
    data
}

/// A block with the whole tree behind a discovery key, for readers without a connection.
fn fully_remote(writer: &mut StoredCore, manifest: &Manifest, entries: &[Value], report: &mut Report) {
    for entry in entries {
        let index = number(&entry["index"]);
        let bytes = hex(&entry["hex"]);
        let request = ProofRequest {
            block: Some(RequestBlock { index, nodes: 0 }),
            upgrade: Some(RequestUpgrade { start: 0, length: writer.length() }),
            ..ProofRequest::default()
        };
        let proof = writer.prove(&request).expect("a proof");
        let ours = Data { request: 0, proof, manifest: Some(manifest.clone()) };
        let discovery_key = discovery_key(writer.core.key());
        report.equal("fully remote proof", &[discovery_key.as_ref(), &encode(&ours)].concat(), &bytes);
        let mut reader = StoredCore::reader(*writer.core.key());
        let accepted = decode(&bytes[32..]).is_some_and(|data| reader.apply_proof(&data).is_ok());
        report.check("a fully remote proof is accepted", accepted && reader.block(index) == writer.block(index));
    }
}

/// A damaged copy, given to an empty reader.
fn verdict(key: CoreKey, entry: &Value, report: &mut Report) {
    let name = format!("damaged: {}", text(&entry["name"]));
    entry["error"].skip("the reference's own text");
    let mut reader = StoredCore::reader(key);
    let bytes = hex(&entry["data"]);
    let result = match decode(&bytes) {
        None => Err("it cannot be read".to_owned()),
        Some(data) => reader.apply_proof(&data),
    };
    report.equal(&format!("{name}: {result:?}"), &result.is_ok(), &entry["accepted"].as_bool().expect("a flag"));
    compare(&reader, &entry["after"], &name, report);
}

fn compare(reader: &StoredCore, state: &Value, name: &str, report: &mut Report) {
    report.equal(&format!("{name}: length"), &reader.length(), &number(&state["length"]));
    report.equal(&format!("{name}: fork"), &reader.fork(), &number(&state["fork"]));
    report.equal(&format!("{name}: byte length"), &reader.byte_length(), &number(&state["byteLength"]));
    let contiguous = reader.core.contiguous_length();
    report.equal(&format!("{name}: contiguous length"), &contiguous, &number(&state["contiguousLength"]));
}

fn decode(bytes: &[u8]) -> Option<Data> {
    match Message::decode(DATA, &Bytes::copy_from_slice(bytes)) {
        Ok(Some(Message::Data(data))) => Some(data),
        _ => None,
    }
}

fn encode(data: &Data) -> Vec<u8> {
    Message::Data(data.clone()).encode_payload()
}
