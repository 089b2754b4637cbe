//! Folding changes into the tree: every page that changes is written anew, and so is its way up to the root.

use super::items::{Item, PlacedBlock};
use super::page::{Page, PagePlace, encode_page, entry_bytes};
use super::pager::Pager;
use super::tree::{Root, child, unreadable};
use super::usage::Usage;
use super::writer::TreeWriter;
use crate::store::fault::Fault;
use bytes::Bytes;
use std::cmp::Ordering;

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Change {
    /// It gets this value.
    Put(Bytes),
    /// It goes.
    Delete,
    /// It stays as it is, but moves to a new page.
    Touch,
}

/// One run over the tree.
#[derive(Debug)]
pub(in crate::store) struct Merge<'a> {
    /// Reads the old pages.
    pub(in crate::store) pager: &'a mut Pager,
    /// Takes the new ones.
    pub(in crate::store) writer: &'a mut TreeWriter,
    /// Kept up to date.
    pub(in crate::store) usage: &'a mut Usage,
    /// Ranges of keys that go, before the changes.
    pub(in crate::store) cuts: &'a [(Bytes, Bytes)],
}

type Entries = Vec<(Bytes, Bytes)>;

/// The keys that may lie below a page: from `lower` on, and before `upper` if there is one.
#[derive(Clone, Copy)]
struct Bounds<'k> {
    lower: &'k [u8],
    upper: Option<&'k [u8]>,
}

