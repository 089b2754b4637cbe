//! Checking a store: every page, every entry, every block.

use super::fault::Fault;
use super::file_store::FileStore;
use super::index::items::{Item, PlacedBlock, RECORD_KIND, decode_page, page_of_key};
use super::index::merge::Change;
use super::index::page::PagePlace;
use super::index::pager::Pager;
use super::log::Entries;
use super::log::segment::{self, Kind};
use super::units::len64;
use bytes::Bytes;
use corestore_core::merkle::Node;
use corestore_core::storage::StorageError;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Entries of the log.
    pub entries: u64,
    /// Pages of the index.
    pub pages: u64,
    /// Records.
    pub records: u64,
    /// Tree nodes.
    pub nodes: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of all blocks.
    pub block_bytes: u64,
    /// Everything that is not as it was written.
    pub damaged: Vec<DamagedPlace>,
}

/// A place in a store's files that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPlace {
    /// The file, within the store.
    pub file: String,
    /// The first byte in doubt.
    pub offset: u64,
    /// What is wrong, for people.
    pub what: String,
}

impl FileStore {
    /// Reads the whole store and checks every checksum. Damage is reported, not repaired.
    ///
    /// # Errors
    /// [`StorageError`] when the disk refuses to be read.
    pub fn check(&mut self) -> Result<CheckReport, StorageError> {
        self.settle()?;
        let mut report = CheckReport::default();
        let checked = self.check_log(&mut report).and_then(|()| self.check_index(&mut report));
        checked.map_err(|fault| fault.to_storage_error())?;
        Ok(report)
    }

    /// Past the log's end may lie what a killed owner left there, while the store is open for reading only: no damage.
    fn check_log(&self, report: &mut CheckReport) -> Result<(), Fault> {
        let end = self.log_end();
        let nothing = end.offset <= len64(segment::HEADER_BYTES) && self.log.is_none();
        let last = if nothing { end.segment.saturating_sub(1) } else { end.segment };
        let numbers = segment::list(self.disk.as_ref(), Kind::Log)?.into_keys();
        for number in numbers.take_while(|number| *number <= last) {
            let end = if number == end.segment { end.offset } else { u64::MAX };
            match Entries::open(self.disk.as_ref(), number) {
                Ok(entries) => check_entries(entries.up_to(end), report)?,
                Err(fault) => report.note(fault)?,
            }
        }
        Ok(())
    }

    fn check_index(&mut self, report: &mut CheckReport) -> Result<(), Fault> {
        let overlays = [Some(&self.reading.dirty), self.reading.frozen.as_deref()];
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        let mut cuts: Vec<(Bytes, Bytes)> = Vec::new();
        for overlay in overlays.into_iter().flatten() {
            let (changes, cut) = overlay.to_changes();
            for (key, change) in changes {
                let hidden = is_cut(&cuts, &key);
                if seen.insert(key.clone())
                    && !hidden
                    && let Change::Put(value) = change
                {
                    entries.push((key, value));
                }
            }
            cuts.extend(cut);
        }
        entries.iter().try_for_each(|(key, value)| self.check_entry(key, value, report))?;
        let mut pager = Pager::new(Arc::clone(&self.disk), 0);
        let mut waiting: Vec<PagePlace> = self.reading.base.root.into_iter().collect();
        while let Some(place) = waiting.pop() {
            let page = match pager.page(place) {
                Ok(page) => page,
                Err(fault) => {
                    report.note(fault)?;
                    continue;
                }
            };
            report.pages = report.pages.saturating_add(1);
            for at in 0..page.len() {
                let Some((key, value)) = page.shared_entry(at) else { continue };
                if page.level() > 0 {
                    waiting.extend(PagePlace::from_bytes(&value));
                } else if !seen.contains(&key) && !is_cut(&cuts, &key) {
                    self.check_entry(&key, &value, report)?;
                }
            }
        }
        Ok(())
    }

    fn check_entry(&mut self, key: &Bytes, value: &Bytes, report: &mut CheckReport) -> Result<(), Fault> {
        if key.first() == Some(&RECORD_KIND) {
            report.records = report.records.saturating_add(1);
        } else if key.first() == Some(&Node::KIND) {
            let count = value.len().checked_div(Node::BYTES).unwrap_or_default();
            report.nodes = report.nodes.saturating_add(len64(count));
        } else if let Some(id) = page_of_key::<PlacedBlock>(key) {
            for block in decode_page::<PlacedBlock>(value, id.page) {
                report.blocks = report.blocks.saturating_add(1);
                report.block_bytes = report.block_bytes.saturating_add(u64::from(block.place.length));
                if let Err(fault) = self.reading.block_at(block.place) {
                    report.note_block(fault, id.core.0, block.index)?;
                }
            }
        }
        Ok(())
    }
}

impl DamagedPlace {
    /// The place that a fault names, if it is damage.
    pub(super) fn of(fault: &Fault) -> Option<Self> {
        let Fault::Damaged { file, offset, what } = fault else { return None };
        Some(Self { file: file.clone(), offset: *offset, what: (*what).to_owned() })
    }
}

impl CheckReport {
    /// True when nothing is damaged.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty()
    }

    fn note(&mut self, fault: Fault) -> Result<(), Fault> {
        self.damaged.push(DamagedPlace::of(&fault).ok_or(fault)?);
        Ok(())
    }

    fn note_block(&mut self, fault: Fault, core: u32, index: u64) -> Result<(), Fault> {
        self.note(fault)?;
        if let Some(place) = self.damaged.last_mut() {
            place.what = format!("{}: block {index} of the core in slot {core}", place.what);
        }
        Ok(())
    }
}

fn check_entries(mut entries: Entries, report: &mut CheckReport) -> Result<(), Fault> {
    loop {
        match entries.next_entry() {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            Err(fault) => report.note(fault)?,
        }
        report.entries = report.entries.saturating_add(1);
    }
}

fn is_cut(cuts: &[(Bytes, Bytes)], key: &Bytes) -> bool {
    cuts.iter().any(|(start, end)| start <= key && key < end)
}
