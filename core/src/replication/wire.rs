//! The ten messages of `hypercore/alpha` and the handshake in its open frame (`hypercore/lib/messages.js`, `wire`;
//! numbers from `replicator.js`).

use crate::crypto::Hash;
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};
use crate::manifest::Manifest;
use crate::merkle::{
    DataBlock, DataHash, DataSeek, DataUpgrade, Proof, ProofRequest, RequestBlock, RequestSeek, RequestUpgrade,
    TreeIndex, decode_nodes, encode_nodes,
};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// What each side says when it opens the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// We answer seeks.
    pub seeks: bool,
    /// Proves that the sender knows the core's key.
    pub capability: Hash,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a message lives for one call; boxing would cost an allocation each")]
pub enum Message {
    /// Where the sender stands.
    Sync(Sync),
    /// Asks for a proof.
    Request(Request),
    /// Takes back the request with this id.
    Cancel {
        /// Id of the request.
        request: u64,
    },
    /// A proof.
    Data(Data),
    /// No proof.
    NoData {
        /// Id of the request.
        request: u64,
        /// 0 unsaid, 1 not available, 2 invalid request.
        reason: u64,
    },
    /// Asks to be told of blocks in a region.
    Want(Want),
    /// Takes that back.
    Unwant(Want),
    /// Which blocks of a region the sender has.
    Bitfield {
        /// First bit, a multiple of 32.
        start: u64,
        /// Bits, least significant first, in whole 4-byte words.
        bits: Bytes,
    },
    /// The sender has, or dropped, a run of blocks.
    Range {
        /// Dropped rather than had.
        drop: bool,
        /// First block.
        start: u64,
        /// Blocks.
        length: u64,
    },
    /// A user's own message.
    Extension {
        /// Name; empty means the one last sent.
        name: String,
        /// Anything.
        payload: Bytes,
    },
}

/// Where a peer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the message is these flags")]
pub struct Sync {
    /// Its fork.
    pub fork: u64,
    /// Its length in blocks.
    pub length: u64,
    /// The length it knows of us.
    pub remote_length: u64,
    /// It can prove our length's upgrade to its own.
    pub can_upgrade: bool,
    /// It serves.
    pub uploading: bool,
    /// It wants data.
    pub downloading: bool,
    /// It has the manifest.
    pub has_manifest: bool,
    /// It takes unasked data.
    pub allow_push: bool,
}

/// Asks for a proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The asker's number; comes back in the answer.
    pub id: u64,
    /// The fork it is about.
    pub fork: u64,
    /// What.
    pub proof: ProofRequest,
    /// The manifest too.
    pub manifest: bool,
    /// Higher goes first.
    pub priority: u64,
}

/// A proof and whom it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Id of the request; 0 for data nobody asked for.
    pub request: u64,
    /// The proof.
    pub proof: Proof,
    /// The manifest, when asked for.
    pub manifest: Option<Manifest>,
}

/// A region of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// First block.
    pub start: u64,
    /// Blocks.
    pub length: u64,
    /// Tell of any change, not only of what we have.
    pub any: bool,
}

/// `noData`: the answerer has not got it.
pub const NOT_AVAILABLE: u64 = 1;
/// `noData`: nobody can answer that.
pub const INVALID_REQUEST: u64 = 2;

impl Message {
    /// The message's number in the channel.
    pub fn kind(&self) -> u64 {
        match self {
            Self::Sync(_) => 0,
            Self::Request(_) => 1,
            Self::Cancel { .. } => 2,
            Self::Data(_) => 3,
            Self::NoData { .. } => 4,
            Self::Want(_) => 5,
            Self::Unwant(_) => 6,
            Self::Bitfield { .. } => 7,
            Self::Range { .. } => 8,
            Self::Extension { .. } => 9,
        }
    }

    /// The message's bytes, without its number.
    pub fn encode_payload(&self) -> Vec<u8> {
        let size = match self {
            Self::Data(data) => data.proof.block.as_ref().map_or(0, |block| block.value.len()).saturating_add(512),
            Self::Bitfield { bits, .. } => bits.len().saturating_add(16),
            _ => 32,
        };
        let writer = &mut Writer::with_capacity(size);
        match self {
            Self::Sync(sync) => encode_sync(sync, writer),
            Self::Request(request) => encode_request(request, writer),
            Self::Cancel { request } => writer.uint(*request),
            Self::Data(data) => encode_data(data, writer),
            Self::NoData { request, reason } => {
                writer.uint(*request);
                writer.uint(u64::from(*reason != 0));
                if *reason != 0 {
                    writer.uint(*reason);
                }
            }
            Self::Want(want) | Self::Unwant(want) => {
                writer.uint(want.start);
                writer.uint(want.length);
                if want.any {
                    writer.uint(1);
                }
            }
            Self::Bitfield { start, bits } => {
                writer.uint(*start);
                writer.count(bits.len() / 4);
                writer.raw(bits);
            }
            Self::Range { drop, start, length } => {
                writer.uint(u64::from(*drop) | u64::from(*length == 1) << 1);
                writer.uint(*start);
                if *length != 1 {
                    writer.uint(*length);
                }
            }
            Self::Extension { name, payload } => {
                writer.string(name);
                writer.raw(payload);
            }
        }
        core::mem::take(writer).into_vec()
    }

