//! The machine and its store behind one lock. Whoever needs it enters in place: gives it one fact or command, carries
//! out everything it asks for, and leaves. Only what must wait for peers or time waits, on a oneshot.

use crate::any_store::AnyStore;
use crate::committer::Committer;
use crate::connection::Outgoing;
use crate::events::{CoreEvent, StoreEvent, Told, translate};
use crate::request::{Answer, Failure, Request};
use crate::store::{Begun, Synced};
use crate::subscription::{Publisher, Subscription};
use bytes::Bytes;
use corestore_core::corestore::{
    Config, ConnectionId, Corestore as Sans, Event, Input, Output, RequestId, Role, SessionId,
};
use corestore_core::crypto::DiscoveryKey;
use corestore_core::storage::{OpId, StorageError, StorageOp, StorageReply};
use corestore_core::stream::Split;
use corestore_core::time::Instant;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// One store's machine, shared by its handles, connections and timer.
pub(crate) struct Machine {
    state: Mutex<State>,
    epoch: std::time::Instant,
    /// Told when a deadline earlier than the one the timer sleeps for appears.
    pub(crate) timer: Arc<Notify>,
    /// Told when a connection's task ends.
    pub(crate) vacated: Notify,
}

struct State {
    machine: Sans,
    /// `None` once closed.
    store: Option<AnyStore>,
    /// Waits for syncs; `None` when they are waited for in place.
    committer: Option<Committer>,
    waiters: HashMap<RequestId, oneshot::Sender<Answer>>,
    /// Answers nobody waits for yet: those to the command that is just being given.
    answered: Vec<(RequestId, Answer)>,
    connections: HashMap<ConnectionId, Arc<Outgoing>>,
    touched: Vec<ConnectionId>,
    /// So many callers here were answered since this was last looked at.
    told: usize,
    cores: HashMap<DiscoveryKey, Publisher<CoreEvent>>,
    events: Publisher<StoreEvent>,
    deadline: Option<Instant>,
    armed: Option<Instant>,
    last_connection: u64,
}

/// Peers are being looked for as long as this lives.
pub(crate) struct FindingPeers(Arc<Machine>);

impl Drop for FindingPeers {
    fn drop(&mut self) {
        self.0.act(|machine, _| machine.stop_finding_peers());
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    pub(crate) fn new(config: Config, seed: [u8; 32], store: AnyStore) -> Arc<Self> {
        let mut state = State {
            machine: Sans::new(config, seed, Instant::ZERO),
            store: Some(store),
            committer: None,
            waiters: HashMap::new(),
            answered: Vec::new(),
            connections: HashMap::new(),
            touched: Vec::new(),
            told: 0,
            cores: HashMap::new(),
            events: Publisher::default(),
            deadline: None,
            armed: None,
            last_connection: 0,
        };
        state.drain(Instant::ZERO);
        Arc::new(Self {
            state: Mutex::new(state),
            epoch: std::time::Instant::now(),
            timer: Arc::new(Notify::new()),
            vacated: Notify::new(),
        })
    }

    /// From here on nobody waits for the disk in here.
    pub(crate) fn start_committer(self: &Arc<Self>) {
        self.lock().committer = Committer::start(self);
    }

    /// A write's sync is over.
    pub(crate) fn synced(&self, op: OpId, synced: Synced) {
        let now = self.now();
        let mut state = self.lock();
        let Some(store) = &mut state.store else { return };
        let result = store.synced(synced);
        state.machine.set_now(now);
        state.machine.handle_input(now, Input::Stored { op, result });
        self.finish(&mut state, now);
        state.answered.clear();
    }

    /// Gives a command; its answer is there at once unless peers or time are needed.
    pub(crate) fn request(self: &Arc<Self>, command: impl FnOnce(&mut Sans) -> RequestId) -> Request {
        let now = self.now();
        let mut state = self.lock();
        if state.store.is_none() {
            return Request::answered(Err(Failure::Closed));
        }
        state.machine.set_now(now);
        let id = command(&mut state.machine);
        let touched = self.settle(&mut state, now);
        let found = state.answered.iter().position(|(request, _)| *request == id);
        let answer = found.map(|at| state.answered.swap_remove(at).1);
        state.answered.clear();
        match answer {
            Some(answer) => {
                drop(state);
                touched.iter().for_each(|outgoing| outgoing.write_here());
                Request::answered(answer)
            }
            None => {
                let (sender, receiver) = oneshot::channel();
                state.waiters.insert(id, sender);
                touched.iter().for_each(|outgoing| outgoing.wake());
                Request::waiting(Arc::clone(self), id, receiver)
            }
        }
    }

    /// Gives up a request nobody waits for any more.
    pub(crate) fn cancel(&self, request: RequestId) {
        let now = self.now();
        let mut state = self.lock();
        if state.waiters.remove(&request).is_some() && state.store.is_some() {
            state.machine.set_now(now);
            state.machine.cancel(request);
            self.finish(&mut state, now);
            state.answered.clear();
        }
    }

    /// Closes a session nobody holds any more.
    pub(crate) fn drop_session(self: &Arc<Self>, session: SessionId) {
        drop(self.request(|machine| machine.close_session(session)));
    }

    /// Says that peers are being looked for, until what it gives is dropped.
    pub(crate) fn finding_peers(self: &Arc<Self>) -> FindingPeers {
        self.act(|machine, _| machine.start_finding_peers());
        FindingPeers(Arc::clone(self))
    }

    /// Reads something that needs no command.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Sans) -> T) -> T {
        look(&self.lock().machine)
    }

