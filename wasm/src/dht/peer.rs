//! A peer by way of the relay: a byte stream of the store's, like any other.

use super::swarm::Swarm;
use crate::clock::{self, Timer};
use crate::driver::{FindingPeers, WeakDriver};
use crate::events::Ending;
use crate::transport::{Link, POLL, Traffic, Transport};
use ::bytes::Bytes;
use corestore_core::corestore::{CloseReason, ConnectionId, Input};
use corestore_core::hyperswarm::LinkId;
use std::cell::{Cell, RefCell};
use std::rc::Weak;
use wasm_bindgen_futures::spawn_local;

pub(super) struct RelayedPeer {
    swarm: Weak<Swarm>,
    driver: WeakDriver,
    link: LinkId,
    number: u32,
    traffic: Traffic,
    connection: Cell<Option<ConnectionId>>,
    finding: RefCell<Option<FindingPeers>>,
    over: Cell<bool>,
    poll: RefCell<Option<Timer>>,
}

impl RelayedPeer {
    pub(super) fn new(
        swarm: Weak<Swarm>,
        driver: WeakDriver,
        (link, number): (LinkId, u32),
        finding: FindingPeers,
    ) -> Self {
        Self {
            swarm,
            driver,
            link,
            number,
            traffic: Traffic::default(),
            connection: Cell::new(None),
            finding: RefCell::new(Some(finding)),
            over: Cell::new(false),
            poll: RefCell::default(),
        }
    }

    /// It is a connection of the store's from now on.
    pub(super) fn started(&self, connection: ConnectionId) {
        self.connection.set(Some(connection));
    }

    pub(super) fn received(&self, bytes: Bytes) {
        let (Some(connection), Some(driver)) = (self.connection.get(), self.driver.upgrade()) else { return };
        self.traffic.came(bytes.len());
        driver.fact(Input::Received { connection, bytes });
    }

    /// The other side, or the relay, ended it.
    pub(super) fn lost(&self, reason: Ending) {
        if !self.over.replace(true) {
            if let (Some(connection), Some(driver)) = (self.connection.get(), self.driver.upgrade()) {
                driver.fact(Input::Closed { connection });
            }
            self.tell_closed(reason);
        }
    }

    fn tell_closed(&self, reason: Ending) {
        self.poll.borrow_mut().take();
        self.finding.borrow_mut().take();
        let Some(driver) = self.driver.upgrade() else { return };
        let number = self.number;
        // What the machine says of its end (peers that go) is told first.
        spawn_local(async move { driver.events().closed(number, &reason) });
    }
}

impl Link for RelayedPeer {
    fn send(&self, bytes: &Bytes) {
        if let Some(swarm) = self.swarm.upgrade().filter(|_| !self.over.get()) {
            self.traffic.went(bytes.len());
            swarm.act(|machine, _| machine.send(self.link, bytes));
        }
    }

    /// All peers of a relay share its transport, and what waits there.
    fn report(&self) {
        let (Some(connection), Some(driver)) = (self.connection.get(), self.driver.upgrade()) else { return };
        let Some(swarm) = self.swarm.upgrade().filter(|_| !self.over.get()) else { return };
        let backlog = swarm.backlog();
        driver.fact(Input::Writable { connection, backlog });
        let driver = self.driver.clone();
        let again = (backlog > 0).then(|| {
            Timer::at(clock::now().after(POLL), move || {
                if let Some(driver) = driver.upgrade() {
                    driver.report_later(connection);
                }
            })
        });
        *self.poll.borrow_mut() = again;
    }

    fn connected(&self) {
        self.finding.borrow_mut().take();
    }

    fn end(&self, reason: &CloseReason) {
        if !self.over.replace(true) {
            if let Some(swarm) = self.swarm.upgrade() {
                swarm.close(self.link);
            }
            self.tell_closed(Ending::from(reason));
        }
    }
}

impl Transport for RelayedPeer {
    fn hang_up(&self) {
        match (self.connection.get(), self.driver.upgrade()) {
            (Some(connection), Some(driver)) => driver.command(|machine| machine.close_connection(connection)),
            _ => self.end(&CloseReason::Local),
        }
    }

    fn dial_now(&self) {}

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}
