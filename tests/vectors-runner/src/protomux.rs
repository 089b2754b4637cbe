//! Conversations of two muxes: each side's frames come out of ours, and what the other hears is what the file says.

use crate::json::{Value, hex, list, text};
use crate::mux_replay::{MuxReplay, OPEN, Told, control, items, open};
use crate::report::Report;
use bytes::Bytes;
use corestore_core::encoding::Reader;

pub(crate) fn protomux(file: &Value, report: &mut Report) {
    for scene in list(file, "scenes") {
        scene["about"].skip("prose");
        for side in ["a", "b"] {
            replay(scene, side, report);
        }
    }
}

fn replay(scene: &Value, side: &str, report: &mut Report) {
    let name = format!("{}: {side}", text(&scene["name"]));
    let names = protocols(scene);
    let other = names.iter().find(|(of, _)| of != side).map(|(_, protocol)| protocol.as_str());
    let own = names.iter().find(|(of, _)| of == side).map(|(_, protocol)| protocol.as_str());
    let mut received: Vec<String> =
        list(scene, "received").iter().filter(|entry| entry["to"] == side).filter_map(heard).collect();
    // Who is told of an open under another name than its own knows that name as an alias.
    let knows_alias = received.iter().any(|told| told.starts_with("open"));
    let alias = other.zip(own).filter(|(other, own)| other != own && knows_alias);
    let mut mux = MuxReplay::new(alias.as_slice());
    let mut told = Vec::new();
    for entry in list(scene, "frames") {
        let frame = Bytes::from(hex(&entry["frame"]));
        if entry["from"] == side {
            report.equal(&format!("{name} sends"), &mux.own(&frame), &Vec::from([frame]));
        } else {
            mux.take(&frame);
        }
        told.extend(mux.told().iter().filter_map(shown));
    }
    // Which of two channels is told of first is no part of the protocol.
    told.sort();
    received.sort();
    report.equal(&format!("{name} hears"), &told, &received);
}

/// The first protocol each side opens.
fn protocols(scene: &Value) -> Vec<(String, String)> {
    let mut protocols: Vec<(String, String)> = Vec::new();
    for entry in list(scene, "frames") {
        let from = text(&entry["from"]);
        for item in items(&Bytes::from(hex(&entry["frame"]))).1 {
            if item.channel == 0 && item.kind == OPEN && protocols.iter().all(|(of, _)| of != from) {
                protocols.push((from.to_owned(), open(&control(&item.payload).1).0));
            }
        }
    }
    protocols
}

/// A line of the file; its own closing is nothing a side hears.
fn heard(entry: &Value) -> Option<String> {
    if let Some(handshake) = entry["open"].as_str() {
        return Some(format!("open {handshake}"));
    }
    match entry["close"].as_str() {
        Some("local") => None,
        Some(_) => Some("close".to_owned()),
        None => Some(format!("message {} {}", entry["type"].plain(), entry["value"].plain())),
    }
}

/// The same for what our mux told. The application of the scenes knows messages 0 (a string) and 1 (a number).
fn shown(told: &Told) -> Option<String> {
    let string = |bytes: &Bytes| Reader::new(bytes).string("").expect("a string");
    match told {
        Told::Opened { handshake } => Some(format!("open {}", string(handshake))),
        Told::Message { kind: 0, payload } => Some(format!("message 0 {:?}", string(payload))),
        Told::Message { kind: 1, payload } => {
            Some(format!("message 1 {}", Reader::new(payload).uint("").expect("a number")))
        }
        Told::Message { .. } => None,
        Told::Closed | Told::Broken => Some("close".to_owned()),
    }
}
