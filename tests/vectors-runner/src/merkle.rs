//! The tree at every length.

use crate::json::{Value, hex, list, node, number};
use crate::report::Report;
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::merkle::{Roots, append};
use std::collections::BTreeMap;

pub(crate) fn merkle(file: &Value, report: &mut Report) {
    let mut roots = Roots::default();
    let mut made = BTreeMap::new();
    let mut blocks = list(file, "blocks").iter();
    for tree in list(file, "trees") {
        let length = number(&tree["length"]);
        while roots.length < length {
            let entry = blocks.next().expect("a block");
            entry["seed"].skip("says how the bytes were made");
            let block = Bytes::from(hex(&entry["hex"]));
            report.equal("block index", &roots.length, &number(&entry["index"]));
            report.equal("block size", &u64::try_from(block.len()).expect("small"), &number(&entry["size"]));
            let (longer, nodes) = append(&roots, &[block]);
            roots = longer;
            made.extend(nodes.into_iter().map(|node| (node.index, node)));
        }
        let name = |what: &str| format!("{what} at length {length}");
        report.equal(&name("byte length"), &roots.byte_length, &number(&tree["byteLength"]));
        report.equal(&name("tree hash"), &roots.tree_hash(), &Hash(crate::json::fixed(&tree["treeHash"])));
        let theirs: Vec<u64> = list(tree, "roots").iter().map(number).collect();
        let ours: Vec<u64> = roots.nodes.iter().map(|node| node.index.0).collect();
        report.equal(&name("roots"), &ours, &theirs);
    }
    for theirs in list(file, "nodes").iter().map(node) {
        report.equal(&format!("node {}", theirs.index.0), &made.get(&theirs.index).copied(), &Some(theirs));
    }
}
