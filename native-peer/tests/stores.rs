//! Stores: names, reopening, closing.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

mod common;

use common::{all, in_time, join, store, until};
use corestore_peer::{CoreOptions, Corestore, OpenError, Options, ReadError, StoreEvent, WriteError};

#[tokio::test]
async fn a_store_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = Corestore::open(directory.path(), Options::default()).await.unwrap();
    let core = store.get("log").await.unwrap();
    core.append_batch(["one", "two"]).await.unwrap();
    let key = core.key();
    store.close().await.unwrap();
    let store = Corestore::open(directory.path(), Options::default()).await.unwrap();
    let core = store.get("log").await.unwrap();
    assert_eq!(core.key(), key);
    assert!(core.writable());
    core.append("three").await.unwrap();
    assert_eq!(all(&core, 3).await, ["one", "two", "three"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn names_lie_in_namespaces_and_are_listed() {
    let store = store();
    let (app, root) = (store.namespace("app"), store.get("log").await.unwrap());
    let inner = app.get("log").await.unwrap();
    assert_ne!(root.key(), inner.key());
    assert_eq!(app.get("log").await.unwrap().key(), inner.key());
    assert_ne!(store.namespace("app").namespace("app").get("log").await.unwrap().key(), inner.key());
    let mut listed = store.list().await.unwrap();
    listed.sort();
    assert_eq!(listed.len(), 3);
    let names = store.list_names().await.unwrap();
    assert_eq!(names.len(), 3);
    let of_root = names.iter().find(|name| name.namespace == [0; 32]).unwrap();
    assert_eq!((of_root.name.as_str(), of_root.discovery_key), ("log", root.discovery_key()));
}

#[tokio::test]
async fn hundreds_of_names_are_all_listed() {
    let store = store();
    for at in 0..600 {
        store.get(format!("core {at}")).await.unwrap();
    }
    assert_eq!(store.list_names().await.unwrap().len(), 600);
    assert_eq!(store.list().await.unwrap().len(), 600);
}

#[tokio::test]
async fn only_what_may_be_made_is_made() {
    let store = store();
    let error = store.get(CoreOptions::name("log").must_exist()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotFound));
    let key = store.get("log").await.unwrap().key();
    store.get(CoreOptions::name("log").must_exist()).await.unwrap();
    let read_only = store.get(CoreOptions::key(key).read_only()).await.unwrap();
    let error = read_only.append("x").await.unwrap_err();
    assert!(matches!(error, WriteError::NotWritable { core } if core == key));
}

#[tokio::test]
async fn a_closed_store_says_so_and_ends_what_waits() {
    let (writer, reader) = (store(), store());
    let core = writer.get("log").await.unwrap();
    let copy = reader.get(core.key()).await.unwrap();
    join(&reader, &writer);
    until(|| copy.info().peers == 1).await;
    let mut events = writer.events();
    let waiting = tokio::spawn({
        let copy = copy.clone();
        async move { copy.get(0).await }
    });
    tokio::task::yield_now().await;
    reader.close().await.unwrap();
    assert!(matches!(in_time(waiting).await.unwrap(), Err(ReadError::Closed)));
    assert!(matches!(copy.get(0).await, Err(ReadError::Closed)));
    assert!(matches!(reader.get("x").await, Err(OpenError::Closed)));
    reader.close().await.unwrap();
    let gone = in_time(events.next_event()).await;
    assert!(matches!(gone, Some(StoreEvent::Disconnected { .. })), "{gone:?}");
    until(|| writer.connections().is_empty()).await;
}

#[tokio::test]
async fn sessions_end_one_by_one() {
    let store = store();
    let (one, two) = (store.get("log").await.unwrap(), store.get("log").await.unwrap());
    let clone = one.clone();
    one.close().await;
    assert!(matches!(clone.append("x").await, Err(WriteError::Closed)));
    two.append("y").await.unwrap();
    assert_eq!(two.length(), 1);
}
