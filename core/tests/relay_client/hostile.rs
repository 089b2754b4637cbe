//! With relays that lie, repeat themselves, flood, or talk nonsense.

use crate::fake_relay::{ADDRESS, Fault, NODE, TOKEN, payload};
use crate::world::World;
use bytes::Bytes;
use corestore_core::crypto::{Hash, KeyPair, PublicKey};
use corestore_core::dht::{Announcers, Contact, DhtRelayMessage as M, Handshake, PeerRecord, StreamAlias};
use corestore_core::encoding::Encode;
use corestore_core::hyperswarm::JoinOptions;
use corestore_core::relay_client::{Config, Output, RelayClient, RelayError};
use corestore_core::stream::StreamError;
use corestore_core::time::{Duration, Instant};
use proptest::prelude::*;

const TOPIC: Hash = Hash([7; 32]);

/// A client alone with a relay that says what it is told to.
struct Duel {
    world: World,
    client: RelayClient,
    outputs: Vec<Output>,
    end: usize,
}

impl Duel {
    fn new() -> Self {
        let mut world = World::default();
        let end = world.relay.connect();
        let client = RelayClient::new(Config::default(), KeyPair::from_seed(&[1; 32]), [2; 32], Instant::ZERO);
        let mut duel = Self { world, client, outputs: Vec::new(), end };
        duel.run().unwrap();
        assert!(matches!(duel.outputs.pop(), Some(Output::Greeted)));
        duel
    }

    fn run(&mut self) -> Result<(), RelayError> {
        loop {
            let mut moved = false;
            while let Some(output) = self.client.poll_output() {
                moved = true;
                match output {
                    Output::Transmit(bytes) => self.world.relay.handle(self.end, &bytes),
                    other => self.outputs.push(other),
                }
            }
            while let Some(bytes) = self.world.relay.poll(self.end) {
                moved = true;
                self.client.handle_message(self.world.now, &bytes)?;
            }
            if !moved {
                return Ok(());
            }
        }
    }

    /// Says something; gives what the client answers.
    fn say(&mut self, message: &M) -> Vec<M> {
        let before = self.world.relay.heard.len();
        self.world.relay.say(self.end, message);
        self.run().unwrap();
        self.world.relay.heard[before..].iter().map(|(_, message)| message.clone()).collect()
    }

    /// A server of the client's that is known at the relay as 500; gives the client's number.
    fn listening(&mut self) -> u32 {
        // The relay's own answer to `listen` asks for a signature and says the number.
        self.client.listen();
        self.run().unwrap();
        let said = self.world.relay.heard.iter().find_map(|(_, message)| match message {
            M::Listen { alias, .. } => Some(*alias),
            _ => None,
        });
        said.unwrap()
    }
}

fn signable(signee: u32) -> M {
    M::SignAnnounce { id: 1, signee, token: TOKEN, node: NODE, relay_addresses: Vec::new() }
}

fn signs(answer: &[M]) -> bool {
    matches!(answer, [M::Signature { signature: Some(_), .. }])
}

#[test]
fn nothing_is_signed_that_was_not_asked_for() {
    let mut duel = Duel::new();
    assert!(!signs(&duel.say(&signable(1))), "nobody asked");
    duel.client.lookup(Instant::ZERO, TOPIC).unwrap();
    // Not run: the relay would end the query.
    let lookup = 1;
    duel.world.relay.say(duel.end, &signable(lookup));
    let before = duel.world.relay.heard.len();
    while let Some(bytes) = duel.world.relay.poll(duel.end) {
        duel.client.handle_message(Instant::ZERO, &bytes).unwrap();
    }
    duel.run().unwrap();
    assert!(!duel.world.relay.heard[before..].iter().any(|(_, message)| signs(core::slice::from_ref(message))));
}

#[test]
fn an_announcement_is_not_taken_back_for_a_relay() {
    let mut duel = Duel::new();
    let query = duel.client.announce(Instant::ZERO, TOPIC).unwrap();
    let mut frames = Vec::new();
    while let Some(output) = duel.client.poll_output() {
        if let Output::Transmit(bytes) = output {
            frames.push(bytes);
        }
    }
    let signee = 1;
    let _ = query;
    for (message, signed) in [
        (M::SignUnannounce { id: 8, signee, token: TOKEN, node: NODE, relay_addresses: Vec::new() }, false),
        (signable(signee), true),
    ] {
        assert_eq!(signs(&duel.say(&message)), signed);
    }
}

