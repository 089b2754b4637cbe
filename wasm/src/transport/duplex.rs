//! What a transport looks like: a WebSocket, a data channel, or anything shaped alike.

use js_sys::Function;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// A JavaScript object that carries bytes both ways.
    #[derive(Clone, Debug)]
    pub(crate) type Duplex;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn send(this: &Duplex, bytes: &js_sys::Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &Duplex) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    pub(crate) fn buffered_amount(this: &Duplex) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = readyState)]
    pub(crate) fn ready_state(this: &Duplex) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onopen(this: &Duplex, listener: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onmessage(this: &Duplex, listener: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onclose(this: &Duplex, listener: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_onerror(this: &Duplex, listener: Option<&Function>);
}

impl Duplex {
    /// True while it is not open yet: `0` in a WebSocket, `"connecting"` in a data channel.
    pub(crate) fn is_connecting(&self) -> bool {
        let state = self.ready_state();
        state.as_f64() == Some(0.0) || state.as_string().as_deref() == Some("connecting")
    }

    /// Bytes not yet on the wire; 0 when it does not say.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at both ends")]
    pub(crate) fn backlog(&self) -> usize {
        self.buffered_amount().as_f64().unwrap_or(0.0) as usize
    }
}
