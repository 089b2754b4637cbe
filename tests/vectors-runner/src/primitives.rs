//! compact-encoding's primitives (those the protocol uses) and the flat tree.

use crate::json::{Value, hex, list, number, text};
use crate::report::Report;
use corestore_core::encoding::{Reader, Writer};
use corestore_core::flat_tree::{TreeIndex, full_roots};
use corestore_core::merkle::upgrade_places;
use serde_json::Value as Plain;

pub(crate) fn compact_encoding(file: &Value, report: &mut Report) {
    for entry in list(file, "entries") {
        let (encoding, bytes) = (text(&entry["encoding"]), hex(&entry["hex"]));
        let name = format!("{encoding} {}", entry["hex"]);
        let mut writer = Writer::new();
        if encode(encoding, &entry["value"], &mut writer) {
            report.equal(&format!("encode {name}"), &writer.into_vec(), &bytes);
            let back = entry.get("decoded").unwrap_or(&entry["value"]);
            report.check(&format!("decode {name}"), decodes(encoding, &bytes) == Some(Ok(back.plain())));
        }
    }
    for entry in list(file, "decodeErrors") {
        let refused = entry["refused"].as_bool().expect("a flag");
        if let Some(result) = decodes(text(&entry["encoding"]), &hex(&entry["hex"])) {
            report.equal(&format!("refuse {} {}", entry["encoding"], entry["hex"]), &result.is_err(), &refused);
        }
    }
}

/// Encodes when we have this encoding.
fn encode(encoding: &str, value: &Value, writer: &mut Writer) -> bool {
    match encoding {
        "uint" => writer.uint(number(value)),
        "uint8" => writer.u8(u8::try_from(number(value)).unwrap()),
        "uint16" => writer.u16(u16::try_from(number(value)).unwrap()),
        "uint32" => writer.u32(u32::try_from(number(value)).unwrap()),
        "uint64" => writer.u64(number(value)),
        "buffer" => writer.buffer(&hex(value)),
        "optionalBuffer" => {
            let bytes = (!value.is_null()).then(|| hex(value));
            writer.optional_buffer(bytes.as_deref());
        }
        "string" => writer.string(text(value)),
        "raw" | "fixed8" | "fixed16" | "fixed24" | "fixed32" | "fixed64" => writer.raw(&hex(value)),
        "array(uint)" => {
            let items = value.as_array().unwrap();
            writer.count(items.len());
            items.iter().for_each(|item| writer.uint(number(item)));
        }
        "uint32array" => {
            let items = value.as_array().unwrap();
            writer.count(items.len());
            items.iter().for_each(|item| writer.u32(u32::try_from(number(item)).unwrap()));
        }
        _ => return false,
    }
    true
}

/// Decodes when we have this encoding; the value comes back as the file writes it.
fn decodes(encoding: &str, bytes: &[u8]) -> Option<Result<Plain, ()>> {
    let reader = &mut Reader::new(bytes);
    let shown = |bytes: &[u8]| Plain::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let result = match encoding {
        "uint" => reader.uint("").map(Plain::from),
        "uint8" => reader.u8("").map(Plain::from),
        "uint16" => reader.u16("").map(Plain::from),
        "uint32" => reader.u32("").map(Plain::from),
        "uint64" => reader.u64("").map(Plain::from),
        "buffer" => reader.buffer("").map(shown),
        "optionalBuffer" => reader.optional_buffer("").map(|bytes| bytes.map_or(Plain::Null, shown)),
        "string" => reader.string("").map(Plain::from),
        "raw" => Ok(shown(reader.rest())),
        "fixed8" => reader.array::<8>("").map(|bytes| shown(&bytes)),
        "fixed16" => reader.array::<16>("").map(|bytes| shown(&bytes)),
        "fixed24" => reader.array::<24>("").map(|bytes| shown(&bytes)),
        "fixed32" => reader.array::<32>("").map(|bytes| shown(&bytes)),
        "fixed64" => reader.array::<64>("").map(|bytes| shown(&bytes)),
        "array(uint)" => reader
            .count(1, "")
            .and_then(|count| (0..count).map(|_| reader.uint("").map(Plain::from)).collect::<Result<Vec<_>, _>>())
            .map(Plain::from),
        "uint32array" => reader
            .count(4, "")
            .and_then(|count| (0..count).map(|_| reader.u32("").map(Plain::from)).collect::<Result<Vec<_>, _>>())
            .map(Plain::from),
        _ => return None,
    };
    Some(result.map_err(|_| ()))
}

pub(crate) fn flat_tree(file: &Value, report: &mut Report) {
    for entry in list(file, "nodes") {
        let index = TreeIndex(number(&entry["index"]));
        let name = |what: &str| format!("{what} of {}", index.0);
        let child = |key: &str| entry[key].as_u64().map(TreeIndex);
        report.equal(&name("depth"), &u64::from(index.depth()), &number(&entry["depth"]));
        report.equal(&name("offset"), &index.offset(), &number(&entry["offset"]));
        report.equal(&name("parent"), &index.parent().0, &number(&entry["parent"]));
        report.equal(&name("sibling"), &index.sibling().0, &number(&entry["sibling"]));
        report.equal(&name("children"), &index.children(), &child("leftChild").zip(child("rightChild")));
        report.equal(&name("left span"), &index.spans().0.0, &number(&entry["leftSpan"]));
        report.equal(&name("right span"), &index.spans().1.0, &number(&entry["rightSpan"]));
        report.equal(&name("count"), &index.count(), &number(&entry["count"]));
        let blocks = index.blocks();
        report.equal(&name("leaves"), &(blocks.end - blocks.start), &number(&entry["countLeaves"]));
        let back = TreeIndex::from_depth_offset(index.depth(), index.offset());
        report.equal(&name("index"), &back, &index);
    }
    for entry in list(file, "fullRoots") {
        let roots: Vec<u64> = full_roots(number(&entry["index"]) / 2).into_iter().map(|root| root.0).collect();
        let theirs: Vec<u64> = list(entry, "roots").iter().map(number).collect();
        report.equal(&format!("full roots of {}", entry["index"]), &roots, &theirs);
    }
    for entry in list(file, "index") {
        let depth = u32::try_from(number(&entry["depth"])).unwrap();
        let index = TreeIndex::from_depth_offset(depth, number(&entry["offset"]));
        report.equal("index", &index.0, &number(&entry["index"]));
    }
    // The patch lists hold every node that appending makes; ours names the ones to be given.
    for entry in list(file, "patch") {
        let (from, to) = (number(&entry["from"]) / 2, number(&entry["to"]) / 2);
        let theirs: Vec<u64> = list(entry, "nodes").iter().map(number).collect();
        let ours = upgrade_places(from, to);
        report.check(&format!("patch {from} to {to}"), from == 0 || ours.iter().all(|node| theirs.contains(&node.0)));
    }
}
