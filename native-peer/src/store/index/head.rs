//! The file that says which checkpoint is the newest. It is a hint: without it the checkpoint is searched for.

use super::page::PagePlace;
use crate::store::disk::Disk;
use crate::store::fault::Fault;
use crate::store::log::segment::VERSION;
use crate::store::units::len64;
use corestore_core::encoding::{Reader, Writer};
use std::io::{self, IoSlice};

/// What the head file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Head {
    /// There is no such file, or no checkpoint was made yet.
    Empty,
    /// The newest checkpoint is there.
    Newest(PagePlace),
    /// Its bytes are damaged.
    Doubtful,
}

/// Reads the head file.
pub(in crate::store) fn read(disk: &dyn Disk) -> Result<Head, Fault> {
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Head::Empty),
        Err(error) => return Err(Fault::io(NAME, error)),
    };
    let mut bytes = [0; FILE_BYTES];
    match file.read_at(0, &mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Head::Doubtful),
        Err(error) => return Err(Fault::io(NAME, error)),
    }
    let (front, slots) = bytes.split_at_checked(SLOT_BYTES).unwrap_or_default();
    let Some(version) = parse_front(front) else { return Ok(Head::Doubtful) };
    if version > VERSION {
        return Err(Fault::Newer { found: version, known: VERSION });
    }
    let mut newest: Option<(u64, PagePlace)> = None;
    for slot in slots.chunks(SLOT_BYTES) {
        match parse_slot(slot) {
            Slot::Checkpoint(number, place) if newest.is_none_or(|(other, _)| other < number) => {
                newest = Some((number, place));
            }
            Slot::Empty | Slot::Checkpoint(..) => {}
            Slot::Damaged => return Ok(Head::Doubtful),
        }
    }
    Ok(newest.map_or(Head::Empty, |(_, place)| Head::Newest(place)))
}

/// Writes checkpoint `number` into the slot that does not hold the one before it, and syncs.
pub(in crate::store) fn write(disk: &dyn Disk, number: u64, place: PagePlace) -> Result<(), Fault> {
    let io = |error| Fault::io(NAME, error);
    let (file, new) = match disk.open(NAME) {
        Ok(file) => (file, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (disk.create(NAME).map_err(io)?, true),
        Err(error) => return Err(io(error)),
    };
    let slot = if number.is_multiple_of(2) { 1 } else { 2 };
    let whole = file.size().map_err(io)? == len64(FILE_BYTES);
    if whole && read(disk)? != Head::Doubtful {
        let offset = len64(SLOT_BYTES.saturating_mul(slot));
        file.write_at(offset, &mut [IoSlice::new(&slot_bytes(number, place))]).map_err(io)?;
    } else {
        let mut bytes = [0; FILE_BYTES];
        let parts = [(0, front_bytes()), (slot, slot_bytes(number, place))];
        for (at, part) in parts {
            let room = bytes.chunks_mut(SLOT_BYTES).nth(at).unwrap_or_default();
            room.iter_mut().zip(part).for_each(|(to, from)| *to = from);
        }
        file.write_at(0, &mut [IoSlice::new(&bytes)]).map_err(io)?;
    }
    file.sync().map_err(io)?;
    if new { disk.sync_folder("").map_err(io) } else { Ok(()) }
}

fn front_bytes() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(MAGIC);
    writer.u32(VERSION);
    sealed(writer)
}

fn parse_front(bytes: &[u8]) -> Option<u32> {
    let mut reader = unsealed(bytes, 12)?;
    (reader.array::<8>("magic").ok()? == *MAGIC).then_some(())?;
    reader.u32("version").ok()
}

enum Slot {
    Empty,
    Checkpoint(u64, PagePlace),
    Damaged,
}

fn slot_bytes(number: u64, place: PagePlace) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u64(number);
    place.encode(&mut writer);
    sealed(writer)
}

fn parse_slot(bytes: &[u8]) -> Slot {
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let parsed = unsealed(bytes, 28).and_then(|mut reader| {
        let number = reader.u64("number").ok()?;
        Some(Slot::Checkpoint(number, PagePlace::decode(&mut reader)?))
    });
    parsed.unwrap_or(Slot::Damaged)
}

fn sealed(mut writer: Writer) -> Vec<u8> {
    writer.u32(crc32c::crc32c(writer.as_slice()));
    writer.into_vec()
}

fn unsealed(bytes: &[u8], length: usize) -> Option<Reader<'_>> {
    let (covered, crc) = bytes.split_at_checked(length)?;
    (crc32c::crc32c(covered) == u32::from_le_bytes(*crc.first_chunk()?)).then(|| Reader::new(covered))
}

const NAME: &str = "head";
const MAGIC: &[u8; 8] = b"corestor";
/// The front and each slot have a disk sector of their own, so that one torn write spoils one of them.
const SLOT_BYTES: usize = 512;
const FILE_BYTES: usize = 3 * SLOT_BYTES;
