//! Members and a relay, carried to and fro until nothing moves.

use crate::fake_relay::FakeRelay;
use bytes::Bytes;
use corestore_core::crypto::{KeyPair, PublicKey};
use corestore_core::entropy::Entropy;
use corestore_core::hyperswarm::LinkId;
use corestore_core::relay_client::{Config, RelayedSwarm, SwarmOutput, page_swarm};
use corestore_core::stream::{SecretStream, StreamError, StreamEvent};
use corestore_core::time::Instant;
use std::collections::BTreeMap;

/// A member: its swarm, and a secret-stream on each connection.
pub(crate) struct Member {
    pub(crate) swarm: RelayedSwarm,
    pub(crate) key: PublicKey,
    pub(crate) at_relay: Option<usize>,
    pub(crate) streams: BTreeMap<LinkId, SecretStream>,
    pub(crate) connected: Vec<(PublicKey, bool)>,
    pub(crate) closed: Vec<Option<String>>,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) faults: Vec<StreamError>,
    entropy: Entropy,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) relay: FakeRelay,
    pub(crate) members: Vec<Member>,
    pub(crate) now: Instant,
}

pub(crate) fn seed(number: usize) -> [u8; 32] {
    [number as u8 + 0xa0; 32]
}

impl World {
    /// So many members, each with its transport to the relay open.
    pub(crate) fn new(members: usize) -> Self {
        let mut world = Self::default();
        (0..members).for_each(|number| world.add(number));
        world
    }

    /// Another member, with the next number.
    pub(crate) fn add(&mut self, number: usize) {
        let key_pair = KeyPair::from_seed(&seed(number));
        let key = key_pair.public_key();
        let swarm = RelayedSwarm::new(Config::default(), page_swarm(), key_pair, [number as u8; 32]);
        self.members.push(Member {
            swarm,
            key,
            at_relay: None,
            streams: BTreeMap::new(),
            connected: Vec::new(),
            closed: Vec::new(),
            messages: Vec::new(),
            faults: Vec::new(),
            entropy: Entropy::from_seed([number as u8 + 100; 32]),
        });
        self.dial(number);
    }

    pub(crate) fn dial(&mut self, number: usize) {
        self.members[number].at_relay = Some(self.relay.connect());
        self.members[number].swarm.relay_opened(self.now);
    }

    pub(crate) fn hang_up(&mut self, number: usize) {
        self.members[number].at_relay = None;
        self.members[number].swarm.relay_closed();
    }

    /// Until nothing moves.
    pub(crate) fn run(&mut self) {
        let mut moved = true;
        while moved {
            moved = (0..self.members.len()).filter(|number| self.step(*number)).count() > 0;
        }
    }

    /// To the next deadline, and on.
    pub(crate) fn wait(&mut self) {
        let next = self.members.iter().filter_map(|member| member.swarm.deadline()).min();
        self.now = self.now.max(next.unwrap_or(self.now));
        let now = self.now;
        for member in &mut self.members {
            member.swarm.handle_deadline(now).unwrap();
        }
        self.run();
    }

    fn step(&mut self, number: usize) -> bool {
        let (now, mut moved) = (self.now, false);
        while let Some(output) = self.members[number].swarm.poll_output() {
            moved = true;
            if let SwarmOutput::Transmit(bytes) = output {
                let Some(at_relay) = self.members[number].at_relay else { continue };
                self.relay.handle(at_relay, &bytes);
            } else {
                self.members[number].hear(now, output);
            }
        }
        let Some(at_relay) = self.members[number].at_relay else { return moved };
        while let Some(bytes) = self.relay.poll(at_relay) {
            moved = true;
            self.members[number].swarm.handle_message(now, &bytes).unwrap();
        }
        moved
    }

    /// A message over the only connection of a member, if it still stands.
    pub(crate) fn send(&mut self, number: usize, message: &[u8]) {
        let member = &mut self.members[number];
        let Some((link, stream)) = member.streams.iter_mut().next() else { return };
        stream.send(message);
        let link = *link;
        member.drain(link);
        self.run();
    }
}

impl Member {
    fn hear(&mut self, now: Instant, output: SwarmOutput) {
        match output {
            SwarmOutput::Transmit(_) => {}
            SwarmOutput::Connected { link, initiator, split, .. } => {
                self.connected.push((split.remote, initiator));
                self.streams.insert(link, SecretStream::from_split(initiator, *split, &mut self.entropy, now));
                self.drain(link);
            }
            SwarmOutput::Data { link, bytes } => {
                let Some(stream) = self.streams.get_mut(&link) else { return };
                let result = stream.handle_bytes(now, &bytes);
                self.drain(link);
                if let Err(error) = result {
                    self.faults.push(error);
                    self.streams.remove(&link);
                    self.swarm.close(now, link);
                }
            }
            SwarmOutput::Closed { link, reason } => {
                self.streams.remove(&link).unwrap();
                self.closed.push(reason);
            }
        }
    }

    fn drain(&mut self, link: LinkId) {
        while let Some(event) = self.streams.get_mut(&link).and_then(SecretStream::poll_event) {
            match event {
                StreamEvent::Transmit(bytes) => self.swarm.send(link, &bytes),
                StreamEvent::Message(bytes) => self.messages.push(bytes.to_vec()),
                StreamEvent::Connected { .. } => {}
            }
        }
    }
}

/// Whether some of what was seen holds these bytes.
pub(crate) fn holds(seen: &[Bytes], needle: &[u8]) -> bool {
    seen.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}