    /// Reads message number `kind`; `None` when there is no such number. Blocks share `payload`'s memory.
    ///
    /// # Errors
    /// [`DecodeError`] names the field.
    pub fn decode(kind: u64, payload: &Bytes) -> Result<Option<Self>, DecodeError> {
        let reader = &mut Reader::new(payload);
        Ok(Some(match kind {
            0 => Self::Sync(decode_sync(reader)?),
            1 => Self::Request(decode_request(reader)?),
            2 => Self::Cancel { request: reader.uint("cancel: request")? },
            3 => Self::Data(decode_data(reader, payload)?),
            4 => decode_no_data(reader)?,
            5 => Self::Want(decode_want(reader)?),
            6 => Self::Unwant(decode_want(reader)?),
            7 => decode_bitfield(reader, payload)?,
            8 => decode_range(reader)?,
            9 => {
                let name = reader.string("extension: name")?;
                Self::Extension { name, payload: payload.slice_ref(reader.rest()) }
            }
            _ => return Ok(None),
        }))
    }
}

impl Encode for Handshake {
    fn encode(&self, writer: &mut Writer) {
        writer.uint(u64::from(self.seeks));
        writer.raw(self.capability.as_ref());
    }
}

impl Decode for Handshake {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = reader.uint("handshake: flags")?;
        Ok(Self { seeks: flags & 1 != 0, capability: Hash(reader.array("handshake: capability")?) })
    }
}

fn flags(bits: &[bool]) -> u64 {
    bits.iter().rev().fold(0, |flags, bit| flags << 1 | u64::from(*bit))
}

fn encode_sync(sync: &Sync, writer: &mut Writer) {
    writer.uint(flags(&[sync.can_upgrade, sync.uploading, sync.downloading, sync.has_manifest, sync.allow_push]));
    writer.uint(sync.fork);
    writer.uint(sync.length);
    writer.uint(sync.remote_length);
}

fn decode_sync(reader: &mut Reader<'_>) -> Result<Sync, DecodeError> {
    let flags = reader.uint("sync: flags")?;
    Ok(Sync {
        fork: reader.uint("sync: fork")?,
        length: reader.uint("sync: length")?,
        remote_length: reader.uint("sync: remote length")?,
        can_upgrade: flags & 1 != 0,
        uploading: flags & 2 != 0,
        downloading: flags & 4 != 0,
        has_manifest: flags & 8 != 0,
        allow_push: flags & 16 != 0,
    })
}

fn encode_request(request: &Request, writer: &mut Writer) {
    let proof = &request.proof;
    let parts = [proof.block.is_some(), proof.hash.is_some(), proof.seek.is_some(), proof.upgrade.is_some()];
    writer.uint(flags(&parts) | u64::from(request.manifest) << 4 | u64::from(request.priority != 0) << 5);
    writer.uint(request.id);
    writer.uint(request.fork);
    for block in [proof.block, proof.hash].into_iter().flatten() {
        writer.uint(block.index);
        writer.uint(block.nodes);
    }
    if let Some(seek) = proof.seek {
        writer.uint(seek.bytes);
        writer.uint(seek.padding);
    }
    if let Some(upgrade) = proof.upgrade {
        writer.uint(upgrade.start);
        writer.uint(upgrade.length);
    }
    if request.priority != 0 {
        writer.uint(request.priority);
    }
}

fn decode_request(reader: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let flags = reader.uint("request: flags")?;
    let (id, fork) = (reader.uint("request: id")?, reader.uint("request: fork")?);
    let mut pair = |set: u64, what: &'static str| -> Result<Option<(u64, u64)>, DecodeError> {
        if flags & set == 0 { Ok(None) } else { Ok(Some((reader.uint(what)?, reader.uint(what)?))) }
    };
    let block = pair(1, "request: block")?.map(|(index, nodes)| RequestBlock { index, nodes });
    let hash = pair(2, "request: hash")?.map(|(index, nodes)| RequestBlock { index, nodes });
    let seek = pair(4, "request: seek")?.map(|(bytes, padding)| RequestSeek { bytes, padding });
    let upgrade = pair(8, "request: upgrade")?.map(|(start, length)| RequestUpgrade { start, length });
    let priority = if flags & 32 != 0 { reader.uint("request: priority")? } else { 0 };
    let proof = ProofRequest { block, hash, seek, upgrade };
    Ok(Request { id, fork, proof, manifest: flags & 16 != 0, priority })
}

