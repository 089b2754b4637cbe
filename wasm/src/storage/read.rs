//! Reads: from memory at once where possible, else all that were asked for in one turn in one transaction, each page
//! once.

use super::database::{Row, Table, Transaction};
use super::indexed_db::{IndexedDb, key_of, page};
use super::journal::Block;
use super::overlay::{Lookup, Place};
use super::pages::{BlockPage, NodePage, Page};
use super::store::Answer;
use bytes::Bytes;
use corestore_core::merkle::Node;
use corestore_core::storage::{OpId, ReadBatch, ReadReply, RecordKey, StorageError, StorageReply};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use wasm_bindgen_futures::spawn_local;

/// A read that needs rows.
pub(super) struct PendingRead {
    op: OpId,
    records: Vec<(RecordKey, Found<Bytes>)>,
    nodes: Vec<(Place, Found<Node>)>,
    blocks: Vec<(Place, Found<Block>)>,
}

/// What memory knows of a value.
enum Found<V> {
    Known(Option<V>),
    /// Its row or page has to be read.
    Below,
}

/// Rows that are being read.
#[derive(Default)]
struct Rows {
    records: BTreeMap<RecordKey, Row>,
    nodes: BTreeMap<Place, Row>,
    blocks: BTreeMap<Place, Row>,
    large: BTreeMap<Place, Row>,
}

/// Pages that were read; a damaged one is an error for who needs it.
#[derive(Default)]
struct Pages {
    nodes: BTreeMap<Place, Result<Option<NodePage>, StorageError>>,
    blocks: BTreeMap<Place, Result<Option<BlockPage>, StorageError>>,
}

impl IndexedDb {
    /// Answers from memory, or gathers the read for [`Self::start_reads`].
    pub(super) fn read(&self, op: OpId, batch: ReadBatch) -> Option<Answer> {
        let mut state = self.0.state.borrow_mut();
        let mut read = PendingRead { op, records: Vec::new(), nodes: Vec::new(), blocks: Vec::new() };
        for key in batch.records {
            let found = found(state.record(&key), None);
            read.records.push((key, found));
        }
        for (core, index) in batch.nodes {
            let place = (core.0, index.0);
            let lookup = state.node(place);
            read.nodes.push((place, found(lookup, state.cache.nodes.item(place))));
        }
        for (core, index) in batch.blocks {
            let place = (core.0, index);
            let lookup = state.block(place);
            read.blocks.push((place, found(lookup, state.cache.blocks.item(place))));
        }
        if read.is_known() {
            return Some(read.reply(&Pages::default(), &Rows::default()));
        }
        state.reads.push(read);
        None
    }

    /// Starts the reads gathered so far.
    pub(super) fn start_reads(&self) {
        let mut state = self.0.state.borrow_mut();
        let reads = core::mem::take(&mut state.reads);
        let epoch = state.epoch;
        drop(state);
        if reads.is_empty() {
            return;
        }
        let asked = self.ask(&reads);
        let store = self.clone();
        spawn_local(async move {
            let answers = match asked {
                Ok((transaction, rows)) => store.collect(&transaction, rows, &reads, epoch).await,
                Err(error) => Err(error),
            };
            let answers =
                answers.unwrap_or_else(|error| reads.iter().map(|read| (read.op, Err(error.clone()))).collect());
            store.answer(answers);
        });
    }

    fn ask(&self, reads: &[PendingRead]) -> Result<(Transaction, Rows), StorageError> {
        let used = [
            (Table::Records, reads.iter().any(|read| !read.records.is_empty())),
            (Table::Nodes, reads.iter().any(|read| !read.nodes.is_empty())),
            (Table::Blocks, reads.iter().any(|read| !read.blocks.is_empty())),
            (Table::Large, reads.iter().any(|read| !read.blocks.is_empty())),
        ];
        let tables: Vec<Table> = used.into_iter().filter_map(|(table, used)| used.then_some(table)).collect();
        let transaction = self.0.database.read(&tables)?;
        let mut rows = Rows::default();
        for read in reads {
            for key in below(&read.records) {
                if !rows.records.contains_key(key) {
                    rows.records.insert(key.clone(), transaction.get(Table::Records, &key.0)?);
                }
            }
            for place in below(&read.nodes) {
                ask_once(&transaction, Table::Nodes, &mut rows.nodes, NodePage::place_of(*place))?;
            }
            for place in read.large() {
                ask_once(&transaction, Table::Large, &mut rows.large, place)?;
            }
        }
        // Pages of blocks last: when they are here, so is everything else.
        for place in reads.iter().flat_map(|read| below(&read.blocks)) {
            ask_once(&transaction, Table::Blocks, &mut rows.blocks, BlockPage::place_of(*place))?;
        }
        Ok((transaction, rows))
    }

