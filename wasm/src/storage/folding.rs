//! Folding, carried out: the pages a [`FoldPlan`] names are read, changed and put in one transaction.

use super::database::{Row, Sureness, Table, Transaction};
use super::fold::{FoldPlan, PagePlan};
use super::indexed_db::{IndexedDb, State, key_of, keys_of, page};
use super::overlay::Place;
use super::pages::{BlockPage, NodePage, Page};
use corestore_core::storage::StorageError;
use std::collections::BTreeMap;
use wasm_bindgen_futures::spawn_local;

impl IndexedDb {
    /// Folds the journal's outcome into pages. Batches given meanwhile go on top.
    pub(super) fn fold(&self) {
        let mut state = self.0.state.borrow_mut();
        let Some(last) = state.last_logged() else { return };
        let plan = FoldPlan::new(state.newer());
        match self.begin_fold(&plan, &mut state, last) {
            Err(error) => {
                state.fold_later();
                state.note_broken(&error);
            }
            Ok(fold) => {
                state.fold_begun(last);
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
            for range in state.newer().records.gone() {
                transaction.delete_range(Table::Records, &(range.start.0..range.end.0))?;
            }
            for (key, value) in &state.newer().records.puts {
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
            let nodes =
                Sources::ask(&transaction, Table::Nodes, &plan.nodes, |place| state.cache.nodes.get(place).cloned())?;
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
        drop(state);
        self.tell_closed();
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
