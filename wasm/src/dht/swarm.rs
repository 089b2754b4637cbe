//! The driver of the swarm: carries out what the machine says, over a WebSocket that is dialled again when it ends.

use super::peer::RelayedPeer;
use super::relay_socket::RelaySocket;
use crate::bytes::to_js;
use crate::clock::{self, Timer};
use crate::driver::{Driver, FindingPeers, WeakDriver};
use crate::entropy;
use crate::events::Ending;
use crate::transport::{Backoff, Transports};
use ::bytes::Bytes;
use corestore_core::corestore::Role;
use corestore_core::crypto::{Hash, KeyPair, PublicKey};
use corestore_core::hyperswarm::LinkId;
use corestore_core::relay_client::{Config, RelayError, RelayedSwarm, SwarmOutput, page_swarm};
use corestore_core::stream::Split;
use corestore_core::time::{Duration, Instant};
use js_sys::Array;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

/// One swarm of a store's.
pub(super) struct Swarm {
    this: Weak<Self>,
    driver: WeakDriver,
    transports: Transports,
    number: u32,
    url: String,
    machine: RefCell<RelayedSwarm>,
    peers: RefCell<BTreeMap<LinkId, Rc<RelayedPeer>>>,
    socket: RefCell<Option<RelaySocket>>,
    backoff: RefCell<Backoff>,
    timer: RefCell<Option<Timer>>,
    redial: RefCell<Option<Timer>>,
    finding: RefCell<Option<FindingPeers>>,
    told: Cell<Option<Figures>>,
    over: Cell<bool>,
}

/// What JavaScript hears of when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    connections: usize,
    connecting: usize,
    known: usize,
    looking: bool,
    listening: bool,
    parted: bool,
}

