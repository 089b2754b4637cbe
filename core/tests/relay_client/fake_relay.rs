//! A relay in memory that has no DHT behind it: whoever announces or listens at it is found by whoever else is there.

use bytes::Bytes;
use corestore_core::crypto::{Hash, PublicKey, Signature};
use corestore_core::dht::{
    Announce, Announcers, Contact, DhtRelayMessage as M, HandshakePayload, NoiseProgress, PeerRecord, StreamAlias,
    peer_target,
};
use corestore_core::encoding::Encode;
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

pub(crate) const NODE: Hash = Hash([0x11; 32]);
pub(crate) const TOKEN: Hash = Hash([0x22; 32]);
pub(crate) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000);

/// One client's channel at the relay.
struct End {
    mux: Mux,
    channel: ChannelId,
    outgoing: VecDeque<Bytes>,
}

/// A server of a client: who, its number there, its number here.
#[derive(Clone, Copy)]
struct Server {
    client: usize,
    theirs: u32,
    ours: u32,
}

/// A call on its way: the caller's stream and handshake, the called server and its handshake.
#[derive(Clone, Copy)]
struct Call {
    caller: usize,
    stream: u32,
    calling: u32,
    server: Server,
    answering: u32,
    from: PublicKey,
}

#[derive(Default)]
pub(crate) struct FakeRelay {
    /// What is done to the next bytes of a stream.
    pub(crate) fault: Option<Fault>,
    held: Vec<(usize, M)>,
    /// Says no key of its own.
    pub(crate) like_the_reference: bool,
    ends: Vec<End>,
    next: u32,
    pub(crate) records: BTreeMap<Hash, BTreeSet<PublicKey>>,
    servers: BTreeMap<PublicKey, Server>,
    calls: Vec<Call>,
    /// (client, its number of a stream) to (client, our number there) of the other side.
    pipes: BTreeMap<(usize, u32), (usize, u32)>,
    /// (server's client, our number there) until it is paired: the caller, our number there.
    pairing: BTreeMap<(usize, u32), (usize, u32)>,
    signatures: BTreeMap<u32, (usize, Asked)>,
    /// Everything that came or went, as a relay sees it.
    pub(crate) seen: Vec<Bytes>,
    /// What clients said, in order.
    pub(crate) heard: Vec<(usize, M)>,
}

/// What a relay may do to bytes it cannot read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Alter,
    Drop,
    Repeat,
    /// They come after those that follow.
    Swap,
}

/// What a signature is for.
enum Asked {
    Announce { query: u32, topic: Hash, key: PublicKey },
    Unannounce { query: u32, topic: Hash, key: PublicKey },
    Listen { server: Server, key: PublicKey },
    Close { server: Server, key: PublicKey },
}

impl FakeRelay {
    /// A client came; gives its number.
    pub(crate) fn connect(&mut self) -> usize {
        let mut mux = Mux::new(MuxLimits::default(), &[]);
        let channel = mux.open(M::PROTOCOL, None, &[]).unwrap();
        self.ends.push(End { mux, channel, outgoing: VecDeque::new() });
        self.ends.len() - 1
    }

    pub(crate) fn handle(&mut self, client: usize, bytes: &Bytes) {
        self.seen.push(bytes.clone());
        let end = &mut self.ends[client];
        end.mux.handle_message(bytes).unwrap();
        let mut messages = Vec::new();
        while let Some(event) = end.mux.poll_event() {
            match event {
                MuxEvent::Message { kind, payload, .. } => messages.push(M::decode(kind, &payload).unwrap()),
                MuxEvent::Transmit(frame) => end.outgoing.push_back(frame),
                _ => {}
            }
        }
        for message in messages {
            self.heard.push((client, message.clone()));
            self.obey(client, message);
        }
    }

    /// What there is to say to a client.
    pub(crate) fn poll(&mut self, client: usize) -> Option<Bytes> {
        let end = &mut self.ends[client];
        while let Some(event) = end.mux.poll_event() {
            if let MuxEvent::Transmit(frame) = event {
                end.outgoing.push_back(frame);
            }
        }
        let frame = end.outgoing.pop_front()?;
        self.seen.push(frame.clone());
        Some(frame)
    }

