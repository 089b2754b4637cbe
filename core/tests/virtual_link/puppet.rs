//! A peer that says whatever a test wants it to say, on a real encrypted stream.

use super::Host;
use corestore_core::corestore::{ConnectionId, Input, Role};
use corestore_core::crypto::{CoreKey, capability, discovery_key};
use corestore_core::encoding::Encode;
use corestore_core::entropy::Entropy;
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use corestore_core::replication::{Handshake, Message, Request, Sync};
use corestore_core::stream::{SecretStream, StreamEvent};

pub struct Puppet {
    stream: SecretStream,
    pub mux: Mux,
    key: CoreKey,
    connection: ConnectionId,
    channel: Option<ChannelId>,
    hash: Option<[u8; 64]>,
    /// Channels opened so far.
    pub opened: usize,
    pub closed: usize,
    /// What the host said and nobody looked at yet.
    pub heard: Vec<Message>,
}

impl Puppet {
    /// Dials a host and opens a core's channel.
    pub fn dial(host: &mut Host, number: u64, key: CoreKey) -> Self {
        let mut entropy = Entropy::from_seed([200; 32]);
        let connection = ConnectionId(1_000_000 + number);
        host.input(Input::Opened { connection, role: Role::Responder });
        let mut puppet = Self {
            stream: SecretStream::new(true, &[number as u8; 32], &mut entropy, host.now()),
            mux: Mux::new(MuxLimits::default(), &[]),
            key,
            connection,
            channel: None,
            hash: None,
            opened: 0,
            closed: 0,
            heard: Vec::new(),
        };
        puppet.pump(host);
        puppet
    }

    /// Carries bytes both ways until nothing moves.
    pub fn pump(&mut self, host: &mut Host) {
        host.drain();
        while self.take(host) | self.give(host) {}
    }

    fn take(&mut self, host: &mut Host) -> bool {
        let place = host.outbox.iter().position(|(connection, _)| *connection == self.connection);
        let Some((_, bytes)) = place.and_then(|place| host.outbox.remove(place)) else { return false };
        host.input(Input::Writable { connection: self.connection, backlog: 0 });
        self.stream.handle_bytes(host.now(), &bytes).unwrap();
        true
    }

    fn give(&mut self, host: &mut Host) -> bool {
        let mut moved = false;
        while let Some(event) = self.mux.poll_event() {
            moved = true;
            match event {
                MuxEvent::Transmit(frame) => self.stream.send(&frame),
                MuxEvent::Opened { .. } => self.opened += 1,
                MuxEvent::Message { kind, payload, .. } => self.heard.extend(Message::decode(kind, &payload).unwrap()),
                MuxEvent::Closed { .. } => {
                    self.closed += 1;
                    self.channel = None;
                }
                MuxEvent::Pair { .. } => {}
            }
        }
        while let Some(event) = self.stream.poll_event() {
            moved = true;
            match event {
                StreamEvent::Transmit(bytes) => {
                    host.input(Input::Received { connection: self.connection, bytes });
                }
                StreamEvent::Connected { handshake_hash, .. } => {
                    self.hash = Some(handshake_hash);
                    let capability = capability(true, &self.key, &handshake_hash);
                    let id = discovery_key(&self.key);
                    let handshake = Handshake { seeks: true, capability }.to_bytes();
                    self.channel = self.mux.open("hypercore/alpha", Some(id.as_ref()), &handshake);
                }
                StreamEvent::Message(message) => self.mux.handle_message(&message).unwrap(),
            }
        }
        moved
    }

    pub fn say(&mut self, host: &mut Host, message: &Message) {
        self.mux.send(self.channel.unwrap(), message.kind(), &message.encode_payload());
        self.pump(host);
    }

    /// Says much in one frame, and reads nothing of what comes back.
    pub fn say_deaf(&mut self, host: &mut Host, messages: &[Message]) {
        self.mux.cork();
        for message in messages {
            self.mux.send(self.channel.unwrap(), message.kind(), &message.encode_payload());
        }
        self.mux.uncork();
        while self.give(host) {}
    }

    /// Says where it stands: everything up to `length` is here, and it wants data.
    pub fn claim(&mut self, host: &mut Host, fork: u64, length: u64, remote_length: u64) {
        self.say(host, &Message::Range { drop: false, start: 0, length });
        self.say(host, &Message::Sync(standing(fork, length, remote_length)));
    }

    /// The requests heard since the last look.
    pub fn requests(&mut self) -> Vec<Request> {
        let heard = std::mem::take(&mut self.heard);
        heard
            .into_iter()
            .filter_map(|message| match message {
                Message::Request(request) => Some(request),
                _ => None,
            })
            .collect()
    }

    /// Raw bytes on the mux.
    pub fn say_raw(&mut self, host: &mut Host, frame: &[u8]) {
        self.stream.send(frame);
        self.pump(host);
    }

    /// The connection breaks.
    pub fn hang_up(self, host: &mut Host) {
        host.input(Input::Closed { connection: self.connection });
    }

    /// Closes its channel.
    pub fn close(&mut self, host: &mut Host) {
        self.mux.close(self.channel.take().unwrap());
        self.pump(host);
    }

    /// Opens its side of a channel the host opened.
    pub fn answer(&mut self, host: &mut Host) {
        let capability = capability(true, &self.key, &self.hash.unwrap());
        let handshake = Handshake { seeks: true, capability }.to_bytes();
        self.channel = self.mux.open("hypercore/alpha", Some(discovery_key(&self.key).as_ref()), &handshake);
        self.pump(host);
    }
}

/// What a peer says that has a log of `length` blocks and wants data.
pub fn standing(fork: u64, length: u64, remote_length: u64) -> Sync {
    Sync {
        fork,
        length,
        remote_length,
        can_upgrade: true,
        uploading: true,
        downloading: true,
        has_manifest: true,
        allow_push: false,
    }
}