impl Merge<'_> {
    /// The root of the tree with `changes`, which ascend.
    pub(in crate::store) fn run(mut self, root: Root, changes: &[(Bytes, Change)]) -> Result<Root, Fault> {
        let bounds = Bounds { lower: &[], upper: None };
        let (mut level, mut entries, at_end) = match root {
            None => (0, self.merge_leaf(None, changes)?, true),
            Some(place) => {
                let page = self.pager.page(place)?;
                if !self.is_changed(bounds, changes) {
                    return Ok(root);
                }
                self.usage.remove_page(place);
                (page.level(), self.entries(place, &page, bounds, changes)?, is_append(&page, changes))
            }
        };
        loop {
            if let ([(_, below)], true) = (entries.as_slice(), level > 0) {
                return PagePlace::from_bytes(below).map(Some).ok_or(Fault::Full);
            }
            if entries.is_empty() {
                return Ok(None);
            }
            entries = self.pack(level, entries, at_end)?;
            level = level.saturating_add(1);
        }
    }

    fn is_changed(&self, bounds: Bounds<'_>, changes: &[(Bytes, Change)]) -> bool {
        let cut = |(start, end): &(Bytes, Bytes)| {
            bounds.upper.is_none_or(|upper| start.as_ref() < upper) && end.as_ref() > bounds.lower
        };
        !changes.is_empty() || self.cuts.iter().any(cut)
    }

    /// What a page holds after the changes.
    fn entries(
        &mut self,
        place: PagePlace,
        page: &Page,
        bounds: Bounds<'_>,
        changes: &[(Bytes, Change)],
    ) -> Result<Entries, Fault> {
        if page.level() == 0 {
            return self.merge_leaf(Some((place, page)), changes);
        }
        let mut entries = Entries::with_capacity(page.len().saturating_add(4));
        let mut rest = changes;
        for at in 0..page.len() {
            let (key, value) = page.shared_entry(at).ok_or_else(|| unreadable(place))?;
            let next = page.entry(at.saturating_add(1)).map(|(next, _)| next);
            let lower = if at == 0 { bounds.lower } else { &key };
            let below = Bounds { lower, upper: next.or(bounds.upper) };
            let count = next.map_or(rest.len(), |next| rest.partition_point(|(key, _)| key.as_ref() < next));
            let (own, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = others;
            if self.is_changed(below, own) {
                let (place, page) = child(self.pager, place, page, at)?;
                self.usage.remove_page(place);
                let changed = self.entries(place, &page, below, own)?;
                entries.extend(self.pack(page.level(), changed, is_append(&page, own))?);
            } else {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }

    fn merge_leaf(&mut self, old: Option<(PagePlace, &Page)>, changes: &[(Bytes, Change)]) -> Result<Entries, Fault> {
        let count = old.map_or(0, |(_, page)| page.len());
        let mut entries = Entries::with_capacity(count.saturating_add(changes.len()));
        let mut rest = changes.iter().peekable();
        for at in 0..count {
            let Some((place, page)) = old else { break };
            let (key, value) = page.shared_entry(at).ok_or_else(|| unreadable(place))?;
            while let Some((new, change)) = rest.next_if(|(new, _)| *new < key) {
                self.put(&mut entries, new, change);
            }
            match rest.next_if(|(new, _)| *new == key).map(|(_, change)| change) {
                Some(change @ (Change::Put(_) | Change::Delete)) => {
                    self.gone(&key, &value);
                    self.put(&mut entries, &key, change);
                }
                Some(Change::Touch) | None if self.is_cut(&key) => self.gone(&key, &value),
                Some(Change::Touch) | None => entries.push((key, value)),
            }
        }
        rest.for_each(|(key, change)| self.put(&mut entries, key, change));
        Ok(entries)
    }

    fn put(&mut self, entries: &mut Entries, key: &Bytes, change: &Change) {
        if let Change::Put(value) = change {
            if key.first() == Some(&PlacedBlock::KIND) {
                self.usage.add_blocks(value);
            }
            entries.push((key.clone(), value.clone()));
        }
    }

    fn gone(&mut self, key: &Bytes, value: &Bytes) {
        if key.first() == Some(&PlacedBlock::KIND) {
            self.usage.remove_blocks(value);
        }
    }

    fn is_cut(&self, key: &Bytes) -> bool {
        let after = self.cuts.partition_point(|(start, _)| start <= key);
        after.checked_sub(1).and_then(|at| self.cuts.get(at)).is_some_and(|(_, end)| key < end)
    }

    /// Writes entries into pages: full ones when keys come at the end, even ones otherwise.
    fn pack(&mut self, level: u8, entries: Entries, at_end: bool) -> Result<Entries, Fault> {
        let total: usize = entries.iter().map(|(key, value)| entry_bytes(key, value)).sum();
        let pages = total.div_ceil(PAGE_BYTES).max(1);
        let target = if at_end { PAGE_BYTES } else { total.div_ceil(pages) };
        let mut packed = Entries::new();
        let (mut from, mut size) = (0, 0_usize);
        for (at, (key, value)) in entries.iter().enumerate() {
            let bytes = entry_bytes(key, value);
            if at > from && size.saturating_add(bytes) > target {
                packed.push(self.write(level, entries.get(from..at).unwrap_or_default())?);
                (from, size) = (at, 0);
            }
            size = size.saturating_add(bytes);
        }
        if from < entries.len() {
            packed.push(self.write(level, entries.get(from..).unwrap_or_default())?);
        }
        Ok(packed)
    }

    fn write(&mut self, level: u8, entries: &[(Bytes, Bytes)]) -> Result<(Bytes, Bytes), Fault> {
        let place = self.writer.put(&encode_page(level, entries))?;
        self.usage.add_page(place);
        let first = entries.first().map(|(key, _)| Bytes::copy_from_slice(key)).unwrap_or_default();
        Ok((first, place.to_bytes()))
    }
}

fn is_append(page: &Page, changes: &[(Bytes, Change)]) -> bool {
    let last = page.len().checked_sub(1).and_then(|at| page.entry(at));
    match (changes.first(), last) {
        (Some((first, _)), Some((last, _))) => last.cmp(first) != Ordering::Greater,
        _ => true,
    }
}

/// Pages are at most this large, unless one entry alone is larger.
const PAGE_BYTES: usize = 8 << 10;
