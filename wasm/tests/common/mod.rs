//! What the tests share: a store one can await, and looking under its hood.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "tests, each of which uses a part")]

use corestore_core::storage::{OpId, StorageOp};
use corestore_wasm::storage::{Answer, Store};
use js_sys::{Promise, Reflect, Uint8Array};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// A store whose answers can be awaited.
pub struct TestStore {
    store: Store,
    answers: Rc<RefCell<BTreeMap<OpId, Answer>>>,
    next: u64,
}

impl TestStore {
    pub async fn open(name: &str, journal_limit: usize) -> Result<Self, JsValue> {
        let answers: Rc<RefCell<BTreeMap<OpId, Answer>>> = Rc::default();
        let taken = Rc::clone(&answers);
        let take = move |more: Vec<(OpId, Answer)>| taken.borrow_mut().extend(more);
        let store = Store::indexed_db(name, journal_limit, Rc::new(take)).await?;
        Ok(Self { store, answers, next: 0 })
    }

    pub fn issue(&mut self, op: StorageOp) -> OpId {
        self.next += 1;
        let id = OpId(self.next);
        if let Some(answer) = self.store.execute(id, op) {
            self.answers.borrow_mut().insert(id, answer);
        }
        id
    }

    pub async fn answer(&self, op: OpId) -> Answer {
        self.store.flush();
        for _ in 0..10_000 {
            let answer = self.answers.borrow_mut().remove(&op);
            if let Some(answer) = answer {
                return answer;
            }
            sleep(0).await;
        }
        panic!("{op:?} is never answered");
    }

    pub fn close(self) {
        drop(self.store.close());
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &js_sys::Function, ms: i32) -> JsValue;
}

/// Lets other tasks run.
pub async fn sleep(ms: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, ms);
    });
    JsFuture::from(promise).await.unwrap();
}

/// A name no other test uses.
pub fn unique(what: &str) -> String {
    format!("{what}-{}", js_sys::Math::random())
}

/// The code of an error.
pub fn code(error: &JsValue) -> String {
    Reflect::get(error, &"code".into()).unwrap().as_string().unwrap_or_default()
}

/// Runs `body`, the body of an async JavaScript function of `name`, `table`, `key` and `value`.
async fn script(body: &str, name: &str, table: &str, key: &[u8], value: &[u8]) {
    let text = format!(
        "const opened = (request) => new Promise((resolve, reject) => {{
           request.onsuccess = () => resolve(request.result); request.onerror = () => reject(request.error) }});
         return (async () => {{ {body} }})()"
    );
    let function = js_sys::Function::new_with_args("name, table, key, value", &text);
    let arguments =
        js_sys::Array::of4(&name.into(), &table.into(), &Uint8Array::from(key).into(), &Uint8Array::from(value).into());
    let promise: Promise = function.apply(&JsValue::NULL, &arguments).unwrap().unchecked_into();
    JsFuture::from(promise).await.unwrap();
}

/// Sets a row past the store.
pub async fn put_row(name: &str, table: &str, key: &[u8], value: &[u8]) {
    let body = "const database = await opened(indexedDB.open(name));
                await opened(database.transaction(table, 'readwrite').objectStore(table).put(value, key));
                database.close()";
    script(body, name, table, key, value).await;
}

/// Makes a database of a version to come.
pub async fn make_newer(name: &str) {
    script("(await opened(indexedDB.open(name, 999))).close()", name, "", &[], &[]).await;
}

/// Deletes a database.
pub async fn delete(name: &str) {
    script("await opened(indexedDB.deleteDatabase(name))", name, "", &[], &[]).await;
}

/// From now on, or no more, the browser has no room for a row.
pub fn refuse_rows(refuse: bool) {
    let text = "const { prototype } = IDBObjectStore;
                prototype.realPut ??= prototype.put;
                prototype.put = refuse
                  ? () => { throw new DOMException('no room', 'QuotaExceededError') }
                  : prototype.realPut";
    let function = js_sys::Function::new_with_args("refuse", text);
    function.call1(&JsValue::NULL, &refuse.into()).unwrap();
}
