//! A session on a core as JavaScript holds it.

use crate::bytes::{all_from_js, index, number, to_js};
use crate::corestore::pair;
use crate::driver::Driver;
use crate::error;
use crate::promise::promise;
use corestore_core::corestore::{CoreInfo, Corestore, DownloadRange, GetOptions, Outcome, RequestId, SessionId};
use corestore_core::time::Duration;
use js_sys::{Array, Promise, Uint8Array};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

/// An open session.
#[wasm_bindgen]
#[derive(Debug)]
pub struct HypercoreHandle {
    driver: Driver,
    session: SessionId,
    number: u32,
    /// What the session showed last, and in which turn.
    info: RefCell<(u64, CoreInfo)>,
}

impl HypercoreHandle {
    pub(crate) fn new(driver: &Driver, session: SessionId, info: CoreInfo) -> Self {
        let number = driver.events().core(info.discovery_key);
        Self { driver: driver.clone(), session, number, info: RefCell::new((driver.turns(), info)) }
    }

    /// Reads what the session shows; after it was closed, what it showed last.
    fn info<T>(&self, read: impl FnOnce(&CoreInfo) -> T) -> T {
        let turn = self.driver.turns();
        let mut info = self.info.borrow_mut();
        if info.0 != turn {
            info.0 = turn;
            if let Some(now) = self.driver.look(|machine| machine.info(self.session)) {
                info.1 = now;
            }
        }
        read(&info.1)
    }
}

#[wasm_bindgen]
impl HypercoreHandle {
    /// The core's number in events.
    #[wasm_bindgen(getter)]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// 32 bytes.
    #[wasm_bindgen(getter)]
    pub fn key(&self) -> Uint8Array {
        self.info(|info| to_js(info.key.as_ref()))
    }

    /// 32 bytes.
    #[wasm_bindgen(getter, js_name = discoveryKey)]
    pub fn discovery_key(&self) -> Uint8Array {
        self.info(|info| to_js(info.discovery_key.as_ref()))
    }

