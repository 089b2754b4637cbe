//! The driver: owns one machine, carries out what it says, tells it what happened.
//!
//! Commands and facts go in at once; outputs are carried out together at the end of the turn (a microtask; after bytes
//! from a peer a task, so that a burst of messages is one turn), so that they share a storage transaction and a message
//! on the wire. The machine is never borrowed
//! while JavaScript runs.

use crate::clock::{self, Timer};
use crate::error;
use crate::events::Events;
use crate::promise::Waiter;
use crate::storage::{Answers, JOURNAL_BYTES, Store};
use crate::task::Task;
use crate::transport::Link;
use core::fmt;
use corestore_core::corestore::{
    CloseReason, Config, ConnectionId, Corestore as Machine, Event, Input, Output, RequestId, Role,
};
use corestore_core::storage::OpId;
use corestore_core::stream::Split;
use js_sys::Promise;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// Owner of a machine and its store.
#[derive(Clone)]
pub(crate) struct Driver(Rc<Inner>);

/// A driver that may be gone.
#[derive(Clone)]
pub(crate) struct WeakDriver(Weak<Inner>);

struct Inner {
    machine: RefCell<Machine>,
    store: RefCell<Store>,
    events: Events,
    waiters: RefCell<BTreeMap<RequestId, Waiter>>,
    links: RefCell<BTreeMap<ConnectionId, Rc<dyn Link>>>,
    timer: RefCell<Option<Timer>>,
    turn_scheduled: Cell<bool>,
    /// Begins a turn once the messages that wait at the transports are in.
    burst: Task,
    burst_scheduled: Cell<bool>,
    turns: Cell<u64>,
    last_connection: Cell<u64>,
    closed: Cell<bool>,
}

/// Peers are being looked for as long as this lives.
pub(crate) struct FindingPeers(WeakDriver);