    /// Gives bytes that a connection's task read. That task is not told what there is to write to its connection: it
    /// looks by itself. True when one caller here was answered.
    pub(crate) fn received(&self, connection: ConnectionId, bytes: Bytes) -> bool {
        let now = self.now();
        let mut state = self.lock();
        if state.store.is_none() {
            return false;
        }
        state.told = 0;
        state.machine.set_now(now);
        state.machine.handle_input(now, Input::Received { connection, bytes });
        state.drain(now);
        state.touched.retain(|touched| *touched != connection);
        state.touched().iter().for_each(|outgoing| outgoing.wake());
        self.arm(&mut state);
        state.answered.clear();
        state.told == 1
    }

    /// Gives a fact.
    pub(crate) fn input(&self, input: Input) {
        self.act(|machine, now| machine.handle_input(now, input));
    }

    /// Does something that has no answer.
    pub(crate) fn act(&self, act: impl FnOnce(&mut Sans, Instant)) {
        let now = self.now();
        let mut state = self.lock();
        if state.store.is_some() {
            state.machine.set_now(now);
            act(&mut state.machine, now);
            self.finish(&mut state, now);
            state.answered.clear();
        }
    }

    /// Makes room for a connection and starts its handshake, or with a `split` goes on after it; `None` when the store
    /// is closed.
    pub(crate) fn connect(&self, role: Role, split: Option<Split>) -> Option<(ConnectionId, Arc<Outgoing>)> {
        let now = self.now();
        let mut state = self.lock();
        state.store.as_ref()?;
        state.last_connection = state.last_connection.saturating_add(1);
        let connection = ConnectionId(state.last_connection);
        let outgoing = Arc::new(Outgoing::default());
        state.connections.insert(connection, Arc::clone(&outgoing));
        let opened = match split {
            Some(split) => Input::Secured { connection, role, split: Box::new(split) },
            None => Input::Opened { connection, role },
        };
        state.machine.handle_input(now, opened);
        self.finish(&mut state, now);
        Some((connection, outgoing))
    }

    /// The byte stream of a connection is gone.
    pub(crate) fn disconnect(&self, connection: ConnectionId) {
        self.input(Input::Closed { connection });
        self.lock().connections.remove(&connection);
        self.vacated.notify_waiters();
    }

    pub(crate) fn subscribe(&self, core: DiscoveryKey) -> Subscription<CoreEvent> {
        let mut state = self.lock();
        let closed = state.store.is_none();
        state.cores.retain(|_, publisher| !publisher.is_idle());
        state.cores.entry(core).or_default().subscribe(closed)
    }

    pub(crate) fn subscribe_store(&self) -> Subscription<StoreEvent> {
        let mut state = self.lock();
        let closed = state.store.is_none();
        state.events.subscribe(closed)
    }

    /// Ends every connection; true while some are still at it.
    pub(crate) fn hang_up(&self) -> bool {
        let ids: Vec<ConnectionId> = self.lock().connections.keys().copied().collect();
        self.act(|machine, _| ids.iter().for_each(|id| machine.close_connection(*id)));
        !ids.is_empty()
    }

    /// True when no connection is left.
    pub(crate) fn is_vacant(&self) -> bool {
        self.lock().connections.is_empty()
    }

    /// Takes the store out: nothing works from here on. `None` when it was closed before.
    pub(crate) fn shut(&self) -> Option<AnyStore> {
        let mut state = self.lock();
        let store = state.store.take()?;
        state.committer = None;
        state.waiters.clear();
        state.cores.values_mut().for_each(Publisher::close);
        state.events.close();
        self.timer.notify_one();
        Some(store)
    }