#[test]
fn a_flood_of_signables_and_calls_is_answered_up_to_the_budget() {
    let mut duel = Duel::new();
    let signee = duel.listening();
    let signed = (0..1000).filter(|_| signs(&duel.say(&signable(signee)))).count();
    assert!(signed <= 128, "{signed} signatures in one second");
    let mut read = 0;
    for id in 0..1000 {
        let mut stranger = Handshake::initiator(
            &KeyPair::from_seed(&[9; 32]),
            KeyPair::from_seed(&[1; 32]).public_key(),
            [id as u8; 32],
        )
        .unwrap();
        let message = stranger.write(&Default::default()).unwrap().into();
        let answer = duel.say(&M::NoiseReceive { id, server: Some(relay_number(&duel)), payload: message });
        read += usize::from(matches!(&answer[..], [M::NoiseReply { payload, .. }] if !payload.is_empty()));
    }
    assert_eq!(read, 64, "no more handshakes are kept");
    duel.world.now = Instant::ZERO.after(Duration::from_secs(31));
    duel.client.handle_deadline(duel.world.now).unwrap();
    assert!(duel.client.deadline() > duel.world.now, "they are forgotten");
}

/// The relay's number of the client's server: it numbers from 1001 on, the server first.
fn relay_number(_: &Duel) -> u32 {
    1001
}

#[test]
fn a_stream_opened_without_a_handshake_is_ended() {
    let mut duel = Duel::new();
    let stream = duel.client.connect(Instant::ZERO, PublicKey([3; 32])).unwrap();
    let mut frames = Vec::new();
    while let Some(output) = duel.client.poll_output() {
        frames.push(output);
    }
    let answer = duel.say(&M::Open { alias: 5, remote_alias: 1, handshake: 77 });
    assert!(matches!(answer[..], [M::Destroy { stream: StreamAlias::Sender(1), .. }]), "{answer:?}");
    let Some(Output::Closed { stream: closed, reason: Some(reason) }) = duel.outputs.pop() else { panic!("closed") };
    assert_eq!(closed, stream);
    assert!(reason.contains("handshake"), "{reason}");
}

#[test]
fn a_caller_is_who_the_handshake_proves_and_nobody_else() {
    let mut duel = Duel::new();
    duel.listening();
    let (caller, own) = (KeyPair::from_seed(&[9; 32]), KeyPair::from_seed(&[1; 32]).public_key());
    let server = relay_number(&duel);
    for (claimed, taken) in [(PublicKey([4; 32]), false), (caller.public_key(), true)] {
        let id = 40 + u32::from(taken);
        let message = Handshake::initiator(&caller, own, [5; 32]).unwrap().write(&Default::default()).unwrap();
        duel.say(&M::NoiseReceive { id, server: Some(server), payload: message.into() });
        duel.say(&M::NoiseSend { id, stream: None, payload: payload() });
        let connection = M::Connection { alias: id, server_alias: server, remote_public_key: claimed, handshake: id };
        // The fake relay pairs nobody here: look at what the client says instead.
        let before = duel.outputs.len();
        duel.world.relay.say(duel.end, &connection);
        while let Some(bytes) = duel.world.relay.poll(duel.end) {
            duel.client.handle_message(Instant::ZERO, &bytes).unwrap();
        }
        let mut connected = false;
        while let Some(output) = duel.client.poll_output() {
            connected |= matches!(output, Output::Connected { initiator: false, .. });
        }
        assert_eq!(connected, taken);
        assert_eq!(duel.outputs.len(), before);
    }
}

#[test]
fn what_is_said_of_strangers_changes_nothing() {
    let mut duel = Duel::new();
    let unknown: Vec<M> = vec![
        M::Open { alias: 1, remote_alias: 2, handshake: 3 },
        M::Data { alias: 9, data: vec![Bytes::from_static(b"x"); 3] },
        M::End { alias: 9 },
        M::Destroy { stream: StreamAlias::Sender(4), error: None },
        M::Destroy { stream: StreamAlias::Receiver(4), error: Some("no".to_owned()) },
        M::Finished { id: 12 },
        M::Result { id: 12, data: Bytes::from_static(b"nonsense") },
        M::Listening { alias: 1, remote_alias: 2, address: ADDRESS },
        M::Closed { alias: 3 },
        M::NoiseSend { id: 1, stream: Some(3), payload: payload() },
        M::NoiseSend { id: 1, stream: None, payload: payload() },
        M::NoiseReceive { id: 1, server: None, payload: payload() },
        M::NoiseReceive { id: 1, server: Some(3), payload: payload() },
        M::Connect { alias: 1, public_key: PublicKey([1; 32]), remote_public_key: PublicKey([2; 32]) },
        M::Lookup { id: 1, topic: TOPIC },
    ];
    for message in unknown {
        assert!(duel.say(&message).is_empty(), "{message:?} is answered");
        assert!(duel.outputs.is_empty(), "{message:?} gives {:?}", duel.outputs);
    }
    assert_eq!(duel.say(&M::Ping), [M::Pong]);
}