    /// Blocks.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> f64 {
        self.info(|info| number(info.length))
    }

    /// Bytes.
    #[wasm_bindgen(getter, js_name = byteLength)]
    pub fn byte_length(&self) -> f64 {
        self.info(|info| number(info.byte_length))
    }

    /// Fork.
    #[wasm_bindgen(getter)]
    pub fn fork(&self) -> f64 {
        self.info(|info| number(info.fork))
    }

    /// Blocks from 0 on without a gap.
    #[wasm_bindgen(getter, js_name = contiguousLength)]
    pub fn contiguous_length(&self) -> f64 {
        self.info(|info| number(info.contiguous_length))
    }

    /// The longest contiguous length any peer has said.
    #[wasm_bindgen(getter, js_name = remoteContiguousLength)]
    pub fn remote_contiguous_length(&self) -> f64 {
        self.info(|info| number(info.remote_contiguous_length))
    }

    /// Blocks stored here.
    #[wasm_bindgen(getter, js_name = storedBlocks)]
    pub fn stored_blocks(&self) -> f64 {
        self.info(|info| number(info.stored_blocks))
    }

    /// Whether this session may append.
    #[wasm_bindgen(getter)]
    pub fn writable(&self) -> bool {
        self.info(|info| info.writable)
    }

    /// Whether the session has an encryption key.
    #[wasm_bindgen(getter)]
    pub fn encrypted(&self) -> bool {
        self.info(|info| info.encrypted)
    }

    /// Whether a conflict froze the core.
    #[wasm_bindgen(getter)]
    pub fn frozen(&self) -> bool {
        self.info(|info| info.frozen)
    }

    /// Peers replicating it now.
    #[wasm_bindgen(getter)]
    pub fn peers(&self) -> f64 {
        self.info(|info| number(info.peers))
    }

    /// Appends an array of blocks; a promise of `[length, byteLength]`.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when a block is no bytes.
    pub fn append(&self, blocks: &Array) -> Result<Promise, JsValue> {
        let blocks = all_from_js(blocks).ok_or_else(|| error::bad_argument("A block has to be bytes."))?;
        let request = self.driver.command(|machine| machine.append(self.session, blocks));
        Ok(promise(&self.driver, request, None, |_, outcome| match outcome {
            Outcome::Appended { length, byte_length } => pair(length, byte_length),
            _ => JsValue::UNDEFINED,
        }))
    }

    /// A promise of a block, or of `null` when it is not stored and `wait` is false.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when `at` is no index.
    pub fn get(
        &self,
        at: f64,
        wait: bool,
        timeout: f64,
        raw: bool,
        signal: Option<AbortSignal>,
    ) -> Result<Promise, JsValue> {
        let at = checked_index(at, "The block index")?;
        let timeout_ms = checked_index(timeout.ceil(), "The timeout")?;
        let options = GetOptions { wait, timeout_ms, raw };
        let request = self.driver.command(|machine| machine.get(self.session, at, options));
        Ok(promise(&self.driver, request, signal, |_, outcome| match outcome {
            Outcome::Block(Some(block)) => to_js(&block).into(),
            _ => JsValue::NULL,
        }))
    }

    /// Whether a block is stored.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when `at` is no index.
    pub fn has(&self, at: f64) -> Result<bool, JsValue> {
        let at = checked_index(at, "The block index")?;
        Ok(self.driver.look(|machine| machine.has(self.session, at)))
    }

    /// How many blocks of a range are stored.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when an end is no index.
    pub fn count(&self, start: f64, end: f64) -> Result<f64, JsValue> {
        let range = checked_index(start, "The start")?..checked_index(end, "The end")?;
        Ok(self.driver.look(|machine| number(machine.count(self.session, range))))
    }

    /// Looks for a longer log, for at most `timeout` milliseconds (0: without end); a promise of whether it grew.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when `timeout` is no time.
    pub fn update(&self, wait: bool, timeout: f64, signal: Option<AbortSignal>) -> Result<Promise, JsValue> {
        let request = self.request(timeout, |machine| machine.update(self.session, wait))?;
        let convert = |_: &Driver, outcome| matches!(outcome, Outcome::Updated(true)).into();
        Ok(promise(&self.driver, request, signal, convert))
    }

    /// A promise of `[block, offset]` of the block that holds a byte, or of `null`; given up after `timeout`
    /// milliseconds (0: never).
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when `byte` is no byte offset, or `timeout` no time.
    pub fn seek(&self, byte: f64, timeout: f64, signal: Option<AbortSignal>) -> Result<Promise, JsValue> {
        let byte = checked_index(byte, "The byte offset")?;
        let request = self.request(timeout, |machine| machine.seek(self.session, byte))?;
        Ok(promise(&self.driver, request, signal, |_, outcome| match outcome {
            Outcome::Sought(Some((block, offset))) => pair(block, offset),
            _ => JsValue::NULL,
        }))
    }

    /// Downloads `start..end` (without an end: live), for at most `timeout` milliseconds (0: without end); a promise that
    /// resolves when it is done.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when an end is no index, or `timeout` no time.
    pub fn download(
        &self,
        start: f64,
        end: Option<f64>,
        linear: bool,
        timeout: f64,
        signal: Option<AbortSignal>,
    ) -> Result<Promise, JsValue> {
        let start = checked_index(start, "The start")?;
        let end = end.map(|end| checked_index(end, "The end")).transpose()?;
        self.start_download(DownloadRange::Range { start, end, linear }, timeout, signal)
    }

    /// Downloads single blocks, for at most `timeout` milliseconds (0: without end); a promise that resolves when all
    /// are stored.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when one is no index, or `timeout` no time.
    #[wasm_bindgen(js_name = downloadBlocks)]
    pub fn download_blocks(
        &self,
        blocks: Vec<f64>,
        timeout: f64,
        signal: Option<AbortSignal>,
    ) -> Result<Promise, JsValue> {
        let blocks: Result<_, _> = blocks.into_iter().map(|block| checked_index(block, "A block index")).collect();
        self.start_download(DownloadRange::Blocks(blocks?), timeout, signal)
    }

    /// Cuts the log; a promise that resolves when that is stored.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the length or the fork is none.
    pub fn truncate(&self, length: f64, fork: Option<f64>) -> Result<Promise, JsValue> {
        let length = checked_index(length, "The length")?;
        let fork = fork.map(|fork| checked_index(fork, "The fork")).transpose()?;
        let request = self.driver.command(|machine| machine.truncate(self.session, length, fork));
        Ok(promise(&self.driver, request, None, done))
    }

    /// Drops stored blocks; a promise that resolves when that is stored.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when an end is no index.
    pub fn clear(&self, start: f64, end: f64) -> Result<Promise, JsValue> {
        let range = checked_index(start, "The start")?..checked_index(end, "The end")?;
        let request = self.driver.command(|machine| machine.clear(self.session, range));
        Ok(promise(&self.driver, request, None, done))
    }

    /// Removes the core from the store; a promise that resolves when that is stored.
    pub fn purge(&self) -> Promise {
        let request = self.driver.command(|machine| machine.purge(self.session));
        promise(&self.driver, request, None, done)
    }

    /// A promise of a read-only session pinned to the present length.
    pub fn snapshot(&self) -> Promise {
        let request = self.driver.command(|machine| machine.snapshot(self.session));
        promise(&self.driver, request, None, |driver, outcome| match outcome {
            Outcome::Opened(session, info) => Self::new(driver, session, info).into(),
            _ => JsValue::UNDEFINED,
        })
    }

    /// Sends an extension message to every peer.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the payload is no bytes.
    #[wasm_bindgen(js_name = sendExtension)]
    pub fn send_extension(&self, name: &str, payload: &JsValue) -> Result<(), JsValue> {
        let payload = crate::bytes::from_js(payload);
        let payload = payload.ok_or_else(|| error::bad_argument("An extension's message has to be bytes."))?;
        self.driver.command(|machine| machine.send_extension(self.session, name, &payload));
        Ok(())
    }

    /// Closes the session; a promise that resolves when that is done.
    pub fn close(&self) -> Promise {
        let request = self.driver.command(|machine| machine.close_session(self.session));
        promise(&self.driver, request, None, done)
    }

    fn start_download(
        &self,
        range: DownloadRange,
        timeout: f64,
        signal: Option<AbortSignal>,
    ) -> Result<Promise, JsValue> {
        let request = self.request(timeout, |machine| machine.download(self.session, range))?;
        Ok(promise(&self.driver, request, signal, done))
    }

    /// Starts a request that is given up after so many milliseconds, unless they are 0.
    fn request(&self, timeout: f64, start: impl FnOnce(&mut Corestore) -> RequestId) -> Result<RequestId, JsValue> {
        let timeout = checked_index(timeout.ceil(), "The timeout")?;
        Ok(self.driver.command(|machine| {
            let request = start(machine);
            if timeout > 0 {
                machine.time_out(request, Duration::from_millis(timeout));
            }
            request
        }))
    }
}

fn done(_: &Driver, _: Outcome) -> JsValue {
    JsValue::UNDEFINED
}

fn checked_index(value: f64, what: &str) -> Result<u64, JsValue> {
    index(value)
        .ok_or_else(|| error::bad_argument(&format!("{what} has to be a whole number from 0 on, and is {value}.")))
}
