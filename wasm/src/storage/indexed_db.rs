//! The store in IndexedDB.
//!
//! IndexedDB is paid by the row (about 70 µs), not by the byte, so that rows are packed and written late. The database's
//! version is the layout's ([`super::layout`]):
//!
//! | table | key | value |
//! |---|---|---|
//! | `journal` | sequence number, 8 bytes big endian | one write batch, as [`super::journal`] has it |
//! | `records` | the record's key | the record |
//! | `nodes` | slot (4 bytes) and page number (8 bytes), big endian | a page of 256 tree indexes ([`super::pages`]) |
//! | `blocks` | the same | a page of 32 block indexes; a large block is only named there |
//! | `large` | slot and block index | a block of 16 KiB or more |
//!
//! A write batch is one transaction: a journal record, and past the journal the rows of large blocks and the pages of
//! blocks the batch holds whole, so that bulk bytes are written once. The outcome of the journal is held in memory (an
//! [`Overlay`]), over the pages; a read looks there first. When the journal has grown, its outcome is folded into pages
//! and its records are removed, in one transaction; on opening, what is left of it is read back. A transaction is all
//! or nothing and overlapping transactions run in the order they were made, which gives sentences 2 and 3 of the
//! contract. Batches gather while a transaction is under way. One with a durable batch in it asks for `strict`
//! durability and is started and answered as such; buffered batches are answered at once, up to a bound, since they may
//! be lost as a suffix. Should such a suffix be lost while the store is open, nothing more is written until it is
//! opened again.

use super::cache::PageCache;
use super::database::{Database, Table};
use super::fold::FoldPlan;
use super::journal::{self, JournalOp};
use super::overlay::{Lookup, Overlay, Place};
use super::owner::Ownership;
use super::pages::{BlockPage, NodePage, Page};
use super::read::PendingRead;
use super::store::{Answer, Answers};
use crate::error::OpenError;
use bytes::Bytes;
use core::ops::Range;
use corestore_core::merkle::Node;
use corestore_core::storage::{OpId, RecordKey, StorageError, StorageOp, WriteOp};
use js_sys::{Function, Promise};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// A store in a database of the browser's.
#[derive(Clone)]
pub struct IndexedDb(pub(super) Rc<Shared>);

pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) state: RefCell<State>,
    pub(super) answers: Answers,
    ownership: RefCell<Option<Ownership>>,
    gone: RefCell<Option<Closure<dyn FnMut()>>>,
    /// Who waits until nothing is being written any more.
    closing: RefCell<Vec<Function>>,
}

#[derive(Default)]
pub(super) struct State {
    /// What is to be written next, and its outcome.
    pub(super) gathered: Gathered,
    gathering: Overlay,
    /// The outcome of the journal that is not being folded.
    newer: Overlay,
    /// The outcome that is being folded.
    folding: Option<Overlay>,
    /// The journal, oldest first; those up to `folding_through` are being folded.
    log: VecDeque<Logged>,
    folding_through: Option<u64>,
    pub(super) next: u64,
    journal_bytes: usize,
    /// Fold when the journal has more bytes than this; after a failure it grows for a while.
    fold_at: usize,
    journal_limit: usize,
    pub(super) writes_in_flight: usize,
    pub(super) bytes_in_flight: usize,
    pub(super) cache: PageCache,
    /// Counts what makes a page that is being read stale.
    pub(super) epoch: u64,
    pub(super) reads: Vec<PendingRead>,
    /// Why nothing more is written.
    pub(super) broken: Option<StorageError>,
}

/// Batches that go into one transaction.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) ops: Vec<WriteOp>,
    /// Operations to answer when the transaction is done.
    pub(super) due: Vec<OpId>,
    pub(super) durable: bool,
    /// Some of it was answered already.
    pub(super) promised: bool,
    pub(super) bytes: usize,
}

