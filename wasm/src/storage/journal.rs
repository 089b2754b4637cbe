//! A journal record: one write batch as bytes, so that a transaction puts one record however many rows it changes.
//!
//! Two things do not pass through it, since bytes should be written once: a block of [`LARGE_BLOCK`] bytes or more gets
//! a row of its own, and a page of blocks that the batch holds whole is written as that page. The record then only says
//! so.

use super::pages::{BLOCKS_PER_PAGE, BlockPage};
use bytes::Bytes;
use core::ops::Range;
use corestore_core::crypto::Hash;
use corestore_core::encoding::{DecodeError, Reader, Writer};
use corestore_core::merkle::{Node, TreeIndex};
use corestore_core::storage::{CoreSlot, RecordKey, WriteOp};

/// Blocks of this many bytes and more are kept in a row of their own.
pub(crate) const LARGE_BLOCK: usize = 16 << 10;

/// A block as pages and layers hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// The bytes.
    Inline(Bytes),
    /// In a row of its own; how many bytes.
    Large(u32),
}

/// One change in a journal record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JournalOp {
    PutRecord(RecordKey, Bytes),
    DeleteRecord(RecordKey),
    DeleteRecords(Range<RecordKey>),
    PutNodes {
        core: CoreSlot,
        nodes: Vec<Node>,
    },
    DeleteNodes {
        core: CoreSlot,
        range: Range<u64>,
    },
    PutBlocks {
        core: CoreSlot,
        start: u64,
        blocks: Vec<Bytes>,
    },
    /// The transaction also put the block's row.
    PutLarge {
        core: CoreSlot,
        index: u64,
        length: u32,
    },
    /// The transaction also put the page that holds exactly these blocks.
    PutPage {
        core: CoreSlot,
        range: Range<u64>,
    },
    DeleteBlocks {
        core: CoreSlot,
        range: Range<u64>,
    },
}

impl From<WriteOp> for JournalOp {
    /// The change as it is, with every block inline.
    fn from(op: WriteOp) -> Self {
        match op {
            WriteOp::PutRecord(key, value) => Self::PutRecord(key, value),
            WriteOp::DeleteRecord(key) => Self::DeleteRecord(key),
            WriteOp::DeleteRecords(range) => Self::DeleteRecords(range),
            WriteOp::PutNodes { core, nodes } => Self::PutNodes { core, nodes },
            WriteOp::DeleteNodes { core, range } => Self::DeleteNodes { core, range },
            WriteOp::PutBlocks { core, start, blocks } => Self::PutBlocks { core, start, blocks },
            WriteOp::DeleteBlocks { core, range } => Self::DeleteBlocks { core, range },
        }
    }
}

/// What one transaction puts.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The journal record.
    pub(crate) ops: Vec<JournalOp>,
    /// Rows of large blocks.
    pub(crate) large: Vec<(CoreSlot, u64, Bytes)>,
    /// Whole pages of blocks, by page number.
    pub(crate) pages: Vec<(CoreSlot, u64, BlockPage)>,
}

impl Plan {
    /// Sorts a batch's changes into what goes where. `untouched` tells whether no layer says anything of a range of a
    /// core's blocks, so that a page may be written past the journal.
    pub(crate) fn new(ops: Vec<WriteOp>, untouched: impl Fn(CoreSlot, &Range<u64>) -> bool) -> Self {
        let mut plan = Self::default();
        for op in ops {
            match op {
                WriteOp::PutBlocks { core, start, blocks } => {
                    let untouched = |range: &Range<u64>| untouched(core, range) && !plan.touches(core, range);
                    let runs = runs(start, blocks, untouched);
                    runs.into_iter().for_each(|run| plan.add(core, run));
                }
                op => plan.ops.push(JournalOp::from(op)),
            }
        }
        plan
    }

    /// True when an earlier change of this batch says anything of these blocks.
    fn touches(&self, core: CoreSlot, range: &Range<u64>) -> bool {
        let overlaps =
            |of: CoreSlot, other: Range<u64>| of == core && other.start < range.end && range.start < other.end;
        self.ops.iter().any(|op| match op {
            JournalOp::PutBlocks { core, start, blocks } => overlaps(*core, *start..end_of(*start, blocks.len())),
            JournalOp::PutLarge { core, index, .. } => overlaps(*core, *index..index.saturating_add(1)),
            JournalOp::PutPage { core, range } | JournalOp::DeleteBlocks { core, range } => {
                overlaps(*core, range.clone())
            }
            _ => false,
        })
    }

