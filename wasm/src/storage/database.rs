//! IndexedDB, as little of it as the store needs: open, transactions, rows under byte keys, completion as a future.

use super::layout;
use crate::error::OpenError;
use bytes::Bytes;
use core::ops::Range;
use corestore_core::storage::StorageError;
use js_sys::{Array, ArrayBuffer, JsString, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    DomException, IdbDatabase, IdbFactory, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest, IdbRequest,
    IdbRequestReadyState, IdbTransaction, IdbVersionChangeEvent,
};

/// The tables of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Journal,
    Records,
    Nodes,
    Blocks,
    Large,
}

impl Table {
    const ALL: [Self; 5] = [Self::Journal, Self::Records, Self::Nodes, Self::Blocks, Self::Large];

    const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Records => "records",
            Self::Nodes => "nodes",
            Self::Blocks => "blocks",
            Self::Large => "large",
        }
    }
}

/// How sure a transaction is before it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sureness {
    /// Handed to the operating system.
    Relaxed,
    /// On the disk.
    Strict,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Database(IdbDatabase);

/// One transaction. All of its requests must be made in the task that made it, or in a reply to one of them.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    transaction: IdbTransaction,
    done: Promise,
}

/// A row being read.
#[derive(Clone, Debug)]
pub(crate) struct Row(IdbRequest);

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = IdbTransaction)]
    type CommittableTransaction;
    #[wasm_bindgen(method, catch)]
    fn commit(this: &CommittableTransaction) -> Result<(), JsValue>;

    #[wasm_bindgen(extends = IdbDatabase)]
    type DurableDatabase;
    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction(
        this: &DurableDatabase,
        tables: &Array,
        mode: &str,
        options: &Object,
    ) -> Result<IdbTransaction, JsValue>;
}

impl Database {
    /// Opens or creates the database `name`; one of an older layout comes to the present one.
    pub(crate) async fn open(name: &str) -> Result<Self, OpenError> {
        Self::open_version(name, layout::VERSION).await
    }

    /// As [`Self::open`], of another version.
    pub(crate) async fn open_version(name: &str, version: u32) -> Result<Self, OpenError> {
        let factory = Reflect::get(&js_sys::global(), &"indexedDB".into()).ok();
        let factory = factory.filter(|factory| factory.is_object()).ok_or(OpenError::Unavailable(String::new()))?;
        let factory: IdbFactory = factory.unchecked_into();
        let request = factory.open_with_u32(name, version).map_err(|error| open_error(name, &error))?;
        let upgrade = Closure::once_into_js(make_or_upgrade);
        request.set_onupgradeneeded(Some(upgrade.unchecked_ref()));
        JsFuture::from(completion(&request)).await.map_err(|error| open_error(name, &error))?;
        match (request.error(), request.result()) {
            (Ok(None), Ok(database)) => Ok(Self(database.unchecked_into())),
            (Ok(Some(error)), _) => Err(open_error(name, &error)),
            (Err(error), _) | (_, Err(error)) => Err(open_error(name, &error)),
        }
    }

    /// Calls `gone` when the browser closes the database, or someone wants to delete or upgrade it.
    pub(crate) fn on_gone(&self, gone: &js_sys::Function) {
        self.0.set_onclose(Some(gone));
        self.0.set_onversionchange(Some(gone));
    }

    /// Closes it once every transaction is done.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// Begins to read.
    pub(crate) fn read(&self, tables: &[Table]) -> Result<Transaction, StorageError> {
        let names = names(tables);
        self.0.transaction_with_str_sequence(&names).map(Transaction::new).map_err(|error| storage_error(&error))
    }

    /// Begins to write.
    pub(crate) fn write(&self, tables: &[Table], sureness: Sureness) -> Result<Transaction, StorageError> {
        let options = Object::new();
        let durability = match sureness {
            Sureness::Relaxed => "relaxed",
            Sureness::Strict => "strict",
        };
        // A fresh object takes every key.
        let _ = Reflect::set(&options, &"durability".into(), &durability.into());
        let database: &DurableDatabase = self.0.unchecked_ref();
        database
            .transaction(&names(tables), "readwrite", &options)
            .map(Transaction::new)
            .map_err(|error| storage_error(&error))
    }
}