#[test]
fn a_lookup_is_not_filled_without_end() {
    let mut duel = Duel::new();
    duel.client.lookup(Instant::ZERO, TOPIC).unwrap();
    while duel.client.poll_output().is_some() {}
    let node = Contact { id: None, address: ADDRESS };
    let peers = |from: u8| {
        (0..200).map(move |key| PeerRecord { public_key: PublicKey([from ^ key; 32]), relay_addresses: vec![] })
    };
    for from in 0..50 {
        let data = Announcers { token: TOKEN, from: node, to: node, peers: peers(from).collect() };
        duel.say(&M::Result { id: 1, data: data.to_bytes().into() });
    }
    let taken = duel.outputs.iter().map(|output| match output {
        Output::Peers { peers, .. } => peers.len(),
        _ => 0,
    });
    assert_eq!(taken.sum::<usize>(), 1024);
}

#[test]
fn custodial_words_and_broken_ones_end_the_connection() {
    for (kind, bytes) in [(14, vec![1; 80]), (14, vec![0; 4]), (16, vec![0; 5000]), (22, vec![0xff; 70])] {
        let mut duel = Duel::new();
        duel.world.relay.say_bytes(duel.end, kind, &bytes);
        assert!(duel.run().is_err(), "message {kind} passes");
    }
    let mut duel = Duel::new();
    duel.world.relay.say_bytes(duel.end, 99, b"what a later version says");
    assert_eq!(duel.run(), Ok(()));
}

#[test]
fn a_handshake_message_played_twice_gives_no_second_stream() {
    let mut world = World::new(2);
    for number in 0..2 {
        world.members[number].swarm.join(world.now, TOPIC, JoinOptions::default());
        world.run();
    }
    let before: Vec<usize> = world.members.iter().map(|member| member.connected.len()).collect();
    // Everything the relay said is said again, to both.
    for _ in 0..2 {
        let seen = world.relay.seen.clone();
        for number in 0..2 {
            for bytes in &seen {
                if world.members[number].swarm.handle_message(world.now, bytes).is_err() {
                    world.members[number].swarm.relay_opened(world.now);
                }
            }
            while world.members[number].swarm.poll_output().is_some() {}
        }
    }
    let after: Vec<usize> = world.members.iter().map(|member| member.connected.len()).collect();
    assert_eq!(before, after);
}

#[test]
fn sealed_bytes_that_are_altered_dropped_repeated_or_swapped_end_the_connection_and_a_new_one_is_made() {
    for fault in [Fault::Alter, Fault::Drop, Fault::Repeat, Fault::Swap] {
        let mut world = World::new(2);
        for number in 0..2 {
            world.members[number].swarm.join(world.now, TOPIC, JoinOptions::default());
            world.run();
        }
        world.relay.fault = Some(fault);
        world.send(0, b"first");
        world.send(0, b"second");
        world.relay.release();
        world.run();
        let listener = &world.members[1];
        assert_eq!(listener.faults, [StreamError::Tampered], "{fault:?}");
        let whole: &[&[u8]] = if matches!(fault, Fault::Repeat) { &[b"first"] } else { &[] };
        assert_eq!(listener.messages, whole, "{fault:?}");
        assert!(world.members.iter().all(|member| member.streams.is_empty()), "{fault:?}");
        world.wait();
        world.send(0, b"third");
        assert_eq!(world.members[1].messages.last().unwrap(), b"third", "{fault:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nonsense_never_panics(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40), kinds in prop::collection::vec(0_u64..30, 40)) {
        let mut duel = Duel::new();
        duel.client.listen();
        let _ = duel.client.connect(Instant::ZERO, PublicKey([3; 32]));
        let _ = duel.run();
        for (frame, kind) in frames.iter().zip(kinds) {
            duel.world.relay.say_bytes(duel.end, kind, frame);
            while let Some(bytes) = duel.world.relay.poll(duel.end) {
                let _ = duel.client.handle_message(Instant::ZERO, &bytes);
            }
            let _ = duel.client.handle_message(Instant::ZERO, &Bytes::from(frame.clone()));
            while duel.client.poll_output().is_some() {}
        }
    }
}
