//! One entry of the log: a header, the batch's operations, and the blocks' bytes.

use super::mask;
use crate::store::fault::Fault;
use crate::store::units::{len64, to_usize};
use bytes::Bytes;
use corestore_core::crypto::Hash;
use corestore_core::encoding::{DecodeError, Reader, Writer};
use corestore_core::merkle::{Node, TreeIndex};
use corestore_core::storage::{CoreSlot, RecordKey, WriteOp};
use std::ops::Range;

/// Where a block's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Place {
    pub(in crate::store) segment: u32,
    pub(in crate::store) offset: u64,
    pub(in crate::store) length: u32,
    /// Whether the log holds the bytes masked.
    pub(in crate::store) masked: bool,
    /// Of the bytes as the log holds them.
    pub(in crate::store) crc: u32,
}

impl Place {
    /// Length and mask as files hold them.
    pub(in crate::store) fn form(&self) -> u32 {
        if self.masked { self.length | MASKED } else { self.length }
    }

    pub(in crate::store) fn of(segment: u32, offset: u64, form: u32, crc: u32) -> Self {
        Self { segment, offset, length: form & !MASKED, masked: form & MASKED != 0, crc }
    }
}

/// A change as the log holds it: as [`WriteOp`], with places instead of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum LogOp {
    PutRecord(RecordKey, Bytes),
    DeleteRecord(RecordKey),
    DeleteRecords(Range<RecordKey>),
    PutBlocks { core: CoreSlot, start: u64, places: Vec<Place> },
    DeleteBlocks { core: CoreSlot, range: Range<u64> },
    PutNodes { core: CoreSlot, nodes: Vec<Node> },
    DeleteNodes { core: CoreSlot, range: Range<u64> },
}

/// An entry ready to be written.
#[derive(Debug)]
pub(in crate::store) struct Encoded {
    /// Header and operations.
    pub(in crate::store) head: Vec<u8>,
    /// The blocks.
    pub(in crate::store) data: Vec<Bytes>,
    /// Bytes of all blocks.
    pub(in crate::store) data_bytes: u64,
    /// The operations; places count from the start of the blocks until [`Encoded::place`].
    pub(in crate::store) ops: Vec<LogOp>,
}

/// A header that passed its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Header {
    pub(in crate::store) sequence: u64,
    pub(in crate::store) ops_bytes: u32,
    pub(in crate::store) ops_crc: u32,
    pub(in crate::store) data_bytes: u64,
}

/// Encodes a batch. A block or a batch too large for the format counts as not fitting in the store.
pub(in crate::store) fn encode(ops: Vec<WriteOp>, sequence: u64) -> Result<Encoded, Fault> {
    let mut writer = Writer::with_capacity(room_for(&ops));
    writer.raw(&[0; HEADER_BYTES]);
    let mut encoded = Encoded { head: Vec::new(), data: Vec::new(), data_bytes: 0, ops: Vec::with_capacity(ops.len()) };
    for op in ops {
        let op = encode_op(op, &mut writer, &mut encoded)?;
        encoded.ops.push(op);
    }
    let size = len64(writer.as_slice().len()).saturating_add(encoded.data_bytes);
    (size..size.next_multiple_of(ALIGNMENT)).for_each(|_| writer.u8(NOTHING));
    encoded.head = writer.into_vec();
    mask::flip(encoded.head.get_mut(HEADER_BYTES..).unwrap_or_default());
    let ops = encoded.head.get(HEADER_BYTES..).unwrap_or_default();
    let header = Header {
        sequence,
        ops_bytes: u32::try_from(ops.len()).map_err(|_| Fault::Full)?,
        ops_crc: crc32c::crc32c(ops),
        data_bytes: encoded.data_bytes,
    };
    if let Some(front) = encoded.head.first_chunk_mut() {
        *front = header.to_bytes();
    }
    Ok(encoded)
}