    fn add(&mut self, core: CoreSlot, run: Run) {
        match run {
            Run::Page { page, blocks } => {
                let range = BlockPage::range(page);
                self.pages.push((core, page, BlockPage::of(range.start, blocks)));
                self.ops.push(JournalOp::PutPage { core, range });
            }
            Run::Inline { start, blocks } => self.ops.push(JournalOp::PutBlocks { core, start, blocks }),
            Run::Large { index, block } => {
                let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
                self.ops.push(JournalOp::PutLarge { core, index, length });
                self.large.push((core, index, block));
            }
        }
    }
}

/// Neighbouring blocks that go the same way.
enum Run {
    Page { page: u64, blocks: Vec<Bytes> },
    Inline { start: u64, blocks: Vec<Bytes> },
    Large { index: u64, block: Bytes },
}

fn runs(start: u64, blocks: Vec<Bytes>, untouched: impl Fn(&Range<u64>) -> bool) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut rest = blocks.as_slice();
    let mut index = start;
    while let Some(first) = rest.first() {
        let page = index / BLOCKS_PER_PAGE;
        let range = BlockPage::range(page);
        let in_page = usize::try_from(range.end.saturating_sub(index)).unwrap_or(usize::MAX).min(rest.len());
        let small = rest.iter().take(in_page).take_while(|block| block.len() < LARGE_BLOCK).count();
        let (run, taken) = if small == 0 {
            (Run::Large { index, block: first.clone() }, 1)
        } else {
            let taken = rest.get(..small).unwrap_or_default().to_vec();
            let whole = index == range.start && end_of(index, small) == range.end;
            let run = match (whole && untouched(&range), runs.last_mut()) {
                (true, _) => Run::Page { page, blocks: taken },
                (false, Some(Run::Inline { start, blocks })) if end_of(*start, blocks.len()) == index => {
                    blocks.extend(taken);
                    rest = rest.get(small..).unwrap_or_default();
                    index = end_of(index, small);
                    continue;
                }
                (false, _) => Run::Inline { start: index, blocks: taken },
            };
            (run, small)
        };
        runs.push(run);
        rest = rest.get(taken..).unwrap_or_default();
        index = end_of(index, taken);
    }
    runs
}

/// The bytes of a journal record.
pub(crate) fn encode(ops: &[JournalOp]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(ops.iter().map(size_of).sum());
    writer.u8(VERSION);
    ops.iter().for_each(|op| encode_op(&mut writer, op));
    writer.into_vec()
}

/// Reads a journal record; blocks and records share its memory.
///
/// # Errors
/// [`DecodeError`] says where the record is damaged.
pub(crate) fn decode(record: &Bytes) -> Result<Vec<JournalOp>, DecodeError> {
    let mut reader = Reader::new(record);
    if reader.u8("journal record: version")? != VERSION {
        return Err(reader.error("journal record: made by a newer version"));
    }
    let mut ops = Vec::new();
    while !reader.is_empty() {
        ops.push(decode_op(record, &mut reader)?);
    }
    Ok(ops)
}

fn encode_op(writer: &mut Writer, op: &JournalOp) {
    match op {
        JournalOp::PutRecord(key, value) => {
            writer.u8(PUT_RECORD);
            writer.buffer(&key.0);
            writer.buffer(value);
        }
        JournalOp::DeleteRecord(key) => {
            writer.u8(DELETE_RECORD);
            writer.buffer(&key.0);
        }
        JournalOp::DeleteRecords(range) => {
            writer.u8(DELETE_RECORDS);
            writer.buffer(&range.start.0);
            writer.buffer(&range.end.0);
        }
        JournalOp::PutNodes { core, nodes } => {
            writer.u8(PUT_NODES);
            writer.u32(core.0);
            writer.count(nodes.len());
            nodes.iter().for_each(|node| encode_node(writer, node));
        }
        JournalOp::DeleteNodes { core, range } => encode_range(writer, DELETE_NODES, *core, range),
        JournalOp::PutBlocks { core, start, blocks } => {
            writer.u8(PUT_BLOCKS);
            writer.u32(core.0);
            writer.u64(*start);
            writer.count(blocks.len());
            blocks.iter().for_each(|block| writer.buffer(block));
        }
        JournalOp::PutLarge { core, index, length } => {
            writer.u8(PUT_LARGE);
            writer.u32(core.0);
            writer.u64(*index);
            writer.u32(*length);
        }
        JournalOp::PutPage { core, range } => encode_range(writer, PUT_PAGE, *core, range),
        JournalOp::DeleteBlocks { core, range } => encode_range(writer, DELETE_BLOCKS, *core, range),
    }
}

