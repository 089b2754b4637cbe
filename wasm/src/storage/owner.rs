//! One tab or worker owns a store: a Web Lock held as long as the store is open.

use crate::error::OpenError;
use js_sys::{Function, Object, Promise, Reflect};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// The lock on a store; dropping it, or the end of the page, lets the next one in.
#[derive(Debug)]
pub(crate) struct Ownership {
    release: Option<Function>,
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["navigator", "locks"], js_name = request)]
    fn request_lock(name: &str, options: &Object, granted: &Function) -> Result<Promise, JsValue>;
}

impl Ownership {
    /// Takes the lock on the store `name`. A page that is just being reloaded is given a moment to let go. Where the
    /// browser has no locks (an insecure origin), nobody is kept out.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another tab or worker has the store.
    pub(crate) async fn of(name: &str) -> Result<Self, OpenError> {
        if !has_locks() {
            return Ok(Self { release: None });
        }
        let release = Rc::new(RefCell::new(None));
        let held = Rc::clone(&release);
        let mut asked = Err(JsValue::NULL);
        let granted = Promise::new(&mut |resolve, reject| {
            let held = Rc::clone(&held);
            let granted = Closure::once_into_js(move |_lock: JsValue| {
                let until_released = Promise::new(&mut |release, _| *held.borrow_mut() = Some(release));
                // The promise's own function does not throw.
                let _ = resolve.call0(&JsValue::UNDEFINED);
                until_released
            });
            asked = request_lock(&format!("corestore:{name}"), &options(), granted.unchecked_ref());
            if let Ok(asked) = &asked {
                reject_with(asked, &reject);
            }
        });
        if asked.is_err() {
            return Err(OpenError::Locked(name.to_owned()));
        }
        JsFuture::from(granted).await.map_err(|_| OpenError::Locked(name.to_owned()))?;
        Ok(Self { release: release.take() })
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            // The promise's own function does not throw.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

fn has_locks() -> bool {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).unwrap_or(JsValue::UNDEFINED);
    navigator.is_object() && Reflect::get(&navigator, &"locks".into()).is_ok_and(|locks| locks.is_object())
}

fn options() -> Object {
    let options = Object::new();
    // A fresh object takes every key.
    let _ = Reflect::set(&options, &"signal".into(), &web_sys::AbortSignal::timeout_with_u32(PATIENCE_MS));
    options
}

/// Passes a rejection of `promise` on to `reject`.
fn reject_with(promise: &Promise, reject: &Function) {
    let then = Reflect::get(promise, &"then".into()).ok().and_then(|then| then.dyn_into::<Function>().ok());
    if let Some(then) = then {
        // `then` of a promise does not throw.
        let _ = then.call2(promise, &JsValue::UNDEFINED, reject);
    }
}

/// How long another page may take to let go, in milliseconds.
const PATIENCE_MS: u32 = 1000;
