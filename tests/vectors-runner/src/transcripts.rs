//! Whole replication sessions of two genuine peers: every frame is decoded and comes out of our mux again byte by byte;
//! a core of ours takes the writer's answers, and, where the writer can be rebuilt, gives the same ones.

use crate::json::{self, Value, fixed, hex, list, number, text};
use crate::mux_replay::{CLOSE, Item, MuxReplay, OPEN, REJECT, Told, control, items, open};
use crate::recipe;
use crate::report::Report;
use crate::stored_core::StoredCore;
use crate::wire;
use bytes::Bytes;
use corestore_core::crypto::{CoreKey, Hash, PublicKey, capability, discovery_key};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::manifest::Manifest;
use corestore_core::merkle::{ProofRequest, RequestBlock, RequestUpgrade, TreeIndex};
use corestore_core::replication::{Data, Handshake, Message, Request};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn replication(file: &Value, report: &mut Report) {
    file["repeatable"].skip("says that these are recordings");
    for session in list(file, "sessions") {
        session["about"].skip("prose");
        let name = text(&session["name"]);
        let key = CoreKey(fixed(&session["key"]));
        report.equal(&format!("{name}: discovery key"), &discovery_key(&key).0, &fixed(&session["discoveryKey"]));
        let messages = frames(session, name, report);
        capabilities(session, &key, name, report);
        let mut reader = StoredCore::reader(key);
        for (from, message) in &messages {
            if let ("writer", Message::Data(data)) = (from.as_str(), message) {
                report.equal(&format!("{name}: take answer {}", data.request), &reader.take(data), &Ok(()));
            }
        }
        let state = &session["reader"];
        report.equal(&format!("{name}: length"), &reader.length(), &number(&state["length"]));
        report.equal(&format!("{name}: fork"), &reader.fork(), &number(&state["fork"]));
        let contiguous = reader.core.contiguous_length();
        report.equal(&format!("{name}: contiguous length"), &contiguous, &number(&state["contiguousLength"]));
    }
}

/// Both capabilities of a session, by its handshake hash.
fn capabilities(session: &Value, key: &CoreKey, name: &str, report: &mut Report) {
    let hash = fixed(&session["handshakeHash"]);
    let writer_dialled = session["writerIsInitiator"].as_bool().expect("a flag");
    for entry in list(session, "frames") {
        let initiator = (entry["from"] == "writer") == writer_dialled;
        for item in items(&Bytes::from(hex(&entry["frame"]))).1 {
            if item.channel == 0 && item.kind == OPEN {
                let handshake = Handshake::from_bytes(&open(&control(&item.payload).1).2).expect("a handshake");
                let ours = capability(initiator, key, &hash);
                report.equal(&format!("{name}: capability"), &handshake.capability, &ours);
            }
        }
    }
}

/// Checks every frame of a recording, and gives the messages in order.
fn frames(recording: &Value, name: &str, report: &mut Report) -> Vec<(String, Message)> {
    let mut sides = BTreeMap::from([("writer", MuxReplay::new(&[])), ("reader", MuxReplay::new(&[]))]);
    let mut messages = Vec::new();
    for (at, entry) in list(recording, "frames").iter().enumerate() {
        let (from, frame) = (text(&entry["from"]), Bytes::from(hex(&entry["frame"])));
        let name = format!("{name}, frame {at}");
        let (batch, parts) = items(&frame);
        let decoded = &entry["decoded"];
        report.equal(&format!("{name}: batch"), &batch, &decoded["batch"].as_bool().unwrap_or(false));
        let described = if batch { list(decoded, "items") } else { std::slice::from_ref(decoded) };
        report.equal(&format!("{name}: number of messages"), &parts.len(), &described.len());
        for (part, description) in parts.iter().zip(described) {
            messages.extend(message(part, description, &name, report).map(|message| (from.to_owned(), message)));
        }
        for (side, mux) in &mut sides {
            if *side == from {
                report.equal(&format!("{name}: sent again"), &mux.own(&frame), &Vec::from([frame.clone()]));
            } else {
                mux.take(&frame);
            }
        }
    }
    for (side, mux) in &mut sides {
        let heard = mux.told().into_iter().filter(|told| matches!(told, Told::Message { .. })).count();
        let due = messages.iter().filter(|(from, _)| from != side).count();
        report.equal(&format!("{name}: messages the {side} hears"), &heard, &due);
    }
    messages
}

