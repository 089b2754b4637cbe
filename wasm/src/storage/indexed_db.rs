//! The store in IndexedDB.
//!
//! IndexedDB is paid by the row (about 70 µs), not by the byte, so that rows are packed and written late:
//!
//! | table | key | value |
//! |---|---|---|
//! | `journal` | sequence number, 8 bytes big endian | one write batch, as [`super::journal`] has it |
//! | `records` | the record's key | the record |
//! | `nodes` | slot (4 bytes) and page number (8 bytes), big endian | a page of 256 tree indexes ([`super::pages`]) |
//! | `blocks` | the same | a page of 16 block indexes; a large block is only named there |
//! | `large` | slot and block index | a block of 16 KiB or more |
//!
//! A write batch is one transaction: a journal record, and past the journal the rows of large blocks and the pages of
//! blocks the batch holds whole, so that bulk bytes are written once. The outcome of the journal is held in memory (an
//! [`Overlay`]), over the pages; a read looks there first. When the journal has grown, its outcome is folded into pages
//! and its records are removed, in one transaction; on opening, what is left of it is read back. A transaction is all
//! or nothing and overlapping transactions run in the order they were made, which gives sentences 2 and 3 of the
//! contract. Durable batches ask for `strict` durability, buffered ones and folding for `relaxed`.

use super::cache::PageCache;
use super::database::{Database, Row, Sureness, Table, Transaction};
use super::fold::{FoldPlan, PagePlan};
use super::journal::{self, JournalOp, Plan};
use super::overlay::{Below, Lookup, Overlay, Place, places};
use super::owner::Ownership;
use super::pages::{BlockPage, NodePage, Page};
use super::read::PendingRead;
use super::store::{Answer, Answers};
use crate::error::OpenError;
use bytes::Bytes;
use core::ops::Range;
use corestore_core::merkle::Node;
use corestore_core::storage::{Durability, OpId, RecordKey, StorageError, StorageOp, StorageReply, WriteBatch};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// A store in a database of the browser's.
#[derive(Clone)]
pub struct IndexedDb(pub(super) Rc<Shared>);

pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) state: RefCell<State>,
    pub(super) answers: Answers,
    ownership: RefCell<Option<Ownership>>,
    gone: RefCell<Option<Closure<dyn FnMut()>>>,
}

