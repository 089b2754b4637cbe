//! The machine: facts go in by [`Corestore::handle_input`] and by commands, effects come out by
//! [`Corestore::poll_output`]. After either, poll until [`Output::Idle`].

use super::config::Config;
use super::connections::{Link, Peer};
use super::cores::OpenedCore;
use super::io::{CloseReason, CommandError, ConnectionId, Event, Input, Outcome, Output, RequestId, Role, SessionId};
use super::opening::{Early, Opening, Startup, Target};
use super::pending::Pending;
use super::sessions::Session;
use super::timers::{Timer, Timers};
use super::waiting::Waiting;
use super::writes::Writes;
use crate::crypto::{DiscoveryKey, KeyPair, PublicKey};
use crate::entropy::Entropy;
use crate::replication::PeerId;
use crate::storage::{OpId, StorageOp};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

/// Many cores, many connections, one store. One machine serves one thread; it never blocks.
#[derive(Debug)]
pub struct Corestore {
    pub(super) now: Instant,
    pub(super) config: Config,
    pub(super) entropy: Entropy,
    pub(super) identity: [u8; 32],
    pub(super) startup: Startup,
    pub(super) early: Vec<Early>,
    pub(super) cores: BTreeMap<DiscoveryKey, Box<OpenedCore>>,
    pub(super) opening: BTreeMap<DiscoveryKey, Opening>,
    /// Cores that leave, and who would open them again meanwhile.
    pub(super) purging: BTreeMap<DiscoveryKey, Vec<Target>>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) connections: BTreeMap<ConnectionId, Link>,
    pub(super) peers: BTreeMap<PeerId, Peer>,
    pub(super) waiting: BTreeMap<RequestId, Waiting>,
    /// Searches for peers the driver has under way.
    pub(super) finding_peers: u32,
    /// Cores that look for a longer log.
    pub(super) looking: BTreeSet<DiscoveryKey>,
    pub(super) timers: Timers,
    /// In the order they were asked.
    pub(super) pending: VecDeque<(OpId, Pending)>,
    pub(super) writes: Writes,
    pub(super) dirty_cores: BTreeSet<DiscoveryKey>,
    pub(super) dirty_connections: BTreeSet<ConnectionId>,
    /// Connections that hold messages back.
    pub(super) corked: BTreeSet<ConnectionId>,
    outputs: VecDeque<Output>,
    last_id: u64,
}

impl Corestore {
    /// A machine over a store the driver has opened. `seed` is 32 bytes of fresh entropy; the first output asks the
    /// store for its primary key.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut entropy = Entropy::from_seed(seed);
        let drawn = entropy.array();
        let mut machine = Self {
            now,
            identity: config.identity.unwrap_or(drawn),
            config,
            entropy,
            startup: Startup::Loading,
            early: Vec::new(),
            cores: BTreeMap::new(),
            opening: BTreeMap::new(),
            purging: BTreeMap::new(),
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            peers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            finding_peers: 0,
            looking: BTreeSet::new(),
            timers: Timers::default(),
            pending: VecDeque::new(),
            writes: Writes::default(),
            dirty_cores: BTreeSet::new(),
            dirty_connections: BTreeSet::new(),
            corked: BTreeSet::new(),
            outputs: VecDeque::new(),
            last_id: 0,
        };
        machine.start_up();
        machine
    }

    /// The public key we show on streams.
    pub fn public_key(&self) -> PublicKey {
        KeyPair::from_seed(&self.identity).public_key()
    }

    /// How many cores are open now: held by sessions, replicated by peers, or idle for a moment.
    pub fn open_cores(&self) -> usize {
        self.cores.len()
    }

    /// Takes one fact. Facts about connections that are gone are ignored.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Opened { connection, role } => self.connection_opened(connection, role, None),
            Input::Secured { connection, role, split } => self.connection_opened(connection, role, Some(*split)),
            Input::Received { connection, bytes } => self.connection_received(connection, &bytes),
            Input::Writable { connection, backlog } => self.connection_writable(connection, backlog),
            Input::Closed { connection } => self.end_connection(connection, CloseReason::Remote),
            Input::Stored { op, result } => self.stored(op, result),
            Input::Deadline => self.deadline_passed(),
        }
        self.settle();
    }

    /// Tells the machine what time it is before a command that may start a timer.
    pub fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The next thing for the outside to do. What is to be written and what is to be sent is handed out last, so that
    /// whatever a store answers at once joins one batch of each.
    #[must_use]
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
            if !self.issue_write() && !self.uncork_connections() {
                return Output::Idle { deadline: self.timers.next() };
            }
            self.settle();
        }
    }

    /// Carries every consequence of the last input as far as it goes without the outside.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(core) = self.dirty_cores.pop_first() {
                self.carry_out_effects(&core);
            } else if let Some(connection) = self.dirty_connections.pop_first() {
                self.drain_connection(connection);
            } else if !self.tell_finding() {
                return;
            }
        }
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(super) fn resolve(&mut self, request: RequestId, result: Result<Outcome, CommandError>) {
        self.event(Event::Resolved { request, result });
    }

    /// Issues a storage operation, remembering what its reply is for.
    pub(super) fn ask_store(&mut self, request: StorageOp, then: Pending) -> OpId {
        let op = OpId(self.next_id());
        self.pending.push_back((op, then));
        self.output(Output::Storage { op, request });
        op
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    fn deadline_passed(&mut self) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Request(request) => self.give_up(request, CommandError::Timeout),
                Timer::Connection(connection) => self.connection_deadline(connection),
                Timer::Core(core) => self.core_deadline(core),
                Timer::Store => self.retry_records(),
            }
        }
    }

    /// Which side of `connection` we are.
    pub(super) fn is_initiator(role: Role) -> bool {
        role == Role::Initiator
    }
}