struct Logged {
    number: u64,
    ops: Vec<JournalOp>,
    bytes: usize,
}

impl IndexedDb {
    /// Opens or creates the store `name`; its journal is folded when it has more than `journal_limit` bytes.
    pub(super) async fn open(name: &str, journal_limit: usize, answers: Answers) -> Result<Self, OpenError> {
        let ownership = Ownership::of(name).await?;
        let database = Database::open(name).await?;
        let state = State { fold_at: journal_limit, journal_limit, ..State::default() };
        let store = Self(Rc::new(Shared {
            database,
            state: RefCell::new(state),
            answers,
            ownership: RefCell::new(Some(ownership)),
            gone: RefCell::new(None),
            closing: RefCell::default(),
        }));
        store.read_journal().await.map_err(|error| match error {
            StorageError::Broken(why) => OpenError::Broken(why),
            _ => OpenError::Full,
        })?;
        store.watch();
        Ok(store)
    }

    /// As [`super::Store::execute`].
    pub(super) fn execute(&self, op: OpId, request: StorageOp) -> Option<Answer> {
        match request {
            StorageOp::Read(batch) => self.read(op, batch),
            StorageOp::Scan(scan) => self.scan(op, scan),
            StorageOp::Write(batch) => {
                // What was asked before must not see this.
                self.start_reads();
                self.write(op, batch)
            }
        }
    }

    /// Starts what was gathered in this turn.
    pub(super) fn flush(&self) {
        self.start_reads();
        let state = self.0.state.borrow();
        // While a transaction is under way the next one gathers, unless it has to be on the disk: IndexedDB takes few
        // large transactions faster than many small ones.
        let wanted = state.gathered.durable || state.writes_in_flight == 0;
        drop(state);
        if wanted {
            self.issue();
        }
    }

    /// Starts everything that was given so far, at once: the page may be gone soon.
    pub(super) fn write_out(&self) {
        self.start_reads();
        self.issue();
    }

    /// Closes the database after what was given and lets the next owner in; a promise of that being written.
    pub(super) fn close(&self) -> Promise {
        self.write_out();
        self.0.state.borrow_mut().broken = Some(StorageError::Broken("it is closed".into()));
        self.0.database.close();
        self.0.ownership.borrow_mut().take();
        let written = Promise::new(&mut |resolve, _| self.0.closing.borrow_mut().push(resolve));
        self.tell_closed();
        written
    }

    /// Tells who closed the store when nothing is being written any more.
    pub(super) fn tell_closed(&self) {
        if self.0.state.borrow().is_idle() {
            let closing = core::mem::take(&mut *self.0.closing.borrow_mut());
            // A promise's own function does not throw.
            closing.iter().for_each(|resolve| drop(resolve.call0(&JsValue::UNDEFINED)));
        }
    }

    /// Answers an operation later.
    pub(super) fn answer(&self, answers: Vec<(OpId, Answer)>) {
        (self.0.answers)(answers);
    }

    /// Notices when the database is taken away.
    fn watch(&self) {
        let shared = Rc::downgrade(&self.0);
        let gone = Closure::new(move || {
            if let Some(shared) = shared.upgrade() {
                let why = "the browser closed or deleted the database";
                shared.state.borrow_mut().broken = Some(StorageError::Broken(why.into()));
                shared.database.close();
            }
        });
        self.0.database.on_gone(gone.as_ref().unchecked_ref());
        *self.0.gone.borrow_mut() = Some(gone);
    }

