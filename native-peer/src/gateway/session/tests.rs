//! A session between a client made of core's codec and a DHT that the test plays.

use super::{Fault, Output, Part, Request, Session, SessionLimits};
use crate::swarm::hyperdht::{ConnectionId, Signable, SignatureId};
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair, PublicKey, Signature};
use corestore_core::dht::{
    Announce, Announcers, Contact, DhtRelayError, DhtRelayMessage as Message, Handshake, HandshakePayload,
    HolepunchKey, NoiseProgress, PeerRecord, StreamAlias,
};
use corestore_core::encoding::{Decode, Encode};
use corestore_core::protomux::{ChannelId, Mux, MuxEvent, MuxLimits};
use corestore_core::time::{Duration, Instant};
use proptest::prelude::*;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Both sides, and what came out of the session beside frames.
struct World {
    session: Session,
    mux: Mux,
    channel: ChannelId,
    now: Instant,
    outputs: Vec<Output>,
    heard: Vec<Message>,
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_seed(&[number; 32])
}

fn address() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7)
}

impl World {
    fn new(limits: SessionLimits) -> Self {
        let now = Instant::ZERO;
        let mut mux = Mux::new(MuxLimits::default(), &[]);
        let channel = mux.open(Message::PROTOCOL, None, &[]).unwrap();
        let session = Session::new(limits, pair(99).public_key(), [1; 32], now);
        let mut world = Self { session, mux, channel, now, outputs: Vec::new(), heard: Vec::new() };
        world.pass().unwrap();
        world
    }

    fn greeted(limits: SessionLimits) -> Self {
        let mut world = Self::new(limits);
        world.say(Message::Handshake { public_key: pair(1).public_key() }).unwrap();
        assert_eq!(world.hear(), [Message::Handshake { public_key: pair(99).public_key() }]);
        world
    }

    fn say(&mut self, message: Message) -> Result<(), Fault> {
        self.mux.send(self.channel, message.kind(), &message.to_bytes());
        self.pass()
    }

    /// Carries frames until neither side has one.
    fn pass(&mut self) -> Result<(), Fault> {
        let mut fault = Ok(());
        loop {
            let mut idle = true;
            while let Some(event) = self.mux.poll_event() {
                idle = false;
                match event {
                    MuxEvent::Transmit(frame) if fault.is_ok() => {
                        fault = self.session.handle_frame(self.now, &frame);
                    }
                    MuxEvent::Message { kind, payload, .. } => {
                        self.heard.push(Message::decode(kind, &payload).unwrap());
                    }
                    _ => {}
                }
            }
            while let Some(output) = self.session.poll_output() {
                idle = false;
                match output {
                    Output::Frame(frame) => self.mux.handle_message(&frame).unwrap(),
                    other => self.outputs.push(other),
                }
            }
            if idle {
                return fault;
            }
        }
    }

    fn hear(&mut self) -> Vec<Message> {
        self.pass().unwrap();
        std::mem::take(&mut self.heard)
    }

    fn outputs(&mut self) -> Vec<Output> {
        self.pass().unwrap();
        std::mem::take(&mut self.outputs)
    }

