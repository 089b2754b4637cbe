//! Reading the log after a checkpoint, and finding where it truly ends.

use super::entry::{self, HEADER_BYTES, Header, LogOp};
use super::segment::{self, Kind};
use super::window::Window;
use super::writer::LogPosition;
use crate::store::disk::Disk;
use crate::store::fault::Fault;
use crate::store::units::len64;
use std::collections::BTreeMap;

/// What to replay.
#[derive(Debug)]
pub(in crate::store) struct Replay<'a> {
    /// The store's files.
    pub(in crate::store) disk: &'a dyn Disk,
    /// The log's segments and their sizes.
    pub(in crate::store) segments: &'a BTreeMap<u32, u64>,
    /// From here on.
    pub(in crate::store) from: LogPosition,
    /// Takes damage for the end.
    pub(in crate::store) accept_loss: bool,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Replayed {
    /// Where the next entry goes.
    pub(in crate::store) end: LogPosition,
    /// Bytes past the end that are no whole entry.
    pub(in crate::store) dropped_bytes: u64,
}

/// Hands every whole entry after a position to `apply`, in order.
///
/// A write that a dying process or a power cut left unfinished ends the log: the file ends within the entry, or a
/// piece of it within one disk sector is all zeros. Anything else that fails its checksum was whole once: damage.
pub(in crate::store) fn replay(
    replay: &Replay<'_>,
    apply: &mut dyn FnMut(Vec<LogOp>) -> Result<(), Fault>,
) -> Result<Replayed, Fault> {
    let mut at = replay.from;
    if replay.segments.is_empty() && at == LogPosition::start() {
        return Ok(Replayed { end: at, dropped_bytes: 0 });
    }
    loop {
        let stop = match segment_entries(replay, &mut at, apply) {
            Ok(stop) => stop,
            Err(Fault::Damaged { .. }) if replay.accept_loss => Stop::Torn,
            Err(fault) => return Err(fault),
        };
        let next = at.segment.saturating_add(1);
        let last = !replay.segments.keys().any(|number| *number > at.segment);
        if matches!(stop, Stop::Torn) || last {
            let rest = replay.segments.range(at.segment..).map(|(_, size)| *size).sum::<u64>();
            return Ok(Replayed { end: at, dropped_bytes: rest.saturating_sub(at.offset) });
        }
        at = LogPosition { segment: next, offset: len64(segment::HEADER_BYTES), sequence: at.sequence };
    }
}

enum Stop {
    /// All of the segment was read.
    Whole,
    /// What follows was never written to its end.
    Torn,
}

fn segment_entries(
    replay: &Replay<'_>,
    at: &mut LogPosition,
    apply: &mut dyn FnMut(Vec<LogOp>) -> Result<(), Fault>,
) -> Result<Stop, Fault> {
    let name = Kind::Log.name(at.segment);
    let file = replay.disk.open(&name).map_err(|error| Fault::read(&name, 0, error))?;
    let mut window = Window::new(file).map_err(|error| Fault::io(&name, error))?;
    match check_segment(replay, *at, &mut window)? {
        Stop::Torn => return Ok(Stop::Torn),
        Stop::Whole => {}
    }
    while at.offset < window.size() {
        match next_entry(&mut window, *at)? {
            Next::Torn => return Ok(Stop::Torn),
            Next::Entry(ops, size) => {
                apply(ops)?;
                at.offset = at.offset.saturating_add(size);
                at.sequence = at.sequence.saturating_add(1);
            }
        }
    }
    Ok(Stop::Whole)
}

/// The header of the segment that a checkpoint names must be there; later ones may be cut off as any write.
fn check_segment(replay: &Replay<'_>, at: LogPosition, window: &mut Window) -> Result<Stop, Fault> {
    let name = Kind::Log.name(at.segment);
    let io = |error| Fault::read(&name, 0, error);
    let size = window.size();
    if size < at.offset && at.segment == replay.from.segment && at != LogPosition::start() {
        return Err(Fault::damaged(&name, size, "the file is too short"));
    }
    let Some(bytes) = window.get(0, len64(segment::HEADER_BYTES)).map_err(io)? else { return Ok(Stop::Torn) };
    match segment::check_header(bytes, Kind::Log, at.segment) {
        Ok(first) if at.segment != replay.from.segment && first != at.sequence => {
            Err(Fault::damaged(&name, 0, "entries before this segment are missing"))
        }
        Ok(_) => Ok(Stop::Whole),
        Err(_) if at.segment != replay.from.segment && never_written(bytes, 0) => Ok(Stop::Torn),
        Err(fault) => Err(fault),
    }
}

enum Next {
    Entry(Vec<LogOp>, u64),
    Torn,
}

fn next_entry(window: &mut Window, at: LogPosition) -> Result<Next, Fault> {
    let name = Kind::Log.name(at.segment);
    let io = |error| Fault::read(&name, at.offset, error);
    let bad = |bytes: &[u8], offset: u64, what| {
        if never_written(bytes, offset) { Ok(Next::Torn) } else { Err(Fault::damaged(&name, offset, what)) }
    };
    let Some(bytes) = window.get(at.offset, len64(HEADER_BYTES)).map_err(io)? else { return Ok(Next::Torn) };
    let Some(header) = Header::from_bytes(bytes) else {
        return bad(bytes, at.offset, "an entry's header fails its checksum");
    };
    if header.sequence != at.sequence {
        return Err(Fault::damaged(&name, at.offset, "an entry is out of order"));
    }
    let Some(bytes) = window.get(at.offset, header.size()).map_err(io)? else { return Ok(Next::Torn) };
    let (ops, data) = bytes
        .get(HEADER_BYTES..)
        .and_then(|rest| rest.split_at_checked(crate::store::units::to_usize(header.ops_bytes)))
        .unwrap_or_default();
    let ops_at = at.offset.saturating_add(len64(HEADER_BYTES));
    if crc32c::crc32c(ops) != header.ops_crc {
        return bad(ops, ops_at, "an entry's operations fail their checksum");
    }
    let data_at = ops_at.saturating_add(len64(ops.len()));
    let ops = entry::decode(ops, at.segment, data_at)
        .map_err(|_| Fault::damaged(&name, ops_at, "an entry's operations cannot be read"))?;
    if let Some((offset, block)) = entry::damaged_block(&ops, data_at, data) {
        return bad(block, offset, "a block fails its checksum");
    }
    Ok(Next::Entry(ops, header.size()))
}

/// True when some disk sector's share of the bytes at `offset` is all zeros, as a sector that never reached the disk
/// reads.
fn never_written(bytes: &[u8], offset: u64) -> bool {
    let first = SECTOR_BYTES.saturating_sub(crate::store::units::to_usize(offset) % SECTOR_BYTES).min(bytes.len());
    let (head, tail) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    std::iter::once(head)
        .chain(tail.chunks(SECTOR_BYTES))
        .any(|piece| piece.len() >= LEAST_ZEROS && piece.iter().all(|byte| *byte == 0))
}

const SECTOR_BYTES: usize = 512;
/// Fewer zeros than this occur in whole headers.
const LEAST_ZEROS: usize = 16;