    /// Reads back what was not folded when the store was last closed.
    async fn read_journal(&self) -> Result<(), StorageError> {
        let transaction = self.0.database.read(&[Table::Journal])?;
        let everything = Vec::new()..Vec::from([u8::MAX; 9]);
        let keys = transaction.keys(Table::Journal, &everything, u32::MAX)?;
        let records = transaction.values(Table::Journal, &everything, u32::MAX)?;
        transaction.done().await?;
        let mut state = self.0.state.borrow_mut();
        for (key, record) in keys.all().iter().zip(records.all()) {
            let number = key.as_ref().try_into().map(u64::from_be_bytes);
            let number = number.map_err(|_| StorageError::Broken("a journal record has a strange key".into()))?;
            let ops = journal::decode(&record).map_err(|error| StorageError::Broken(error.to_string()))?;
            state.log(number, ops, record.len());
        }
        Ok(())
    }
}

impl State {
    /// Takes a batch that is to be written.
    pub(super) fn gather(&mut self, ops: Vec<WriteOp>) {
        for op in &ops {
            self.gathering.apply(&JournalOp::from(op.clone()));
        }
        self.gathered.bytes = self.gathered.bytes.saturating_add(size_of(&ops));
        self.gathered.ops.extend(ops);
    }

    /// Hands out what was gathered; the caller logs it.
    pub(super) fn take_gathered(&mut self) -> Gathered {
        let outcome = core::mem::take(&mut self.gathering);
        let mut gathered = core::mem::take(&mut self.gathered);
        if let Some(fewer) = outcome.to_writes() {
            gathered.ops = fewer;
        }
        gathered
    }

    /// Takes a batch into the journal and its outcome.
    pub(super) fn log(&mut self, number: u64, ops: Vec<JournalOp>, bytes: usize) {
        ops.iter().for_each(|op| self.newer.apply(op));
        self.journal_bytes = self.journal_bytes.saturating_add(bytes);
        self.log.push_back(Logged { number, ops, bytes });
        self.next = number.saturating_add(1);
    }

    /// The newest journal record.
    pub(super) fn last_logged(&self) -> Option<u64> {
        self.log.back().map(|logged| logged.number)
    }

    /// The outcome that is not being folded.
    pub(super) const fn newer(&self) -> &Overlay {
        &self.newer
    }

    /// What the layers say of a record.
    pub(super) fn record(&self, key: &RecordKey) -> Lookup<Bytes> {
        self.layered(|layer| layer.records.get(key))
    }

    /// What the layers say of a node.
    pub(super) fn node(&self, place: Place) -> Lookup<Node> {
        self.layered(|layer| layer.nodes.get(&place))
    }

    /// What the layers say of a block.
    pub(super) fn block(&self, place: Place) -> Lookup<journal::Block> {
        self.layered(|layer| layer.blocks.get(&place))
    }

