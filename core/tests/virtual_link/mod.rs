//! Machines in a virtual world: a clock, stores that fail or crash, links that carry bytes in pieces, stall and break.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    unreachable_pub,
    reason = "a test may fail loudly"
)]

pub mod puppet;

use bytes::Bytes;
use corestore_core::corestore::{
    CloseReason, CommandError, Config, ConnectionId, CoreInfo, Corestore, Event, GetOptions, Input, OpenCore, Outcome,
    Output, RequestId, Role, SessionId,
};
use corestore_core::crypto::CoreKey;
use corestore_core::storage::{Durability, MemoryStore, StorageError, StorageOp, StorageReply, Store, WriteBatch};
use corestore_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One machine with its store.
pub struct Host {
    pub machine: Corestore,
    pub store: MemoryStore,
    pub answers: BTreeMap<RequestId, Result<Outcome, CommandError>>,
    pub events: Vec<Event>,
    pub now: Instant,
    deadline: Option<Instant>,
    pub outbox: VecDeque<(ConnectionId, Bytes)>,
    pub closed: Vec<(ConnectionId, CloseReason)>,
    /// Writes fail: the store is full.
    pub full: bool,
    /// Blocks that cannot be read.
    pub damaged: BTreeSet<u64>,
    /// The most blocks and nodes read at once.
    pub largest_read: usize,
    first: MemoryStore,
    written: Vec<WriteBatch>,
}

impl Host {
    pub fn new(seed: u8) -> Self {
        Self::with_store(seed, MemoryStore::default())
    }

    /// A machine over a store that may hold something already.
    pub fn with_store(seed: u8, store: MemoryStore) -> Self {
        Self::with(seed, store, false)
    }

    /// A machine over a store that is full from the start.
    pub fn starving(seed: u8) -> Self {
        Self::with(seed, MemoryStore::default(), true)
    }

    /// A machine with a core of `length` one-byte blocks.
    pub fn writer(length: u8) -> (Self, SessionId, CoreKey) {
        let mut host = Self::new(1);
        let (session, info) = host.open(OpenCore::name("core-1"));
        for i in 0..length {
            host.append(session, &[&[i]]);
        }
        (host, session, info.key)
    }

    fn with(seed: u8, store: MemoryStore, full: bool) -> Self {
        let now = Instant::ZERO;
        let mut host = Self {
            machine: Corestore::new(Config::default(), [seed; 32], now),
            first: store.clone(),
            store,
            answers: BTreeMap::new(),
            events: Vec::new(),
            now,
            deadline: None,
            outbox: VecDeque::new(),
            closed: Vec::new(),
            full,
            damaged: BTreeSet::new(),
            largest_read: 0,
            written: Vec::new(),
        };
        host.drain();
        host
    }

    /// Carries out every output.
    pub fn drain(&mut self) {
        loop {
            match self.machine.poll_output() {
                Output::Transmit { connection, bytes } => self.outbox.push_back((connection, bytes)),
                Output::Close { connection, reason } => self.closed.push((connection, reason)),
                Output::Storage { op, request } => {
                    let result = self.execute(request);
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

    fn execute(&mut self, request: StorageOp) -> Result<StorageReply, StorageError> {
        match &request {
            StorageOp::Write(_) if self.full => return Err(StorageError::Full),
            StorageOp::Write(batch) => self.written.push(batch.clone()),
            StorageOp::Read(read) if read.blocks.iter().any(|(_, index)| self.damaged.contains(index)) => {
                return Err(StorageError::Damaged("a block fails its checksum".to_owned()));
            }
            StorageOp::Read(read) => {
                self.largest_read = self.largest_read.max(read.nodes.len() + read.blocks.len());
            }
            StorageOp::Scan(_) => {}
        }
        self.store.execute(request)
    }

    /// What a crash would leave: every write up to the last durable one, and `more` of those behind it at most.
    pub fn crashed(&self, more: usize) -> MemoryStore {
        let durable = self.written.iter().rposition(|batch| batch.durability == Durability::Durable);
        let kept = (durable.map_or(0, |last| last + 1) + more).min(self.written.len());
        let mut store = self.first.clone();
        for batch in &self.written[..kept] {
            store.execute(StorageOp::Write(batch.clone())).unwrap();
        }
        store
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Lets time pass on this host alone.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.input(Input::Deadline);
    }

    /// A block, which must be there by now.
    pub fn block(&mut self, session: SessionId, index: u64) -> Bytes {
        let request = self.machine.get(session, index, GetOptions::default());
        match self.answer(request) {
            Some(Ok(Outcome::Block(Some(block)))) => block,
            other => panic!("no block {index} but {other:?}"),
        }
    }

    pub fn truncate(&mut self, session: SessionId, length: u64) {
        let request = self.machine.truncate(session, length, None);
        assert_eq!(self.answer(request), Some(Ok(Outcome::Done)));
    }

    pub fn close(&mut self, session: SessionId) {
        let request = self.machine.close_session(session);
        assert_eq!(self.answer(request), Some(Ok(Outcome::Done)));
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
    pub piece: usize,
    /// Hosts that send nothing for now.
    pub stalled: BTreeSet<usize>,
}

impl World {
    pub fn new(count: u8) -> Self {
        Self {
            hosts: (0..count).map(|seed| Host::new(seed + 1)).collect(),
            links: Vec::new(),
            next: 1,
            piece: 1000,
            stalled: BTreeSet::new(),
        }
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

    /// Carries some writes and stops in the middle of it all.
    pub fn run_some(&mut self, writes: usize) {
        for _ in 0..writes {
            if !self.carry_one(&mut |_, _| {}) {
                return;
            }
        }
    }

    /// The same, with a hand on every piece of bytes on its way: (sender, bytes).
    pub fn run_with(&mut self, touch: &mut dyn FnMut(usize, &mut Vec<u8>)) {
        self.hosts.iter_mut().for_each(Host::drain);
        for _ in 0..1_000_000 {
            if !self.carry_one(touch) && !self.close_ends() {
                return;
            }
        }
        panic!("the hosts never fall silent");
    }

    /// Carries one write of one host; false when there is none.
    fn carry_one(&mut self, touch: &mut dyn FnMut(usize, &mut Vec<u8>)) -> bool {
        let ready = |host: &usize| !self.stalled.contains(host) && !self.hosts[*host].outbox.is_empty();
        let Some(from) = (0..self.hosts.len()).find(ready) else { return false };
        let (connection, bytes) = self.hosts[from].outbox.pop_front().unwrap();
        self.hosts[from].input(Input::Writable { connection, backlog: 0 });
        if let Some((to, other)) = self.other_end(from, connection) {
            let mut bytes = bytes.to_vec();
            touch(from, &mut bytes);
            for piece in bytes.chunks(self.piece) {
                self.hosts[to].input(Input::Received { connection: other, bytes: Bytes::copy_from_slice(piece) });
            }
        }
        true
    }

    fn close_ends(&mut self) -> bool {
        for host in 0..self.hosts.len() {
            if let Some((connection, _)) = self.hosts[host].closed.pop() {
                if let Some((other, end)) = self.other_end(host, connection) {
                    self.hosts[other].input(Input::Closed { connection: end });
                }
                return true;
            }
        }
        false
    }

    /// Lets time pass on every host, in steps short enough for keep-alives to arrive.
    pub fn pass(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(4));
            left -= step;
            self.hosts.iter_mut().for_each(|host| host.pass(step));
            self.run();
        }
    }
}