impl Swarm {
    /// Dials the relay; waits between diallings grow from about `waits.0` to `waits.1` milliseconds.
    ///
    /// # Errors
    /// As of [`RelaySocket::dial`].
    pub(super) fn start(
        driver: &Driver,
        transports: Transports,
        (number, url): (u32, String),
        key_pair: KeyPair,
        waits: (f64, f64),
    ) -> Result<Rc<Self>, JsValue> {
        let machine = RelayedSwarm::new(Config::default(), page_swarm(), key_pair, entropy::seed()?);
        let backoff = Backoff::new(waits.0, waits.1, entropy::seed()?);
        let swarm = Rc::new_cyclic(|this| Self {
            this: this.clone(),
            driver: driver.downgrade(),
            transports,
            number,
            url,
            machine: RefCell::new(machine),
            peers: RefCell::default(),
            socket: RefCell::default(),
            backoff: RefCell::new(backoff),
            timer: RefCell::default(),
            redial: RefCell::default(),
            finding: RefCell::default(),
            told: Cell::new(None),
            over: Cell::new(false),
        });
        swarm.dial()?;
        swarm.pump();
        Ok(swarm)
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Tells the machine something, then does what it says.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut RelayedSwarm, Instant) -> T) -> T {
        let result = act(&mut self.machine.borrow_mut(), clock::now());
        self.pump();
        result
    }

    /// The same, and tells the figures even if nothing came of it: JavaScript counts on it.
    pub(super) fn ask(&self, ask: impl FnOnce(&mut RelayedSwarm, Instant)) {
        self.told.set(None);
        self.act(ask);
    }

    /// Bytes that wait in the transport to the relay.
    pub(super) fn backlog(&self) -> usize {
        self.socket.borrow().as_ref().map_or(0, RelaySocket::backlog)
    }

    /// The store ended a connection.
    pub(super) fn close(&self, link: LinkId) {
        self.peers.borrow_mut().remove(&link);
        self.act(|machine, now| machine.close(now, link));
    }

    /// Ends the swarm and every connection it brought.
    pub(super) fn destroy(&self) {
        if !self.over.replace(true) {
            self.redial.borrow_mut().take();
            self.timer.borrow_mut().take();
            self.let_go();
            self.finding.borrow_mut().take();
        }
    }

    /// Dials now, if it waits to.
    pub(super) fn dial_now(&self) {
        if self.redial.borrow_mut().take().is_some() {
            self.tell_state("connecting", &[]);
            if self.dial().is_err() {
                self.ended(&Ending::new("unreachable", "The browser does not let this page dial the relay."));
            }
            self.pump();
        }
    }

    fn dial(&self) -> Result<(), JsValue> {
        *self.socket.borrow_mut() = Some(RelaySocket::dial(&self.url, &self.this)?);
        Ok(())
    }

    pub(super) fn relay_opened(&self) {
        self.tell_state("open", &[]);
        self.act(|machine, now| machine.relay_opened(now));
    }

    pub(super) fn received(&self, bytes: &Bytes) {
        // Who answers is there: the next wait is a short one again.
        self.backoff.borrow_mut().reset();
        let result = self.act(|machine, now| machine.handle_message(now, bytes));
        self.check(result);
    }

    fn check(&self, result: Result<(), RelayError>) {
        if let Err(error) = result {
            let code = if error == RelayError::Silent { "timeout" } else { "violation" };
            self.ended(&Ending::new(code, format!("{error}.")));
        }
    }

    /// The transport is over.
    pub(super) fn ended(&self, reason: &Ending) {
        self.let_go();
        if self.over.get() || self.driver.upgrade().is_none_or(|driver| driver.is_closed()) {
            return;
        }
        let (attempt, delay) = self.backoff.borrow_mut().next();
        let this = self.this.clone();
        let at = clock::now().after(Duration::from_secs_f64(delay / 1000.0));
        *self.redial.borrow_mut() = Some(Timer::at(at, move || {
            // The timer is inside its own call: it must not be dropped before that returns.
            let this = this.clone();
            spawn_local(async move {
                if let Some(swarm) = this.upgrade() {
                    swarm.dial_now();
                }
            });
        }));
        let (code, message) = (reason.code.into(), reason.message.as_str().into());
        self.tell_state("reconnecting", &[code, message, delay.into(), attempt.into()]);
        self.pump();
    }

    fn let_go(&self) {
        let socket = self.socket.borrow_mut().take();
        if socket.is_some() {
            self.act(|machine, _| machine.relay_closed());
        }
        // Called from one of its own events, it may not be dropped before that returns.
        spawn_local(async move { drop(socket) });
    }

    fn pump(&self) {
        loop {
            let output = self.machine.borrow_mut().poll_output();
            match output {
                None => break,
                Some(SwarmOutput::Transmit(bytes)) => {
                    self.socket.borrow().iter().for_each(|socket| socket.send(&bytes));
                }
                Some(SwarmOutput::Connected { link, initiator, split, topics, relay }) => {
                    self.connected(link, initiator, split, (&topics, relay));
                }
                Some(SwarmOutput::Data { link, bytes }) => {
                    let peer = self.peers.borrow().get(&link).cloned();
                    peer.iter().for_each(|peer| peer.received(bytes.clone()));
                }
                Some(SwarmOutput::Closed { link, reason }) => {
                    let message = reason.unwrap_or_else(|| "The peer ended the connection.".to_owned());
                    let peer = self.peers.borrow_mut().remove(&link);
                    peer.iter().for_each(|peer| peer.lost(Ending::new("remote", message.clone())));
                }
            }
        }
        self.set_timer();
        self.tell_figures();
    }

    fn connected(&self, link: LinkId, initiator: bool, split: Box<Split>, (topics, relay): (&[Hash], bool)) {
        let Some(driver) = self.driver.upgrade().filter(|driver| !driver.is_closed()) else { return };
        let number = driver.events().new_connection();
        let peer = RelayedPeer::new(self.this.clone(), self.driver.clone(), (link, number), driver.finding_peers());
        let peer = Rc::new(peer);
        self.peers.borrow_mut().insert(link, Rc::clone(&peer));
        self.transports.borrow_mut().insert(number, Rc::<RelayedPeer>::clone(&peer));
        let topics: Array = topics.iter().map(|topic| to_js(topic.as_ref())).collect();
        let facts = [to_js(split.remote.as_ref()).into(), initiator.into(), relay.into(), topics.into()];
        driver.events().of_swarm("swarm-peer", self.number, number, &facts);
        let role = if initiator { Role::Initiator } else { Role::Responder };
        let connection = driver.connect(Rc::<RelayedPeer>::clone(&peer), role, Some(split));
        driver.events().dialled(connection, number);
        peer.started(connection);
    }

    fn set_timer(&self) {
        let deadline = self.machine.borrow().deadline();
        let mut timer = self.timer.borrow_mut();
        let Some(at) = deadline.filter(|_| !self.over.get()) else { return };
        // One that is due earlier finds nothing to do and is set anew.
        if timer.as_ref().is_none_or(|timer| timer.due() > at) {
            let this = self.this.clone();
            *timer = Some(Timer::at(at, move || {
                // The timer is inside its own call: it must not be dropped before that returns.
                let this = this.clone();
                spawn_local(async move {
                    if let Some(swarm) = this.upgrade() {
                        swarm.deadline_passed();
                    }
                });
            }));
        }
    }

    fn deadline_passed(&self) {
        self.timer.borrow_mut().take();
        let result = self.act(|machine, now| machine.handle_deadline(now));
        self.check(result);
    }

    /// Whether somebody may turn up soon without anything else happening.
    fn is_looking(&self, machine: &RelayedSwarm) -> bool {
        let dialling = self.socket.borrow().as_ref().is_some_and(RelaySocket::is_connecting);
        !self.over.get() && (dialling || (machine.has_relay() && !machine.status().settled))
    }

    fn tell_figures(&self) {
        let machine = self.machine.borrow();
        let status = machine.status();
        let figures = Figures {
            connections: status.connections,
            connecting: status.connecting,
            known: status.known,
            looking: self.is_looking(&machine),
            listening: machine.is_listening(),
            parted: machine.has_parted(),
        };
        let relay_key = machine.relay_key();
        drop(machine);
        if self.told.replace(Some(figures)) == Some(figures) {
            return;
        }
        let Some(driver) = self.driver.upgrade().filter(|driver| !driver.is_closed()) else { return };
        // Outside of the borrow: dropping it tells the store.
        let finding = match figures.looking {
            true => self.finding.borrow_mut().take().or_else(|| Some(driver.finding_peers())),
            false => None,
        };
        drop(self.finding.replace(finding));
        let relay_key = relay_key.map_or(JsValue::NULL, |key: PublicKey| to_js(key.as_ref()).into());
        let count = |count: usize| JsValue::from(u32::try_from(count).unwrap_or(u32::MAX));
        let facts = [
            count(figures.connections),
            count(figures.connecting),
            count(figures.known),
            figures.looking.into(),
            figures.listening.into(),
            figures.parted.into(),
            relay_key,
        ];
        driver.events().of_swarm("swarm-update", self.number, 0, &facts);
    }

    fn tell_state(&self, state: &str, more: &[JsValue]) {
        if let Some(driver) = self.driver.upgrade().filter(|driver| !driver.is_closed()) {
            let facts = [&[state.into()], more].concat();
            driver.events().of_swarm("swarm-state", self.number, 0, &facts);
        }
    }
}