#[derive(Default)]
pub(super) struct State {
    /// The outcome of the journal that is not being folded.
    newer: Overlay,
    /// The outcome that is being folded.
    folding: Option<Overlay>,
    /// The journal, oldest first; those up to `folding_through` are being folded.
    log: VecDeque<Logged>,
    folding_through: Option<u64>,
    next: u64,
    journal_bytes: usize,
    /// Fold when the journal has more bytes than this; after a failure it grows for a while.
    fold_at: usize,
    journal_limit: usize,
    writes_in_flight: usize,
    pub(super) cache: PageCache,
    /// Counts what makes a page that is being read stale.
    pub(super) epoch: u64,
    pub(super) reads: Vec<PendingRead>,
    broken: Option<StorageError>,
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
                self.flush();
                self.write(op, batch).err().map(Err)
            }
        }
    }

    /// Closes the database after what was given and lets the next owner in.
    pub(super) fn close(&self) {
        self.flush();
        self.0.state.borrow_mut().broken = Some(StorageError::Broken("it is closed".into()));
        self.0.database.close();
        self.0.ownership.borrow_mut().take();
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

    /// Puts a batch; its answer comes when the transaction is done.
    fn write(&self, op: OpId, batch: WriteBatch) -> Result<(), StorageError> {
        let mut state = self.0.state.borrow_mut();
        if let Some(broken) = &state.broken {
            return Err(broken.clone());
        }
        let plan = Plan::new(batch.ops, |core, range| state.is_untouched(&places(core, range)));
        let record = journal::encode(&plan.ops);
        let number = state.next;
        let transaction = self.put(&plan, &record, number, batch.durability)?;
        for (core, page, blocks) in plan.pages {
            state.epoch = state.epoch.saturating_add(1);
            let size = blocks.size();
            state.cache.blocks.insert((core.0, page), Some(blocks), size);
        }
        state.log(number, plan.ops, record.len());
        state.writes_in_flight = state.writes_in_flight.saturating_add(1);
        drop(state);
        let store = self.clone();
        spawn_local(async move {
            let result = transaction.done().await;
            store.written(op, number, result);
        });
        Ok(())
    }

    /// Makes the transaction of a batch; after an error nothing of it takes effect.
    fn put(
        &self,
        plan: &Plan,
        record: &[u8],
        number: u64,
        durability: Durability,
    ) -> Result<Transaction, StorageError> {
        let mut tables = vec![Table::Journal];
        if !plan.pages.is_empty() {
            tables.push(Table::Blocks);
        }
        if !plan.large.is_empty() {
            tables.push(Table::Large);
        }
        let sureness = match durability {
            Durability::Durable => Sureness::Strict,
            Durability::Buffered => Sureness::Relaxed,
        };
        let transaction = self.0.database.write(&tables, sureness)?;
        let put = || {
            for (core, index, block) in &plan.large {
                transaction.put(Table::Large, &key_of((core.0, *index)), block)?;
            }
            for (core, page, blocks) in &plan.pages {
                transaction.put(Table::Blocks, &key_of((core.0, *page)), &blocks.encode())?;
            }
            transaction.put(Table::Journal, &number.to_be_bytes(), record)
        };
        put().inspect_err(|_| transaction.abort())?;
        transaction.commit();
        Ok(transaction)
    }

    /// The transaction of a batch is over.
    fn written(&self, op: OpId, number: u64, result: Result<(), StorageError>) {
        let mut state = self.0.state.borrow_mut();
        state.writes_in_flight = state.writes_in_flight.saturating_sub(1);
        if let Err(error) = &result {
            state.take_back(number);
            state.note_broken(error);
        }
        let due = state.is_fold_due();
        drop(state);
        if due {
            self.fold();
        }
        self.answer(vec![(op, result.map(|()| StorageReply::Written))]);
    }

    /// Folds the journal's outcome into pages. Batches given meanwhile go on top.
    fn fold(&self) {
        let mut state = self.0.state.borrow_mut();
        let Some(last) = state.log.back().map(|logged| logged.number) else { return };
        let plan = FoldPlan::new(&state.newer);
        match self.begin_fold(&plan, &mut state, last) {
            Err(error) => {
                state.fold_later();
                state.note_broken(&error);
            }
            Ok(fold) => {
                state.folding = Some(core::mem::take(&mut state.newer));
                state.folding_through = Some(last);
                drop(state);
                let store = self.clone();
                spawn_local(async move { store.finish_fold(fold, &plan).await });
            }
        }
    }

    /// Removes what is gone and asks for the pages that change.
    fn begin_fold(&self, plan: &FoldPlan, state: &mut State, last: u64) -> Result<Fold, StorageError> {
        let tables = [Table::Journal, Table::Records, Table::Nodes, Table::Blocks, Table::Large];
        let transaction = self.0.database.write(&tables, Sureness::Relaxed)?;
        let mut begin = || {
            let folded = Vec::new()..last.saturating_add(1).to_be_bytes().to_vec();
            transaction.delete_range(Table::Journal, &folded)?;
            for range in state.newer.records.gone() {
                transaction.delete_range(Table::Records, &(range.start.0..range.end.0))?;
            }
            for (key, value) in &state.newer.records.puts {
                transaction.put(Table::Records, &key.0, value)?;
            }
            for (table, ranges) in
                [(Table::Large, &plan.large_gone), (Table::Blocks, &plan.blocks.gone), (Table::Nodes, &plan.nodes.gone)]
            {
                for range in ranges {
                    transaction.delete_range(table, &keys_of(range))?;
                }
            }
            let blocks = Sources::ask(&transaction, Table::Blocks, &plan.blocks, |place| {
                state.cache.blocks.get(place).cloned()
            })?;
            let nodes = Sources::ask(&transaction, Table::Nodes, &plan.nodes, |place| {
                state.cache.nodes.get(place).cloned()
            })?;
            Ok((blocks, nodes))
        };
        let sources: Result<(Sources<BlockPage>, Sources<NodePage>), StorageError> = begin();
        let (blocks, nodes) = sources.inspect_err(|_| transaction.abort())?;
        Ok(Fold { transaction, blocks, nodes })
    }

    /// Changes the pages once they are read.
    async fn finish_fold(&self, fold: Fold, plan: &FoldPlan) {
        let result = fold.run(plan).await;
        let mut state = self.0.state.borrow_mut();
        state.epoch = state.epoch.saturating_add(1);
        match result {
            Ok((blocks, nodes)) => state.folded(plan, blocks, nodes),
            Err(error) => {
                state.fold_failed();
                state.note_broken(&error);
            }
        }
    }
}

impl State {
    /// Takes a batch into the journal and its outcome.
    fn log(&mut self, number: u64, ops: Vec<JournalOp>, bytes: usize) {
        ops.iter().for_each(|op| self.newer.apply(op));
        self.journal_bytes = self.journal_bytes.saturating_add(bytes);
        self.log.push_back(Logged { number, ops, bytes });
        self.next = number.saturating_add(1);
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
        core::iter::once(&self.newer).chain(&self.folding)
    }

    fn layered<V>(&self, get: impl Fn(&Overlay) -> Lookup<V>) -> Lookup<V> {
        match (get(&self.newer), &self.folding) {
            (Lookup::Unknown, Some(folding)) => get(folding),
            (found, _) => found,
        }
    }

