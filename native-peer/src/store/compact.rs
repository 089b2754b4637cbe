//! Giving room back: blocks that still live in a mostly dead segment of the log are written again at its end, and the
//! next checkpoints find the segment dead.

use super::fault::Fault;
use super::file_store::FileStore;
use super::index::checkpoint::Sizes;
use super::log::segment::{self, Kind};
use super::log::{Entries, LogOp, Place};
use super::units::len64;
use corestore_core::storage::{CoreSlot, StorageError, WriteOp};
use std::collections::BTreeSet;

/// Which segment is being emptied, and how far.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    current: Option<Entries>,
    /// Segments that were emptied, or cannot be.
    done: BTreeSet<u32>,
}

impl FileStore {
    /// Picks the segment with the least live bytes, when it is mostly dead.
    pub(super) fn choose_compaction(&mut self, sizes: &Sizes) {
        if self.compaction.current.is_some() {
            return;
        }
        let base = &self.reading.base;
        self.compaction.done.retain(|number| sizes.contains_key(number));
        let live = |number: &u32| base.usage.log.get(number).copied().unwrap_or_default();
        let wasteful = sizes.iter().filter(|(number, size)| {
            **number < base.log.segment
                && live(number) > 0
                && live(number).saturating_mul(2) < **size
                && !self.compaction.done.contains(number)
        });
        let Some((number, _)) = wasteful.min_by_key(|(number, _)| live(number)) else { return };
        match Entries::open(self.disk.as_ref(), *number) {
            Ok(entries) => self.compaction.current = Some(entries),
            Err(_) => drop(self.compaction.done.insert(*number)),
        }
    }

    /// Moves some blocks; true while there is more to do.
    pub(super) fn compact_step(&mut self) -> Result<bool, Fault> {
        let Some(mut emptying) = self.compaction.current.take() else { return Ok(false) };
        let (mut moves, mut bytes, mut entries) = (Vec::new(), 0_u64, 0_u32);
        let mut more = true;
        let from = emptying.offset();
        while more && bytes < STEP_BYTES && entries < STEP_ENTRIES {
            let Some(ops) = next_ops(&mut emptying)? else {
                more = false;
                break;
            };
            entries = entries.saturating_add(1);
            for (core, index, place) in blocks_of(&ops) {
                if self.reading.place(core, index)? == Some(place) {
                    let block = match self.reading.block_at(place) {
                        Ok(block) => block,
                        // It stays where it is, and so does its segment.
                        Err(Fault::Damaged { .. }) => continue,
                        Err(fault) => return Err(fault),
                    };
                    bytes = bytes.saturating_add(len64(block.len()));
                    moves.push(WriteOp::PutBlocks { core, start: index, blocks: vec![block] });
                }
            }
        }
        let moved = if moves.is_empty() { Ok(()) } else { self.append(join_runs(moves)) };
        match moved {
            Ok(()) => {}
            Err(StorageError::Full) => emptying.go_to(from),
            // `append` has noted why nothing can be written any more.
            Err(_) => return Ok(false),
        }
        if more || moved.is_err() {
            self.compaction.current = Some(emptying);
        } else {
            self.compaction.done.insert(emptying.segment());
        }
        moved.map(|()| more).map_err(|_| Fault::Full)
    }

    /// Empties every mostly dead segment; true when there was any.
    pub(super) fn compact_all(&mut self) -> Result<bool, Fault> {
        self.choose_compaction(&segment::list(self.disk.as_ref(), Kind::Log)?);
        let mut any = false;
        while self.compaction.current.is_some() {
            any = true;
            while self.compact_step()? {}
            self.choose_compaction(&segment::list(self.disk.as_ref(), Kind::Log)?);
        }
        Ok(any)
    }
}

/// The operations of the next entry; `None` at the end, and where an entry is damaged: what follows stays.
fn next_ops(entries: &mut Entries) -> Result<Option<Vec<LogOp>>, Fault> {
    match entries.next_entry() {
        Ok(entry) => Ok(entry.map(|entry| entry.ops)),
        Err(Fault::Damaged { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

pub(super) fn blocks_of(ops: &[LogOp]) -> impl Iterator<Item = (CoreSlot, u64, Place)> + '_ {
    let runs = ops.iter().filter_map(|op| match op {
        LogOp::PutBlocks { core, start, places } => Some((*core, *start, places)),
        _ => None,
    });
    runs.flat_map(|(core, start, places)| (start..).zip(places).map(move |(index, place)| (core, index, *place)))
}

/// Neighbouring blocks become one operation.
fn join_runs(moves: Vec<WriteOp>) -> Vec<WriteOp> {
    let mut joined: Vec<WriteOp> = Vec::new();
    for op in moves {
        if let (
            Some(WriteOp::PutBlocks { core: last_core, start: first, blocks: run }),
            WriteOp::PutBlocks { core, start, blocks },
        ) = (joined.last_mut(), &op)
            && last_core == core
            && first.checked_add(len64(run.len())) == Some(*start)
        {
            run.extend_from_slice(blocks);
            continue;
        }
        joined.push(op);
    }
    joined
}

/// Blocks that one step moves, in bytes, and entries it looks at: a write is held up by no more.
const STEP_BYTES: u64 = 256 << 10;
const STEP_ENTRIES: u32 = 256;
