//! Requests as promises: one is settled when the machine resolves its request, or its signal gives it up.

use crate::driver::Driver;
use crate::error;
use corestore_core::corestore::{CommandError, Outcome, RequestId};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

/// How an outcome looks in JavaScript.
pub(crate) type Convert = fn(&Driver, Outcome) -> JsValue;

/// A promise that is not settled yet.
pub(crate) struct Waiter {
    resolve: Function,
    reject: Function,
    convert: Convert,
    _abort: Option<Abort>,
}

impl Waiter {
    /// Settles the promise.
    pub(crate) fn settle(self, driver: &Driver, result: Result<Outcome, CommandError>) {
        // A promise's own functions do not throw.
        let _ = match result {
            Ok(outcome) => self.resolve.call1(&JsValue::UNDEFINED, &(self.convert)(driver, outcome)),
            Err(cause) => self.reject.call1(&JsValue::UNDEFINED, &error::of_command(&cause)),
        };
    }

    /// Rejects the promise with an error of the driver's.
    pub(crate) fn fail(self, cause: &JsValue) {
        // A promise's own function does not throw.
        let _ = self.reject.call1(&JsValue::UNDEFINED, cause);
    }
}

/// The promise of `request`; `signal` cancels the request.
pub(crate) fn promise(driver: &Driver, request: RequestId, signal: Option<AbortSignal>, convert: Convert) -> Promise {
    let abort = signal.map(|signal| Abort::new(driver, request, signal));
    let mut abort = Some(abort);
    Promise::new(&mut |resolve, reject| {
        let waiter = Waiter { resolve, reject, convert, _abort: abort.take().flatten() };
        driver.wait(request, waiter);
    })
}

/// Listens to a signal as long as a request waits.
struct Abort {
    signal: AbortSignal,
    listener: Closure<dyn FnMut()>,
}

impl Abort {
    fn new(driver: &Driver, request: RequestId, signal: AbortSignal) -> Self {
        let driver = driver.downgrade();
        let cancel = move || {
            if let Some(driver) = driver.upgrade() {
                driver.command(|machine| machine.cancel(request));
            }
        };
        if signal.aborted() {
            cancel();
        }
        let listener = Closure::new(cancel);
        // A signal takes listeners.
        let _ = signal.add_event_listener_with_callback("abort", listener.as_ref().unchecked_ref());
        Self { signal, listener }
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        // As above.
        let _ = self.signal.remove_event_listener_with_callback("abort", self.listener.as_ref().unchecked_ref());
    }
}