/// One part of a frame against its description; gives the message, if it is one.
fn message(part: &Item, description: &Value, name: &str, report: &mut Report) -> Option<Message> {
    if part.channel == 0 {
        control_message(part, description, name, report);
        return None;
    }
    report.equal(&format!("{name}: channel"), &part.channel, &number(&description["channel"]));
    let kind = text(&description["type"]);
    let message = Message::decode(part.kind, &part.payload).ok().flatten();
    report.equal(
        &format!("{name}: encode"),
        &message.as_ref().map(Message::encode_payload),
        &Some(part.payload.to_vec()),
    );
    // Of very long frames the file tells only what they are.
    match description.get("message") {
        Some(fields) => {
            report.equal(&format!("{name}: decode"), &message, &Some(wire::message(kind, fields)));
        }
        None => report.check(&format!("{name}: decode"), message.is_some()),
    }
    message
}

fn control_message(part: &Item, description: &Value, name: &str, report: &mut Report) {
    let kind = match text(&description["control"]) {
        "open" => OPEN,
        "reject" => REJECT,
        "close" => CLOSE,
        other => panic!("no control message is called {other}"),
    };
    report.equal(&format!("{name}: control"), &part.kind, &kind);
    let (channel, rest) = control(&part.payload);
    report.equal(&format!("{name}: channel"), &channel, &number(&description["channel"]));
    if kind == OPEN {
        let (protocol, id, handshake) = open(&rest);
        report.equal(&format!("{name}: protocol"), &protocol.as_str(), &text(&description["protocol"]));
        report.equal(&format!("{name}: id"), &id, &json::present(&description["id"]).map(hex));
        let theirs = wire::handshake(&description["handshake"]);
        report.equal(&format!("{name}: handshake"), &Handshake::from_bytes(&handshake), &Ok(theirs));
        report.equal(&format!("{name}: handshake again"), &theirs.to_bytes(), &handshake.to_vec());
    }
}

pub(crate) fn reorg(file: &Value, report: &mut Report) {
    file["repeatable"].skip("says that these are recordings");
    for (at, case) in list(file, "cases").iter().enumerate() {
        reorg_case(text(&file["label"]), case, &format!("case {at}"), report);
    }
}

fn reorg_case(label: &str, case: &Value, name: &str, report: &mut Report) {
    let key = CoreKey(fixed(&case["key"]));
    let public_key = PublicKey(fixed(&case["publicKey"]));
    let secret = hex(&case["secretKey"]);
    report.check(&format!("{name}: secret key"), secret[32..] == public_key.0);
    let manifest = Manifest::single(1, public_key);
    let mut writer = StoredCore::writer(manifest.clone(), key, secret[..32].try_into().expect("32 bytes"));
    writer.append(blocks(label, 0, number(&case["length"])), None);
    let mut reader = reader_before(&mut writer, &manifest, case, name, report);
    for (step, (fork, planned)) in (1..).zip(list(case, "forks").iter().zip(list(case, "steps"))) {
        let (cut, append) = (number(&fork["cut"]), number(&fork["append"]));
        let planned: Vec<u64> = planned.as_array().expect("a pair").iter().map(number).collect();
        report.equal(&format!("{name}: step"), &planned, &Vec::from([cut, append]));
        writer.truncate(cut);
        writer.append(blocks(label, step, append), None);
        let head = writer.core.head();
        report.equal(&format!("{name}: fork"), &head.roots.fork, &number(&fork["fork"]));
        report.equal(&format!("{name}: length"), &head.roots.length, &number(&fork["length"]));
        report.equal(&format!("{name}: byte length"), &head.roots.byte_length, &number(&fork["byteLength"]));
        report.equal(&format!("{name}: tree hash"), &head.roots.tree_hash(), &Hash(fixed(&fork["treeHash"])));
        report.equal(&format!("{name}: signature"), &head.signature, &hex(&fork["signature"]));
    }
    let messages = frames(case, name, report);
    serve_again(&mut writer, &messages, name, report);
    follow(&mut reader, &messages, name, report);
    compare(&mut reader, &mut writer, &case["after"], &format!("{name}: after"), report);
}

