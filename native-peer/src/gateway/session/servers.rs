//! The client's servers: only the holder of a key is listened for, and he is asked to prove that he has it.

use super::machine::Session;
use super::output::{Fault, Part, Request};
use super::signatures::Purpose;
use corestore_core::crypto::{Hash, PublicKey};
use corestore_core::dht::DhtRelayMessage as Message;
use corestore_core::time::{Duration, Instant};
use std::net::SocketAddrV4;

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) client: u32,
    pub(super) key: PublicKey,
    state: State,
    /// Nodes that keep its record.
    relays: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client is to prove that it has the key.
    Challenged,
    Listening {
        told: bool,
    },
    /// Its records are taken back, for which the client signs; at the latest then it is over.
    Closing {
        until: Instant,
        signed: usize,
    },
}

impl Server {
    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening { .. })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Closing { until, .. } => Some(until),
            State::Challenged | State::Listening { .. } => None,
        }
    }
}

impl Session {
    pub(super) fn listen(&mut self, now: Instant, client: u32, key: PublicKey) -> Result<(), Fault> {
        if self.servers.len() >= self.limits.servers {
            return Err(Fault::TooManyServers);
        }
        if self.servers.values().any(|server| server.client == client) {
            return Ok(());
        }
        let server = Part(self.number());
        self.servers.insert(server, Server { client, key, state: State::Challenged, relays: 0 });
        let (node, token) = (Hash(self.entropy.array()), Hash(self.entropy.array()));
        let purpose = Purpose::Challenge { server, node, token };
        if let Some(id) = self.ask_signature(now, purpose) {
            self.send(&Message::SignAnnounce { id, signee: client, token, node, relay_addresses: Vec::new() });
        }
        Ok(())
    }

    /// The client has proven, or has not, that it has the key.
    pub(super) fn proven(&mut self, server: Part, proven: bool) -> Result<(), Fault> {
        let Some(entry) = self.servers.get_mut(&server) else { return Ok(()) };
        if entry.state != State::Challenged {
            return Ok(());
        }
        if !proven {
            return Err(Fault::NotTheHolder);
        }
        entry.state = State::Listening { told: false };
        let key = entry.key;
        self.request(Request::Listen { server, key });
        Ok(())
    }

    /// The server was announced at so many nodes. `address` is where we are reached.
    pub fn announced(&mut self, server: Part, relays: usize, address: SocketAddrV4) {
        let Some(entry) = self.servers.get_mut(&server) else { return };
        entry.relays = relays;
        if entry.state == (State::Listening { told: false }) && relays > 0 {
            entry.state = State::Listening { told: true };
            let remote_alias = entry.client;
            self.tell(&Message::Listening { alias: server.0, remote_alias, address });
        }
    }

    pub(super) fn close_server(&mut self, now: Instant, client: u32) {
        let found = self.servers.iter_mut().find(|(_, server)| server.client == client);
        let Some((server, entry)) = found.map(|(server, entry)| (*server, entry)) else { return };
        match entry.state {
            State::Closing { .. } => {}
            State::Challenged => self.server_ended(server),
            State::Listening { .. } => {
                entry.state = State::Closing { until: now.after(TAKING_BACK), signed: 0 };
                self.request(Request::CloseServer(server));
            }
        }
    }

    /// The client signed the end of an announcement of this server's.
    pub(super) fn taken_back(&mut self, server: Part) {
        let Some(entry) = self.servers.get_mut(&server) else { return };
        if let State::Closing { signed, .. } = &mut entry.state {
            *signed = signed.saturating_add(1);
            if *signed >= entry.relays {
                self.server_ended(server);
            }
        }
    }

    pub(super) fn close_due_servers(&mut self, now: Instant) {
        let due = self.servers.iter().filter(|(_, server)| server.deadline().is_some_and(|at| at <= now));
        due.map(|(server, _)| *server).collect::<Vec<_>>().into_iter().for_each(|server| self.server_ended(server));
    }

    /// A server is no more: it was closed, or another connection listens under its key.
    pub fn server_ended(&mut self, server: Part) {
        if self.servers.remove(&server).is_some() {
            self.forget_handshakes_of(server);
            self.tell(&Message::Closed { alias: server.0 });
        }
    }
}

/// How long taking announcements back may hold up `closed`.
const TAKING_BACK: Duration = Duration::from_secs(2);
