//! The client's Noise handshakes: it writes and reads the messages, the DHT carries them.

use super::machine::Session;
use super::output::{Output, Part, Request};
use crate::swarm::hyperdht::{ConnectionId, ReadHandshake};
use bytes::Bytes;
use corestore_core::crypto::PublicKey;
use corestore_core::dht::{DhtRelayMessage as Message, HandshakePayload, NoiseProgress};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::time::Instant;

/// One handshake.
#[derive(Debug)]
pub(super) struct Noise {
    connection: ConnectionId,
    /// The stream that calls, or the server that is called.
    owner: Part,
    /// Who is on the other side, once that is known.
    remote: Option<PublicKey>,
    asked: Asked,
    /// When it is given up.
    pub(super) until: Instant,
}

/// What the client is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    ToWrite,
    ToRead,
    Nothing,
}

impl Session {
    /// The DHT needs the client's next Noise message.
    pub fn write_handshake(&mut self, now: Instant, owner: Part, connection: ConnectionId, payload: &HandshakePayload) {
        let payload = Bytes::from(payload.to_bytes());
        let stream = self.streams.get(&owner).and_then(|stream| stream.client);
        let Some(id) = self.handshake_of(now, owner, connection, Asked::ToWrite) else { return };
        self.tell(&Message::NoiseSend { id, stream, payload });
    }

    /// The DHT has the other side's Noise message.
    pub fn read_handshake(&mut self, now: Instant, owner: Part, connection: ConnectionId, noise: Bytes) {
        let server = self.servers.contains_key(&owner).then_some(owner.0);
        let Some(id) = self.handshake_of(now, owner, connection, Asked::ToRead) else {
            return self.request(Request::HandshakeRead { connection, read: None });
        };
        self.tell(&Message::NoiseReceive { id, server, payload: noise });
    }

    /// The number of a connection's handshake, which is given one at its first message.
    fn handshake_of(&mut self, now: Instant, owner: Part, connection: ConnectionId, asked: Asked) -> Option<u32> {
        let until = now.after(self.limits.answer);
        if let Some(id) = self.find_handshake(connection) {
            let noise = self.handshakes.get_mut(&id)?;
            (noise.asked, noise.until) = (asked, until);
            return Some(id);
        }
        let remote = self.streams.get(&owner).map(|stream| stream.remote);
        let wanted = remote.is_some() || self.servers.get(&owner).is_some_and(super::servers::Server::is_listening);
        if !wanted || self.handshakes.len() >= self.limits.handshakes {
            return None;
        }
        let id = self.number();
        self.handshakes.insert(id, Noise { connection, owner, remote, asked, until });
        Some(id)
    }

    pub(super) fn noise_reply(&mut self, now: Instant, id: u32, payload: Bytes, progress: NoiseProgress) {
        let Some(noise) = self.handshakes.get_mut(&id) else { return };
        let (connection, asked) = (noise.connection, std::mem::replace(&mut noise.asked, Asked::Nothing));
        // Until the way is open or the DHT asks for more: this is its own affair, and it has its own time-outs.
        noise.until = now.after(self.limits.answer.saturating_mul(WAITING));
        let remote = *match (&progress, &mut noise.remote) {
            (_, Some(known)) => known,
            (NoiseProgress::CalledBy(remote), unknown) => unknown.insert(*remote),
            // Who calls is said first.
            (_, None) => return self.refuse_handshake(id, asked),
        };
        let holepunch_key = match progress {
            NoiseProgress::Complete { holepunch_key, .. } => Some(holepunch_key),
            NoiseProgress::Called | NoiseProgress::CalledBy(_) => None,
        };
        match asked {
            _ if payload.is_empty() => self.refuse_handshake(id, asked),
            Asked::ToWrite => {
                self.request(Request::HandshakeWritten { connection, noise: payload, holepunch_key });
            }
            Asked::ToRead => match HandshakePayload::from_bytes(&payload) {
                Ok(payload) => {
                    let read = Some(Box::new(ReadHandshake { remote, payload, holepunch_key }));
                    self.request(Request::HandshakeRead { connection, read });
                }
                Err(_) => self.refuse_handshake(id, asked),
            },
            Asked::Nothing => {}
        }
    }

    /// The client will not go on, or cannot.
    fn refuse_handshake(&mut self, id: u32, asked: Asked) {
        let Some(noise) = self.handshakes.remove(&id) else { return };
        if asked == Asked::ToRead {
            self.request(Request::HandshakeRead { connection: noise.connection, read: None });
        }
        if self.streams.contains_key(&noise.owner) {
            self.output(Output::Drop(noise.owner));
            self.far_closed(noise.owner, Some("the client gave its handshake up".to_owned()));
        }
    }

    pub(super) fn give_up_handshakes(&mut self, now: Instant) {
        let late = self.handshakes.iter().filter(|(_, noise)| noise.until <= now);
        for (id, asked) in late.map(|(id, noise)| (*id, noise.asked)).collect::<Vec<_>>() {
            match asked {
                Asked::Nothing => {
                    self.handshakes.remove(&id);
                }
                Asked::ToWrite | Asked::ToRead => self.refuse_handshake(id, asked),
            }
        }
    }

    /// A connection's handshake is over: the number under which the client knows it.
    pub(super) fn end_handshake(&mut self, connection: ConnectionId) -> Option<u32> {
        let id = self.find_handshake(connection)?;
        self.handshakes.remove(&id).map(|_| id)
    }

    pub(super) fn handshake_remote(&self, connection: ConnectionId) -> Option<PublicKey> {
        self.find_handshake(connection).and_then(|id| self.handshakes.get(&id)?.remote)
    }

    pub(super) fn forget_handshakes_of(&mut self, owner: Part) {
        self.handshakes.retain(|_, noise| noise.owner != owner);
    }

    fn find_handshake(&self, connection: ConnectionId) -> Option<u32> {
        self.handshakes.iter().find(|(_, noise)| noise.connection == connection).map(|(id, _)| *id)
    }
}

/// A way may take so many times what an answer of the client may.
const WAITING: u32 = 8;
