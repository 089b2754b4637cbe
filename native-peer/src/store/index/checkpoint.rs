//! Checkpoints: the tree brought up to a position of the log.

use super::head::{self, Head};
use super::merge::{Change, Merge};
use super::overlay::Overlay;
use super::page::{CHECKPOINT_LEVEL, FRAME_BYTES, Page, PagePlace};
use super::pager::{Pager, place_of};
use super::tree::{self, Root};
use super::usage::Usage;
use super::writer::{TreeEnd, TreeWriter};
use crate::store::disk::Disk;
use crate::store::fault::Fault;
use crate::store::log::segment::{self, HEADER_BYTES, Kind};
use crate::store::log::window::Window;
use crate::store::log::{LogPosition, Unsynced};
use crate::store::units::len64;
use bytes::Bytes;
use corestore_core::encoding::{DecodeError, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the newest checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Checkpoint {
    /// Counts up.
    pub(in crate::store) number: u64,
    /// Everything before this is in the tree.
    pub(in crate::store) log: LogPosition,
    /// The tree.
    pub(in crate::store) root: Root,
    /// What is live where.
    pub(in crate::store) usage: Usage,
    /// Where the next page of the tree goes.
    pub(in crate::store) tree_end: TreeEnd,
    /// Where it lies itself; `None` before the first.
    pub(in crate::store) place: Option<PagePlace>,
}

impl Checkpoint {
    /// Of a store without any.
    pub(in crate::store) fn none() -> Self {
        let (usage, tree_end) = (Usage::default(), TreeEnd::default());
        Self { number: 0, log: LogPosition::start(), root: None, usage, tree_end, place: None }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(CHECKPOINT_LEVEL);
        writer.u64(self.number);
        writer.u32(self.log.segment);
        writer.u64(self.log.offset);
        writer.u64(self.log.sequence);
        writer.u8(u8::from(self.root.is_some()));
        self.root.into_iter().for_each(|root| root.encode(&mut writer));
        for live in [&self.usage.log, &self.usage.tree] {
            writer.count(live.len());
            for (segment, bytes) in live {
                writer.u32(*segment);
                writer.u64(*bytes);
            }
        }
        writer.into_vec()
    }

    fn from_bytes(bytes: &[u8], place: PagePlace) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.u8("kind").ok()? == CHECKPOINT_LEVEL).then_some(())?;
        let number = reader.u64("number").ok()?;
        let log = LogPosition {
            segment: reader.u32("segment").ok()?,
            offset: reader.u64("offset").ok()?,
            sequence: reader.u64("sequence").ok()?,
        };
        let root = match reader.u8("root").ok()? {
            0 => None,
            _ => Some(PagePlace::decode(&mut reader)?),
        };
        let usage = Usage { log: live(&mut reader).ok()?, tree: live(&mut reader).ok()? };
        let end = place.offset.saturating_add(place.frame_bytes());
        let tree_end = TreeEnd { segment: place.segment, offset: end };
        Some(Self { number, log, root, usage, tree_end, place: Some(place) })
    }
}

fn live(reader: &mut Reader<'_>) -> Result<BTreeMap<u32, u64>, DecodeError> {
    let count = reader.count(12, "live bytes")?;
    (0..count).map(|_| Ok((reader.u32("segment")?, reader.u64("bytes")?))).collect()
}

/// The newest checkpoint on disk. A damaged head, or a damaged checkpoint, makes for a search through the tree's
/// segments; an older one is as good, as long as the log after it is there.
pub(in crate::store) fn find(disk: &Arc<dyn Disk>) -> Result<Checkpoint, Fault> {
    if let Head::Newest(place) = head::read(disk.as_ref())? {
        let payload = Pager::new(Arc::clone(disk), 0).payload(place);
        match payload.map(|bytes| Checkpoint::from_bytes(&bytes, place)) {
            Ok(Some(checkpoint)) => return Ok(checkpoint),
            Ok(None) | Err(Fault::Damaged { .. }) => {}
            Err(fault) => return Err(fault),
        }
    }
    for number in segment::list(disk.as_ref(), Kind::Tree)?.into_keys().rev() {
        let mut newest = None;
        walk(disk.as_ref(), number, &mut |place, payload| {
            if let Some(checkpoint) = Checkpoint::from_bytes(payload, place) {
                newest = Some(checkpoint);
            }
        })?;
        if let Some(checkpoint) = newest {
            return Ok(checkpoint);
        }
    }
    Ok(Checkpoint::none())
}

/// Hands every page and checkpoint of a segment of the tree to `visit`, up to the first damaged one; returns where
/// that is, or the segment's end.
pub(in crate::store) fn walk(
    disk: &dyn Disk,
    number: u32,
    visit: &mut dyn FnMut(PagePlace, &[u8]),
) -> Result<u64, Fault> {
    let name = Kind::Tree.name(number);
    let io = |error| Fault::read(&name, 0, error);
    let mut window = Window::new(disk.open(&name).map_err(io)?).map_err(io)?;
    let mut offset = len64(HEADER_BYTES);
    while let Some(frame) = window.get(offset, len64(FRAME_BYTES)).map_err(io)?.and_then(|bytes| bytes.first_chunk()) {
        let place = place_of(number, offset, *frame);
        let start = offset.saturating_add(len64(FRAME_BYTES));
        match window.get(start, u64::from(place.length)).map_err(io)? {
            Some(payload) if crc32c::crc32c(payload) == place.crc => visit(place, payload),
            _ => break,
        }
        offset = offset.saturating_add(place.frame_bytes());
    }
    Ok(offset)
}

/// Sizes of segments, by their numbers.
pub(in crate::store) type Sizes = BTreeMap<u32, u64>;