impl Transaction {
    fn new(transaction: IdbTransaction) -> Self {
        let done = Promise::new(&mut |resolve, _| {
            transaction.set_oncomplete(Some(&resolve));
            transaction.set_onabort(Some(&resolve));
        });
        Self { transaction, done }
    }

    /// Reads the row under `key`.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Row, StorageError> {
        self.request(table, |table| table.get(&key_of(key)))
    }

    /// Reads the first `limit` rows of a range; with [`Self::keys`] it gives keys and values.
    pub(crate) fn values(&self, table: Table, range: &Range<Vec<u8>>, limit: u32) -> Result<Row, StorageError> {
        let range = key_range(range)?;
        self.request(table, |table| table.get_all_with_key_and_limit(&range, limit))
    }

    /// Reads the first `limit` keys of a range.
    pub(crate) fn keys(&self, table: Table, range: &Range<Vec<u8>>, limit: u32) -> Result<Row, StorageError> {
        let range = key_range(range)?;
        self.request(table, |table| table.get_all_keys_with_key_and_limit(&range, limit))
    }

    /// Sets a row.
    pub(crate) fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.request(table, |table| table.put_with_key(&Uint8Array::from(value), &key_of(key))).map(|_| ())
    }

    /// Removes a row.
    pub(crate) fn delete(&self, table: Table, key: &[u8]) -> Result<(), StorageError> {
        self.request(table, |table| table.delete(&key_of(key))).map(|_| ())
    }

    /// Removes the rows of a range.
    pub(crate) fn delete_range(&self, table: Table, range: &Range<Vec<u8>>) -> Result<(), StorageError> {
        if range.start >= range.end {
            return Ok(());
        }
        let range = key_range(range)?;
        self.request(table, |table| table.delete(&range)).map(|_| ())
    }

    /// Says that no more requests come, so that it need not wait for the task to end.
    pub(crate) fn commit(&self) {
        // Without it the browser commits by itself.
        let _ = self.transaction.unchecked_ref::<CommittableTransaction>().commit();
    }

    /// Takes everything back.
    pub(crate) fn abort(&self) {
        // Already over: nothing to take back.
        let _ = self.transaction.abort();
    }

    /// Waits until it is done.
    pub(crate) async fn done(&self) -> Result<(), StorageError> {
        if event_type(JsFuture::from(self.done.clone()).await) == "complete" {
            return Ok(());
        }
        let error = self.transaction.error();
        let unknown = || StorageError::Broken("a transaction was aborted".into());
        Err(error.map_or_else(unknown, |error| storage_error(&error)))
    }

    fn request(
        &self,
        table: Table,
        ask: impl FnOnce(&IdbObjectStore) -> Result<IdbRequest, JsValue>,
    ) -> Result<Row, StorageError> {
        let table = self.transaction.object_store(table.name());
        table.and_then(|table| ask(&table)).map(Row).map_err(|error| storage_error(&error))
    }
}

impl Row {
    /// Waits until it, and with it every request made before it, is answered.
    pub(crate) async fn answered(&self) -> Result<(), StorageError> {
        if self.0.ready_state() == IdbRequestReadyState::Pending {
            JsFuture::from(completion(&self.0)).await.map_err(|error| storage_error(&error))?;
        }
        match self.0.error() {
            Ok(Some(error)) => Err(storage_error(&error)),
            Ok(None) => Ok(()),
            Err(error) => Err(storage_error(&error)),
        }
    }

    /// The row's bytes; `None` when there is no such row.
    pub(crate) fn bytes(&self) -> Option<Bytes> {
        self.0.result().ok().and_then(|value| bytes_of(&value))
    }

