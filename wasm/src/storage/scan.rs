//! Scans over records: stored rows under the layers that are not folded yet.

use super::database::{Table, Transaction};
use super::indexed_db::IndexedDb;
use super::overlay::{Layer, Lookup};
use super::store::Answer;
use bytes::Bytes;
use corestore_core::storage::{OpId, RecordKey, ScanRecords, StorageError, StorageReply};
use std::collections::BTreeMap;
use wasm_bindgen_futures::spawn_local;

impl IndexedDb {
    /// Starts a scan; it sees what was written before and nothing later.
    pub(super) fn scan(&self, op: OpId, scan: ScanRecords) -> Option<Answer> {
        if scan.start >= scan.end {
            return Some(Ok(StorageReply::Scanned { rows: Vec::new(), more: false }));
        }
        let range = scan.start.clone()..scan.end.clone();
        let layers: Vec<_> = self.0.state.borrow().layers().map(|layer| layer.records.within(&range)).collect();
        let transaction = match self.0.database.read(&[Table::Records]) {
            Ok(transaction) => transaction,
            Err(error) => return Some(Err(error)),
        };
        let first = match Chunk::ask(&transaction, &scan, None) {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        let store = self.clone();
        spawn_local(async move {
            let answer = collect(&transaction, first, &layers, &scan).await;
            store.answer(vec![(op, answer)]);
        });
        None
    }
}

/// Stored rows, some at a time.
struct Chunk {
    keys: super::database::Row,
    values: super::database::Row,
    limit: u32,
}

impl Chunk {
    fn ask(transaction: &Transaction, scan: &ScanRecords, after: Option<&RecordKey>) -> Result<Self, StorageError> {
        let start = after.map_or_else(|| scan.start.0.clone(), |last| successor(last).0);
        let limit = scan.limit.saturating_add(1);
        let range = start..scan.end.0.clone();
        let keys = transaction.keys(Table::Records, &range, limit)?;
        Ok(Self { keys, values: transaction.values(Table::Records, &range, limit)?, limit })
    }
}

async fn collect(
    transaction: &Transaction,
    mut chunk: Chunk,
    layers: &[Layer<RecordKey, Bytes>],
    scan: &ScanRecords,
) -> Answer {
    let limit = usize::try_from(scan.limit).unwrap_or(usize::MAX);
    let mut rows: BTreeMap<RecordKey, Bytes> = BTreeMap::new();
    // Rows of the layers count up to where the stored ones are known.
    let end = loop {
        chunk.values.answered().await?;
        let keys: Vec<RecordKey> = chunk.keys.all().into_iter().map(|key| RecordKey(key.to_vec())).collect();
        let last = keys.last().cloned();
        let exhausted = u32::try_from(keys.len()).unwrap_or(u32::MAX) < chunk.limit;
        let stored = keys.into_iter().zip(chunk.values.all());
        rows.extend(stored.filter(|(key, _)| matches!(lookup(layers, key), Lookup::Unknown | Lookup::Stored)));
        match last {
            Some(last) if !exhausted && rows.len() > limit => break Some(successor(&last)),
            Some(last) if !exhausted => chunk = Chunk::ask(transaction, scan, Some(&last))?,
            _ => break None,
        }
    };
    for layer in layers {
        for key in layer.puts.keys().filter(|key| end.as_ref().is_none_or(|end| *key < end)) {
            if let Lookup::Here(value) = lookup(layers, key) {
                rows.insert(key.clone(), value);
            }
        }
    }
    let more = end.is_some() || rows.len() > limit;
    Ok(StorageReply::Scanned { rows: rows.into_iter().take(limit).collect(), more })
}

/// What the layers, newest first, say of a record.
fn lookup(layers: &[Layer<RecordKey, Bytes>], key: &RecordKey) -> Lookup<Bytes> {
    layers.iter().map(|layer| layer.get(key)).find(|found| *found != Lookup::Unknown).unwrap_or(Lookup::Unknown)
}

/// The key right after.
fn successor(key: &RecordKey) -> RecordKey {
    let mut next = key.clone();
    next.0.push(0);
    next
}
