//! Streams: being connected, open, over.

use super::client::RelayClient;
use super::io::{Output, StreamId};
use crate::crypto::PublicKey;
use crate::dht::{DhtRelayMessage, Secrets, StreamAlias};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// A stream of ours.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) remote: PublicKey,
    /// The relay's number of it, once it is open.
    pub(super) alias: Option<u32>,
    /// Until when it has to be open.
    pub(super) until: Option<Instant>,
}

impl RelayClient {
    /// Calls a peer; [`Output::Connected`] or [`Output::Closed`] follows. `None` when there are too many streams.
    pub fn connect(&mut self, now: Instant, remote: PublicKey) -> Option<StreamId> {
        if self.streams.len() >= self.config.max_streams {
            return None;
        }
        let alias = self.next_id();
        let until = Some(now.after(self.config.connect_time));
        self.streams.insert(StreamId(alias), Stream { remote, alias: None, until });
        let public_key = self.key_pair.public_key();
        self.send(&DhtRelayMessage::Connect { alias, public_key, remote_public_key: remote });
        Some(StreamId(alias))
    }

    /// Sends bytes on an open stream.
    pub fn write(&mut self, stream: StreamId, bytes: &Bytes) {
        if self.streams.get(&stream).is_none_or(|stream| stream.alias.is_none()) {
            return;
        }
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let chunk = rest.split_to(rest.len().min(self.config.max_chunk.max(1)));
            self.send(&DhtRelayMessage::Data { alias: stream.0, data: vec![chunk] });
        }
    }

    /// Ends a stream, or stops trying, at once and without another word of it.
    pub fn destroy(&mut self, stream: StreamId) {
        if self.forget(stream) {
            self.send(&DhtRelayMessage::Destroy { stream: StreamAlias::Sender(stream.0), error: None });
        }
    }

    /// Ends a stream after what was written, without another word of it.
    pub fn end(&mut self, stream: StreamId) {
        if self.forget(stream) {
            self.send(&DhtRelayMessage::End { alias: stream.0 });
        }
    }

    /// The open stream with this number at the relay; they are few.
    fn by_alias(&self, alias: u32) -> Option<StreamId> {
        self.streams.iter().find(|(_, stream)| stream.alias == Some(alias)).map(|(id, _)| *id)
    }

    fn forget(&mut self, id: StreamId) -> bool {
        let known = self.streams.remove(&id).is_some();
        self.drop_handshakes_of(id);
        known
    }

    fn fail(&mut self, stream: StreamId, reason: &str) {
        self.destroy(stream);
        self.output(Output::Closed { stream, reason: Some(reason.to_string()) });
    }

    /// The peer we call is reached.
    pub(super) fn opened(&mut self, alias: u32, id: StreamId, handshake: u32) {
        if self.streams.get(&id).is_none_or(|stream| stream.alias.is_some()) {
            return;
        }
        let Some(Secrets { split, .. }) = self.take_call(handshake, id) else {
            return self.fail(id, "the relay opened a stream whose handshake is not over");
        };
        if self.by_alias(alias).is_some() {
            return self.fail(id, "the relay used a number twice");
        }
        self.drop_handshakes_of(id);
        if let Some(stream) = self.streams.get_mut(&id) {
            (stream.alias, stream.until) = (Some(alias), None);
        }
        self.output(Output::Connected { stream: id, initiator: true, split: Box::new(split) });
    }

    /// A peer reached us. Only the handshake proves who it is.
    pub(super) fn called(&mut self, alias: u32, server: u32, remote: PublicKey, handshake: u32) {
        let secrets = self.take_answered(handshake, server);
        if self.by_alias(alias).is_some() {
            return;
        }
        let id = StreamId(self.next_id());
        self.send(&DhtRelayMessage::Connected { alias: id.0, remote_alias: alias });
        let split = secrets.map(|secrets| secrets.split).filter(|split| split.remote == remote);
        let Some(split) = split.filter(|_| self.streams.len() < self.config.max_streams) else {
            self.send(&DhtRelayMessage::Destroy { stream: StreamAlias::Sender(id.0), error: None });
            return;
        };
        self.streams.insert(id, Stream { remote, alias: Some(alias), until: None });
        self.output(Output::Connected { stream: id, initiator: false, split: Box::new(split) });
    }

    pub(super) fn received(&mut self, alias: u32, data: Vec<Bytes>) {
        let Some(stream) = self.by_alias(alias) else { return };
        for bytes in data.into_iter().filter(|bytes| !bytes.is_empty()) {
            self.output(Output::Data { stream, bytes });
        }
    }

    /// The other side says no more. Nothing that runs on these streams goes on in one direction.
    pub(super) fn remote_ended(&mut self, alias: u32) {
        let Some(stream) = self.by_alias(alias) else { return };
        self.end(stream);
        self.output(Output::Closed { stream, reason: None });
    }

    pub(super) fn destroyed(&mut self, stream: StreamAlias, reason: Option<String>) {
        let stream = match stream {
            StreamAlias::Sender(alias) => self.by_alias(alias),
            StreamAlias::Receiver(id) => Some(StreamId(id)),
        };
        if let Some(stream) = stream.filter(|stream| self.forget(*stream)) {
            self.output(Output::Closed { stream, reason });
        }
    }

    pub(super) fn expire_streams(&mut self, now: Instant) {
        let late = self.streams.iter().filter(|(_, stream)| stream.until.is_some_and(|until| until <= now));
        for stream in late.map(|(stream, _)| *stream).collect::<Vec<_>>() {
            self.fail(stream, "the peer was not reached in time");
        }
    }
}
