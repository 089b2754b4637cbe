//! A WebSocket that is dialled again when it ends; and a transport that is there already, which is not.

use super::backoff::Backoff;
use super::contract::{Traffic, Transport};
use super::duplex::Duplex;
use super::pipe::{Pipe, PipeOwner};
use crate::clock::{self, Timer};
use crate::driver::{Driver, FindingPeers, WeakDriver};
use crate::entropy;
use crate::error;
use crate::events::Ending;
use corestore_core::corestore::Role;
use corestore_core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{BinaryType, WebSocket};

/// Where a connection's byte streams come from.
pub(crate) enum Dialling {
    /// A transport that is there already.
    Once(RefCell<Option<Duplex>>),
    /// A WebSocket to this address, dialled again if so wished.
    WebSocket { url: String, again: bool },
}

/// One connection over its diallings.
pub(crate) struct WebSocketDialer {
    this: Weak<Self>,
    driver: WeakDriver,
    dialling: Dialling,
    role: Role,
    number: u32,
    traffic: Rc<Traffic>,
    backoff: RefCell<Backoff>,
    pipe: RefCell<Option<Rc<Pipe>>>,
    finding: RefCell<Option<FindingPeers>>,
    timer: RefCell<Option<Timer>>,
    over: Cell<bool>,
}

impl WebSocketDialer {
    /// Dials; waits between diallings grow from about `waits.0` to `waits.1` milliseconds.
    ///
    /// # Errors
    /// `BAD_ARGUMENT` when the address is none a WebSocket can have.
    pub(crate) fn start(
        driver: &Driver,
        dialling: Dialling,
        role: Role,
        waits: (f64, f64),
    ) -> Result<Rc<Self>, JsValue> {
        let backoff = Backoff::new(waits.0, waits.1, entropy::seed()?);
        let dialer = Rc::new_cyclic(|this| Self {
            this: this.clone(),
            driver: driver.downgrade(),
            dialling,
            role,
            number: driver.events().new_connection(),
            traffic: Rc::default(),
            backoff: RefCell::new(backoff),
            pipe: RefCell::default(),
            finding: RefCell::default(),
            timer: RefCell::default(),
            over: Cell::new(false),
        });
        dialer.dial(driver)?;
        Ok(dialer)
    }

    /// Its number in events.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    fn dial(&self, driver: &Driver) -> Result<(), JsValue> {
        let duplex = match &self.dialling {
            Dialling::Once(duplex) => duplex.borrow_mut().take().ok_or_else(error::closed)?,
            Dialling::WebSocket { url, .. } => {
                let socket = WebSocket::new(url).map_err(|_| error::bad_argument(&not_an_address(url)))?;
                socket.set_binary_type(BinaryType::Arraybuffer);
                JsValue::from(socket).unchecked_into()
            }
        };
        *self.finding.borrow_mut() = Some(driver.finding_peers());
        let pipe = Pipe::start(driver, duplex, (self.role, self.number), Rc::clone(&self.traffic), self.this.clone());
        *self.pipe.borrow_mut() = Some(pipe);
        Ok(())
    }

    fn dial_again(&self) {
        let Some(driver) = self.driver.upgrade().filter(|_| !self.over.get()) else { return };
        driver.events().connecting(self.number);
        if self.dial(&driver).is_err() {
            self.ended(Ending::new("unreachable", "The browser does not let this page dial that address."));
        }
    }

    fn dial_after(&self, delay: f64) {
        let this = self.this.clone();
        let at = clock::now().after(Duration::from_secs_f64(delay / 1000.0));
        *self.timer.borrow_mut() = Some(Timer::at(at, move || {
            // The timer is inside its own call: it must not be dropped before that returns.
            let this = this.clone();
            spawn_local(async move {
                if let Some(dialer) = this.upgrade() {
                    dialer.dial_now();
                }
            });
        }));
    }

    fn tell_closed(&self, reason: &Ending) {
        if let Some(driver) = self.driver.upgrade() {
            driver.events().closed(self.number, reason);
        }
    }
}

impl Transport for WebSocketDialer {
    fn dial_now(&self) {
        if self.timer.borrow_mut().take().is_some() {
            self.dial_again();
        }
    }

    fn hang_up(&self) {
        if self.over.replace(true) {
            return;
        }
        self.timer.borrow_mut().take();
        self.finding.borrow_mut().take();
        let pipe = self.pipe.borrow_mut().take();
        match pipe {
            Some(pipe) => pipe.destroy(),
            None => self.tell_closed(&Ending::new("local", "We closed the connection.")),
        }
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

impl PipeOwner for WebSocketDialer {
    fn connected(&self) {
        self.finding.borrow_mut().take();
        self.backoff.borrow_mut().reset();
    }

    fn ended(&self, reason: Ending) {
        self.pipe.borrow_mut().take();
        self.finding.borrow_mut().take();
        let again = matches!(self.dialling, Dialling::WebSocket { again: true, .. });
        let open = self.driver.upgrade().filter(|driver| !driver.is_closed());
        // Dialling ourselves again would find ourselves again.
        match open.filter(|_| again && !self.over.get() && reason.code != "duplicate") {
            Some(driver) => {
                let (attempt, delay) = self.backoff.borrow_mut().next();
                self.dial_after(delay);
                driver.events().reconnecting(self.number, &reason, delay, attempt);
            }
            None => {
                self.over.set(true);
                self.tell_closed(&reason);
            }
        }
    }
}

fn not_an_address(url: &str) -> String {
    format!("\"{url}\" is no WebSocket address: write ws://HOST:PORT, or wss:// on a secure page.")
}
