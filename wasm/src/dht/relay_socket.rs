//! One WebSocket to a relay: from its events to the swarm's, until it ends.

use super::swarm::Swarm;
use crate::bytes;
use crate::error;
use crate::events::Ending;
use ::bytes::Bytes;
use std::rc::Weak;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

/// A WebSocket that closes when it is dropped.
pub(super) struct RelaySocket {
    socket: WebSocket,
    _listeners: [Closure<dyn FnMut(JsValue)>; 4],
}

impl RelaySocket {
    /// Dials.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the address is none a WebSocket can have, or the page may not dial it.
    pub(super) fn dial(url: &str, swarm: &Weak<Swarm>) -> Result<Self, JsValue> {
        let refused =
            || error::bad_argument(&format!("\"{url}\" is no address of a relay: write wss://HOST or ws://HOST:PORT."));
        let socket = WebSocket::new(url).map_err(|_| refused())?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let listeners = [
            listener(swarm, |swarm, _| swarm.relay_opened()),
            listener(swarm, |swarm, event| match bytes::from_js(&event.unchecked_ref::<MessageEvent>().data()) {
                Some(bytes) => swarm.received(&bytes),
                None => swarm.ended(&Ending::new("violation", "The relay sent something but bytes.")),
            }),
            listener(swarm, |swarm, event| swarm.ended(&ending(&event))),
            // What went wrong no browser tells; the close that follows may.
            listener(swarm, |_, _| ()),
        ];
        let [on_open, on_message, on_close, on_error] = &listeners;
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        socket.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self { socket, _listeners: listeners })
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.socket.ready_state() == WebSocket::CONNECTING
    }

    pub(super) fn send(&self, bytes: &Bytes) {
        // One that is closing says so by its own event.
        let _ = self.socket.send_with_js_u8_array(&bytes::to_js(bytes));
    }

    /// Bytes not yet on the wire.
    pub(super) fn backlog(&self) -> usize {
        usize::try_from(self.socket.buffered_amount()).unwrap_or(usize::MAX)
    }
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        self.socket.set_onerror(None);
        // Closing what is closed is fine.
        let _ = self.socket.close();
    }
}

fn listener(swarm: &Weak<Swarm>, call: fn(&Swarm, JsValue)) -> Closure<dyn FnMut(JsValue)> {
    let swarm = Weak::clone(swarm);
    Closure::new(move |event| {
        if let Some(swarm) = swarm.upgrade() {
            call(&swarm, event);
        }
    })
}

fn ending(event: &JsValue) -> Ending {
    match event.dyn_ref::<CloseEvent>() {
        Some(event) if !event.reason().is_empty() => {
            Ending::new("remote", format!("The relay ended the connection: {}", event.reason()))
        }
        _ => Ending::new("unreachable", "The relay cannot be reached, or ended the connection."),
    }
}