    pub(crate) fn say(&mut self, client: usize, message: &M) {
        let End { mux, channel, .. } = &mut self.ends[client];
        mux.send(*channel, message.kind(), &message.to_bytes());
    }

    /// Says something that is no message.
    pub(crate) fn say_bytes(&mut self, client: usize, kind: u64, payload: &[u8]) {
        let End { mux, channel, .. } = &mut self.ends[client];
        mux.send(*channel, kind, payload);
    }

    fn number(&mut self) -> u32 {
        // Far from what clients count.
        self.next += 1;
        1000 + self.next
    }

    fn obey(&mut self, client: usize, message: M) {
        match message {
            M::Handshake { .. } if !self.like_the_reference => {
                self.say(client, &M::Handshake { public_key: PublicKey([0x33; 32]) });
            }
            M::Lookup { id, topic } => self.answer(client, id, topic),
            M::Announce { id, topic, public_key } => {
                self.ask_signature(client, id, false, Asked::Announce { query: id, topic, key: public_key });
            }
            M::Unannounce { id, topic, public_key } => {
                self.ask_signature(client, id, true, Asked::Unannounce { query: id, topic, key: public_key });
            }
            M::Listen { alias, public_key } => {
                let server = Server { client, theirs: alias, ours: self.number() };
                self.ask_signature(client, alias, false, Asked::Listen { server, key: public_key });
            }
            M::Signature { id, signature } => signature.into_iter().for_each(|signature| self.signed(id, signature)),
            M::Connect { alias, public_key, remote_public_key } => {
                self.call(client, alias, public_key, remote_public_key);
            }
            M::NoiseReply { id, payload, progress } => self.handshake(client, id, payload, progress),
            M::Connected { alias, remote_alias } => {
                if let Some(other) = self.pairing.remove(&(client, remote_alias)) {
                    self.pipes.insert((client, alias), other);
                }
            }
            M::Data { alias, data } => {
                if let Some((to, alias)) = self.pipes.get(&(client, alias)).copied() {
                    self.pass_on(to, M::Data { alias, data });
                }
            }
            M::End { alias } => {
                if let Some((to, alias)) = self.pipes.remove(&(client, alias)) {
                    self.say(to, &M::End { alias });
                }
            }
            M::Destroy { stream: StreamAlias::Sender(alias), .. } => {
                if let Some((to, alias)) = self.pipes.remove(&(client, alias)) {
                    self.say(to, &M::Destroy { stream: StreamAlias::Sender(alias), error: Some("reset".to_owned()) });
                }
            }
            M::Close { alias } => self.close(client, alias),
            _ => {}
        }
    }

    fn pass_on(&mut self, to: usize, message: M) {
        match (self.fault.take(), message) {
            (Some(Fault::Drop), _) => {}
            (Some(Fault::Swap), message) => self.held.push((to, message)),
            (Some(Fault::Repeat), message) => (0..2).for_each(|_| self.say(to, &message)),
            (Some(Fault::Alter), M::Data { alias, mut data }) => {
                let mut bytes = data[0].to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                data[0] = bytes.into();
                self.say(to, &M::Data { alias, data });
            }
            (_, message) => self.say(to, &message),
        }
    }

    /// Hands out what came too early.
    pub(crate) fn release(&mut self) {
        for (to, message) in std::mem::take(&mut self.held) {
            self.say(to, &message);
        }
    }

    fn answer(&mut self, client: usize, id: u32, topic: Hash) {
        let keys = self.records.get(&topic).cloned().unwrap_or_default();
        let peers = keys.into_iter().map(|public_key| PeerRecord { public_key, relay_addresses: Vec::new() }).collect();
        let node = Contact { id: Some(NODE), address: ADDRESS };
        let data = Announcers { token: TOKEN, from: node, to: node, peers }.to_bytes().into();
        self.say(client, &M::Result { id, data });
        self.say(client, &M::Finished { id });
    }

    fn ask_signature(&mut self, client: usize, signee: u32, unannounce: bool, asked: Asked) {
        let id = self.number();
        self.signatures.insert(id, (client, asked));
        let (token, node, relay_addresses) = (TOKEN, NODE, Vec::new());
        self.say(
            client,
            &match unannounce {
                false => M::SignAnnounce { id, signee, token, node, relay_addresses },
                true => M::SignUnannounce { id, signee, token, node, relay_addresses },
            },
        );
    }

