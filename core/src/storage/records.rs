//! The byte form of each record. Every record begins with its own version, so that a later format can tell.

use super::op::CoreSlot;
use crate::crypto::{CoreKey, DiscoveryKey, Hash};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::log::{Auth, Head, StoredState};
use crate::manifest::Manifest;
use crate::merkle::{Node, Roots, TreeIndex};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The store as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreState {
    /// The slot the next new core gets.
    pub next_slot: u32,
}

/// Where a core is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreEntry {
    /// Its slot.
    pub slot: CoreSlot,
    /// Its key.
    pub key: CoreKey,
}

/// A local name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The core it names, for good.
    pub discovery_key: DiscoveryKey,
    /// Its namespace.
    pub namespace: [u8; 32],
    /// The name itself; never sent.
    pub name: String,
}

impl Encode for StoreState {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(VERSION);
        writer.u32(self.next_slot);
    }
}

impl Decode for StoreState {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(reader, "store record")?;
        Ok(Self { next_slot: reader.u32("store record: next slot")? })
    }
}

impl Encode for CoreEntry {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(VERSION);
        writer.u32(self.slot.0);
        writer.raw(self.key.as_ref());
    }
}

impl Decode for CoreEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(reader, "core record")?;
        Ok(Self { slot: CoreSlot(reader.u32("core record: slot")?), key: CoreKey(reader.array("core record: key")?) })
    }
}

impl Encode for Alias {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(VERSION);
        writer.raw(self.discovery_key.as_ref());
        writer.raw(&self.namespace);
        writer.string(&self.name);
    }
}

impl Decode for Alias {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(reader, "name record")?;
        Ok(Self {
            discovery_key: DiscoveryKey(reader.array("name record: discovery key")?),
            namespace: reader.array("name record: namespace")?,
            name: reader.string("name record: name")?,
        })
    }
}

impl Encode for Auth {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(VERSION);
        writer.u8(u8::from(self.manifest.is_some()) | u8::from(self.key_pair.is_some()) << 1);
        writer.raw(self.key.as_ref());
        if let Some(manifest) = &self.manifest {
            manifest.encode(writer);
        }
        if let Some(key_pair) = &self.key_pair {
            writer.raw(key_pair.seed());
        }
    }
}

impl Decode for Auth {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(reader, "auth record")?;
        let flags = reader.u8("auth record: flags")?;
        Ok(Self {
            key: CoreKey(reader.array("auth record: key")?),
            manifest: (flags & 1 != 0).then(|| Manifest::decode(reader)).transpose()?,
            key_pair: (flags & 2 != 0).then(|| reader.array::<32>("auth record: seed")).transpose()?.map(Into::into),
        })
    }
}

impl Encode for StoredState {
    /// In room of its own size: it is written with every commit.
    fn to_bytes(&self) -> Vec<u8> {
        let roots = self.head.roots.nodes.len().saturating_mul(NODE_BYTES);
        let room = STATE_BYTES.saturating_add(self.head.signature.len()).saturating_add(roots);
        let mut writer = Writer::with_capacity(room);
        self.encode(&mut writer);
        writer.into_vec()
    }

    fn encode(&self, writer: &mut Writer) {
        let roots = &self.head.roots;
        writer.u8(VERSION);
        writer.u8(u8::from(self.frozen));
        writer.uint(roots.fork);
        writer.uint(roots.length);
        writer.uint(roots.byte_length);
        writer.uint(self.contiguous_length);
        writer.buffer(&self.head.signature);
        writer.count(roots.nodes.len());
        for node in &roots.nodes {
            writer.uint(node.index.0);
            writer.uint(node.size);
            writer.raw(node.hash.as_ref());
        }
    }
}

impl Decode for StoredState {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(reader, "state record")?;
        let frozen = reader.u8("state record: flags")? & 1 != 0;
        let fork = reader.uint("state record: fork")?;
        let length = reader.uint("state record: length")?;
        let byte_length = reader.uint("state record: byte length")?;
        let contiguous_length = reader.uint("state record: contiguous length")?;
        let signature = reader.buffer("state record: signature")?.to_vec();
        let count = reader.count(34, "state record: roots")?;
        let mut nodes = (0..count).map(|_| node(reader)).collect::<Result<Vec<Node>, DecodeError>>()?;
        // Every open core keeps them.
        nodes.shrink_to_fit();
        let roots = Roots { fork, length, byte_length, nodes };
        Ok(Self { head: Arc::new(Head { roots, signature }), contiguous_length, frozen })
    }
}

fn node(reader: &mut Reader<'_>) -> Result<Node, DecodeError> {
    Ok(Node {
        index: TreeIndex(reader.uint("node: index")?),
        size: reader.uint("node: size")?,
        hash: Hash(reader.array("node: hash")?),
    })
}

fn version(reader: &mut Reader<'_>, what: &'static str) -> Result<(), DecodeError> {
    let error = reader.error(what);
    if reader.u8(what)? == VERSION { Ok(()) } else { Err(error) }
}

const VERSION: u8 = 1;
/// Bytes of a root, and of a state beside its roots and its signature, at most.
const NODE_BYTES: usize = 50;
const STATE_BYTES: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::PublicKey;

    fn check<T: Encode + Decode + PartialEq + core::fmt::Debug>(value: &T) {
        let bytes = value.to_bytes();
        assert_eq!(&T::from_bytes(&bytes).unwrap(), value);
        for end in 0..bytes.len() {
            assert!(T::from_bytes(&bytes[..end]).is_err(), "{value:?} cut at {end}");
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert!(T::from_bytes(&newer).is_err());
    }

    #[test]
    fn records_come_back_and_never_half() {
        check(&StoreState { next_slot: 70_000 });
        check(&CoreEntry { slot: CoreSlot(3), key: CoreKey([1; 32]) });
        check(&Alias { discovery_key: DiscoveryKey([2; 32]), namespace: [3; 32], name: "core-1 ü".into() });
        let manifest = Some(Manifest::single(1, PublicKey([4; 32])));
        check(&Auth { key: CoreKey([5; 32]), manifest: manifest.clone(), key_pair: Some([6; 32].into()) });
        check(&Auth { key: CoreKey([5; 32]), manifest: None, key_pair: None });
        let nodes = Vec::from([Node { index: TreeIndex(3), size: 1 << 40, hash: Hash([7; 32]) }]);
        let roots = Roots { fork: 2, length: 4, byte_length: 1 << 40, nodes };
        let head = Arc::new(Head { roots, signature: Vec::from([8; 68]) });
        check(&StoredState { head, contiguous_length: 3, frozen: true });
    }
}
