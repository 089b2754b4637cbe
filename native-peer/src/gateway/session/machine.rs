//! The machine: what comes in, what goes out.

use super::handshakes::Noise;
use super::limits::SessionLimits;
use super::output::{Fault, Output, Part, Request};
use super::queries::Query;
use super::servers::Server;
use super::signatures::Asked;
use super::streams::Stream;
use bytes::Bytes;
use corestore_core::crypto::PublicKey;
use corestore_core::dht::DhtRelayMessage as Message;
use corestore_core::encoding::Encode;
use corestore_core::entropy::Entropy;
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use corestore_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// One browser's session.
///
/// It performs no I/O and reads no clock. After every method drain [`Session::poll_output`] until it gives `None`, then
/// ask [`Session::deadline`] again. After a [`Fault`] the session is over: drop it with everything that it began.
/// The secret keys stay with the client: what needs them is asked of it.
pub struct Session {
    pub(super) limits: SessionLimits,
    pub(super) entropy: Entropy,
    /// The client's key; `None` until it said so. Claimed, not proven.
    client: Option<PublicKey>,
    gateway: PublicKey,
    mux: Mux,
    channel: Option<ChannelId>,
    next: u32,
    pub(super) streams: BTreeMap<Part, Stream>,
    /// Streams by the client's numbers.
    pub(super) aliases: BTreeMap<u32, Part>,
    pub(super) servers: BTreeMap<Part, Server>,
    pub(super) queries: BTreeMap<Part, Query>,
    pub(super) handshakes: BTreeMap<u32, Noise>,
    pub(super) signatures: BTreeMap<u32, Asked>,
    outputs: VecDeque<Output>,
    /// The client's frame is being taken apart.
    in_frame: bool,
    since: Instant,
    heard: Instant,
    next_ping: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Session {
    /// A session with whoever just connected. `gateway` is our own key, `seed` 32 fresh random bytes.
    pub fn new(limits: SessionLimits, gateway: PublicKey, seed: [u8; 32], now: Instant) -> Self {
        let one = MuxLimits { pending_opens: 8, channels: 64, buffered: 64 << 10 };
        let mut mux = Mux::new(one, &[]);
        let channel = mux.open(Message::PROTOCOL, None, &[]);
        let mut session = Self {
            next_ping: now.after(limits.heartbeat),
            limits,
            entropy: Entropy::from_seed(seed),
            client: None,
            gateway,
            mux,
            channel,
            next: 0,
            streams: BTreeMap::new(),
            aliases: BTreeMap::new(),
            servers: BTreeMap::new(),
            queries: BTreeMap::new(),
            handshakes: BTreeMap::new(),
            signatures: BTreeMap::new(),
            outputs: VecDeque::new(),
            in_frame: false,
            since: now,
            heard: now,
        };
        session.collect_frames();
        session
    }

    /// The key the client says it has.
    pub fn client(&self) -> Option<PublicKey> {
        self.client
    }

    /// Streams, servers and queries at once.
    pub fn sizes(&self) -> [usize; 3] {
        [self.streams.len(), self.servers.len(), self.queries.len()]
    }

    /// Takes one WebSocket message.
    ///
    /// # Errors
    /// [`Fault`]: the session is over.
    pub fn handle_frame(&mut self, now: Instant, frame: &Bytes) -> Result<(), Fault> {
        self.heard = now;
        self.in_frame = true;
        self.mux.cork();
        let taken = self.mux.handle_message(frame).map_err(Fault::Frame).and_then(|()| self.take_events(now));
        self.mux.uncork();
        self.in_frame = false;
        self.collect_frames();
        taken
    }

    fn take_events(&mut self, now: Instant) -> Result<(), Fault> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Transmit(frame) => self.outputs.push_back(Output::Frame(frame)),
                MuxEvent::Pair { protocol, id } => self.mux.reject(&protocol, id.as_deref()),
                MuxEvent::Opened { .. } => {}
                MuxEvent::Closed { .. } => return Err(Fault::Closed),
                MuxEvent::Message { kind, payload, .. } => {
                    let message = Message::decode(kind, &payload).map_err(Fault::Message)?;
                    self.handle_message(now, message)?;
                }
            }
        }
        Ok(())
    }

    fn handle_message(&mut self, now: Instant, message: Message) -> Result<(), Fault> {
        match message {
            Message::Ping => self.send(&Message::Pong),
            Message::Pong => {}
            Message::Handshake { public_key } if self.client.is_none() => {
                self.client = Some(public_key);
                self.send(&Message::Handshake { public_key: self.gateway });
            }
            Message::Handshake { .. } => {}
            _ if self.client.is_none() => return Err(Fault::NoHandshake),
            Message::Connect { alias, public_key, remote_public_key } => {
                self.connect(alias, public_key, remote_public_key);
            }
            Message::Connected { alias, remote_alias } => self.paired(alias, Part(remote_alias)),
            Message::Destroy { stream, .. } => self.destroyed(stream),
            Message::End { alias } => self.end_from_client(alias),
            Message::Data { alias, data } => self.data_from_client(alias, data),
            Message::Listen { alias, public_key } => return self.listen(now, alias, public_key),
            Message::Close { alias } => self.close_server(now, alias),
            Message::Lookup { id, topic } => self.query(id, topic, None, false),
            Message::Announce { id, topic, public_key } => self.query(id, topic, Some(public_key), false),
            Message::Unannounce { id, topic, public_key } => self.query(id, topic, Some(public_key), true),
            Message::Signature { id, signature } => return self.signature(now, id, signature),
            Message::NoiseReply { id, payload, progress } => self.noise_reply(now, id, payload, progress),
            // What only relays say, and the questions of relays that have the client's keys.
            Message::Connection { .. }
            | Message::Incoming { .. }
            | Message::Deny { .. }
            | Message::Accept { .. }
            | Message::Listening { .. }
            | Message::Closed { .. }
            | Message::Open { .. }
            | Message::Result { .. }
            | Message::Finished { .. }
            | Message::SignAnnounce { .. }
            | Message::SignUnannounce { .. }
            | Message::NoiseSend { .. }
            | Message::NoiseReceive { .. } => {}
        }
        Ok(())
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// [`Fault`]: the session is over.
    pub fn handle_deadline(&mut self, now: Instant) -> Result<(), Fault> {
        if now.since(self.heard) >= self.limits.silence {
            return Err(Fault::Silent);
        }
        if self.client.is_none() && now.since(self.since) >= self.limits.greeting {
            return Err(Fault::NoHandshake);
        }
        self.give_up_handshakes(now);
        self.give_up_signatures(now);
        self.close_due_servers(now);
        if now >= self.next_ping {
            self.next_ping = now.after(self.limits.heartbeat);
            self.tell(&Message::Ping);
        }
        Ok(())
    }

    /// When [`Session::handle_deadline`] has something to do.
    pub fn deadline(&self) -> Instant {
        let greeting = self.client.is_none().then(|| self.since.after(self.limits.greeting));
        let handshakes = self.handshakes.values().map(|noise| noise.until);
        let signatures = self.signatures.values().map(|asked| asked.until);
        let closing = self.servers.values().filter_map(Server::deadline);
        let others = handshakes.chain(signatures).chain(closing).chain(greeting);
        others.chain([self.next_ping, self.heard.after(self.limits.silence)]).min().unwrap_or(self.next_ping)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Puts a message into the frame that is being gathered.
    pub(super) fn send(&mut self, message: &Message) {
        if let Some(channel) = self.channel {
            self.mux.send(channel, message.kind(), &message.to_bytes());
        }
    }

    /// Sends a message by itself.
    pub(super) fn tell(&mut self, message: &Message) {
        self.send(message);
        self.collect_frames();
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn request(&mut self, request: Request) {
        self.outputs.push_back(Output::Request(request));
    }

    /// A number that nothing of this session has.
    pub(super) fn number(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            let (part, number) = (Part(self.next), self.next);
            let taken = self.streams.contains_key(&part)
                || self.servers.contains_key(&part)
                || self.queries.contains_key(&part)
                || self.handshakes.contains_key(&number)
                || self.signatures.contains_key(&number);
            if number != 0 && !taken {
                return number;
            }
        }
    }

    fn collect_frames(&mut self) {
        // What the client said is not to be lost among our frames.
        if self.in_frame {
            return;
        }
        while let Some(event) = self.mux.poll_event() {
            if let MuxEvent::Transmit(frame) = event {
                self.outputs.push_back(Output::Frame(frame));
            }
        }
    }
}
