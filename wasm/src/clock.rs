//! The time, and being called when it has come.

use corestore_core::time::Instant;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// The time since the page or worker began.
pub(crate) fn now() -> Instant {
    Instant::from_micros(micros(performance_now()))
}

/// A call that is due at some time; dropping it calls it off.
#[derive(Debug)]
pub(crate) struct Timer {
    at: Instant,
    handle: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Timer {
    /// Calls `callback` at `at`, or soon when that has passed.
    pub(crate) fn at(at: Instant, callback: impl FnMut() + 'static) -> Self {
        let callback = Closure::new(callback);
        let wait = at.since(now());
        // Timers end early by less than a millisecond: round up.
        let ms = (wait.as_secs_f64() * 1000.0).ceil().min(LONGEST_MS);
        let handle = set_timeout(callback.as_ref(), ms);
        Self { at, handle, _callback: callback }
    }

    /// When it is due.
    pub(crate) const fn due(&self) -> Instant {
        self.at
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.handle);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at both ends")]
fn micros(ms: f64) -> u64 {
    (ms * 1000.0) as u64
}

/// Browsers hold timers as 32-bit milliseconds.
const LONGEST_MS: f64 = 2_147_483_647.0;
