//! One byte stream: from the transport's events to facts, from the machine's outputs to the transport.

use super::contract::Traffic;
use super::duplex::Duplex;
use crate::bytes;
use crate::clock::{self, Timer};
use crate::driver::{Driver, WeakDriver};
use crate::events::Ending;
use ::bytes::Bytes;
use corestore_core::corestore::{CloseReason, ConnectionId, Input, Role};
use corestore_core::time::Duration;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{CloseEvent, MessageEvent};

/// A connection's way out, for the driver.
pub(crate) trait Link {
    /// Sends bytes.
    fn send(&self, bytes: &Bytes);
    /// Says how much waits in the transport.
    fn report(&self);
    /// The handshake is done.
    fn connected(&self);
    /// The machine ended the connection.
    fn end(&self, reason: &CloseReason);
}

/// Who hears of a pipe's fate.
pub(crate) trait PipeOwner {
    /// The handshake is done.
    fn connected(&self);
    /// It is over; called once.
    fn ended(&self, reason: Ending);
}

/// Called by the transport.
type Listener = Closure<dyn FnMut(JsValue)>;

/// One byte stream.
pub(crate) struct Pipe {
    driver: WeakDriver,
    duplex: Duplex,
    role: Role,
    number: u32,
    traffic: Rc<Traffic>,
    owner: Weak<dyn PipeOwner>,
    connection: Cell<Option<ConnectionId>>,
    over: Cell<bool>,
    listeners: RefCell<Vec<Listener>>,
    poll: RefCell<Option<Timer>>,
}

impl Pipe {
    /// Listens to `duplex`; once it is open it is a connection of the machine's.
    pub(crate) fn start(
        driver: &Driver,
        duplex: Duplex,
        (role, number): (Role, u32),
        traffic: Rc<Traffic>,
        owner: Weak<dyn PipeOwner>,
    ) -> Rc<Self> {
        let pipe = Rc::new(Self {
            driver: driver.downgrade(),
            duplex,
            role,
            number,
            traffic,
            owner,
            connection: Cell::new(None),
            over: Cell::new(false),
            listeners: RefCell::default(),
            poll: RefCell::default(),
        });
        pipe.listen();
        if !pipe.duplex.is_connecting() {
            pipe.opened();
        }
        pipe
    }

    /// Ends it from our side.
    pub(crate) fn destroy(self: &Rc<Self>) {
        match (self.connection.get(), self.driver.upgrade()) {
            (Some(connection), Some(driver)) => driver.command(|machine| machine.close_connection(connection)),
            _ => self.end(&CloseReason::Local),
        }
    }

    fn listen(self: &Rc<Self>) {
        let on_open = self.listener(|pipe, _| pipe.opened());
        let on_message = self.listener(|pipe, event| pipe.received(&event));
        let on_close = self.listener(|pipe, event| pipe.closed(&event));
        let on_error = self.listener(|pipe, event| pipe.closed(&event));
        self.duplex.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        self.duplex.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        self.duplex.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        self.duplex.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        *self.listeners.borrow_mut() = vec![on_open, on_message, on_close, on_error];
    }

    fn listener(self: &Rc<Self>, call: fn(&Rc<Self>, JsValue)) -> Closure<dyn FnMut(JsValue)> {
        let pipe = Rc::downgrade(self);
        Closure::new(move |event| {
            if let Some(pipe) = pipe.upgrade().filter(|pipe| !pipe.over.get()) {
                call(&pipe, event);
            }
        })
    }

    fn opened(self: &Rc<Self>) {
        let Some(driver) = self.driver.upgrade().filter(|_| self.connection.get().is_none()) else { return };
        let connection = driver.connect(Rc::<Self>::clone(self), self.role, None);
        self.connection.set(Some(connection));
        driver.events().dialled(connection, self.number);
    }

    fn received(self: &Rc<Self>, event: &JsValue) {
        let data = event.unchecked_ref::<MessageEvent>().data();
        let (Some(connection), Some(driver)) = (self.connection.get(), self.driver.upgrade()) else { return };
        match bytes::from_js(&data) {
            Some(bytes) => {
                self.traffic.came(bytes.len());
                driver.fact(Input::Received { connection, bytes });
            }
            None => self.over_with(Ending::new("violation", "The peer, or the transport, sent something but bytes.")),
        }
    }

    fn closed(&self, event: &JsValue) {
        let reason = match (self.connection.get(), event.dyn_ref::<CloseEvent>()) {
            (None, _) => {
                Ending::new("unreachable", "The peer could not be reached: is the address right, and does it run?")
            }
            (Some(_), Some(event)) if !event.reason().is_empty() => {
                Ending::new("remote", format!("The peer ended the connection: {}", event.reason()))
            }
            (Some(_), _) => Ending::from(&CloseReason::Remote),
        };
        self.over_with(reason);
    }

    /// Lets the transport go and says so to machine and owner.
    fn over_with(&self, reason: Ending) {
        if self.over.replace(true) {
            return;
        }
        self.duplex.set_onopen(None);
        self.duplex.set_onmessage(None);
        self.duplex.set_onclose(None);
        self.duplex.set_onerror(None);
        self.poll.borrow_mut().take();
        // Closing what is closed is fine.
        let _ = self.duplex.close();
        if let (Some(connection), Some(driver)) = (self.connection.get(), self.driver.upgrade()) {
            driver.fact(Input::Closed { connection });
        }
        if let Some(owner) = self.owner.upgrade() {
            // What the machine says of its end (peers that go) is told first.
            spawn_local(async move { owner.ended(reason) });
        }
    }
}

impl Link for Pipe {
    fn send(&self, bytes: &Bytes) {
        if self.over.get() {
            return;
        }
        self.traffic.went(bytes.len());
        // A transport that is closing says so by its own event.
        let _ = self.duplex.send(&bytes::to_js(bytes));
    }

    fn report(&self) {
        let (Some(connection), Some(driver)) = (self.connection.get(), self.driver.upgrade()) else { return };
        if self.over.get() {
            return;
        }
        let backlog = self.duplex.backlog();
        driver.fact(Input::Writable { connection, backlog });
        // Transports do not say when they have sent: look again.
        let links = self.driver.clone();
        let again = (backlog > 0).then(|| {
            Timer::at(clock::now().after(POLL), move || {
                if let Some(driver) = links.upgrade() {
                    driver.report_later(connection);
                }
            })
        });
        *self.poll.borrow_mut() = again;
    }

    fn connected(&self) {
        if let Some(owner) = self.owner.upgrade() {
            owner.connected();
        }
    }

    fn end(&self, reason: &CloseReason) {
        self.over_with(Ending::from(reason));
    }
}

/// How long until a transport's backlog is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(20);
