//! Two stores in one page replicate over a pipe; requests are promises with codes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail loudly")]

mod common;

use common::{code, delete, sleep, unique};
use corestore_wasm::corestore::{CoreOptions, CorestoreHandle, StoreOptions};
use corestore_wasm::hypercore::HypercoreHandle;
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

fn object(entries: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    entries.iter().for_each(|(key, value)| {
        Reflect::set(&object, &(*key).into(), value).unwrap();
    });
    object.into()
}

/// A store, and the names of the events it told.
async fn open(name: Option<&str>) -> Result<(CorestoreHandle, Array), JsValue> {
    let events = Array::new();
    let listener: Function =
        Function::new_with_args("events", "return (name) => events.push(name)").call1(&JsValue::NULL, &events)?.into();
    let options: StoreOptions = object(&[("name", name.map_or(JsValue::UNDEFINED, JsValue::from))]).unchecked_into();
    Ok((CorestoreHandle::open(options, listener).await?, events))
}

fn core_options(entries: &[(&str, JsValue)]) -> CoreOptions {
    let defaults = [("create", false.into()), ("readOnly", false.into())];
    object(&[&defaults[..], entries].concat()).unchecked_into()
}

async fn core(store: &CorestoreHandle, entries: &[(&str, JsValue)]) -> HypercoreHandle {
    let options = core_options(entries);
    let opened = JsFuture::from(store.open_core(&options).unwrap()).await.unwrap();
    HypercoreHandle::try_from_js_value(opened).unwrap()
}

async fn named(store: &CorestoreHandle, name: &str) -> HypercoreHandle {
    core(store, &[("name", name.into()), ("create", true.into())]).await
}

async fn get(core: &HypercoreHandle, index: f64, timeout: f64) -> Result<Vec<u8>, JsValue> {
    let block = JsFuture::from(core.get(index, true, timeout, false, None)?).await?;
    Ok(Uint8Array::new(&block).to_vec())
}

async fn append(core: &HypercoreHandle, blocks: &[&[u8]]) {
    let blocks: Array = blocks.iter().map(|block| Uint8Array::from(*block)).collect();
    JsFuture::from(core.append(&blocks).unwrap()).await.unwrap();
}

/// Two ends of a pipe.
fn pipe() -> (JsValue, JsValue) {
    let make = "const end = () => ({
          onmessage: null, onclose: null, bufferedAmount: 0,
          send (data) { queueMicrotask(() => this.other.onmessage?.({ data })) },
          close () { queueMicrotask(() => this.other.onclose?.({})) } });
        const a = end(), b = end(); a.other = b; b.other = a; return [a, b]";
    let ends: Array = Function::new_no_args(make).call0(&JsValue::NULL).unwrap().into();
    (ends.get(0), ends.get(1))
}

#[wasm_bindgen_test]
async fn a_reader_in_the_same_page_gets_blocks_live_and_keeps_them() {
    let name = unique("reader");
    let (writer_store, _) = open(None).await.unwrap();
    let (reader_store, events) = open(Some(&name)).await.unwrap();
    reader_store.listen("download", true);
    let writer = named(&writer_store, "log").await;
    append(&writer, &[b"one", b"", b"three"]).await;
    let (a, b) = pipe();
    let out = writer_store.attach(a, true).unwrap();
    reader_store.attach(b, false).unwrap();
    let key = writer.key();
    let reader = core(&reader_store, &[("key", key.clone().into()), ("create", true.into())]).await;
    assert_eq!(get(&reader, 2.0, 5000.0).await.unwrap(), b"three");
    let live = reader.get(3.0, true, 5000.0, false, None).unwrap();
    append(&writer, &[b"live"]).await;
    let live = JsFuture::from(live).await.unwrap();
    assert_eq!(Uint8Array::new(&live).to_vec(), b"live");
    let all = reader.download(0.0, Some(4.0), false, 0.0, None).unwrap();
    JsFuture::from(all).await.unwrap();
    assert_eq!((reader.length(), reader.contiguous_length(), reader.writable()), (4.0, 4.0, false));
    let events = events.join(",").as_string().unwrap();
    for told in ["connection-open", "peer-add", "append", "download"] {
        assert!(events.contains(told), "{told} is not among {events}");
    }
    assert!(writer_store.traffic(out).iter().all(|bytes| *bytes > 0.0));
    drop(writer_store.close());
    drop(reader_store.close());

    let (reader_store, _) = open(Some(&name)).await.unwrap();
    let reader = core(&reader_store, &[("key", key.into()), ("create", false.into())]).await;
    assert_eq!(reader.length(), 4.0);
    assert_eq!(get(&reader, 0.0, 0.0).await.unwrap(), b"one");
    assert_eq!(get(&reader, 1.0, 0.0).await.unwrap(), b"");
    drop(reader_store.close());
    delete(&name).await;
}