fn encode_data(data: &Data, writer: &mut Writer) {
    let proof = &data.proof;
    let parts = [proof.block.is_some(), proof.hash.is_some(), proof.seek.is_some(), proof.upgrade.is_some()];
    writer.uint(flags(&parts) | u64::from(data.manifest.is_some()) << 4);
    writer.uint(data.request);
    writer.uint(proof.fork);
    if let Some(block) = &proof.block {
        writer.uint(block.index);
        writer.buffer(&block.value);
        encode_nodes(&block.nodes, writer);
    }
    if let Some(hash) = &proof.hash {
        writer.uint(hash.index.0);
        encode_nodes(&hash.nodes, writer);
    }
    if let Some(seek) = &proof.seek {
        writer.uint(seek.bytes);
        encode_nodes(&seek.nodes, writer);
    }
    if let Some(upgrade) = &proof.upgrade {
        writer.uint(upgrade.start);
        writer.uint(upgrade.length);
        encode_nodes(&upgrade.nodes, writer);
        encode_nodes(&upgrade.additional_nodes, writer);
        writer.buffer(&upgrade.signature);
    }
    if let Some(manifest) = &data.manifest {
        manifest.encode(writer);
    }
}

fn decode_data(reader: &mut Reader<'_>, payload: &Bytes) -> Result<Data, DecodeError> {
    let flags = reader.uint("data: flags")?;
    let request = reader.uint("data: request")?;
    let mut proof = Proof { fork: reader.uint("data: fork")?, ..Proof::default() };
    if flags & 1 != 0 {
        let index = reader.uint("data: block index")?;
        let value = payload.slice_ref(reader.buffer("data: block")?);
        proof.block = Some(DataBlock { index, value, nodes: decode_nodes(reader)? });
    }
    if flags & 2 != 0 {
        let index = TreeIndex(reader.uint("data: node index")?);
        proof.hash = Some(DataHash { index, nodes: decode_nodes(reader)? });
    }
    if flags & 4 != 0 {
        let bytes = reader.uint("data: seek")?;
        proof.seek = Some(DataSeek { bytes, nodes: decode_nodes(reader)? });
    }
    if flags & 8 != 0 {
        proof.upgrade = Some(DataUpgrade {
            start: reader.uint("data: upgrade start")?,
            length: reader.uint("data: upgrade length")?,
            nodes: decode_nodes(reader)?,
            additional_nodes: decode_nodes(reader)?,
            signature: reader.buffer("data: signature")?.to_vec(),
        });
    }
    let manifest = (flags & 16 != 0).then(|| Manifest::decode(reader)).transpose()?;
    Ok(Data { request, proof, manifest })
}

fn decode_no_data(reader: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let request = reader.uint("no data: request")?;
    let flags = if reader.is_empty() { 0 } else { reader.uint("no data: flags")? };
    let reason = if flags & 1 != 0 { reader.uint("no data: reason")? } else { 0 };
    Ok(Message::NoData { request, reason })
}

fn decode_want(reader: &mut Reader<'_>) -> Result<Want, DecodeError> {
    let (start, length) = (reader.uint("want: start")?, reader.uint("want: length")?);
    let flags = if reader.is_empty() { 0 } else { reader.uint("want: flags")? };
    Ok(Want { start, length, any: flags & 1 != 0 })
}

fn decode_bitfield(reader: &mut Reader<'_>, payload: &Bytes) -> Result<Message, DecodeError> {
    let start = reader.uint("bitfield: start")?;
    let words = reader.count(4, "bitfield: words")?;
    let bits = payload.slice_ref(reader.raw(words.saturating_mul(4), "bitfield: words")?);
    Ok(Message::Bitfield { start, bits })
}

fn decode_range(reader: &mut Reader<'_>) -> Result<Message, DecodeError> {
    let flags = reader.uint("range: flags")?;
    let start = reader.uint("range: start")?;
    let length = if flags & 2 != 0 { 1 } else { reader.uint("range: length")? };
    Ok(Message::Range { drop: flags & 1 != 0, start, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_what_decodes_encodes_again(kind in 0_u64..12, bytes: Vec<u8>) {
            if let Ok(Some(message)) = Message::decode(kind, &Bytes::from(bytes)) {
                let again = Bytes::from(message.encode_payload());
                prop_assert_eq!(Message::decode(kind, &again).unwrap().unwrap(), message);
            }
        }
    }

    #[test]
    fn a_block_shares_the_frames_memory() {
        let proof = Proof {
            block: Some(DataBlock { index: 1, value: Bytes::from_static(b"world"), nodes: Vec::new() }),
            ..Proof::default()
        };
        let message = Message::Data(Data { request: 1, proof, manifest: None });
        let payload = Bytes::from(message.encode_payload());
        let Ok(Some(Message::Data(data))) = Message::decode(3, &payload) else { panic!("it decodes") };
        let value = data.proof.block.unwrap().value;
        assert!(payload.as_ptr_range().contains(&value.as_ptr()));
        for end in 0..payload.len() {
            assert!(Message::decode(3, &payload.slice(..end)).is_err(), "cut at {end}");
        }
    }
}
