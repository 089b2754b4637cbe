//! Who is asked when the DHT needs somebody else's key: one session, and in it one stream, server or query.

use super::said::Said;
use super::session::Part;
use crate::swarm::hyperdht::{Event, Foreign, ServerId};
use crate::swarm::member::{Member, MemberListener};
use corestore_core::crypto::PublicKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The sessions of a gateway, and what they listen for.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u32,
    sessions: BTreeMap<u32, mpsc::Sender<Said>>,
    servers: BTreeMap<ServerId, u64>,
    listening: BTreeMap<PublicKey, (ServerId, u64)>,
}

/// A session's place at the hub, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Arc<Hub>,
    pub(super) number: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hub.lock().sessions.remove(&self.number);
    }
}

impl Seat {
    /// The holder's name of one part of this session.
    pub(super) fn holder(&self, part: Part) -> u64 {
        u64::from(self.number) << 32 | u64::from(part.0)
    }

    /// Listens under a key, instead of whoever does.
    pub(super) fn listen(&self, member: &Member, key: PublicKey, server: Part) -> Option<MemberListener> {
        let foreign = Foreign { key, holder: self.holder(server) };
        let before = self.hub.lock().listening.remove(&key);
        if let Some((earlier, holder)) = before {
            // Its announcement is not taken back: it is ours in a moment.
            self.hub.say(holder, Said::Superseded);
            member.act(|dht, now| dht.close_server(now, earlier));
        }
        let listener = member.listen(foreign, crate::swarm::hyperdht::ServerSettings::default())?;
        let mut state = self.hub.lock();
        state.servers.insert(listener.id(), foreign.holder);
        state.listening.insert(key, (listener.id(), foreign.holder));
        Some(listener)
    }

    /// A server of this session is over.
    pub(super) fn closed(&self, key: &PublicKey, server: ServerId) {
        let mut state = self.hub.lock();
        state.servers.remove(&server);
        if state.listening.get(key).is_some_and(|(listening, _)| *listening == server) {
            state.listening.remove(key);
        }
    }
}

impl Hub {
    /// Gives a new session its place.
    pub(super) fn sit(self: &Arc<Self>, inbox: mpsc::Sender<Said>) -> Seat {
        let mut state = self.lock();
        loop {
            state.next = state.next.wrapping_add(1);
            let number = state.next;
            if number != 0 && !state.sessions.contains_key(&number) {
                state.sessions.insert(number, inbox);
                return Seat { hub: Arc::clone(self), number };
            }
        }
    }

    /// True when the session took it. A session that is behind by so much goes without.
    fn say(&self, holder: u64, said: impl FnOnce(Part) -> Said) -> bool {
        let session = u32::try_from(holder >> 32).unwrap_or_default();
        let part = Part(u32::try_from(holder & u64::from(u32::MAX)).unwrap_or_default());
        let inbox = self.lock().sessions.get(&session).cloned();
        inbox.is_some_and(|inbox| inbox.try_send(said(part)).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the DHT's questions on, until the member ends.
pub(super) async fn run(hub: Arc<Hub>, member: Member) {
    let mut events = member.events();
    while let Some(event) = events.recv().await {
        match event {
            Event::Sign { signature, owner, signable } => {
                let said = hub.say(owner.holder, |part| Said::Sign(part, signature, Box::new(signable)));
                if !said {
                    member.act(|dht, now| dht.signed(now, signature, None));
                }
            }
            Event::ReadHandshake { connection, owner, noise } => {
                let said = hub.say(owner.holder, |part| Said::ReadHandshake(part, connection, noise));
                if !said {
                    member.act(|dht, now| dht.handshake_read(now, connection, None));
                }
            }
            // When nobody writes it, it is given up in time.
            Event::WriteHandshake { connection, owner, payload } => {
                hub.say(owner.holder, |part| Said::WriteHandshake(part, connection, payload));
            }
            Event::Announced { server, relays } => {
                let holder = hub.lock().servers.get(&server).copied();
                if let Some(holder) = holder {
                    hub.say(holder, |part| Said::Announced(part, relays));
                }
            }
            _ => {}
        }
    }
}