    /// The layers, newest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Overlay> {
        [&self.gathering, &self.newer].into_iter().chain(&self.folding)
    }

    fn layered<V: PartialEq>(&self, get: impl Fn(&Overlay) -> Lookup<V>) -> Lookup<V> {
        self.layers().map(get).find(|found| *found != Lookup::Unknown).unwrap_or(Lookup::Unknown)
    }

    /// True when no written layer says anything of these blocks.
    pub(super) fn is_untouched(&self, range: &Range<Place>) -> bool {
        self.layers().skip(1).all(|layer| !layer.blocks.touches(range))
    }

    /// A batch did not come to be: what came after it stays.
    pub(super) fn take_back(&mut self, number: u64) {
        let Some(at) = self.log.iter().position(|logged| logged.number == number) else { return };
        let Some(logged) = self.log.remove(at) else { return };
        self.journal_bytes = self.journal_bytes.saturating_sub(logged.bytes);
        for op in &logged.ops {
            if let JournalOp::PutPage { core, range } = op {
                self.cache.blocks.remove((core.0, range.start / BlockPage::SPAN));
            }
        }
        self.epoch = self.epoch.saturating_add(1);
        self.replay();
    }

    /// Makes the outcome anew from the journal.
    fn replay(&mut self) {
        let mut newer = Overlay::default();
        let logged = self.log.iter().filter(|logged| self.folding_through.is_none_or(|last| logged.number > last));
        logged.flat_map(|logged| &logged.ops).for_each(|op| newer.apply(op));
        self.newer = newer;
    }

    pub(super) fn note_broken(&mut self, error: &StorageError) {
        if *error != StorageError::Full && self.broken.is_none() {
            self.broken = Some(error.clone());
        }
    }

    /// True when nothing is being written.
    fn is_idle(&self) -> bool {
        self.writes_in_flight == 0 && self.folding.is_none()
    }

    pub(super) fn is_fold_due(&self) -> bool {
        let grown = self.journal_bytes > self.fold_at || self.log.len() > JOURNAL_RECORDS;
        grown && self.folding.is_none() && self.writes_in_flight == 0 && self.broken.is_none()
    }

    /// The journal up to `last` is being folded; what comes now goes on top.
    pub(super) fn fold_begun(&mut self, last: u64) {
        self.folding = Some(core::mem::take(&mut self.newer));
        self.folding_through = Some(last);
    }

    /// The journal's outcome is in the pages.
    pub(super) fn folded(
        &mut self,
        plan: &FoldPlan,
        blocks: BTreeMap<Place, BlockPage>,
        nodes: BTreeMap<Place, NodePage>,
    ) {
        plan.blocks.gone.iter().for_each(|range| self.cache.blocks.remove_range(range));
        plan.nodes.gone.iter().for_each(|range| self.cache.nodes.remove_range(range));
        for (place, blocks) in blocks {
            // It was not written whole meanwhile: the layer that was being folded touches it.
            let size = blocks.size();
            self.cache.blocks.insert(place, stored(blocks), size);
        }
        for (place, nodes) in nodes {
            let size = nodes.items().len().saturating_mul(64);
            self.cache.nodes.insert(place, stored(nodes), size);
        }
        self.folding = None;
        let through = self.folding_through.take();
        while let Some(logged) = self.log.front().filter(|logged| through.is_some_and(|last| logged.number <= last)) {
            self.journal_bytes = self.journal_bytes.saturating_sub(logged.bytes);
            self.log.pop_front();
        }
        self.fold_at = self.journal_limit;
    }

    /// Nothing was folded: the journal still holds everything.
    pub(super) fn fold_failed(&mut self) {
        self.folding = None;
        self.folding_through = None;
        self.replay();
        self.fold_later();
    }

    pub(super) fn fold_later(&mut self) {
        self.fold_at = self.journal_bytes.saturating_add(self.journal_limit.max(1));
    }
}

/// A page as the cache has it: an empty one has no row.
fn stored<P: Page>(page: P) -> Option<P> {
    (!page.items().is_empty()).then_some(page)
}

/// Bytes of the values of some changes, about.
fn size_of(ops: &[WriteOp]) -> usize {
    let size = |op: &WriteOp| match op {
        WriteOp::PutBlocks { blocks, .. } => blocks.iter().map(Bytes::len).sum(),
        WriteOp::PutNodes { nodes, .. } => nodes.len().saturating_mul(48),
        WriteOp::PutRecord(_, value) => value.len(),
        _ => 64,
    };
    ops.iter().map(size).sum()
}

/// Reads a page.
pub(super) fn page<P: Page>((slot, number): Place, bytes: &Bytes) -> Result<P, StorageError> {
    P::decode(number, bytes).map_err(|error| StorageError::Broken(format!("page {number} of core {slot}: {error}")))
}

/// The key of a page or a large block.
pub(super) fn key_of((slot, number): Place) -> [u8; 12] {
    let mut key = [0; 12];
    let (head, tail) = key.split_at_mut(4);
    head.copy_from_slice(&slot.to_be_bytes());
    tail.copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn keys_of(range: &Range<Place>) -> Range<Vec<u8>> {
    key_of(range.start).to_vec()..key_of(range.end).to_vec()
}

/// The journal is folded when it has more records than this, too.
const JOURNAL_RECORDS: usize = 1024;