#[wasm_bindgen_test]
async fn what_a_page_appends_is_there_when_it_comes_back() {
    let name = unique("writer");
    let (store, _) = open(Some(&name)).await.unwrap();
    let log = named(&store, "log").await;
    for block in 0..40_u8 {
        append(&log, &[&[block; 100]]).await;
    }
    let key = log.key().to_vec();
    JsFuture::from(log.truncate(30.0, None).unwrap()).await.unwrap();
    drop(store.close());
    let (store, _) = open(Some(&name)).await.unwrap();
    let log = named(&store, "log").await;
    assert_eq!((log.key().to_vec(), log.length(), log.fork(), log.writable()), (key, 30.0, 1.0, true));
    assert_eq!(get(&log, 29.0, 0.0).await.unwrap(), [29; 100]);
    append(&log, &[b"goes on"]).await;
    assert_eq!(get(&log, 30.0, 0.0).await.unwrap(), b"goes on");
    drop(store.close());
    delete(&name).await;
}

#[wasm_bindgen_test]
async fn requests_fail_with_codes() {
    let (store, _) = open(None).await.unwrap();
    let log = named(&store, "log").await;
    assert_eq!(code(&log.get(-1.0, true, 0.0, false, None).unwrap_err()), "BAD_ARGUMENT");
    assert_eq!(code(&log.get(0.5, true, 0.0, false, None).unwrap_err()), "BAD_ARGUMENT");
    assert_eq!(code(&get(&log, 7.0, 20.0).await.unwrap_err()), "REQUEST_TIMEOUT");
    let controller: JsValue = Function::new_no_args("return new AbortController()").call0(&JsValue::NULL).unwrap();
    let signal: web_sys::AbortSignal = Reflect::get(&controller, &"signal".into()).unwrap().unchecked_into();
    let waiting = log.get(7.0, true, 0.0, false, Some(signal.clone())).unwrap();
    Function::new_with_args("controller", "controller.abort()").call1(&JsValue::NULL, &controller).unwrap();
    assert_eq!(code(&JsFuture::from(waiting).await.unwrap_err()), "REQUEST_CANCELLED");
    let late: Promise = log.get(7.0, true, 0.0, false, Some(signal)).unwrap();
    assert_eq!(code(&JsFuture::from(late).await.unwrap_err()), "REQUEST_CANCELLED");
    let missing = core_options(&[("discoveryKey", Uint8Array::from([9; 32].as_slice()).into())]);
    let missing = JsFuture::from(store.open_core(&missing).unwrap()).await.unwrap_err();
    assert_eq!(code(&missing), "STORAGE_EMPTY");
    assert_eq!(code(&store.open_core(&core_options(&[])).unwrap_err()), "BAD_ARGUMENT");
    assert_eq!(code(&store.dial("ws://".into(), true, true, 1.0, 1.0).unwrap_err()), "BAD_ARGUMENT");
    let open = log.get(7.0, true, 0.0, false, None).unwrap();
    drop(store.close());
    assert_eq!(code(&JsFuture::from(open).await.unwrap_err()), "SESSION_CLOSED");
}

#[wasm_bindgen_test]
async fn garbage_ends_the_connection_and_names_the_fault() {
    let (store, events) = open(None).await.unwrap();
    let (ours, theirs) = pipe();
    store.attach(ours, false).unwrap();
    // A frame of 37 bytes that is no handshake.
    let send = "const frame = new Uint8Array(40).fill(7); frame.set([37, 0, 0]); end.send(frame)";
    Function::new_with_args("end", send).call1(&JsValue::NULL, &theirs).unwrap();
    sleep(20).await;
    assert_eq!(events.join(",").as_string().unwrap(), "connection-close");
    drop(store.close());
}