fn decode_op(record: &Bytes, reader: &mut Reader<'_>) -> Result<JournalOp, DecodeError> {
    let kind = reader.u8("journal record: kind")?;
    Ok(match kind {
        PUT_RECORD => JournalOp::PutRecord(
            RecordKey(reader.buffer("journal record: key")?.to_vec()),
            record.slice_ref(reader.buffer("journal record: value")?),
        ),
        DELETE_RECORD => JournalOp::DeleteRecord(RecordKey(reader.buffer("journal record: key")?.to_vec())),
        DELETE_RECORDS => {
            let start = RecordKey(reader.buffer("journal record: key")?.to_vec());
            JournalOp::DeleteRecords(start..RecordKey(reader.buffer("journal record: key")?.to_vec()))
        }
        PUT_NODES => {
            let core = decode_core(reader)?;
            let count = reader.count(NODE_BYTES, "journal record: nodes")?;
            JournalOp::PutNodes { core, nodes: (0..count).map(|_| decode_node(reader)).collect::<Result<_, _>>()? }
        }
        DELETE_NODES => JournalOp::DeleteNodes { core: decode_core(reader)?, range: decode_range(reader)? },
        PUT_BLOCKS => {
            let core = decode_core(reader)?;
            let start = reader.u64("journal record: block index")?;
            let count = reader.count(1, "journal record: blocks")?;
            let block = |_| reader.buffer("journal record: block").map(|block| record.slice_ref(block));
            JournalOp::PutBlocks { core, start, blocks: (0..count).map(block).collect::<Result<_, _>>()? }
        }
        PUT_LARGE => JournalOp::PutLarge {
            core: decode_core(reader)?,
            index: reader.u64("journal record: block index")?,
            length: reader.u32("journal record: block length")?,
        },
        PUT_PAGE => JournalOp::PutPage { core: decode_core(reader)?, range: decode_range(reader)? },
        DELETE_BLOCKS => JournalOp::DeleteBlocks { core: decode_core(reader)?, range: decode_range(reader)? },
        _ => return Err(reader.error("journal record: kind")),
    })
}

fn encode_range(writer: &mut Writer, kind: u8, core: CoreSlot, range: &Range<u64>) {
    writer.u8(kind);
    writer.u32(core.0);
    writer.u64(range.start);
    writer.u64(range.end);
}

fn decode_core(reader: &mut Reader<'_>) -> Result<CoreSlot, DecodeError> {
    reader.u32("journal record: core").map(CoreSlot)
}

fn decode_range(reader: &mut Reader<'_>) -> Result<Range<u64>, DecodeError> {
    Ok(reader.u64("journal record: range")?..reader.u64("journal record: range")?)
}

fn encode_node(writer: &mut Writer, node: &Node) {
    writer.u64(node.index.0);
    writer.u64(node.size);
    writer.raw(node.hash.as_ref());
}

fn decode_node(reader: &mut Reader<'_>) -> Result<Node, DecodeError> {
    Ok(Node {
        index: TreeIndex(reader.u64("journal record: node index")?),
        size: reader.u64("journal record: node size")?,
        hash: Hash(reader.array("journal record: node hash")?),
    })
}

/// Bytes an op takes, about.
fn size_of(op: &JournalOp) -> usize {
    match op {
        JournalOp::PutRecord(key, value) => key.0.len().saturating_add(value.len()).saturating_add(16),
        JournalOp::PutNodes { nodes, .. } => nodes.len().saturating_mul(NODE_BYTES).saturating_add(16),
        JournalOp::PutBlocks { blocks, .. } => {
            blocks.iter().map(|block| block.len().saturating_add(3)).sum::<usize>().saturating_add(32)
        }
        _ => 64,
    }
}

