//! Changes newer than the last checkpoint.

use super::items::{Item, PAGE_ITEMS, PageId, PlacedBlock, encode_page, memory_of, page_key, record_tree_key};
use super::merge::Change;
use super::range_set::RangeSet;
use crate::store::log::LogOp;
use crate::store::units::len64;
use bytes::Bytes;
use corestore_core::merkle::Node;
use corestore_core::storage::{CoreSlot, RecordKey, WriteOp};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Records and pages that changed; everything in a cut range is gone from below.
#[derive(Debug, Default)]
pub(in crate::store) struct Overlay {
    records: BTreeMap<RecordKey, Option<Bytes>>,
    cut_records: RangeSet<RecordKey>,
    nodes: Pages<Node>,
    blocks: Pages<PlacedBlock>,
    bytes: usize,
}

/// What is put or deleted, and the ranges that are cut before that; both in key order.
pub(in crate::store) type TreeChanges = (Vec<(Bytes, Change)>, Vec<(Bytes, Bytes)>);

/// What an overlay knows about a key.
#[derive(Debug)]
pub(in crate::store) enum Known<T> {
    /// This is the newest.
    Value(T),
    /// There is nothing.
    Gone,
    /// Look below.
    Unknown,
}

/// Whole pages, each complete: it holds also what did not change. They are in no order, since most changes of a large core
/// touch pages far apart, and each look into an ordered map would wait for memory several times.
#[derive(Debug)]
pub(in crate::store) struct Pages<T> {
    pages: HashMap<PageId, Vec<T>>,
    cut: RangeSet<PageId>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: HashMap::new(), cut: RangeSet::default() }
    }
}

/// Chooses the nodes' or the blocks' pages of an overlay.
pub(in crate::store) trait Paged: Item {
    fn pages(overlay: &Overlay) -> &Pages<Self>;
    fn pages_mut(overlay: &mut Overlay) -> &mut Pages<Self>;
}

impl Paged for Node {
    fn pages(overlay: &Overlay) -> &Pages<Self> {
        &overlay.nodes
    }
    fn pages_mut(overlay: &mut Overlay) -> &mut Pages<Self> {
        &mut overlay.nodes
    }
}

impl Paged for PlacedBlock {
    fn pages(overlay: &Overlay) -> &Pages<Self> {
        &overlay.blocks
    }
    fn pages_mut(overlay: &mut Overlay) -> &mut Pages<Self> {
        &mut overlay.blocks
    }
}

impl<T: Item> Pages<T> {
    pub(in crate::store) fn page(&self, id: PageId) -> Known<&[T]> {
        match self.pages.get(&id) {
            Some(items) => Known::Value(items),
            None if self.cut.contains(&id) => Known::Gone,
            None => Known::Unknown,
        }
    }

    /// One item; a page without it is an answer.
    pub(in crate::store) fn item(&self, core: CoreSlot, index: u64) -> Known<T> {
        match self.page(PageId::of(core, index)) {
            Known::Value(items) => match items.binary_search_by_key(&index, Item::index) {
                Ok(at) => items.get(at).map_or(Known::Gone, |item| Known::Value(*item)),
                Err(_) => Known::Gone,
            },
            Known::Gone => Known::Gone,
            Known::Unknown => Known::Unknown,
        }
    }

    /// Puts items into their pages; returns how many bytes the pages grew by.
    fn put(&mut self, core: CoreSlot, items: impl Iterator<Item = T>) -> usize {
        let mut items = items.peekable();
        let mut grown = 0_usize;
        while let Some(id) = items.peek().map(|item| PageId::of(core, item.index())) {
            let page = self.pages.entry(id).or_default();
            let before = page.len();
            while let Some(item) = items.next_if(|item| PageId::of(core, item.index()) == id) {
                put_in_page(page, item);
            }
            grown = grown.saturating_add(memory_of::<T>(page.len().saturating_sub(before)));
        }
        grown
    }

    fn delete(&mut self, core: CoreSlot, range: &Range<u64>) {
        let whole = whole_pages(core, range);
        if whole.start < whole.end {
            self.drop_pages(&whole);
            self.cut.insert(whole);
        }
        for id in edge_pages(core, range) {
            if let Some(items) = self.pages.get_mut(&id) {
                items.retain(|item| !range.contains(&item.index()));
            }
        }
    }