/// Everything a checkpoint needs; can run on any thread, and again after it failed.
#[derive(Clone, Debug)]
pub(in crate::store) struct Job {
    /// The store's files.
    pub(in crate::store) disk: Arc<dyn Disk>,
    /// The checkpoint before.
    pub(in crate::store) base: Arc<Checkpoint>,
    /// What changed since.
    pub(in crate::store) changes: Arc<Overlay>,
    /// The position after those changes.
    pub(in crate::store) log: LogPosition,
    /// What the log wrote before that position.
    pub(in crate::store) unsynced: Arc<Unsynced>,
    /// A segment of the tree ends when it has this many bytes.
    pub(in crate::store) segment_bytes: u64,
}

impl Job {
    /// Writes the checkpoint. Segments that nothing refers to since the one before go first; what this one makes
    /// useless stays for the next, since readers still use the tree before it. Gives the log's sizes, too: to list
    /// thousands of segments takes longer than a write may.
    pub(in crate::store) fn run(&self) -> Result<(Checkpoint, Sizes), Fault> {
        remove_dead(self.disk.as_ref(), &self.base)?;
        self.unsynced.sync()?;
        let mut pager = Pager::new(Arc::clone(&self.disk), PAGER_BYTES);
        let mut writer = TreeWriter::open(Arc::clone(&self.disk), self.base.tree_end, self.segment_bytes)?;
        let mut usage = self.base.usage.clone();
        let (mut changes, cuts) = self.changes.to_changes();
        self.move_pages(&mut pager, &mut changes)?;
        let merge = Merge { pager: &mut pager, writer: &mut writer, usage: &mut usage, cuts: &cuts };
        let root = merge.run(self.base.root, &changes)?;
        let number = self.base.number.saturating_add(1);
        let checkpoint = Draft { number, log: self.log, root, usage }.publish(self.disk.as_ref(), writer)?;
        Ok((checkpoint, segment::list(self.disk.as_ref(), Kind::Log)?))
    }

    /// Adds the live pages of mostly dead segments to what is written anew.
    fn move_pages(&self, pager: &mut Pager, changes: &mut Vec<(Bytes, Change)>) -> Result<(), Fault> {
        let sizes = segment::list(self.disk.as_ref(), Kind::Tree)?;
        let live = |number: &u32| self.base.usage.tree.get(number).copied().unwrap_or_default();
        let sealed = sizes.iter().filter(|(number, _)| **number < self.base.tree_end.segment);
        let mut wasteful: Vec<(u64, u32)> = sealed
            .filter(|(number, size)| live(number) > 0 && live(number).saturating_mul(2) < **size)
            .map(|(number, _)| (live(number), *number))
            .collect();
        wasteful.sort_unstable();
        let known: BTreeSet<Bytes> = changes.iter().map(|(key, _)| key.clone()).collect();
        let mut touches = BTreeSet::new();
        for (_, number) in wasteful.into_iter().take(MOST_MOVED_SEGMENTS) {
            let mut pages = Vec::new();
            walk(self.disk.as_ref(), number, &mut |place, payload| {
                let page = Page::parse(Bytes::copy_from_slice(payload));
                let first = page.as_ref().and_then(|page| page.entry(0)).map(|(key, _)| Bytes::copy_from_slice(key));
                pages.extend(page.zip(first).map(|(page, first)| (place, page.level(), first)));
            })?;
            for (place, level, key) in pages {
                if !known.contains(&key) && tree::is_live(pager, self.base.root, &key, level, place)? {
                    touches.insert(key);
                }
            }
        }
        if !touches.is_empty() {
            changes.extend(touches.into_iter().map(|key| (key, Change::Touch)));
            changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        Ok(())
    }
}

/// A checkpoint whose pages are written.
#[derive(Debug)]
pub(in crate::store) struct Draft {
    pub(in crate::store) number: u64,
    pub(in crate::store) log: LogPosition,
    pub(in crate::store) root: Root,
    pub(in crate::store) usage: Usage,
}

impl Draft {
    /// Makes it the newest: once its pages survive a power cut it is written itself, then the head.
    pub(in crate::store) fn publish(self, disk: &dyn Disk, mut writer: TreeWriter) -> Result<Checkpoint, Fault> {
        writer.sync()?;
        let Self { number, log, root, usage } = self;
        let mut checkpoint = Checkpoint { number, log, root, usage, tree_end: TreeEnd::default(), place: None };
        let place = writer.put(&checkpoint.to_bytes())?;
        writer.sync()?;
        checkpoint.tree_end = writer.end();
        checkpoint.place = Some(place);
        head::write(disk, number, place)?;
        Ok(checkpoint)
    }
}

/// Removes every segment that takes no more writes and holds nothing live.
pub(in crate::store) fn remove_dead(disk: &dyn Disk, checkpoint: &Checkpoint) -> Result<(), Fault> {
    let ends = [(Kind::Log, checkpoint.log.segment), (Kind::Tree, checkpoint.tree_end.segment)];
    for (kind, end) in ends {
        let live = match kind {
            Kind::Log => &checkpoint.usage.log,
            Kind::Tree => &checkpoint.usage.tree,
        };
        for number in segment::list(disk, kind)?.into_keys() {
            if number < end && !live.contains_key(&number) {
                let name = kind.name(number);
                disk.remove(&name).map_err(|error| Fault::io(&name, error))?;
            }
        }
    }
    Ok(())
}

/// Old pages that a checkpoint keeps in memory while it runs, in bytes.
const PAGER_BYTES: usize = 2 << 20;
/// Mostly dead segments of the tree that one checkpoint empties.
const MOST_MOVED_SEGMENTS: usize = 4;