/// About how many bytes an entry takes, so that it need not move while it grows: its head, and those of its blocks that may
/// be written with the head in one piece.
fn room_for(ops: &[WriteOp]) -> usize {
    let rooms = ops.iter().map(|op| match op {
        WriteOp::PutRecord(key, value) => key.0.len().saturating_add(value.len()),
        WriteOp::PutBlocks { blocks, .. } => {
            let bytes = blocks.iter().map(Bytes::len).fold(0, usize::saturating_add);
            let copied = if bytes < VECTORED_BYTES { bytes } else { 0 };
            blocks.len().saturating_mul(BLOCK_BYTES).saturating_add(copied)
        }
        WriteOp::PutNodes { nodes, .. } => nodes.len().saturating_mul(NODE_BYTES),
        WriteOp::DeleteRecord(key) => key.0.len(),
        WriteOp::DeleteRecords(range) => range.start.0.len().saturating_add(range.end.0.len()),
        WriteOp::DeleteBlocks { .. } | WriteOp::DeleteNodes { .. } => 0,
    });
    rooms.fold(HEADER_BYTES, |room, bytes| room.saturating_add(bytes).saturating_add(OP_BYTES))
}

fn encode_op(op: WriteOp, writer: &mut Writer, encoded: &mut Encoded) -> Result<LogOp, Fault> {
    Ok(match op {
        WriteOp::PutRecord(key, value) => {
            writer.u8(PUT_RECORD);
            writer.buffer(&key.0);
            writer.buffer(&value);
            LogOp::PutRecord(key, value)
        }
        WriteOp::DeleteRecord(key) => {
            writer.u8(DELETE_RECORD);
            writer.buffer(&key.0);
            LogOp::DeleteRecord(key)
        }
        WriteOp::DeleteRecords(range) => {
            writer.u8(DELETE_RECORDS);
            writer.buffer(&range.start.0);
            writer.buffer(&range.end.0);
            LogOp::DeleteRecords(range)
        }
        WriteOp::PutBlocks { core, start, blocks } => {
            writer.u8(PUT_BLOCKS);
            writer.u32(core.0);
            writer.u64(start);
            writer.count(blocks.len());
            let places = blocks.into_iter().map(|block| encoded.put(block, writer)).collect::<Result<_, _>>()?;
            LogOp::PutBlocks { core, start, places }
        }
        WriteOp::DeleteBlocks { core, range } => {
            encode_range(DELETE_BLOCKS, core, &range, writer);
            LogOp::DeleteBlocks { core, range }
        }
        WriteOp::PutNodes { core, nodes } => {
            writer.u8(PUT_NODES);
            writer.u32(core.0);
            writer.count(nodes.len());
            for node in &nodes {
                writer.u64(node.index.0);
                writer.u64(node.size);
                writer.raw(node.hash.as_ref());
            }
            LogOp::PutNodes { core, nodes }
        }
        WriteOp::DeleteNodes { core, range } => {
            encode_range(DELETE_NODES, core, &range, writer);
            LogOp::DeleteNodes { core, range }
        }
    })
}

fn encode_range(kind: u8, core: CoreSlot, range: &Range<u64>, writer: &mut Writer) {
    writer.u8(kind);
    writer.u32(core.0);
    writer.u64(range.start);
    writer.u64(range.end);
}

impl Encoded {
    fn put(&mut self, block: Bytes, writer: &mut Writer) -> Result<Place, Fault> {
        let length = u32::try_from(block.len()).ok().filter(|length| length & MASKED == 0).ok_or(Fault::Full)?;
        let masked = mask::is_needed(&block);
        let block = if masked {
            let mut bytes = block.to_vec();
            mask::flip(&mut bytes);
            Bytes::from(bytes)
        } else {
            block
        };
        let place = Place { segment: 0, offset: self.data_bytes, length, masked, crc: crc32c::crc32c(&block) };
        writer.u32(place.form());
        writer.u32(place.crc);
        self.data_bytes = self.data_bytes.saturating_add(u64::from(length));
        self.data.push(block);
        Ok(place)
    }

    /// Bytes of the whole entry.
    pub(in crate::store) fn size(&self) -> u64 {
        len64(self.head.len()).saturating_add(self.data_bytes)
    }