impl Drop for FindingPeers {
    fn drop(&mut self) {
        if let Some(driver) = self.0.upgrade() {
            driver.command(Machine::stop_finding_peers);
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

impl Driver {
    /// Opens the IndexedDB store `name`, or one in memory, and starts a machine on it.
    pub(crate) async fn open(
        name: Option<String>,
        config: Config,
        seed: [u8; 32],
        events: Events,
    ) -> Result<Self, JsValue> {
        let inner: Rc<RefCell<Weak<Inner>>> = Rc::default();
        let store = match name {
            None => Store::memory(),
            Some(name) => Store::indexed_db(&name, JOURNAL_BYTES, answers(&inner)).await?,
        };
        let driver = Self(Rc::new(Inner {
            machine: RefCell::new(Machine::new(config, seed, clock::now())),
            store: RefCell::new(store),
            events,
            waiters: RefCell::default(),
            links: RefCell::default(),
            timer: RefCell::default(),
            turn_scheduled: Cell::new(false),
            burst: Task::new(burst_over(&inner))?,
            burst_scheduled: Cell::new(false),
            turns: Cell::new(0),
            last_connection: Cell::new(0),
            closed: Cell::new(false),
        }));
        *inner.borrow_mut() = Rc::downgrade(&driver.0);
        driver.turn();
        Ok(driver)
    }

    pub(crate) fn downgrade(&self) -> WeakDriver {
        WeakDriver(Rc::downgrade(&self.0))
    }

    /// Gives the machine a command; what comes of it is carried out at the end of this turn.
    pub(crate) fn command<T>(&self, command: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.0.machine.borrow_mut();
        machine.set_now(clock::now());
        let result = command(&mut machine);
        drop(machine);
        self.schedule_turn();
        result
    }

    /// Says that peers are being looked for, until what it gives is dropped.
    pub(crate) fn finding_peers(&self) -> FindingPeers {
        self.command(Machine::start_finding_peers);
        FindingPeers(self.downgrade())
    }

    /// Looks at the machine.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Machine) -> T) -> T {
        look(&self.0.machine.borrow())
    }

    /// Settles `waiter` when `request` is resolved.
    pub(crate) fn wait(&self, request: RequestId, waiter: Waiter) {
        if self.0.closed.get() {
            waiter.fail(&error::closed());
        } else {
            self.0.waiters.borrow_mut().insert(request, waiter);
        }
    }

    /// Grows whenever something may have changed.
    pub(crate) fn turns(&self) -> u64 {
        self.0.turns.get()
    }

    /// Who hears of events.
    pub(crate) fn events(&self) -> &Events {
        &self.0.events
    }

    /// A byte stream to a peer is up; with `split` a handshake was made on it already.
    pub(crate) fn connect(&self, link: Rc<dyn Link>, role: Role, split: Option<Box<Split>>) -> ConnectionId {
        let id = self.0.last_connection.get().saturating_add(1);
        self.0.last_connection.set(id);
        let connection = ConnectionId(id);
        self.0.links.borrow_mut().insert(connection, link);
        self.fact(match split {
            None => Input::Opened { connection, role },
            Some(split) => Input::Secured { connection, role, split },
        });
        connection
    }

    /// Tells the machine of a byte stream. Messages that came together are answered together.
    pub(crate) fn fact(&self, input: Input) {
        if self.0.closed.get() {
            return;
        }
        let received = matches!(input, Input::Received { .. });
        if let Input::Closed { connection } = &input {
            self.0.links.borrow_mut().remove(connection);
        }
        self.0.machine.borrow_mut().handle_input(clock::now(), input);
        if received {
            self.schedule_burst();
        } else {
            self.schedule_turn();
        }
    }

    /// Writes what waits at once, since the page may be gone soon.
    pub(crate) fn write_out(&self) {
        if !self.0.closed.get() {
            self.turn();
            self.0.store.borrow().write_out();
        }
    }

    /// Looks at a transport's backlog again, at the end of the task.
    pub(crate) fn report_later(&self, connection: ConnectionId) {
        let link = self.0.links.borrow().get(&connection).cloned();
        if let Some(link) = link {
            spawn_local(async move { link.report() });
        }
    }

    /// True after [`Self::close`].
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// Closes every connection, fails what waits and lets the store go; a promise of everything being written.
    pub(crate) fn close(&self) -> Promise {
        if self.0.closed.replace(true) {
            return Promise::resolve(&JsValue::UNDEFINED);
        }
        let links = core::mem::take(&mut *self.0.links.borrow_mut());
        links.values().for_each(|link| link.end(&CloseReason::Local));
        let waiters = core::mem::take(&mut *self.0.waiters.borrow_mut());
        waiters.into_values().for_each(|waiter| waiter.fail(&error::closed()));
        self.0.timer.borrow_mut().take();
        self.0.store.borrow().close()
    }

    fn schedule_turn(&self) {
        self.0.turns.set(self.0.turns.get().wrapping_add(1));
        if !self.0.turn_scheduled.replace(true) {
            let driver = self.clone();
            spawn_local(async move { driver.turn() });
        }
    }

    fn schedule_burst(&self) {
        self.0.turns.set(self.0.turns.get().wrapping_add(1));
        if !self.0.burst_scheduled.replace(true) {
            self.0.burst.post();
        }
    }

    /// Carries out everything the machine says.
    fn turn(&self) {
        self.0.turn_scheduled.set(false);
        let mut told = Vec::new();
        let mut sent = Vec::new();
        let deadline = loop {
            let output = self.0.machine.borrow_mut().poll_output();
            match output {
                Output::Idle { deadline } => break deadline,
                Output::Event(event) => told.push(event),
                Output::Storage { op, request } => {
                    let answer = self.0.store.borrow_mut().execute(op, request);
                    if let Some(result) = answer {
                        self.0.machine.borrow_mut().handle_input(clock::now(), Input::Stored { op, result });
                    }
                }
                Output::Transmit { connection, bytes } => {
                    let link = self.0.links.borrow().get(&connection).cloned();
                    if let Some(link) = link {
                        link.send(&bytes);
                        sent.push((connection, link));
                    }
                }
                Output::Close { connection, reason } => {
                    let link = self.0.links.borrow_mut().remove(&connection);
                    if let Some(link) = link {
                        link.end(&reason);
                    }
                }
            }
        };
        self.0.store.borrow().flush();
        self.0.turns.set(self.0.turns.get().wrapping_add(1));
        self.set_timer(deadline);
        told.into_iter().for_each(|event| self.tell(event));
        sent.dedup_by_key(|(connection, _)| *connection);
        sent.iter().for_each(|(_, link)| link.report());
    }

    fn tell(&self, event: Event) {
        match event {
            Event::Resolved { request, result } => {
                let waiter = self.0.waiters.borrow_mut().remove(&request);
                if let Some(waiter) = waiter {
                    waiter.settle(self, result);
                }
            }
            event => {
                if let Event::Connected { connection, .. } = &event {
                    let link = self.0.links.borrow().get(connection).cloned();
                    link.iter().for_each(|link| link.connected());
                }
                self.0.events.tell(event);
            }
        }
    }

    fn set_timer(&self, deadline: Option<corestore_core::time::Instant>) {
        let mut timer = self.0.timer.borrow_mut();
        let Some(at) = deadline.filter(|_| !self.0.closed.get()) else { return };
        // One that is due earlier finds nothing to do and is set anew.
        if timer.as_ref().is_none_or(|timer| timer.due() > at) {
            let driver = self.downgrade();
            *timer = Some(Timer::at(at, move || {
                if let Some(driver) = driver.upgrade() {
                    driver.deadline_passed();
                }
            }));
        }
    }

    fn deadline_passed(&self) {
        // The timer is inside its own call: it must not be dropped before that returns.
        let driver = self.clone();
        spawn_local(async move {
            driver.0.timer.borrow_mut().take();
            driver.fact(Input::Deadline);
        });
    }
}

impl WeakDriver {
    pub(crate) fn upgrade(&self) -> Option<Driver> {
        self.0.upgrade().map(Driver)
    }
}

/// Carries out what came of a burst of messages.
fn burst_over(inner: &Rc<RefCell<Weak<Inner>>>) -> impl FnMut() + 'static {
    let inner = Rc::clone(inner);
    move || {
        if let Some(driver) = inner.borrow().upgrade().map(Driver) {
            driver.0.burst_scheduled.set(false);
            driver.turn();
        }
    }
}

/// Hands the store's later answers to the machine.
fn answers(inner: &Rc<RefCell<Weak<Inner>>>) -> Answers {
    let inner = Rc::clone(inner);
    Rc::new(move |answers: Vec<(OpId, _)>| {
        let Some(driver) = inner.borrow().upgrade().map(Driver) else { return };
        for (op, result) in answers {
            driver.0.machine.borrow_mut().handle_input(clock::now(), Input::Stored { op, result });
        }
        // Nothing else is on the stack: carry it out at once.
        if !driver.0.turn_scheduled.replace(true) {
            driver.turn();
        }
    })
}