/// The reader as it was when they parted: the whole tree and a few blocks.
fn reader_before(
    writer: &mut StoredCore,
    manifest: &Manifest,
    case: &Value,
    name: &str,
    report: &mut Report,
) -> StoredCore {
    let mut reader = StoredCore::reader(*writer.core.key());
    let upgrade = Some(RequestUpgrade { start: 0, length: writer.length() });
    let mut requests = Vec::from([ProofRequest { upgrade, ..ProofRequest::default() }]);
    for index in list(case, "readerBlocks").iter().map(number) {
        let depth = writer.core.head().roots.root_over(TreeIndex::leaf(index)).map_or(0, |root| root.index.depth());
        let block = Some(RequestBlock { index, nodes: u64::from(depth) });
        requests.push(ProofRequest { block, ..ProofRequest::default() });
    }
    for request in requests {
        let proof = writer.prove(&request).expect("a proof");
        let data = Data { request: 1, proof, manifest: Some(manifest.clone()) };
        report.equal(&format!("{name}: before"), &reader.apply_proof(&data), &Ok(()));
    }
    compare(&mut reader, writer, &case["before"], &format!("{name}: before"), report);
    reader
}

/// Length, fork, tree and blocks as the file says; what is held is the writer's.
fn compare(reader: &mut StoredCore, writer: &mut StoredCore, state: &Value, name: &str, report: &mut Report) {
    report.equal(&format!("{name}: length"), &reader.length(), &number(&state["length"]));
    report.equal(&format!("{name}: fork"), &reader.fork(), &number(&state["fork"]));
    report.equal(&format!("{name}: byte length"), &reader.byte_length(), &number(&state["byteLength"]));
    if let Some(hash) = state.get("treeHash") {
        let ours = reader.core.head().roots.tree_hash();
        report.equal(&format!("{name}: tree hash"), &ours, &Hash(fixed(hash)));
    }
    let has: BTreeSet<u64> = list(state, "has").iter().map(number).collect();
    let ours: BTreeSet<u64> = (0..reader.length()).filter(|index| reader.core.has(*index)).collect();
    report.equal(&format!("{name}: blocks"), &ours, &has);
    for index in ours {
        report.equal(&format!("{name}: block {index}"), &reader.block(index), &writer.block(index));
    }
}

/// Our writer answers the recorded requests with the recorded answers.
fn serve_again(writer: &mut StoredCore, messages: &[(String, Message)], name: &str, report: &mut Report) {
    let mut open: BTreeMap<u64, Request> = BTreeMap::new();
    for (_, message) in messages {
        match message {
            Message::Request(request) => {
                open.insert(request.id, *request);
            }
            Message::Data(data) => {
                let request = open.remove(&data.request).expect("an answer to a request");
                let manifest = writer.core.manifest().filter(|_| request.manifest).cloned();
                let ours = writer.prove(&request.proof).map(|proof| Data { request: request.id, proof, manifest });
                report.equal(&format!("{name}: our answer to {}", request.id), &ours.as_ref(), &Ok(data));
            }
            _ => {}
        }
    }
}

/// Our reader takes the recorded answers, and would have asked for the same nodes.
fn follow(reader: &mut StoredCore, messages: &[(String, Message)], name: &str, report: &mut Report) {
    for (_, message) in messages {
        match message {
            Message::Request(Request { proof: ProofRequest { hash: Some(theirs), .. }, .. }) => {
                let ours = reader.wants().map(|ours| top(&ours));
                report.equal(&format!("{name}: node asked for"), &ours, &Some(top(theirs)));
            }
            Message::Data(data) => {
                report.equal(&format!("{name}: take answer"), &reader.take(data), &Ok(()));
            }
            _ => {}
        }
    }
}

/// The node a hash request leads to.
fn top(request: &RequestBlock) -> TreeIndex {
    (0..request.nodes).fold(TreeIndex(request.index), |node, _| node.parent())
}

/// The blocks of a step, as the reference's generator makes them.
fn blocks(label: &str, step: u64, count: u64) -> Vec<Bytes> {
    (0..count).map(|index| recipe::bytes(&format!("{label}/reorg-{step}-{index}"), index % 23)).collect()
}
