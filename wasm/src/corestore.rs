//! The store as JavaScript holds it.

use crate::bytes::{from_js, key_from_js, number, to_js};
use crate::driver::Driver;
use crate::entropy;
use crate::error;
use crate::events::Events;
use crate::hypercore::HypercoreHandle;
use crate::promise::promise;
use crate::transport::{Dialling, Duplex, Transports, WebSocketDialer};
use corestore_core::corestore::{Config, CoreName, Corestore, OpenCore, Outcome, Role};
use corestore_core::crypto::{CoreKey, DiscoveryKey};
use corestore_core::replication::ReplicatorConfig;
use js_sys::{Array, Function, Promise, Uint8Array};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;

/// An open store and its connections.
#[wasm_bindgen]
pub struct CorestoreHandle {
    driver: Driver,
    transports: Transports,
}

impl core::fmt::Debug for CorestoreHandle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CorestoreHandle").field("driver", &self.driver).finish_non_exhaustive()
    }
}

#[wasm_bindgen]
extern "C" {
    /// What `open` takes.
    #[derive(Debug)]
    pub type StoreOptions;
    #[wasm_bindgen(method, getter)]
    fn name(this: &StoreOptions) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = primaryKey)]
    fn primary_key(this: &StoreOptions) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn identity(this: &StoreOptions) -> JsValue;

    /// What `openCore` takes: one of `name`, `key`, `discoveryKey` and `seed`.
    #[derive(Debug)]
    pub type CoreOptions;
    #[wasm_bindgen(method, getter)]
    fn name(this: &CoreOptions) -> Option<String>;
    /// Names of namespaces, outermost first.
    #[wasm_bindgen(method, getter)]
    fn namespaces(this: &CoreOptions) -> Option<Vec<String>>;
    #[wasm_bindgen(method, getter)]
    fn key(this: &CoreOptions) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = discoveryKey)]
    fn discovery_key(this: &CoreOptions) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn seed(this: &CoreOptions) -> JsValue;
    #[wasm_bindgen(method, getter, js_name = encryptionKey)]
    fn encryption_key(this: &CoreOptions) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn create(this: &CoreOptions) -> bool;
    #[wasm_bindgen(method, getter, js_name = readOnly)]
    fn read_only(this: &CoreOptions) -> bool;
}

#[wasm_bindgen]
impl CorestoreHandle {
    /// Opens or creates the store `options.name`, or one in memory without a name. `listener` hears every event.
    ///
    /// # Errors
    /// A `CorestoreError` whose code begins with `STORAGE_`, or `BAD_ARGUMENT`.
    pub async fn open(options: StoreOptions, listener: Function) -> Result<Self, JsValue> {
        let config = Config {
            primary_key: optional_key(&options.primary_key(), "primaryKey")?,
            identity: optional_key(&options.identity(), "identity")?,
            replication: replication(),
            ..Config::default()
        };
        let driver = Driver::open(options.name(), config, entropy::seed()?, Events::new(listener)).await?;
        Ok(Self { driver, transports: Transports::default() })
    }

    /// 32 bytes shown to peers.
    #[wasm_bindgen(getter, js_name = publicKey)]
    pub fn public_key(&self) -> Uint8Array {
        to_js(self.driver.look(Corestore::public_key).as_ref())
    }

    /// Opens a session on a core; a promise of a [`HypercoreHandle`].
    ///
    /// # Errors
    /// `BAD_ARGUMENT` names the option that makes no sense.
    #[wasm_bindgen(js_name = openCore)]
    pub fn open_core(&self, options: &CoreOptions) -> Result<Promise, JsValue> {
        let request = OpenCore {
            name: core_name(options)?,
            encryption_key: optional_key(&options.encryption_key(), "encryptionKey")?,
            create: options.create(),
            compat: false,
            read_only: options.read_only(),
        };
        let request = self.driver.command(|machine| machine.open_core(request));
        Ok(promise(&self.driver, request, None, opened))
    }

    /// A promise of the discovery keys of every stored core.
    pub fn list(&self) -> Promise {
        let request = self.driver.command(Corestore::list);
        promise(&self.driver, request, None, |_, outcome| match outcome {
            Outcome::Cores(keys) => keys.iter().map(|key| to_js(key.as_ref())).collect::<Array>().into(),
            _ => JsValue::UNDEFINED,
        })
    }

    /// Dials a WebSocket, again and again if so wished; waits grow between two bounds in milliseconds. Gives the
    /// connection's number.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the address is none a WebSocket can have.
    pub fn dial(&self, url: String, initiator: bool, again: bool, min: f64, max: f64) -> Result<u32, JsValue> {
        self.start(Dialling::WebSocket { url, again }, initiator, (min, max))
    }

