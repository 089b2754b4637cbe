//! A call in a task of its own, behind the tasks that wait already.

use wasm_bindgen::prelude::*;
use web_sys::MessageChannel;

/// Calls back once for each [`Self::post`]. Unlike a timer it is neither delayed nor throttled in a hidden page.
#[derive(Debug)]
pub(crate) struct Task {
    channel: MessageChannel,
    _callback: Closure<dyn FnMut()>,
}

impl Task {
    /// Gets ready.
    ///
    /// # Errors
    /// When the browser gives no message channel.
    pub(crate) fn new(callback: impl FnMut() + 'static) -> Result<Self, JsValue> {
        let channel = MessageChannel::new()?;
        let callback = Closure::new(callback);
        channel.port1().set_onmessage(Some(callback.as_ref().unchecked_ref()));
        Ok(Self { channel, _callback: callback })
    }

    /// Asks for a call.
    pub(crate) fn post(&self) {
        // `null` can be posted.
        let _ = self.channel.port2().post_message(&JsValue::NULL);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.channel.port1().set_onmessage(None);
        self.channel.port1().close();
    }
}