    /// True when no layer says anything of these blocks.
    fn is_untouched(&self, range: &Range<Place>) -> bool {
        self.layers().all(|layer| !layer.blocks.touches(range))
    }

    /// A batch did not come to be: what came after it stays.
    fn take_back(&mut self, number: u64) {
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

    fn note_broken(&mut self, error: &StorageError) {
        if *error != StorageError::Full && self.broken.is_none() {
            self.broken = Some(error.clone());
        }
    }

    fn is_fold_due(&self) -> bool {
        let grown = self.journal_bytes > self.fold_at || self.log.len() > JOURNAL_RECORDS;
        grown && self.folding.is_none() && self.writes_in_flight == 0 && self.broken.is_none()
    }

    /// The journal's outcome is in the pages.
    fn folded(&mut self, plan: &FoldPlan, blocks: BTreeMap<Place, BlockPage>, nodes: BTreeMap<Place, NodePage>) {
        plan.blocks.gone.iter().for_each(|range| self.cache.blocks.remove_range(range));
        plan.nodes.gone.iter().for_each(|range| self.cache.nodes.remove_range(range));
        for ((slot, page), blocks) in blocks {
            let first = BlockPage::range(page).start;
            // A page that was written whole since is newer than the one just folded.
            if self.newer.blocks.below.get(&(slot, first)) != Some(Below::Stored) {
                let size = blocks.size();
                self.cache.blocks.insert((slot, page), stored(blocks), size);
            }
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
    fn fold_failed(&mut self) {
        self.folding = None;
        self.folding_through = None;
        self.replay();
        self.fold_later();
    }

    fn fold_later(&mut self) {
        self.fold_at = self.journal_bytes.saturating_add(self.journal_limit.max(1));
    }
}

/// A fold under way.
struct Fold {
    transaction: Transaction,
    blocks: Sources<BlockPage>,
    nodes: Sources<NodePage>,
}

/// The pages a fold starts from: known ones, and rows that are being read.
struct Sources<P> {
    known: BTreeMap<Place, Option<P>>,
    rows: Vec<(Place, Row)>,
}

impl Fold {
    /// Puts the changed pages; gives them back once they are stored.
    async fn run(
        self,
        plan: &FoldPlan,
    ) -> Result<(BTreeMap<Place, BlockPage>, BTreeMap<Place, NodePage>), StorageError> {
        let last = self.nodes.rows.last().or(self.blocks.rows.last());
        if let Some((_, row)) = last {
            row.answered().await?;
        }
        let pages = || {
            let blocks = self.blocks.patch(&self.transaction, Table::Blocks, &plan.blocks)?;
            let nodes = self.nodes.patch(&self.transaction, Table::Nodes, &plan.nodes)?;
            Ok((blocks, nodes))
        };
        let pages: Result<_, StorageError> = pages();
        let pages = pages.inspect_err(|_| self.transaction.abort())?;
        self.transaction.commit();
        self.transaction.done().await?;
        Ok(pages)
    }
}

impl<P: Page> Sources<P> {
    fn ask(
        transaction: &Transaction,
        table: Table,
        plan: &PagePlan<P::Item>,
        mut cached: impl FnMut(Place) -> Option<Option<P>>,
    ) -> Result<Self, StorageError> {
        let mut sources = Self { known: BTreeMap::new(), rows: Vec::new() };
        for (place, patch) in &plan.patches {
            let known = if patch.fresh { Some(None) } else { cached(*place) };
            match known {
                Some(page) => {
                    sources.known.insert(*place, page);
                }
                None => sources.rows.push((*place, transaction.get(table, &key_of(*place))?)),
            }
        }
        Ok(sources)
    }

    fn patch(
        &self,
        transaction: &Transaction,
        table: Table,
        plan: &PagePlan<P::Item>,
    ) -> Result<BTreeMap<Place, P>, StorageError> {
        let mut sources = self.known.clone();
        for (place, row) in &self.rows {
            sources.insert(*place, row.bytes().map(|bytes| page(*place, &bytes)).transpose()?);
        }
        let mut changed = BTreeMap::new();
        for (place, patch) in &plan.patches {
            let page: P = patch.apply(sources.remove(place).flatten());
            if page.items().is_empty() {
                transaction.delete(table, &key_of(*place))?;
            } else {
                transaction.put(table, &key_of(*place), &page.encode())?;
            }
            changed.insert(*place, page);
        }
        Ok(changed)
    }
}

/// A page as the cache has it: an empty one has no row.
fn stored<P: Page>(page: P) -> Option<P> {
    (!page.items().is_empty()).then_some(page)
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

fn keys_of(range: &Range<Place>) -> Range<Vec<u8>> {
    key_of(range.start).to_vec()..key_of(range.end).to_vec()
}

/// The journal is folded when it has more records than this, too.
const JOURNAL_RECORDS: usize = 1024;