    /// Waits for the rows, asks for the large blocks that the pages name, and makes the answers.
    async fn collect(
        &self,
        transaction: &Transaction,
        mut rows: Rows,
        reads: &[PendingRead],
        epoch: u64,
    ) -> Result<Vec<(OpId, Answer)>, StorageError> {
        for row in rows.blocks.values() {
            row.answered().await?;
        }
        if !rows.blocks.is_empty() {
            let pages = Pages::of(&rows);
            for place in reads.iter().flat_map(|read| below(&read.blocks)) {
                if let Ok(Some(Block::Large(_))) = pages.block(*place) {
                    ask_once(transaction, Table::Large, &mut rows.large, *place)?;
                }
            }
        }
        transaction.done().await?;
        let pages = Pages::of(&rows);
        let answers = reads.iter().map(|read| (read.op, read.reply(&pages, &rows))).collect();
        self.keep(pages, epoch);
        Ok(answers)
    }

    /// Keeps pages for the next reads, unless they may be stale by now.
    fn keep(&self, pages: Pages, epoch: u64) {
        let mut state = self.0.state.borrow_mut();
        if state.epoch != epoch {
            return;
        }
        for (place, page) in pages.nodes {
            if let Ok(page) = page {
                let size = page.as_ref().map_or(0, |page| page.items().len().saturating_mul(64));
                state.cache.nodes.insert(place, page, size);
            }
        }
        for (place, page) in pages.blocks {
            if let Ok(page) = page {
                let size = page.as_ref().map_or(0, BlockPage::size);
                state.cache.blocks.insert(place, page, size);
            }
        }
    }
}

impl PendingRead {
    fn is_known(&self) -> bool {
        below(&self.records).next().is_none()
            && below(&self.nodes).next().is_none()
            && below(&self.blocks).next().is_none()
            && self.large().next().is_none()
    }

    /// Blocks known to be in a row of their own.
    fn large(&self) -> impl Iterator<Item = Place> + '_ {
        let large = |found: &Found<Block>| matches!(found, Found::Known(Some(Block::Large(_))));
        self.blocks.iter().filter_map(move |(place, found)| large(found).then_some(*place))
    }

    fn reply(&self, pages: &Pages, rows: &Rows) -> Answer {
        let record = |(key, found): &(RecordKey, Found<Bytes>)| match found {
            Found::Known(value) => value.clone(),
            Found::Below => rows.records.get(key).and_then(Row::bytes),
        };
        let node = |(place, found): &(Place, Found<Node>)| match found {
            Found::Known(node) => Ok(*node),
            Found::Below => pages.node(*place),
        };
        let block = |(place, found): &(Place, Found<Block>)| {
            let block = match found {
                Found::Known(block) => block.clone(),
                Found::Below => pages.block(*place)?,
            };
            Ok(match block {
                Some(Block::Large(_)) => rows.large.get(place).and_then(Row::bytes),
                Some(Block::Inline(bytes)) => Some(bytes),
                None => None,
            })
        };
        Ok(StorageReply::Read(ReadReply {
            records: self.records.iter().map(record).collect(),
            nodes: self.nodes.iter().map(node).collect::<Result<_, StorageError>>()?,
            blocks: self.blocks.iter().map(block).collect::<Result<_, StorageError>>()?,
        }))
    }
}

impl Pages {
    fn of(rows: &Rows) -> Self {
        Self { nodes: decode_all(&rows.nodes), blocks: decode_all(&rows.blocks) }
    }

    fn node(&self, place: Place) -> Result<Option<Node>, StorageError> {
        item(&self.nodes, place)
    }

    fn block(&self, place: Place) -> Result<Option<Block>, StorageError> {
        item(&self.blocks, place)
    }
}

fn found<V>(lookup: Lookup<V>, cached: Option<Option<V>>) -> Found<V> {
    match lookup {
        Lookup::Here(value) => Found::Known(Some(value)),
        Lookup::Gone => Found::Known(None),
        Lookup::Stored | Lookup::Unknown => cached.map_or(Found::Below, Found::Known),
    }
}

/// The keys that memory knows nothing of.
fn below<K, V>(found: &[(K, Found<V>)]) -> impl Iterator<Item = &K> {
    found.iter().filter(|(_, found)| matches!(found, Found::Below)).map(|(key, _)| key)
}

fn ask_once(
    transaction: &Transaction,
    table: Table,
    rows: &mut BTreeMap<Place, Row>,
    place: Place,
) -> Result<(), StorageError> {
    if let Entry::Vacant(entry) = rows.entry(place) {
        entry.insert(transaction.get(table, &key_of(place))?);
    }
    Ok(())
}

fn decode_all<P: Page>(rows: &BTreeMap<Place, Row>) -> BTreeMap<Place, Result<Option<P>, StorageError>> {
    rows.iter().map(|(place, row)| (*place, row.bytes().map(|bytes| page(*place, &bytes)).transpose())).collect()
}

fn item<P: Page>(
    pages: &BTreeMap<Place, Result<Option<P>, StorageError>>,
    place: Place,
) -> Result<Option<P::Item>, StorageError> {
    match pages.get(&P::place_of(place)) {
        Some(Ok(page)) => Ok(page.as_ref().and_then(|page| page.items().get(&place.1).cloned())),
        Some(Err(error)) => Err(error.clone()),
        None => Ok(None),
    }
}
