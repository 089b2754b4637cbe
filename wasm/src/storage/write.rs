//! Writes: batches gather while a transaction is under way, and go into the next one together.

use super::database::{Sureness, Table, Transaction};
use super::indexed_db::{Gathered, IndexedDb, key_of};
use super::journal::{self, Plan};
use super::overlay::places;
use super::pages::Page as _;
use super::store::Answer;
use corestore_core::storage::{Durability, OpId, StorageError, StorageReply, WriteBatch};
use wasm_bindgen_futures::spawn_local;

impl IndexedDb {
    /// Takes a batch. A buffered one is answered at once while little waits to be written.
    pub(super) fn write(&self, op: OpId, batch: WriteBatch) -> Option<Answer> {
        let mut state = self.0.state.borrow_mut();
        if let Some(broken) = &state.broken {
            return Some(Err(broken.clone()));
        }
        state.gather(batch.ops);
        let waiting = state.gathered.bytes.saturating_add(state.bytes_in_flight);
        if batch.durability == Durability::Buffered && waiting < PROMISED_BYTES {
            state.gathered.promised = true;
            return Some(Ok(StorageReply::Written));
        }
        state.gathered.durable |= batch.durability == Durability::Durable;
        state.gathered.due.push(op);
        None
    }

    /// Starts the transaction of what was gathered.
    pub(super) fn issue(&self) {
        let mut state = self.0.state.borrow_mut();
        if state.gathered.ops.is_empty() && state.gathered.due.is_empty() {
            return;
        }
        let mut gathered = state.take_gathered();
        let number = state.next;
        let ops = core::mem::take(&mut gathered.ops);
        let plan = Plan::new(ops, |core, range| state.is_untouched(&places(core, range)));
        let record = journal::encode(&plan.ops);
        let transaction = self.put(&plan, &record, number, gathered.durable);
        for (core, page, blocks) in plan.pages {
            state.epoch = state.epoch.saturating_add(1);
            let size = blocks.size();
            state.cache.blocks.insert((core.0, page), Some(blocks), size);
        }
        state.log(number, plan.ops, record.len());
        state.writes_in_flight = state.writes_in_flight.saturating_add(1);
        state.bytes_in_flight = state.bytes_in_flight.saturating_add(gathered.bytes);
        drop(state);
        let store = self.clone();
        spawn_local(async move {
            let result = match transaction {
                Ok(transaction) => transaction.done().await,
                Err(error) => Err(error),
            };
            store.written(number, gathered, result);
        });
    }

    /// Makes the transaction; after an error nothing of it takes effect.
    fn put(&self, plan: &Plan, record: &[u8], number: u64, durable: bool) -> Result<Transaction, StorageError> {
        let mut tables = vec![Table::Journal];
        if !plan.pages.is_empty() {
            tables.push(Table::Blocks);
        }
        if !plan.large.is_empty() {
            tables.push(Table::Large);
        }
        let sureness = if durable { Sureness::Strict } else { Sureness::Relaxed };
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

    /// A transaction is over: answers who waits for it, and starts the next.
    fn written(&self, number: u64, gathered: Gathered, result: Result<(), StorageError>) {
        let mut state = self.0.state.borrow_mut();
        state.writes_in_flight = state.writes_in_flight.saturating_sub(1);
        state.bytes_in_flight = state.bytes_in_flight.saturating_sub(gathered.bytes);
        if let Err(error) = &result {
            state.note_broken(error);
            if gathered.promised {
                // What comes later must not be stored without it; it is still read from memory.
                state.broken.get_or_insert(error.clone());
            } else {
                state.take_back(number);
            }
        }
        let due = state.is_fold_due();
        drop(state);
        if due {
            self.fold();
        }
        let answers = gathered.due.into_iter().map(|op| (op, result.clone().map(|()| StorageReply::Written)));
        self.answer(answers.collect());
        self.flush();
        self.tell_closed();
    }
}

/// Buffered batches are answered at once while fewer bytes than this are not stored yet.
const PROMISED_BYTES: usize = 4 << 20;