    /// Moves the places to where the entry was written.
    pub(in crate::store) fn place(&mut self, segment: u32, entry: u64) {
        let data = entry.saturating_add(len64(self.head.len()));
        for op in &mut self.ops {
            if let LogOp::PutBlocks { places, .. } = op {
                for place in places {
                    place.segment = segment;
                    place.offset = place.offset.saturating_add(data);
                }
            }
        }
    }
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut writer = Writer::with_capacity(HEADER_BYTES);
        writer.u32(MAGIC);
        writer.u64(self.sequence);
        writer.u32(self.ops_bytes);
        writer.u32(self.ops_crc);
        writer.u64(self.data_bytes);
        let crc = crc32c::crc32c(writer.as_slice());
        let mut bytes = [0; HEADER_BYTES];
        let parts = crc.to_le_bytes();
        let all = parts.iter().chain(writer.as_slice());
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The header, when it is one.
    pub(in crate::store) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (crc, rest) = bytes.get(..HEADER_BYTES)?.split_first_chunk()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut reader = Reader::new(rest);
        if reader.u32("magic").ok()? != MAGIC {
            return None;
        }
        Some(Self {
            sequence: reader.u64("sequence").ok()?,
            ops_bytes: reader.u32("operations").ok()?,
            ops_crc: reader.u32("checksum").ok()?,
            data_bytes: reader.u64("blocks").ok()?,
        })
    }

    /// Bytes of the whole entry.
    pub(in crate::store) fn size(&self) -> u64 {
        len64(HEADER_BYTES).saturating_add(u64::from(self.ops_bytes)).saturating_add(self.data_bytes)
    }
}

/// Reads an entry's operations; its blocks lie in `segment` from `data` on.
pub(in crate::store) fn decode(bytes: &[u8], segment: u32, data: u64) -> Result<Vec<LogOp>, DecodeError> {
    let mut bytes = bytes.to_vec();
    mask::flip(&mut bytes);
    let mut reader = Reader::new(&bytes);
    let mut next = data;
    let mut ops = Vec::new();
    while !reader.is_empty() {
        ops.extend(decode_op(&mut reader, segment, &mut next)?);
    }
    Ok(ops)
}

fn decode_op(reader: &mut Reader<'_>, segment: u32, next: &mut u64) -> Result<Option<LogOp>, DecodeError> {
    let unknown = reader.error("entry: kind of operation");
    Ok(Some(match reader.u8("entry: kind of operation")? {
        NOTHING => return Ok(None),
        PUT_RECORD => LogOp::PutRecord(key(reader)?, Bytes::copy_from_slice(reader.buffer("entry: record")?)),
        DELETE_RECORD => LogOp::DeleteRecord(key(reader)?),
        DELETE_RECORDS => LogOp::DeleteRecords(key(reader)?..key(reader)?),
        PUT_BLOCKS => {
            let core = CoreSlot(reader.u32("entry: core")?);
            let start = reader.u64("entry: first block")?;
            let count = reader.count(BLOCK_BYTES, "entry: blocks")?;
            let places = (0..count).map(|_| place(reader, segment, next)).collect::<Result<_, _>>()?;
            LogOp::PutBlocks { core, start, places }
        }
        DELETE_BLOCKS => LogOp::DeleteBlocks { core: CoreSlot(reader.u32("entry: core")?), range: range(reader)? },
        PUT_NODES => {
            let core = CoreSlot(reader.u32("entry: core")?);
            let count = reader.count(NODE_BYTES, "entry: nodes")?;
            let nodes = (0..count).map(|_| node(reader)).collect::<Result<_, _>>()?;
            LogOp::PutNodes { core, nodes }
        }
        DELETE_NODES => LogOp::DeleteNodes { core: CoreSlot(reader.u32("entry: core")?), range: range(reader)? },
        _ => return Err(unknown),
    }))
}

fn key(reader: &mut Reader<'_>) -> Result<RecordKey, DecodeError> {
    reader.buffer("entry: key").map(|bytes| RecordKey(bytes.to_vec()))
}

fn range(reader: &mut Reader<'_>) -> Result<Range<u64>, DecodeError> {
    Ok(reader.u64("entry: start")?..reader.u64("entry: end")?)
}

fn place(reader: &mut Reader<'_>, segment: u32, next: &mut u64) -> Result<Place, DecodeError> {
    let (form, crc) = (reader.u32("entry: block length")?, reader.u32("entry: block checksum")?);
    let place = Place::of(segment, *next, form, crc);
    *next = next.saturating_add(u64::from(place.length));
    Ok(place)
}

fn node(reader: &mut Reader<'_>) -> Result<Node, DecodeError> {
    Ok(Node {
        index: TreeIndex(reader.u64("entry: node index")?),
        size: reader.u64("entry: node size")?,
        hash: Hash(reader.array("entry: node hash")?),
    })
}

