//! Machines in a virtual world: a clock, memory stores, links that carry bytes in pieces and can be cut.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    reason = "a test may fail loudly"
)]

use bytes::Bytes;
use corestore_core::corestore::{
    CommandError, Config, ConnectionId, CoreInfo, Corestore, Event, Input, OpenCore, Outcome, Output, RequestId, Role,
    SessionId,
};
use corestore_core::storage::{MemoryStore, Store};
use corestore_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// One machine with its store.
pub struct Host {
    pub machine: Corestore,
    pub store: MemoryStore,
    pub answers: BTreeMap<RequestId, Result<Outcome, CommandError>>,
    pub events: Vec<Event>,
    now: Instant,
    deadline: Option<Instant>,
    pub outbox: VecDeque<(ConnectionId, Bytes)>,
    closed: Vec<ConnectionId>,
}

impl Host {
    pub fn new(seed: u8) -> Self {
        Self::with_store(seed, MemoryStore::default())
    }

    /// A machine over a store that may hold something already.
    pub fn with_store(seed: u8, store: MemoryStore) -> Self {
        let now = Instant::ZERO;
        let mut host = Self {
            machine: Corestore::new(Config::default(), [seed; 32], now),
            store,
            answers: BTreeMap::new(),
            events: Vec::new(),
            now,
            deadline: None,
            outbox: VecDeque::new(),
            closed: Vec::new(),
        };
        host.drain();
        host
    }

    /// Carries out every output.
    pub fn drain(&mut self) {
        loop {
            match self.machine.poll_output() {
                Output::Transmit { connection, bytes } => self.outbox.push_back((connection, bytes)),
                Output::Close { connection, .. } => self.closed.push(connection),
                Output::Storage { op, request } => {
                    let result = self.store.execute(request);
                    self.machine.handle_input(self.now, Input::Stored { op, result });
                }
                Output::Event(Event::Resolved { request, result }) => {
                    self.answers.insert(request, result);
                }
                Output::Event(event) => self.events.push(event),
                Output::Idle { deadline } => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    pub fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    /// The answer to a request, if there is one by now.
    pub fn answer(&mut self, request: RequestId) -> Option<Result<Outcome, CommandError>> {
        self.drain();
        self.answers.remove(&request)
    }

    pub fn open(&mut self, options: OpenCore) -> (SessionId, CoreInfo) {
        let request = self.machine.open_core(options);
        match self.answer(request) {
            Some(Ok(Outcome::Opened(session, info))) => (session, info),
            other => panic!("opening gave {other:?}"),
        }
    }

    pub fn append(&mut self, session: SessionId, blocks: &[&[u8]]) {
        let blocks = blocks.iter().map(|block| Bytes::copy_from_slice(block)).collect();
        let request = self.machine.append(session, blocks);
        assert!(matches!(self.answer(request), Some(Ok(Outcome::Appended { .. }))));
    }

    pub fn info(&self, session: SessionId) -> CoreInfo {
        self.machine.info(session).unwrap()
    }
}

/// Hosts and the links between them.
pub struct World {
    pub hosts: Vec<Host>,
    links: Vec<((usize, ConnectionId), (usize, ConnectionId))>,
    next: u64,
    piece: usize,
}

impl World {
    pub fn new(count: u8) -> Self {
        Self { hosts: (0..count).map(|seed| Host::new(seed + 1)).collect(), links: Vec::new(), next: 1, piece: 1000 }
    }

    /// Connects two hosts; the first dials.
    pub fn connect(&mut self, from: usize, to: usize) -> usize {
        let (a, b) = (ConnectionId(self.next), ConnectionId(self.next + 1));
        self.next += 2;
        self.links.push(((from, a), (to, b)));
        self.hosts[from].input(Input::Opened { connection: a, role: Role::Initiator });
        self.hosts[to].input(Input::Opened { connection: b, role: Role::Responder });
        self.links.len() - 1
    }

    /// Cuts a link; what was under way is lost.
    pub fn cut(&mut self, link: usize) {
        let ((a, ca), (b, cb)) = self.links[link];
        self.hosts[a].input(Input::Closed { connection: ca });
        self.hosts[b].input(Input::Closed { connection: cb });
    }

    fn other_end(&self, host: usize, connection: ConnectionId) -> Option<(usize, ConnectionId)> {
        self.links.iter().find_map(|(a, b)| match (host, connection) {
            end if end == *a => Some(*b),
            end if end == *b => Some(*a),
            _ => None,
        })
    }

    /// Carries bytes until nothing moves.
    pub fn run(&mut self) {
        self.run_with(&mut |_, _| {});
    }

    /// The same, with a hand on every piece of bytes on its way: (sender, bytes).
    pub fn run_with(&mut self, touch: &mut dyn FnMut(usize, &mut Vec<u8>)) {
        self.hosts.iter_mut().for_each(Host::drain);
        for _ in 0..1_000_000 {
            let Some(from) = (0..self.hosts.len()).find(|host| !self.hosts[*host].outbox.is_empty()) else {
                if self.close_ends() {
                    continue;
                }
                return;
            };
            let (connection, bytes) = self.hosts[from].outbox.pop_front().unwrap();
            self.hosts[from].input(Input::Writable { connection, backlog: 0 });
            if let Some((to, other)) = self.other_end(from, connection) {
                let mut bytes = bytes.to_vec();
                touch(from, &mut bytes);
                for piece in bytes.chunks(self.piece) {
                    self.hosts[to].input(Input::Received { connection: other, bytes: Bytes::copy_from_slice(piece) });
                }
            }
        }
        panic!("the hosts never fall silent");
    }

    fn close_ends(&mut self) -> bool {
        for host in 0..self.hosts.len() {
            if let Some(connection) = self.hosts[host].closed.pop() {
                if let Some((other, end)) = self.other_end(host, connection) {
                    self.hosts[other].input(Input::Closed { connection: end });
                }
                return true;
            }
        }
        false
    }

    /// Lets time pass on every host.
    pub fn pass(&mut self, time: Duration) {
        for host in &mut self.hosts {
            host.now = host.now.after(time);
            host.input(Input::Deadline);
        }
        self.run();
    }
}