    /// Drops the pages of a range of one core; looks at no more of them than there are.
    fn drop_pages(&mut self, whole: &Range<PageId>) {
        let PageId { core, page: start } = whole.start;
        if whole.end.page.saturating_sub(start) <= len64(self.pages.len()) {
            (start..whole.end.page).for_each(|page| drop(self.pages.remove(&PageId { core, page })));
        } else {
            self.pages.retain(|id, _| !whole.contains(id));
        }
    }

    fn changes(&self, changes: &mut Vec<(Bytes, Change)>, cuts: &mut Vec<(Bytes, Bytes)>) {
        let mut pages: Vec<(&PageId, &Vec<T>)> = self.pages.iter().collect();
        pages.sort_unstable_by_key(|(id, _)| **id);
        changes.extend(pages.into_iter().map(|(id, items)| {
            let change = if items.is_empty() { Change::Delete } else { Change::Put(encode_page(items)) };
            (shared_key::<T>(*id), change)
        }));
        cuts.extend(self.cut.iter().map(|(start, end)| (shared_key::<T>(*start), shared_key::<T>(*end))));
    }
}

fn put_in_page<T: Item>(page: &mut Vec<T>, item: T) {
    if page.last().is_none_or(|last| last.index() < item.index()) {
        return page.push(item);
    }
    match page.binary_search_by_key(&item.index(), Item::index) {
        Ok(at) => page.get_mut(at).into_iter().for_each(|old| *old = item),
        Err(at) => page.insert(at, item),
    }
}

impl Overlay {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// About how much memory this takes.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::store) fn record(&self, key: &RecordKey) -> Known<Bytes> {
        match self.records.get(key) {
            Some(Some(value)) => Known::Value(value.clone()),
            Some(None) => Known::Gone,
            None if self.cut_records.contains(key) => Known::Gone,
            None => Known::Unknown,
        }
    }

    /// The first record at or after `key` that is known here, be it a value or gone.
    pub(in crate::store) fn next_record(&self, range: Range<&RecordKey>) -> Option<&RecordKey> {
        self.records.range(range.start..range.end).next().map(|(key, _)| key)
    }

    /// The end of the cut range that `key` lies in.
    pub(in crate::store) fn cut_until(&self, key: &RecordKey) -> Option<&RecordKey> {
        self.cut_records.end_of(key)
    }

    /// Gives a page its contents from below, before an operation changes a part of it.
    pub(in crate::store) fn load<T: Paged>(&mut self, id: PageId, items: Vec<T>) {
        let bytes = PAGE_COST.saturating_add(memory_of::<T>(items.len()));
        self.bytes = self.bytes.saturating_add(bytes);
        T::pages_mut(self).pages.insert(id, items);
    }

    /// Applies a change. The pages that [`Touched`] names must have been loaded.
    pub(in crate::store) fn apply(&mut self, op: LogOp) {
        let bytes = match op {
            LogOp::PutRecord(key, value) => {
                let (key_bytes, new) = (key.0.len(), value.len());
                match self.records.insert(key, Some(value)) {
                    Some(Some(old)) => new.saturating_sub(old.len()),
                    Some(None) => new,
                    None => new.saturating_add(key_bytes).saturating_add(RECORD_COST),
                }
            }
            LogOp::DeleteRecord(key) => {
                let bytes = key.0.len().saturating_add(RECORD_COST);
                self.records.insert(key, None).map_or(bytes, |_| 0)
            }
            LogOp::DeleteRecords(range) => {
                if range.start < range.end {
                    let mut kept = self.records.split_off(&range.start);
                    let mut after = kept.split_off(&range.end);
                    self.records.append(&mut after);
                    self.cut_records.insert(range);
                }
                RECORD_COST
            }
            LogOp::PutBlocks { core, start, places } => {
                self.blocks.put(core, (start..).zip(places).map(|(index, place)| PlacedBlock { index, place }))
            }
            LogOp::PutNodes { core, nodes } => self.nodes.put(core, nodes.into_iter()),
            LogOp::DeleteBlocks { core, range } => {
                self.blocks.delete(core, &range);
                RECORD_COST
            }
            LogOp::DeleteNodes { core, range } => {
                self.nodes.delete(core, &range);
                RECORD_COST
            }
        };
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Everything as changes to the tree, in key order: what is put or deleted, and what is cut before that.
    pub(in crate::store) fn to_changes(&self) -> TreeChanges {
        let records = self.records.iter().map(|(key, value)| {
            let change = value.clone().map_or(Change::Delete, Change::Put);
            (record_tree_key(key), change)
        });
        let mut changes: Vec<(Bytes, Change)> = records.collect();
        let cut = self.cut_records.iter();
        let mut cuts: Vec<(Bytes, Bytes)> =
            cut.map(|(start, end)| (record_tree_key(start), record_tree_key(end))).collect();
        self.nodes.changes(&mut changes, &mut cuts);
        self.blocks.changes(&mut changes, &mut cuts);
        (changes, cuts)
    }
}