/// The offset and length of the first block whose bytes fail their checksum; `data` holds all of them, from `at` on.
pub(in crate::store) fn damaged_block(ops: &[LogOp], at: u64, data: &[u8]) -> Option<(u64, u64)> {
    let places = ops.iter().filter_map(|op| match op {
        LogOp::PutBlocks { places, .. } => Some(places),
        _ => None,
    });
    places.flatten().find_map(|place| {
        let from = to_usize(place.offset.saturating_sub(at));
        let bytes = data.get(from..from.saturating_add(to_usize(place.length))).unwrap_or_default();
        let whole = bytes.len() == to_usize(place.length) && crc32c::crc32c(bytes) == place.crc;
        (!whole).then_some((place.offset, u64::from(place.length)))
    })
}

/// Bytes of an entry's header.
pub(in crate::store) const HEADER_BYTES: usize = 32;
/// "CSE2": first bytes under the header's checksum.
const MAGIC: u32 = 0x3245_5343;
/// Set in a block's length where the log holds the block masked.
const MASKED: u32 = 1 << 31;

/// From this many bytes on blocks may be handed to the system where they are, instead of being copied behind the head.
pub(super) const VECTORED_BYTES: usize = 32 << 10;
/// Bytes of a node, of a block beside its own, and of an operation beside what it holds, at most.
const NODE_BYTES: usize = 48;
const BLOCK_BYTES: usize = 8;
const OP_BYTES: usize = 32;

const PUT_RECORD: u8 = 0;
const DELETE_RECORD: u8 = 1;
const DELETE_RECORDS: u8 = 2;
const PUT_BLOCKS: u8 = 3;
const DELETE_BLOCKS: u8 = 4;
const PUT_NODES: u8 = 5;
const DELETE_NODES: u8 = 6;
/// Fills the operations up, so that the next entry begins at a multiple of [`ALIGNMENT`].
const NOTHING: u8 = 7;
/// No entry shares fewer bytes than this with a disk sector it begins in: a sector that never reached the disk shows
/// by so many zeros.
pub(in crate::store) const ALIGNMENT: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ops() -> Vec<WriteOp> {
        let key = |byte: u8| RecordKey(vec![byte; 3]);
        let node = Node { index: TreeIndex(u64::MAX), size: u64::MAX, hash: Hash([7; 32]) };
        Vec::from([
            WriteOp::PutRecord(key(1), Bytes::from_static(b"value")),
            WriteOp::DeleteRecord(key(2)),
            WriteOp::DeleteRecords(key(3)..key(4)),
            WriteOp::PutBlocks { core: CoreSlot(1), start: 9, blocks: vec![Bytes::from_static(b"ab"), Bytes::new()] },
            WriteOp::DeleteBlocks { core: CoreSlot(1), range: 0..u64::MAX },
            WriteOp::PutNodes { core: CoreSlot(1), nodes: vec![node] },
            WriteOp::DeleteNodes { core: CoreSlot(1), range: 5..6 },
        ])
    }

    #[test]
    fn an_entry_comes_back_and_never_half() {
        let mut encoded = encode(ops(), 3).unwrap();
        encoded.place(4, 100);
        let header = Header::from_bytes(&encoded.head).unwrap();
        assert_eq!((header.sequence, header.size()), (3, encoded.size()));
        let bytes = &encoded.head[HEADER_BYTES..];
        let data = 100 + encoded.head.len() as u64;
        assert_eq!(decode(bytes, 4, data).unwrap(), encoded.ops);
        assert_eq!(damaged_block(&encoded.ops, data, b"ab"), None);
        assert_eq!(damaged_block(&encoded.ops, data, b"aB"), Some((data, 2)));
        assert!(encoded.size().is_multiple_of(ALIGNMENT));
        let filled = bytes.iter().rev().take_while(|byte| **byte == NOTHING ^ 0x5c).count();
        for end in 0..bytes.len() - filled {
            assert_ne!(decode(&bytes[..end], 4, data).ok(), Some(encoded.ops.clone()));
        }
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_none() {
        let encoded = encode(ops(), 3).unwrap();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = encoded.head.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::from_bytes(&bytes), None, "bit {bit}");
        }
    }
}
