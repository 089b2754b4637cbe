//! Nodes one after another, as messages and signatures hold them (`hypercore/lib/messages.js`, `node`).

use super::node::{Node, TreeIndex};
use crate::crypto::Hash;
use crate::encoding::{DecodeError, Reader, Writer};
use alloc::vec::Vec;

pub(crate) fn encode_nodes(nodes: &[Node], writer: &mut Writer) {
    writer.count(nodes.len());
    for node in nodes {
        writer.uint(node.index.0);
        writer.uint(node.size);
        writer.raw(node.hash.as_ref());
    }
}

pub(crate) fn decode_nodes(reader: &mut Reader<'_>) -> Result<Vec<Node>, DecodeError> {
    let count = reader.count(LEAST_BYTES, "nodes")?;
    (0..count)
        .map(|_| {
            let index = TreeIndex(reader.uint("node index")?);
            Ok(Node { index, size: reader.uint("node size")?, hash: Hash(reader.array("node hash")?) })
        })
        .collect()
}

/// Of one node: two numbers and a hash.
const LEAST_BYTES: usize = 34;