    /// The bytes of several rows.
    pub(crate) fn all(&self) -> Vec<Bytes> {
        let rows = self.0.result().ok().map(|rows| Array::from(&rows)).unwrap_or_default();
        rows.iter().filter_map(|value| bytes_of(&value)).collect()
    }
}

fn make_or_upgrade(event: IdbVersionChangeEvent) {
    let Some(request) = event.target() else { return };
    let request: IdbOpenDbRequest = request.unchecked_into();
    if event.old_version() > 0.0 {
        if let Some(transaction) = request.transaction().map(Transaction::new) {
            spawn_local(async move {
                // A transaction that is taken back fails the opening, and leaves the store as it was.
                if layout::upgrade(&transaction).await.is_err() {
                    transaction.abort();
                }
            });
        }
    } else if let Ok(database) = request.result() {
        let database: IdbDatabase = database.unchecked_into();
        for table in Table::ALL {
            // A table that cannot be made fails the opening.
            let _ = database.create_object_store(table.name());
        }
    }
}

/// Resolves when the request is answered, one way or the other.
fn completion(request: &IdbRequest) -> Promise {
    Promise::new(&mut |resolve, _| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&resolve));
    })
}

fn event_type(event: Result<JsValue, JsValue>) -> String {
    event.ok().and_then(|event| event.dyn_into::<web_sys::Event>().ok()).map(|event| event.type_()).unwrap_or_default()
}

fn names(tables: &[Table]) -> Array {
    tables.iter().map(|table| JsString::from(table.name())).collect()
}

fn key_of(key: &[u8]) -> JsValue {
    Uint8Array::from(key).into()
}

fn key_range(range: &Range<Vec<u8>>) -> Result<JsValue, StorageError> {
    IdbKeyRange::bound_with_lower_open_and_upper_open(&key_of(&range.start), &key_of(&range.end), false, true)
        .map(JsValue::from)
        .map_err(|error| storage_error(&error))
}

/// Keys come back as `ArrayBuffer`s, values as they were put.
fn bytes_of(value: &JsValue) -> Option<Bytes> {
    if let Some(array) = value.dyn_ref::<Uint8Array>() {
        return Some(Bytes::from(array.to_vec()));
    }
    value.dyn_ref::<ArrayBuffer>().map(|buffer| Bytes::from(Uint8Array::new(buffer).to_vec()))
}

/// What a failed transaction or request means.
pub(crate) fn storage_error(error: &JsValue) -> StorageError {
    let (name, message) = name_of(error);
    if name == "QuotaExceededError" { StorageError::Full } else { StorageError::Broken(format!("{name}: {message}")) }
}

fn open_error(database: &str, error: &JsValue) -> OpenError {
    let (name, message) = name_of(error);
    match name.as_str() {
        "VersionError" => OpenError::Newer(database.to_owned()),
        "QuotaExceededError" => OpenError::Full,
        "SecurityError" | "InvalidStateError" | "UnknownError" => OpenError::Unavailable(format!("{name}: {message}")),
        _ => OpenError::Broken(format!("{name}: {message}")),
    }
}

fn name_of(error: &JsValue) -> (String, String) {
    match error.dyn_ref::<DomException>() {
        Some(error) => (error.name(), error.message()),
        None => match error.dyn_ref::<js_sys::Error>() {
            Some(error) => (error.name().into(), error.message().into()),
            None => ("Error".to_owned(), "no reason was given".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn exception(name: &str) -> JsValue {
        match DomException::new_with_message_and_name("told so", name) {
            Ok(exception) => exception.into(),
            Err(error) => error,
        }
    }

    #[wasm_bindgen_test]
    fn no_room_is_told_from_damage() {
        assert_eq!(storage_error(&exception("QuotaExceededError")), StorageError::Full);
        assert_eq!(storage_error(&exception("DataError")), StorageError::Broken("DataError: told so".into()));
        assert_eq!(open_error("db", &exception("VersionError")), OpenError::Newer("db".into()));
    }
}
