//! The replication messages, from their fields to bytes and back.

use crate::crypto::capabilities;
use crate::json::{self, Value, fixed, hex, list, node, number, present, text};
use crate::report::Report;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::encoding::{Decode, Encode};
use corestore_core::merkle::{
    DataBlock, DataHash, DataSeek, DataUpgrade, Node, Proof, ProofRequest, RequestBlock, RequestSeek, RequestUpgrade,
    TreeIndex,
};
use corestore_core::replication::{Data, Handshake, Message, Request, Sync, Want};

pub(crate) fn wire_messages(file: &Value, report: &mut Report) {
    capabilities(file, report);
    report.check("protocol", file["protocol"] == "hypercore/alpha");
    report.check("alias", list(file, "aliases").iter().all(|alias| *alias == *"hypercore"));
    for entry in list(file, "entries") {
        let (name, bytes) = (text(&entry["name"]), hex(&entry["hex"]));
        let Some(kind) = entry["type"].as_u64() else {
            let ours = handshake(&entry["message"]);
            report.equal("encode handshake", &ours.to_bytes(), &bytes);
            report.equal("decode handshake", &Handshake::from_bytes(&bytes), &Ok(handshake(&entry["decoded"])));
            continue;
        };
        let ours = message(name, &entry["message"]);
        report.equal(&format!("number of {name}"), &ours.kind(), &kind);
        report.equal(&format!("encode {name}"), &ours.encode_payload(), &bytes);
        let decoded = Message::decode(kind, &Bytes::from(bytes));
        report.equal(&format!("decode {name}"), &decoded, &Ok(Some(message(name, &entry["decoded"]))));
    }
    for entry in list(file, "shortForms") {
        let name = text(&entry["name"]);
        let decoded = Message::decode(number(&entry["type"]), &Bytes::from(hex(&entry["hex"])));
        report.equal(&format!("short {name}"), &decoded, &Ok(Some(message(name, &entry["decoded"]))));
    }
}

/// What each side says when it opens the channel.
pub(crate) fn handshake(value: &Value) -> Handshake {
    Handshake { seeks: flag(value, "seeks"), capability: Hash(fixed(&value["capability"])) }
}

fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or(false)
}

fn field(value: &Value, key: &str) -> u64 {
    if value[key].is_null() { 0 } else { number(&value[key]) }
}

fn nodes(value: &Value, key: &str) -> Vec<Node> {
    list(value, key).iter().map(node).collect()
}

/// The message named `name` with these fields.
pub(crate) fn message(name: &str, value: &Value) -> Message {
    match name {
        "sync" => Message::Sync(Sync {
            fork: field(value, "fork"),
            length: field(value, "length"),
            remote_length: field(value, "remoteLength"),
            can_upgrade: flag(value, "canUpgrade"),
            uploading: flag(value, "uploading"),
            downloading: flag(value, "downloading"),
            has_manifest: flag(value, "hasManifest"),
            allow_push: flag(value, "allowPush"),
        }),
        "request" => Message::Request(request(value)),
        "cancel" => Message::Cancel { request: field(value, "request") },
        "data" => Message::Data(data(value)),
        "noData" => Message::NoData { request: field(value, "request"), reason: field(value, "reason") },
        "want" => Message::Want(want(value)),
        "unwant" => Message::Unwant(want(value)),
        "bitfield" => {
            let words = list(value, "bitfield").iter().map(|word| u32::try_from(number(word)).expect("a word"));
            let bits: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
            Message::Bitfield { start: field(value, "start"), bits: bits.into() }
        }
        "range" => {
            Message::Range { drop: flag(value, "drop"), start: field(value, "start"), length: field(value, "length") }
        }
        "extension" => {
            Message::Extension { name: text(&value["name"]).to_owned(), payload: hex(&value["message"]).into() }
        }
        other => panic!("no message is called {other}"),
    }
}

fn want(value: &Value) -> Want {
    Want { start: field(value, "start"), length: field(value, "length"), any: flag(value, "any") }
}

/// What a proof is asked for.
pub(crate) fn proof_request(value: &Value) -> ProofRequest {
    let block = |value: &Value| RequestBlock { index: field(value, "index"), nodes: field(value, "nodes") };
    ProofRequest {
        block: present(&value["block"]).map(block),
        hash: present(&value["hash"]).map(block),
        seek: present(&value["seek"])
            .map(|seek| RequestSeek { bytes: field(seek, "bytes"), padding: field(seek, "padding") }),
        upgrade: present(&value["upgrade"])
            .map(|upgrade| RequestUpgrade { start: field(upgrade, "start"), length: field(upgrade, "length") }),
    }
}

fn request(value: &Value) -> Request {
    Request {
        id: field(value, "id"),
        fork: field(value, "fork"),
        proof: proof_request(value),
        manifest: flag(value, "manifest"),
        priority: field(value, "priority"),
    }
}

/// A proof with its request's number.
pub(crate) fn data(value: &Value) -> Data {
    let block = |block: &Value| DataBlock {
        index: field(block, "index"),
        value: hex(&block["value"]).into(),
        nodes: nodes(block, "nodes"),
    };
    let upgrade = |upgrade: &Value| DataUpgrade {
        start: field(upgrade, "start"),
        length: field(upgrade, "length"),
        nodes: nodes(upgrade, "nodes"),
        additional_nodes: nodes(upgrade, "additionalNodes"),
        signature: present(&upgrade["signature"]).map(hex).unwrap_or_default(),
    };
    Data {
        request: field(value, "request"),
        proof: Proof {
            fork: field(value, "fork"),
            block: present(&value["block"]).map(block),
            hash: present(&value["hash"])
                .map(|hash| DataHash { index: TreeIndex(field(hash, "index")), nodes: nodes(hash, "nodes") }),
            seek: present(&value["seek"])
                .map(|seek| DataSeek { bytes: field(seek, "bytes"), nodes: nodes(seek, "nodes") }),
            upgrade: present(&value["upgrade"]).map(upgrade),
        },
        manifest: present(&value["manifest"]).map(json::manifest),
    }
}
