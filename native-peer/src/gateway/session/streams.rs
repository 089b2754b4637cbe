//! Streams between the client and far peers. What they carry is sealed: the secret-stream runs in the client.

use super::machine::Session;
use super::output::{Output, Part, Request};
use crate::swarm::hyperdht::ConnectionId;
use bytes::Bytes;
use corestore_core::crypto::PublicKey;
use corestore_core::dht::{DhtRelayMessage as Message, StreamAlias};
use std::collections::btree_map::Entry;

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The client's number; `None` until it named it.
    pub(super) client: Option<u32>,
    pub(super) remote: PublicKey,
    open: bool,
    client_ended: bool,
    far_ended: bool,
}

impl Session {
    pub(super) fn connect(&mut self, alias: u32, key: PublicKey, remote: PublicKey) {
        let refusal = match () {
            () if self.streams.len() >= self.limits.streams => "too many streams on one connection",
            () if self.aliases.contains_key(&alias) => "the stream's number is in use",
            () => {
                let stream = Part(self.number());
                let new = Stream { client: Some(alias), remote, open: false, client_ended: false, far_ended: false };
                self.streams.insert(stream, new);
                self.aliases.insert(alias, stream);
                return self.request(Request::Connect { stream, key, remote });
            }
        };
        self.send(&Message::Destroy { stream: StreamAlias::Receiver(alias), error: Some(refusal.to_owned()) });
    }

    /// The way of a stream that the client asked for is open.
    pub fn connected(&mut self, stream: Part, connection: ConnectionId) {
        let handshake = self.end_handshake(connection);
        let Some(entry) = self.streams.get_mut(&stream) else { return };
        entry.open = true;
        if let (Some(handshake), Some(remote_alias)) = (handshake, entry.client) {
            self.tell(&Message::Open { alias: stream.0, remote_alias, handshake });
        } else {
            self.far_closed(stream, Some("the handshake was given up".to_owned()));
        }
    }

    /// A stream that the client asked for could not be made.
    pub fn failed(&mut self, stream: Part, reason: String) {
        self.far_closed(stream, Some(reason));
    }

    /// A far peer came to a server of the client's. Gives the stream; `None` when it is not wanted any more: reset it.
    pub fn called(&mut self, server: Part, connection: ConnectionId) -> Option<Part> {
        let remote = self.handshake_remote(connection);
        let handshake = self.end_handshake(connection)?;
        if !self.servers.get(&server)?.is_listening() || self.streams.len() >= self.limits.streams {
            return None;
        }
        let (remote, stream) = (remote?, Part(self.number()));
        let new = Stream { client: None, remote, open: true, client_ended: false, far_ended: false };
        self.streams.insert(stream, new);
        let (alias, server_alias) = (stream.0, server.0);
        self.tell(&Message::Connection { alias, server_alias, remote_public_key: remote, handshake });
        Some(stream)
    }

    pub(super) fn paired(&mut self, alias: u32, stream: Part) {
        let Some(entry) = self.streams.get_mut(&stream).filter(|entry| entry.client.is_none()) else { return };
        if let Entry::Vacant(name) = self.aliases.entry(alias) {
            entry.client = Some(alias);
            name.insert(stream);
        }
    }

    pub(super) fn data_from_client(&mut self, alias: u32, mut data: Vec<Bytes>) {
        // Empty chunks keep a stream alive; the far peer has its own way of doing that.
        data.retain(|chunk| !chunk.is_empty());
        let Some(stream) = self.aliases.get(&alias).copied() else { return };
        let flows = self.streams.get(&stream).is_some_and(|entry| entry.open && !entry.client_ended);
        if flows && !data.is_empty() {
            self.output(Output::Write { stream, data });
        }
    }

    pub(super) fn end_from_client(&mut self, alias: u32) {
        let Some(stream) = self.aliases.get(&alias).copied() else { return };
        let Some(entry) = self.streams.get_mut(&stream).filter(|entry| !entry.client_ended) else { return };
        entry.client_ended = true;
        if entry.open {
            self.output(Output::Finish(stream));
        } else {
            self.forget_stream(stream);
            self.output(Output::Drop(stream));
        }
    }

    pub(super) fn destroyed(&mut self, alias: StreamAlias) {
        let stream = match alias {
            StreamAlias::Sender(alias) => self.aliases.get(&alias).copied(),
            StreamAlias::Receiver(alias) => Some(Part(alias)),
        };
        if let Some(stream) = stream.filter(|stream| self.streams.contains_key(stream)) {
            self.forget_stream(stream);
            self.output(Output::Drop(stream));
        }
    }

    /// Bytes came from a stream's far peer. False when nobody wants them any more.
    pub fn data_from_peer(&mut self, stream: Part, data: Bytes) -> bool {
        let wanted = self.streams.get(&stream).is_some_and(|entry| !entry.far_ended);
        if wanted {
            self.tell(&Message::Data { alias: stream.0, data: vec![data] });
        }
        wanted
    }

    /// A stream's far peer sends no more.
    pub fn end_from_peer(&mut self, stream: Part) {
        let Some(entry) = self.streams.get_mut(&stream).filter(|entry| !entry.far_ended) else { return };
        entry.far_ended = true;
        self.tell(&Message::End { alias: stream.0 });
    }

    /// A stream is over on the far side: well, when both halves have ended, else by a reset.
    pub fn far_closed(&mut self, stream: Part, reason: Option<String>) {
        let Some(Stream { client, open, client_ended, far_ended, .. }) = self.forget_stream(stream) else { return };
        if client_ended && far_ended && reason.is_none() {
            return;
        }
        let name = match client {
            Some(client) if !open => StreamAlias::Receiver(client),
            _ => StreamAlias::Sender(stream.0),
        };
        self.tell(&Message::Destroy { stream: name, error: reason });
    }

    fn forget_stream(&mut self, stream: Part) -> Option<Stream> {
        let entry = self.streams.remove(&stream)?;
        if let Some(alias) = entry.client {
            self.aliases.remove(&alias);
        }
        self.forget_handshakes_of(stream);
        Some(entry)
    }
}
