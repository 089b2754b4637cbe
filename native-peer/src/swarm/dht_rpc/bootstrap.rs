//! The first query: finds our place, and whether our port is open already.

use super::machine::{DhtRpc, internal};
use super::output::{Event, RequestSettings};
use super::query::Kind;
use super::requests::Purpose;
use bytes::Bytes;
use corestore_core::dht::InternalCommand;
use corestore_core::time::Instant;
use std::net::SocketAddrV4;

/// How far bootstrapping got.
#[derive(Debug)]
pub(super) struct Bootstrap {
    rounds: u32,
    /// The first node that answers is asked whether it reaches our server socket.
    probe: bool,
    probe_answered: bool,
    done: bool,
}

impl Bootstrap {
    pub(super) fn new(probe: bool) -> Self {
        Self { rounds: 0, probe, probe_answered: false, done: false }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn probe_answered(&mut self) {
        self.probe_answered = true;
    }
}

impl DhtRpc {
    pub(super) fn start_bootstrap(&mut self, now: Instant) {
        self.bootstrap.rounds = self.bootstrap.rounds.saturating_add(1);
        let own = self.nodes.own_id();
        self.background_query(now, own, Kind::Bootstrap);
    }

    /// A node answered the first query.
    pub(super) fn bootstrap_reply(&mut self, now: Instant, from: SocketAddrV4) {
        if std::mem::take(&mut self.bootstrap.probe) {
            let settings = self.ping_nat();
            self.begin(now, from, None, settings, Purpose::BootstrapProbe);
        }
    }

    /// The first query is over.
    pub(super) fn bootstrap_queried(&mut self, now: Instant) {
        let lasting = self.config.ephemeral == Some(false);
        if self.bootstrap.done || (!self.bootstrap.probe_answered && !lasting) {
            self.finish_bootstrap();
        } else {
            self.update_network_state(now, !lasting, true);
        }
    }

    /// It is known whether our port is open: if so, our id is another one and our place too.
    pub(super) fn bootstrap_checked(&mut self, now: Instant, open: bool) {
        if open && self.bootstrap.rounds < ROUNDS {
            self.start_bootstrap(now);
        } else {
            self.finish_bootstrap();
        }
    }

    fn finish_bootstrap(&mut self) {
        if !std::mem::replace(&mut self.bootstrap.done, true) {
            self.event(Event::Bootstrapped);
        }
    }

    /// Asks whether a datagram from elsewhere reaches our server socket.
    pub(super) fn ping_nat(&self) -> RequestSettings {
        let port = Bytes::copy_from_slice(&self.config.server_port.to_le_bytes());
        RequestSettings { value: Some(port), ..internal(InternalCommand::PingNat) }
    }
}

const ROUNDS: u32 = 2;
