//! Reading the log after a checkpoint, and finding where it truly ends.

use super::entry::{self, ALIGNMENT, HEADER_BYTES, Header, LogOp};
use super::segment::{self, Kind};
use super::window::Window;
use super::writer::LogPosition;
use crate::store::disk::Disk;
use crate::store::fault::Fault;
use crate::store::units::{len64, to_usize};
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
    if let Stop::Torn = check_segment(replay, *at, &mut window)? {
        return Ok(Stop::Torn);
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
    let begins = at.segment != replay.from.segment || at == LogPosition::start();
    match segment::check_header(bytes, Kind::Log, at.segment) {
        // A power cut took the end of the segment before.
        Ok(first) if begins && first != at.sequence => Ok(Stop::Torn),
        Ok(_) => Ok(Stop::Whole),
        Err(_) if begins && never_written(window, 0, 0, len64(segment::HEADER_BYTES)).map_err(io)? => Ok(Stop::Torn),
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
    let Some(bytes) = window.get(at.offset, len64(HEADER_BYTES)).map_err(io)? else { return Ok(Next::Torn) };
    let Some(header) = Header::from_bytes(bytes) else {
        let doubt =
            Doubt { offset: at.offset, length: len64(HEADER_BYTES), what: "an entry's header fails its checksum" };
        return doubt.settle(window, at.offset, &name);
    };
    if header.sequence != at.sequence {
        return Err(Fault::damaged(&name, at.offset, "an entry is out of order"));
    }
    let Some(bytes) = window.get(at.offset, header.size()).map_err(io)? else { return Ok(Next::Torn) };
    match whole_entry(bytes, &header, at) {
        Ok(ops) => Ok(Next::Entry(ops, header.size())),
        Err(doubt) => doubt.settle(window, at.offset, &name),
    }
}

/// Bytes that are not what was meant to be written.
struct Doubt {
    offset: u64,
    length: u64,
    what: &'static str,
}

impl Doubt {
    /// Never written to the end, or damaged since?
    fn settle(self, window: &mut Window, entry: u64, name: &str) -> Result<Next, Fault> {
        let torn = never_written(window, entry, self.offset, self.length);
        let torn = torn.map_err(|error| Fault::read(name, self.offset, error))?;
        if torn { Ok(Next::Torn) } else { Err(Fault::damaged(name, self.offset, self.what)) }
    }
}

/// Checks an entry's operations and blocks.
fn whole_entry(bytes: &[u8], header: &Header, at: LogPosition) -> Result<Vec<LogOp>, Doubt> {
    let rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let (ops, data) = rest.split_at_checked(to_usize(header.ops_bytes)).unwrap_or_default();
    let offset = at.offset.saturating_add(len64(HEADER_BYTES));
    let length = len64(ops.len());
    if crc32c::crc32c(ops) != header.ops_crc {
        return Err(Doubt { offset, length, what: "an entry's operations fail their checksum" });
    }
    let data_at = offset.saturating_add(length);
    let ops = entry::decode(ops, at.segment, data_at).map_err(|_| Doubt {
        offset,
        length: 0,
        what: "an entry's operations cannot be read",
    })?;
    match entry::damaged_block(&ops, data_at, data) {
        Some((offset, length)) => Err(Doubt { offset, length, what: "a block fails its checksum" }),
        None => Ok(ops),
    }
}

/// True when some disk sector that the `length` bytes at `offset` share is all zeros from the entry's begin on, as a
/// sector that never reached the disk reads. What was written has no [`ALIGNMENT`] zeros in a row.
fn never_written(window: &mut Window, entry: u64, offset: u64, length: u64) -> Result<bool, std::io::Error> {
    let end = offset.saturating_add(length).min(window.size());
    let mut sector = offset / SECTOR_BYTES;
    loop {
        let from = sector.saturating_mul(SECTOR_BYTES).max(entry);
        sector = sector.saturating_add(1);
        let until = sector.saturating_mul(SECTOR_BYTES).min(window.size());
        if from >= end {
            return Ok(false);
        }
        let count = until.saturating_sub(from);
        let zeros = window.get(from, count)?.is_some_and(|piece| piece.iter().all(|byte| *byte == 0));
        if zeros && count >= ALIGNMENT {
            return Ok(true);
        }
    }
}

const SECTOR_BYTES: u64 = 512;