    fn request(&mut self) -> Request {
        match self.outputs().pop() {
            Some(Output::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn after(&mut self, seconds: u64) -> Result<(), Fault> {
        self.now = self.now.after(Duration::from_secs(seconds));
        let due = self.session.handle_deadline(self.now);
        due.and_then(|()| self.pass())
    }

    /// The client connects, up to `open`.
    fn connect(&mut self, alias: u32, number: u64) -> Part {
        let (ours, far) = (pair(1), pair(2));
        self.say(Message::Connect { alias, public_key: ours.public_key(), remote_public_key: far.public_key() })
            .unwrap();
        let Request::Connect { stream, .. } = self.request() else { panic!() };
        let connection = ConnectionId(number);
        let mut noise = Handshake::initiator(&ours, far.public_key(), [3; 32]).unwrap();
        let mut theirs = Handshake::responder(&far, [4; 32]).unwrap();
        let payload = HandshakePayload { version: 1, ..HandshakePayload::default() };
        self.session.write_handshake(self.now, stream, connection, &payload);
        let [Message::NoiseSend { id, stream: Some(named), payload: asked }] = &self.hear()[..] else { panic!() };
        assert_eq!((*named, HandshakePayload::from_bytes(asked).unwrap()), (alias, payload.clone()));
        let (id, first) = (*id, Bytes::from(noise.write(&payload).unwrap()));
        self.say(Message::NoiseReply { id, payload: first, progress: NoiseProgress::Called }).unwrap();
        let Request::HandshakeWritten { noise: first, holepunch_key: None, .. } = self.request() else { panic!() };
        theirs.read(&first).unwrap();
        let second = Bytes::from(theirs.write(&payload).unwrap());
        self.session.read_handshake(self.now, stream, connection, second.clone());
        assert_eq!(self.hear(), [Message::NoiseReceive { id, server: None, payload: second.clone() }]);
        let read = Bytes::from(noise.read(&second).unwrap().to_bytes());
        let holepunch_key = noise.finish().unwrap().holepunch_key;
        let progress = NoiseProgress::Complete { initiator: true, remote_id: Hash([0; 32]), holepunch_key };
        self.say(Message::NoiseReply { id, payload: read, progress }).unwrap();
        let Request::HandshakeRead { read: Some(read), .. } = self.request() else { panic!() };
        assert_eq!((read.remote, read.payload), (far.public_key(), payload));
        assert_eq!(read.holepunch_key, theirs.finish().map(|secrets| secrets.holepunch_key));
        self.session.connected(stream, connection);
        assert_eq!(self.hear(), [Message::Open { alias: stream.0, remote_alias: alias, handshake: id }]);
        stream
    }

    /// The client listens, up to `listening`.
    fn listen(&mut self, alias: u32, key: &KeyPair) -> Part {
        let (id, token, node) = self.challenged(alias, key);
        let peer = PeerRecord { public_key: key.public_key(), relay_addresses: Vec::new() };
        let target = corestore_core::dht::peer_target(&key.public_key());
        let signature = Announce::sign_announce(key, &target, &node, &token, peer, 0).signature;
        self.say(Message::Signature { id, signature }).unwrap();
        let Request::Listen { server, key: asked } = self.request() else { panic!() };
        assert_eq!(asked, key.public_key());
        self.session.announced(server, 3, address());
        assert_eq!(self.hear(), [Message::Listening { alias: server.0, remote_alias: alias, address: address() }]);
        server
    }

    fn challenged(&mut self, alias: u32, key: &KeyPair) -> (u32, Hash, Hash) {
        self.say(Message::Listen { alias, public_key: key.public_key() }).unwrap();
        assert!(self.outputs().is_empty(), "nothing is announced before it is proven");
        match self.hear().pop() {
            Some(Message::SignAnnounce { id, signee, token, node, .. }) if signee == alias => (id, token, node),
            other => panic!("{other:?}"),
        }
    }
}

fn signable(unannounce: bool, key: PublicKey) -> Signable {
    let peer = PeerRecord { public_key: key, relay_addresses: Vec::new() };
    Signable { unannounce, target: Hash([5; 32]), node: Hash([6; 32]), token: Hash([7; 32]), peer, bump: 0 }
}

#[test]
fn a_client_connects_and_both_halves_end() {
    let mut world = World::greeted(SessionLimits::default());
    let stream = world.connect(7, 1);
    let chunks = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"two")];
    world.say(Message::Data { alias: 7, data: chunks }).unwrap();
    let outputs = world.outputs();
    assert!(
        matches!(&outputs[..], [Output::Write { stream: to, data }] if *to == stream && data.concat() == b"onetwo")
    );
    assert!(world.session.data_from_peer(stream, Bytes::from_static(b"three")));
    assert_eq!(world.hear(), [Message::Data { alias: stream.0, data: vec![Bytes::from_static(b"three")] }]);
    world.say(Message::End { alias: 7 }).unwrap();
    assert!(matches!(world.outputs()[..], [Output::Finish(ended)] if ended == stream));
    world.session.end_from_peer(stream);
    world.session.far_closed(stream, None);
    assert_eq!(world.hear(), [Message::End { alias: stream.0 }]);
    assert!(!world.session.data_from_peer(stream, Bytes::from_static(b"late")));
    assert_eq!(world.session.sizes(), [0; 3]);
}

#[test]
fn a_stream_that_breaks_is_told_with_the_reason_and_one_that_is_destroyed_goes() {
    let mut world = World::greeted(SessionLimits::default());
    let stream = world.connect(7, 1);
    world.session.far_closed(stream, Some("reset".to_owned()));
    let told = Message::Destroy { stream: StreamAlias::Sender(stream.0), error: Some("reset".to_owned()) };
    assert_eq!(world.hear(), [told]);
    let stream = world.connect(8, 2);
    world.say(Message::Destroy { stream: StreamAlias::Sender(8), error: None }).unwrap();
    assert!(matches!(world.outputs()[..], [Output::Drop(gone)] if gone == stream));
    assert_eq!(world.hear(), []);
    // One that is not open yet is named by the client's number.
    world
        .say(Message::Connect { alias: 9, public_key: PublicKey([1; 32]), remote_public_key: PublicKey([2; 32]) })
        .unwrap();
    let Request::Connect { stream, .. } = world.request() else { panic!() };
    world.session.failed(stream, "nobody".to_owned());
    let told = Message::Destroy { stream: StreamAlias::Receiver(9), error: Some("nobody".to_owned()) };
    assert_eq!(world.hear(), [told]);
}

#[test]
fn a_peer_calls_a_server_of_the_clients() {
    let mut world = World::greeted(SessionLimits::default());
    let (ours, far) = (pair(1), pair(2));
    let server = world.listen(4, &ours);
    let connection = ConnectionId(5);
    let payload = HandshakePayload { version: 1, ..HandshakePayload::default() };
    let mut theirs = Handshake::initiator(&far, ours.public_key(), [3; 32]).unwrap();
    let mut noise = Handshake::responder(&ours, [4; 32]).unwrap();
    let first = Bytes::from(theirs.write(&payload).unwrap());
    world.session.read_handshake(world.now, server, connection, first.clone());
    let [Message::NoiseReceive { id, server: Some(called), .. }] = world.hear()[..] else { panic!() };
    assert_eq!(called, server.0);
    let read = Bytes::from(noise.read(&first).unwrap().to_bytes());
    let progress = NoiseProgress::CalledBy(far.public_key());
    world.say(Message::NoiseReply { id, payload: read, progress }).unwrap();
    let Request::HandshakeRead { read: Some(read), .. } = world.request() else { panic!() };
    assert_eq!((read.remote, read.holepunch_key), (far.public_key(), None));
    world.session.write_handshake(world.now, server, connection, &payload);
    assert!(matches!(world.hear()[..], [Message::NoiseSend { id: again, stream: None, .. }] if again == id));
    let second = Bytes::from(noise.write(&payload).unwrap());
    let holepunch_key = noise.finish().unwrap().holepunch_key;
    let progress = NoiseProgress::Complete { initiator: false, remote_id: Hash([0; 32]), holepunch_key };
    world.say(Message::NoiseReply { id, payload: second.clone(), progress }).unwrap();
    let Request::HandshakeWritten { noise: sent, holepunch_key: Some(key), .. } = world.request() else { panic!() };
    theirs.read(&sent).unwrap();
    assert_eq!(theirs.finish().map(|secrets| secrets.holepunch_key), Some(key));
    let stream = world.session.called(server, connection).unwrap();
    let (alias, server_alias, remote_public_key) = (stream.0, server.0, far.public_key());
    assert_eq!(world.hear(), [Message::Connection { alias, server_alias, remote_public_key, handshake: id }]);
    // Nothing goes to the peer before the client has named its end.
    world.say(Message::Data { alias: 70, data: vec![Bytes::from_static(b"x")] }).unwrap();
    assert!(world.outputs().is_empty());
    world.say(Message::Connected { alias: 70, remote_alias: stream.0 }).unwrap();
    world.say(Message::Data { alias: 70, data: vec![Bytes::from_static(b"x")] }).unwrap();
    assert!(matches!(&world.outputs()[..], [Output::Write { stream: to, .. }] if *to == stream));
    assert_eq!(world.session.called(server, ConnectionId(6)), None);
}

#[test]
fn only_a_keys_holder_listens_under_it() {
    let mut world = World::greeted(SessionLimits::default());
    let (id, token, node) = world.challenged(4, &pair(1));
    let stranger = Announce::sign_announce(
        &pair(2),
        &corestore_core::dht::peer_target(&pair(1).public_key()),
        &node,
        &token,
        PeerRecord { public_key: pair(1).public_key(), relay_addresses: Vec::new() },
        0,
    );
    assert_eq!(world.say(Message::Signature { id, signature: stranger.signature }), Err(Fault::NotTheHolder));
    let mut world = World::greeted(SessionLimits::default());
    let (id, ..) = world.challenged(4, &pair(1));
    assert_eq!(world.say(Message::Signature { id, signature: None }), Err(Fault::NotTheHolder));
    let mut world = World::greeted(SessionLimits::default());
    world.challenged(4, &pair(1));
    world.after(11).unwrap();
    assert_eq!(world.session.sizes(), [0; 3]);
    assert!(world.outputs().is_empty());
}

#[test]
fn a_server_closes_once_its_announcements_are_taken_back_or_in_time() {
    let mut world = World::greeted(SessionLimits::default());
    let server = world.listen(4, &pair(1));
    world.say(Message::Close { alias: 4 }).unwrap();
    assert!(matches!(world.request(), Request::CloseServer(closed) if closed == server));
    for number in 0..3 {
        assert_eq!(world.hear(), []);
        world.session.sign(world.now, server, SignatureId(number), signable(true, pair(1).public_key()));
        let Some(Message::SignUnannounce { id, signee: 4, .. }) = world.hear().pop() else { panic!() };
        world.say(Message::Signature { id, signature: Some(Signature([8; 64])) }).unwrap();
        let Request::Signed { signature, given: Some(_) } = world.request() else { panic!() };
        assert_eq!(signature, SignatureId(number));
    }
    assert_eq!(world.hear(), [Message::Closed { alias: server.0 }]);
    let server = world.listen(5, &pair(2));
    world.say(Message::Close { alias: 5 }).unwrap();
    world.after(3).unwrap();
    assert_eq!(world.hear(), [Message::Closed { alias: server.0 }]);
    // Signatures for what is gone are not asked for.
    world.outputs();
    world.session.sign(world.now, server, SignatureId(9), signable(true, pair(2).public_key()));
    assert!(matches!(world.request(), Request::Signed { given: None, .. }));
}

#[test]
fn queries_give_answers_and_ask_for_signatures() {
    let mut world = World::greeted(SessionLimits { queries: 2, ..SessionLimits::default() });
    let topic = Hash([5; 32]);
    let key = pair(1).public_key();
    world.say(Message::Announce { id: 8, topic, public_key: key }).unwrap();
    let Request::Announce { query, server: None, .. } = world.request() else { panic!() };
    world.session.sign(world.now, query, SignatureId(1), signable(false, key));
    let Some(Message::SignAnnounce { id, signee: 8, .. }) = world.hear().pop() else { panic!() };
    world.say(Message::Signature { id, signature: None }).unwrap();
    assert!(matches!(world.request(), Request::Signed { given: None, .. }));
    let contact = Contact { id: None, address: address() };
    let answer = Announcers { token: Hash([1; 32]), from: contact, to: contact, peers: Vec::new() };
    world.session.found(query, &answer);
    world.session.query_done(query);
    let data = Bytes::from(answer.to_bytes());
    assert_eq!(world.hear(), [Message::Result { id: 8, data }, Message::Finished { id: 8 }]);
    // One too many is over at once.
    for id in 0..3 {
        world.say(Message::Lookup { id, topic }).unwrap();
    }
    assert_eq!(world.outputs().len(), 2);
    assert_eq!(world.hear(), [Message::Finished { id: 2 }]);
}

#[test]
fn a_silent_client_is_pinged_then_given_up_and_a_rude_one_at_once() {
    let mut world = World::new(SessionLimits::default());
    assert_eq!(world.after(11), Err(Fault::NoHandshake));
    let mut world = World::new(SessionLimits::default());
    assert_eq!(world.say(Message::Lookup { id: 1, topic: Hash([0; 32]) }), Err(Fault::NoHandshake));
    let mut world = World::greeted(SessionLimits::default());
    for _ in 0..4 {
        world.after(15).unwrap();
        assert_eq!(world.hear(), [Message::Ping]);
        world.say(Message::Pong).unwrap();
    }
    world.after(44).unwrap();
    assert_eq!(world.after(1), Err(Fault::Silent));
}

#[test]
fn a_secret_key_ends_the_session() {
    let mut world = World::new(SessionLimits::default());
    world.mux.send(world.channel, 0, &[&[1][..], &[7; 96]].concat());
    let fault = world.pass().unwrap_err();
    assert_eq!(fault, Fault::Message(DhtRelayError::Custodial { kind: 0 }));
    assert_eq!(fault.code(), 1008);
    assert!(fault.to_string().contains("secret key") && fault.to_string().len() < 120);
}

#[test]
fn limits_hold_and_a_client_that_answers_nothing_leaves_nothing() {
    let limits = SessionLimits { streams: 3, servers: 2, handshakes: 4, signatures: 4, ..SessionLimits::default() };
    let mut world = World::greeted(limits);
    for alias in 0..10 {
        let (public_key, remote_public_key) = (PublicKey([1; 32]), PublicKey([2; 32]));
        world.say(Message::Connect { alias, public_key, remote_public_key }).unwrap();
    }
    assert_eq!(world.hear().len(), 7);
    let outputs = world.outputs();
    assert_eq!(outputs.len(), 3);
    let Output::Request(Request::Connect { stream, .. }) = outputs[0] else { panic!() };
    for number in 0..10 {
        world.session.read_handshake(world.now, stream, ConnectionId(number), Bytes::from_static(b"noise"));
    }
    assert_eq!(world.hear().len(), 4);
    assert_eq!(world.outputs().len(), 6);
    // The client does not answer: the stream is given up.
    world.after(11).unwrap();
    let outputs = world.outputs();
    assert!(outputs.iter().any(|output| matches!(output, Output::Drop(gone) if *gone == stream)));
    assert_eq!(world.session.sizes(), [2, 0, 0]);
    assert!(world.session.handshakes.is_empty());
    world.say(Message::Listen { alias: 1, public_key: pair(1).public_key() }).unwrap();
    world.say(Message::Listen { alias: 2, public_key: pair(2).public_key() }).unwrap();
    let third = world.say(Message::Listen { alias: 3, public_key: pair(3).public_key() });
    assert_eq!(third, Err(Fault::TooManyServers));
}

fn any_message() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let tail = prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), any::<u8>()], 0..120);
    (0..28_u64, 0..3_u8, 0..4_u8, tail).prop_map(|(kind, flags, alias, tail)| {
        // Messages that are nearly right: flags, a small number, and the rest.
        let head = if [0, 3, 4, 9, 10, 14, 20, 21, 25, 26, 27].contains(&kind) { vec![flags] } else { Vec::new() };
        (kind, [head, vec![alias, 0, 0, 0], tail].concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_a_client_sends_nothing_outgrows_its_limit(messages in prop::collection::vec(any_message(), 0..60)) {
        let limits = SessionLimits { streams: 3, servers: 2, queries: 3, handshakes: 3, signatures: 4, ..SessionLimits::default() };
        let mut world = World::greeted(limits);
        for (kind, bytes) in messages {
            world.mux.send(world.channel, kind, &bytes);
            if world.pass().is_err() {
                break;
            }
            for output in std::mem::take(&mut world.outputs) {
                if let Output::Request(Request::Connect { stream, .. }) = output {
                    let payload = HandshakePayload::default();
                    world.session.write_handshake(world.now, stream, ConnectionId(u64::from(stream.0)), &payload);
                }
            }
            let [streams, servers, queries] = world.session.sizes();
            prop_assert!(streams <= 3 && servers <= 2 && queries <= 3);
            prop_assert!(world.session.handshakes.len() <= 3 && world.session.signatures.len() <= 4);
            prop_assert!(world.session.aliases.len() <= streams);
        }
    }
}

#[test]
fn a_reply_nobody_asked_for_means_nothing() {
    let mut world = World::greeted(SessionLimits::default());
    let holepunch_key = HolepunchKey::new([1; 32]);
    let progress = NoiseProgress::Complete { initiator: true, remote_id: Hash([0; 32]), holepunch_key };
    world.say(Message::NoiseReply { id: 3, payload: Bytes::from_static(b"x"), progress }).unwrap();
    world.say(Message::Signature { id: 3, signature: None }).unwrap();
    world.say(Message::Connected { alias: 1, remote_alias: 2 }).unwrap();
    assert!(world.outputs().is_empty() && world.hear().is_empty());
}
