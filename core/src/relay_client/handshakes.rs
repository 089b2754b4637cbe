//! Noise IK made here, word by word, as the relay carries the messages.

use super::client::RelayClient;
use super::io::StreamId;
use crate::crypto::namespace::{STREAM_INITIATOR, STREAM_RESPONDER};
use crate::crypto::{PublicKey, blake2b_keyed};
use crate::dht::{DhtRelayMessage, Handshake, HandshakePayload, NoiseProgress, Secrets};
use crate::encoding::{Decode, Encode};
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;

/// A handshake under way.
#[derive(Debug)]
pub(super) struct Pending {
    handshake: Handshake,
    owner: Owner,
    /// Once both messages passed.
    secrets: Option<Secrets>,
    pub(super) until: Instant,
}

/// What a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A stream on which we call.
    Call(StreamId),
    /// The server with this number at the relay.
    Server(u32),
}

impl RelayClient {
    /// We call: our message, carrying the relay's payload.
    pub(super) fn begin_call(&mut self, now: Instant, id: u32, stream: StreamId, payload: &[u8]) {
        let calling = self.streams.get(&stream).filter(|stream| stream.alias.is_none());
        let Some(remote) = calling.map(|stream| stream.remote) else { return };
        if !self.admits_handshake(now, id) {
            return self.reply(id, Vec::new(), NoiseProgress::Called);
        }
        let ephemeral = self.entropy.array();
        let written = HandshakePayload::from_bytes(payload).ok().and_then(|payload| {
            let mut handshake = Handshake::initiator(&self.key_pair, remote, ephemeral).ok()?;
            let message = handshake.write(&payload).ok()?;
            Some((handshake, message))
        });
        let message = written.map(|(handshake, message)| {
            self.insert(now, id, handshake, Owner::Call(stream));
            message
        });
        self.reply(id, message.unwrap_or_default(), NoiseProgress::Called);
    }

    /// We called: the other side's message.
    pub(super) fn read_answer(&mut self, id: u32, message: &[u8]) {
        let Some(pending) = self.handshakes.get_mut(&id) else { return };
        if !matches!(pending.owner, Owner::Call(_)) || pending.secrets.is_some() {
            return;
        }
        let read = pending.handshake.read(message).ok();
        let read = read.and_then(|payload| Some((payload, pending.handshake.finish()?)));
        match read {
            Some((payload, secrets)) => self.complete(id, payload.to_bytes(), true, secrets),
            None => {
                self.handshakes.remove(&id);
                self.reply(id, Vec::new(), NoiseProgress::Called);
            }
        }
    }

    /// We are called: the other side's message.
    pub(super) fn read_call(&mut self, now: Instant, id: u32, server: u32, message: &[u8]) {
        if self.server.as_ref().is_none_or(|ours| ours.alias != Some(server)) {
            return;
        }
        let nobody = NoiseProgress::CalledBy(PublicKey([0; 32]));
        if !self.admits_handshake(now, id) {
            return self.reply(id, Vec::new(), nobody);
        }
        let ephemeral = self.entropy.array();
        let read = Handshake::responder(&self.key_pair, ephemeral).ok().and_then(|mut handshake| {
            let payload = handshake.read(message).ok()?;
            let remote = handshake.remote()?;
            Some((handshake, payload, remote))
        });
        match read {
            Some((handshake, payload, remote)) if !self.refused.contains(&remote) => {
                self.insert(now, id, handshake, Owner::Server(server));
                self.reply(id, payload.to_bytes(), NoiseProgress::CalledBy(remote));
            }
            _ => self.reply(id, Vec::new(), nobody),
        }
    }

    /// We are called: our message, carrying the relay's payload.
    pub(super) fn answer_call(&mut self, id: u32, payload: &[u8]) {
        let Some(pending) = self.handshakes.get_mut(&id) else { return };
        if !matches!(pending.owner, Owner::Server(_)) || pending.secrets.is_some() {
            return;
        }
        let written = HandshakePayload::from_bytes(payload).ok().and_then(|payload| {
            let message = pending.handshake.write(&payload).ok()?;
            Some((message, pending.handshake.finish()?))
        });
        match written {
            Some((message, secrets)) => self.complete(id, message, false, secrets),
            None => {
                self.handshakes.remove(&id);
            }
        }
    }

    /// The keys of a handshake that was for this call.
    pub(super) fn take_call(&mut self, id: u32, stream: StreamId) -> Option<Secrets> {
        self.take(id, Owner::Call(stream))
    }

    /// The keys of a handshake that was for this server.
    pub(super) fn take_answered(&mut self, id: u32, server: u32) -> Option<Secrets> {
        self.take(id, Owner::Server(server))
    }

    fn take(&mut self, id: u32, owner: Owner) -> Option<Secrets> {
        if self.handshakes.get(&id)?.owner != owner {
            return None;
        }
        self.handshakes.remove(&id)?.secrets
    }

    pub(super) fn drop_handshakes_of(&mut self, stream: StreamId) {
        self.handshakes.retain(|_, pending| pending.owner != Owner::Call(stream));
    }

    pub(super) fn drop_calls(&mut self) {
        self.handshakes.retain(|_, pending| !matches!(pending.owner, Owner::Server(_)));
    }

    fn admits_handshake(&mut self, now: Instant, id: u32) -> bool {
        let room = self.handshakes.len() < self.config.max_handshakes && !self.handshakes.contains_key(&id);
        room && self.handshake_budget.take(now)
    }

    fn insert(&mut self, now: Instant, id: u32, handshake: Handshake, owner: Owner) {
        let until = now.after(self.config.handshake_time);
        self.handshakes.insert(id, Pending { handshake, owner, secrets: None, until });
    }

    fn complete(&mut self, id: u32, payload: Vec<u8>, initiator: bool, secrets: Secrets) {
        let remote = if initiator { STREAM_RESPONDER } else { STREAM_INITIATOR };
        let remote_id = blake2b_keyed(&secrets.split.hash, &[remote.as_ref()]);
        let holepunch_key = secrets.holepunch_key.clone();
        self.reply(id, payload, NoiseProgress::Complete { initiator, remote_id, holepunch_key });
        if let Some(pending) = self.handshakes.get_mut(&id) {
            pending.secrets = Some(secrets);
        }
    }

    fn reply(&mut self, id: u32, payload: Vec<u8>, progress: NoiseProgress) {
        self.send(&DhtRelayMessage::NoiseReply { id, payload: Bytes::from(payload), progress });
    }
}