/// Pages that a change needs in the overlay before it is applied: those it may leave partly as they were.
#[derive(Debug, Default)]
pub(in crate::store) struct Touched {
    pub(in crate::store) nodes: Vec<PageId>,
    pub(in crate::store) blocks: Vec<PageId>,
}

impl Touched {
    /// By an operation on its way to the log.
    pub(in crate::store) fn by_write(&mut self, op: &WriteOp) {
        match op {
            WriteOp::PutBlocks { core, start, blocks } => self.by_blocks(*core, *start, len64(blocks.len())),
            WriteOp::PutNodes { core, nodes } => self.by_nodes(*core, nodes),
            WriteOp::DeleteBlocks { core, range } => self.blocks.extend(edge_pages(*core, range)),
            WriteOp::DeleteNodes { core, range } => self.nodes.extend(edge_pages(*core, range)),
            WriteOp::PutRecord(..) | WriteOp::DeleteRecord(_) | WriteOp::DeleteRecords(_) => {}
        }
    }

    /// By an operation from the log.
    pub(in crate::store) fn by_log(&mut self, op: &LogOp) {
        match op {
            LogOp::PutBlocks { core, start, places } => self.by_blocks(*core, *start, len64(places.len())),
            LogOp::PutNodes { core, nodes } => self.by_nodes(*core, nodes),
            LogOp::DeleteBlocks { core, range } => self.blocks.extend(edge_pages(*core, range)),
            LogOp::DeleteNodes { core, range } => self.nodes.extend(edge_pages(*core, range)),
            LogOp::PutRecord(..) | LogOp::DeleteRecord(_) | LogOp::DeleteRecords(_) => {}
        }
    }

    fn by_blocks(&mut self, core: CoreSlot, start: u64, count: u64) {
        if let Some(rest) = count.checked_sub(1) {
            let pages = start / PAGE_ITEMS..=start.saturating_add(rest) / PAGE_ITEMS;
            self.blocks.extend(pages.map(|page| PageId { core, page }));
        }
    }

    fn by_nodes(&mut self, core: CoreSlot, nodes: &[Node]) {
        let mut last = None;
        for node in nodes {
            let id = PageId::of(core, node.index.0);
            if last.replace(id) != Some(id) {
                self.nodes.push(id);
            }
        }
    }
}

fn shared_key<T: Item>(id: PageId) -> Bytes {
    Bytes::copy_from_slice(&page_key::<T>(id))
}

/// Pages that lie wholly in a range of indexes.
fn whole_pages(core: CoreSlot, range: &Range<u64>) -> Range<PageId> {
    let (start, end) = (range.start.div_ceil(PAGE_ITEMS), range.end / PAGE_ITEMS);
    PageId { core, page: start }..PageId { core, page: end }
}

/// Pages that lie partly in a range of indexes.
fn edge_pages(core: CoreSlot, range: &Range<u64>) -> impl Iterator<Item = PageId> + use<> {
    let inside = range.start < range.end;
    let start = (inside && !range.start.is_multiple_of(PAGE_ITEMS)).then(|| PageId::of(core, range.start));
    let end = (inside && !range.end.is_multiple_of(PAGE_ITEMS)).then(|| PageId::of(core, range.end));
    start.into_iter().chain(end.filter(move |end| Some(*end) != start))
}

/// Bytes that a page or a record takes beside its contents, roughly.
const PAGE_COST: usize = 96;
const RECORD_COST: usize = 96;