    /// Takes a transport that is there already. Gives the connection's number.
    ///
    /// # Errors
    /// When the browser gives no randomness.
    pub fn attach(&self, transport: JsValue, initiator: bool) -> Result<u32, JsValue> {
        let duplex: Duplex = transport.unchecked_into();
        self.start(Dialling::Once(RefCell::new(Some(duplex))), initiator, (0.0, 0.0))
    }

    /// Dials a connection now rather than later.
    pub fn redial(&self, connection: u32) {
        let transport = self.transports.borrow().get(&connection).cloned();
        transport.iter().for_each(|transport| transport.dial_now());
    }

    /// Ends a connection for good; it says so by an event.
    #[wasm_bindgen(js_name = hangUp)]
    pub fn hang_up(&self, connection: u32) {
        let transport = self.transports.borrow().get(&connection).cloned();
        transport.iter().for_each(|transport| transport.hang_up());
    }

    /// Forgets a connection that is over.
    pub fn forget(&self, connection: u32) {
        self.transports.borrow_mut().remove(&connection);
    }

    /// Bytes a connection took in and gave out.
    pub fn traffic(&self, connection: u32) -> Vec<f64> {
        let transports = self.transports.borrow();
        transports.get(&connection).map_or_else(|| vec![0.0, 0.0], |transport| transport.traffic().figures().to_vec())
    }

    /// Tells `download` or `upload` of every block, or no more; neither is told at first.
    pub fn listen(&self, event: &str, listened: bool) {
        self.driver.events().set_listened(event, listened);
    }

    /// Starts to write what else would wait for more, since the page may be gone soon.
    #[wasm_bindgen(js_name = writeOut)]
    pub fn write_out(&self) {
        self.driver.write_out();
    }

    /// Closes everything. What was acknowledged is stored; a promise of the rest being written too.
    pub fn close(&self) -> Promise {
        let transports = core::mem::take(&mut *self.transports.borrow_mut());
        transports.values().for_each(|transport| transport.hang_up());
        self.driver.close()
    }

    fn start(&self, dialling: Dialling, initiator: bool, waits: (f64, f64)) -> Result<u32, JsValue> {
        let role = if initiator { Role::Initiator } else { Role::Responder };
        let dialer = WebSocketDialer::start(&self.driver, dialling, role, waits)?;
        let number = dialer.number();
        self.transports.borrow_mut().insert(number, dialer);
        Ok(number)
    }
}

impl CorestoreHandle {
    pub(crate) fn driver(&self) -> &Driver {
        &self.driver
    }

    pub(crate) fn transports(&self) -> Transports {
        Transports::clone(&self.transports)
    }
}

/// A page answers by the task, not by the message: with few requests under way it would wait for most of the time.
fn replication() -> ReplicatorConfig {
    ReplicatorConfig { window: 512, max_window: 1024, window_bytes: 16 << 20, ..ReplicatorConfig::default() }
}

fn opened(driver: &Driver, outcome: Outcome) -> JsValue {
    match outcome {
        Outcome::Opened(session, info) => HypercoreHandle::new(driver, session, info).into(),
        _ => JsValue::UNDEFINED,
    }
}

fn core_name(options: &CoreOptions) -> Result<CoreName, JsValue> {
    if let Some(name) = options.name() {
        let namespaces = options.namespaces().unwrap_or_default();
        let namespace = namespaces.iter().fold(None, |parent, name| Some(Corestore::namespace(parent, name)));
        return Ok(CoreName::Name { namespace, name });
    }
    let key = optional_key(&options.key(), "key")?.map(|key| CoreName::Key(CoreKey(key)));
    let discovery_key = optional_key(&options.discovery_key(), "discoveryKey")?;
    let discovery_key = discovery_key.map(|key| CoreName::DiscoveryKey(DiscoveryKey(key)));
    let seed = optional_key(&options.seed(), "keyPair.seed")?.map(CoreName::KeyPair);
    key.or(discovery_key)
        .or(seed)
        .ok_or_else(|| error::bad_argument("Which core? Give one of name, key, discoveryKey and keyPair."))
}

fn optional_key(value: &JsValue, what: &str) -> Result<Option<[u8; 32]>, JsValue> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let wrong = || {
        let size = from_js(value).map_or_else(|| "no bytes".to_owned(), |bytes| format!("{} bytes", bytes.len()));
        error::bad_argument(&format!("{what} has to be 32 bytes, and is {size}."))
    };
    key_from_js(value).map(Some).ok_or_else(wrong)
}

/// Numbers for JavaScript.
pub(crate) fn pair(a: u64, b: u64) -> JsValue {
    Array::of2(&number(a).into(), &number(b).into()).into()
}