    /// Gives the due deadline and says when to come again; `None` when the store is closed.
    pub(crate) fn tick(&self) -> Option<Option<std::time::Instant>> {
        let now = self.now();
        let mut state = self.lock();
        state.store.as_ref()?;
        if state.deadline.is_some_and(|at| at <= now) {
            state.machine.handle_input(now, Input::Deadline);
            state.drain(now);
            state.touched().iter().for_each(|outgoing| outgoing.wake());
        }
        state.armed = state.deadline;
        Some(state.armed.map(|at| self.epoch + std::time::Duration::from_micros(at.as_micros())))
    }

    /// Carries out everything; the tasks of connections write what there is to write.
    fn finish(&self, state: &mut State, now: Instant) {
        self.settle(state, now).iter().for_each(|outgoing| outgoing.wake());
    }

    /// Carries out everything; gives the connections that have something to write.
    fn settle(&self, state: &mut State, now: Instant) -> Vec<Arc<Outgoing>> {
        state.drain(now);
        self.arm(state);
        state.touched()
    }

    /// Makes the timer sleep no longer than to the machine's deadline.
    fn arm(&self, state: &mut State) {
        let earlier = match (state.deadline, state.armed) {
            (Some(deadline), Some(armed)) => deadline < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if earlier {
            state.armed = state.deadline;
            self.timer.notify_one();
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.timer.notify_one();
    }
}

impl State {
    /// Carries out everything the machine asks for, until it is idle. What takes long, such as an audit, goes on when
    /// the timer or anybody else enters next, so that nobody waits long for the lock.
    fn drain(&mut self, now: Instant) {
        let entered = std::time::Instant::now();
        loop {
            match self.machine.poll_output() {
                Output::Transmit { connection, bytes } => {
                    if let Some(outgoing) = self.connections.get(&connection) {
                        outgoing.push(bytes);
                        self.touched.push(connection);
                    }
                }
                Output::Close { connection, reason } => {
                    if let Some(outgoing) = self.connections.get(&connection) {
                        outgoing.finish(reason);
                        self.touched.push(connection);
                    }
                }
                Output::Storage { op, request } => {
                    if let Some(result) = self.execute(op, request) {
                        self.machine.handle_input(now, Input::Stored { op, result });
                    }
                    if entered.elapsed() > LONG_ENOUGH {
                        self.deadline = Some(now);
                        break;
                    }
                }
                Output::Event(Event::Resolved { request, result }) => self.answer(request, result),
                Output::Event(event) => self.tell(event),
                Output::Idle { deadline } => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
    }

    /// The connections that have something to write since this was last called.
    fn touched(&mut self) -> Vec<Arc<Outgoing>> {
        self.touched.dedup();
        self.touched.drain(..).filter_map(|connection| self.connections.get(&connection).cloned()).collect()
    }

    /// `None` when the committer answers later.
    fn execute(&mut self, op: OpId, request: StorageOp) -> Option<Result<StorageReply, StorageError>> {
        let Some(store) = &mut self.store else {
            return Some(Err(StorageError::Broken("it was closed".to_owned())));
        };
        let syncing = match store.begin(request) {
            Begun::Answered(answer) => return Some(answer),
            Begun::Syncing(syncing) => syncing,
        };
        let here = match &self.committer {
            Some(committer) => committer.sync(op, syncing).err()?,
            None => syncing,
        };
        Some(store.synced(here.run()))
    }

    fn answer(
        &mut self,
        request: RequestId,
        result: Result<corestore_core::corestore::Outcome, corestore_core::corestore::CommandError>,
    ) {
        let answer = result.map_err(Failure::Command);
        match self.waiters.remove(&request) {
            // A caller that is just giving up hears nothing, as it asked.
            Some(waiter) => {
                self.told = self.told.saturating_add(1);
                drop(waiter.send(answer));
            }
            None => self.answered.push((request, answer)),
        }
    }

    fn tell(&mut self, event: Event) {
        match translate(event) {
            Told::Core(core, event) => {
                if let Some(publisher) = self.cores.get_mut(&core) {
                    publisher.publish(&event);
                }
            }
            Told::Store(event) => {
                if let StoreEvent::Disconnected { connection, reason } = &event
                    && let Some(outgoing) = self.connections.get(connection)
                {
                    outgoing.finish(reason.clone());
                    self.touched.push(*connection);
                }
                self.events.publish(&event);
            }
            Told::Nothing => {}
        }
    }
}

/// How long one visit may keep others out.
const LONG_ENOUGH: std::time::Duration = std::time::Duration::from_millis(20);