    /// Checks the signature as a node would.
    fn signed(&mut self, id: u32, signature: Signature) {
        // A test may have asked for it.
        let Some((client, asked)) = self.signatures.remove(&id) else { return };
        let of = |key| Announce {
            peer: Some(PeerRecord { public_key: key, relay_addresses: Vec::new() }),
            signature: Some(signature),
            ..Announce::default()
        };
        match asked {
            Asked::Announce { query, topic, key } => {
                assert!(of(key).verify_announce(&topic, &NODE, &TOKEN));
                self.answer(client, query, topic);
                self.records.entry(topic).or_default().insert(key);
            }
            Asked::Unannounce { query, topic, key } => {
                assert!(of(key).verify_unannounce(&topic, &NODE, &TOKEN));
                self.records.entry(topic).or_default().remove(&key);
                self.say(client, &M::Finished { id: query });
            }
            Asked::Close { server, key } => {
                assert!(of(key).verify_unannounce(&peer_target(&key), &NODE, &TOKEN));
                self.say(client, &M::Closed { alias: server.ours });
            }
            Asked::Listen { server, key } => {
                assert!(of(key).verify_announce(&peer_target(&key), &NODE, &TOKEN));
                self.servers.insert(key, server);
                let Server { ours, theirs, .. } = server;
                self.say(client, &M::Listening { alias: ours, remote_alias: theirs, address: ADDRESS });
            }
        }
    }

    /// Takes the server's announcement back first, which needs a signature.
    fn close(&mut self, client: usize, alias: u32) {
        let ours = |server: &Server| server.client == client && server.theirs == alias;
        let Some((key, server)) = self.servers.iter().find(|(_, server)| ours(server)) else { return };
        let (key, server) = (*key, *server);
        self.servers.remove(&key);
        self.ask_signature(client, alias, true, Asked::Close { server, key });
    }

    fn call(&mut self, caller: usize, stream: u32, from: PublicKey, to: PublicKey) {
        let Some(server) = self.servers.get(&to).copied() else {
            let error = Some("PEER_NOT_FOUND".to_owned());
            return self.say(caller, &M::Destroy { stream: StreamAlias::Receiver(stream), error });
        };
        let (calling, answering) = (self.number(), self.number());
        self.calls.push(Call { caller, stream, calling, server, answering, from });
        self.say(caller, &M::NoiseSend { id: calling, stream: Some(stream), payload: payload() });
    }

    fn handshake(&mut self, client: usize, id: u32, payload: Bytes, progress: NoiseProgress) {
        let Some(call) = self.calls.iter().find(|call| call.calling == id || call.answering == id).copied() else {
            return;
        };
        let Call { caller, stream, calling, server, answering, from } = call;
        match progress {
            _ if payload.is_empty() => {
                let error = Some("refused".to_owned());
                self.say(caller, &M::Destroy { stream: StreamAlias::Receiver(stream), error });
            }
            NoiseProgress::Called => {
                self.say(server.client, &M::NoiseReceive { id: answering, server: Some(server.ours), payload });
            }
            NoiseProgress::CalledBy(key) => {
                assert_eq!(key, from);
                self.say(client, &M::NoiseSend { id: answering, stream: None, payload: self::payload() });
            }
            NoiseProgress::Complete { initiator: false, .. } => {
                self.say(caller, &M::NoiseReceive { id: calling, server: None, payload });
            }
            NoiseProgress::Complete { .. } => {
                let (here, there) = (self.number(), self.number());
                self.pairing.insert((server.client, there), (caller, here));
                self.pipes.insert((caller, stream), (server.client, there));
                self.say(caller, &M::Open { alias: here, remote_alias: stream, handshake: calling });
                self.say(
                    server.client,
                    &M::Connection {
                        alias: there,
                        server_alias: server.ours,
                        remote_public_key: from,
                        handshake: answering,
                    },
                );
            }
        }
    }
}

pub(crate) fn payload() -> Bytes {
    HandshakePayload { version: 1, ..HandshakePayload::default() }.to_bytes().into()
}