fn end_of(start: u64, count: usize) -> u64 {
    start.saturating_add(u64::try_from(count).unwrap_or(u64::MAX))
}

const VERSION: u8 = 1;
const NODE_BYTES: usize = 48;

const PUT_RECORD: u8 = 0;
const DELETE_RECORD: u8 = 1;
const DELETE_RECORDS: u8 = 2;
const PUT_NODES: u8 = 3;
const DELETE_NODES: u8 = 4;
const PUT_BLOCKS: u8 = 5;
const PUT_LARGE: u8 = 6;
const PUT_PAGE: u8 = 7;
const DELETE_BLOCKS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    const CORE: CoreSlot = CoreSlot(5);

    fn small(count: usize) -> Vec<Bytes> {
        vec![Bytes::from_static(b"small"); count]
    }

    fn plan(start: u64, blocks: Vec<Bytes>) -> Plan {
        Plan::new(vec![WriteOp::PutBlocks { core: CORE, start, blocks }], |_, _| true)
    }

    #[wasm_bindgen_test]
    fn whole_pages_and_large_blocks_pass_by_the_journal() {
        let mut blocks = small(100);
        blocks.push(Bytes::from(vec![1; LARGE_BLOCK]));
        let plan = plan(10, blocks);
        let pages: Vec<u64> = plan.pages.iter().map(|(_, page, _)| *page).collect();
        assert_eq!(pages, [1, 2]);
        assert_eq!(plan.large.len(), 1);
        assert_eq!(
            plan.ops,
            [
                JournalOp::PutBlocks { core: CORE, start: 10, blocks: small(22) },
                JournalOp::PutPage { core: CORE, range: 32..64 },
                JournalOp::PutPage { core: CORE, range: 64..96 },
                JournalOp::PutBlocks { core: CORE, start: 96, blocks: small(14) },
                JournalOp::PutLarge { core: CORE, index: 110, length: 16_384 },
            ]
        );
    }

    #[wasm_bindgen_test]
    fn a_page_that_was_touched_before_goes_through_the_journal() {
        let touched = Plan::new(vec![WriteOp::PutBlocks { core: CORE, start: 0, blocks: small(64) }], |_, range| {
            range.start != 32
        });
        assert_eq!(touched.pages.len(), 1);
        let ops = vec![
            WriteOp::DeleteBlocks { core: CORE, range: 3..9 },
            WriteOp::PutBlocks { core: CORE, start: 0, blocks: small(64) },
        ];
        let plan = Plan::new(ops, |_, _| true);
        assert_eq!(plan.pages.iter().map(|(_, page, _)| *page).collect::<Vec<_>>(), [1]);
    }

    #[wasm_bindgen_test]
    fn a_record_comes_back_and_no_cut_of_it_does() {
        let node = Node { index: TreeIndex(4), size: 9, hash: Hash([7; 32]) };
        let key = RecordKey(vec![1, 2]);
        let ops = vec![
            JournalOp::PutRecord(key.clone(), Bytes::from_static(b"value")),
            JournalOp::DeleteRecord(key.clone()),
            JournalOp::DeleteRecords(key.clone()..RecordKey(vec![9])),
            JournalOp::PutNodes { core: CORE, nodes: vec![node, node] },
            JournalOp::DeleteNodes { core: CORE, range: 0..u64::MAX },
            JournalOp::PutBlocks { core: CORE, start: 1 << 60, blocks: small(3) },
            JournalOp::PutLarge { core: CORE, index: 3, length: 70_000 },
            JournalOp::PutPage { core: CORE, range: 16..32 },
            JournalOp::DeleteBlocks { core: CORE, range: 4..u64::MAX },
        ];
        let record = Bytes::from(encode(&ops));
        assert_eq!(decode(&record), Ok(ops.clone()));
        for cut in 0..record.len() {
            assert_ne!(decode(&record.slice(..cut)), Ok(ops.clone()));
        }
        assert!(decode(&Bytes::from_static(&[2])).is_err());
        assert!(decode(&Bytes::from_static(&[1, 99])).is_err());
    }
}
