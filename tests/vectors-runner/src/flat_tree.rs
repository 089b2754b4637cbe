//! The geometry of the tree.

use crate::json::{Value, list, number};
use crate::report::Report;
use corestore_core::flat_tree::{TreeIndex, full_roots};
use corestore_core::merkle::upgrade_places;

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
    for entry in list(file, "patch") {
        let (from, to) = (number(&entry["from"]) / 2, number(&entry["to"]) / 2);
        let theirs: Vec<u64> = list(entry, "nodes").iter().map(number).collect();
        report.equal(&format!("patch {from} to {to}"), &patch(from, to), &theirs);
    }
}

/// What the reference's `patch` walks over: the nodes that must be given, each followed by the parents it completes.
fn patch(from: u64, to: u64) -> Vec<u64> {
    let mut walked = Vec::new();
    if from == 0 {
        return walked;
    }
    let mut roots = full_roots(from);
    for given in upgrade_places(from, to) {
        roots.push(given);
        walked.push(given.0);
        while let [.., left, right] = roots.as_slice() {
            if left.sibling() != *right || !left.is_left() {
                break;
            }
            let parent = left.parent();
            roots.truncate(roots.len() - 2);
            roots.push(parent);
            walked.push(parent.0);
        }
    }
    walked
}
