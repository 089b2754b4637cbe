//! Open cores: a log and its replicator side by side, and the effects that pass between them.

use super::config::Config;
use super::corestore::Corestore;
use super::io::{ConnectionId, DownloadRange, Event, RequestId, SessionId};
use super::pending::Pending;
use super::timers::Timer;
use super::writes::Then;
use crate::crypto::{BlockCipher, DiscoveryKey};
use crate::log::Hypercore;
use crate::merkle::TreeIndex;
use crate::replication::{
    Committed, CoreView, DemandId, Effect, LoadId, Loaded, Message, PeerId, Range as WantedRange, Replicator,
    ReplicatorConfig,
};
use crate::storage::{CoreSlot, StorageOp, rows};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// An open core.
#[derive(Debug)]
pub(super) struct OpenedCore {
    pub(super) slot: CoreSlot,
    pub(super) log: Hypercore,
    replicator: Replicator,
    pub(super) gets: BTreeMap<u64, GetEntry>,
    pub(super) demands: BTreeMap<DemandId, Wanted>,
    pub(super) deferred: VecDeque<Deferred>,
    pub(super) truncating: bool,
    pub(super) sessions: BTreeSet<SessionId>,
    pub(super) peers: BTreeSet<PeerId>,
    pub(super) remote_contiguous_length: u64,
    idle_since: Option<Instant>,
}

/// Callers that wait for one block.
#[derive(Debug)]
pub(super) struct GetEntry {
    pub(super) demand: DemandId,
    pub(super) waiters: Vec<RequestId>,
}

/// What a demand is for.
#[derive(Debug)]
pub(super) enum Wanted {
    Block(u64),
    Request(RequestId),
}

/// A change that waits its turn.
#[derive(Debug)]
pub(super) enum Deferred {
    Append { request: RequestId, cipher: Option<BlockCipher>, blocks: Vec<Bytes> },
    Clear { request: RequestId, range: Range<u64>, then: Then },
    Truncate { request: RequestId, new_length: u64, fork: Option<u64> },
    Purge { request: RequestId },
}

/// A log as replication may see it.
fn view(log: &Hypercore) -> CoreView<'_> {
    CoreView {
        key: log.key(),
        discovery_key: log.discovery_key(),
        head: log.head(),
        staged: log.staged_head(),
        bitfield: log.bitfield(),
        contiguous_length: log.contiguous_length(),
        manifest: log.manifest(),
        verifier: log.verifier(),
        writable: log.is_writable(),
        frozen: log.is_frozen(),
    }
}

impl OpenedCore {
    pub(super) fn new(slot: CoreSlot, log: Hypercore, idle_at: Instant, config: &Config, seed: u64) -> Self {
        Self {
            slot,
            log,
            replicator: Replicator::new(ReplicatorConfig { seed, ..config.replication }),
            gets: BTreeMap::new(),
            demands: BTreeMap::new(),
            deferred: VecDeque::new(),
            truncating: false,
            sessions: BTreeSet::new(),
            peers: BTreeSet::new(),
            remote_contiguous_length: 0,
            idle_since: Some(idle_at),
        }
    }

    pub(super) fn on_committed(&mut self, now: Instant, committed: &Committed) {
        self.replicator.on_committed(now, &view(&self.log), committed);
    }

    pub(super) fn want_block(&mut self, now: Instant, demand: DemandId, index: u64) {
        self.replicator.want_block(now, &view(&self.log), demand, index);
    }

    pub(super) fn want_upgrade(&mut self, now: Instant, demand: DemandId, finding_peers: bool) {
        self.replicator.want_upgrade(now, &view(&self.log), demand, finding_peers);
    }

    /// Whether peers may still turn up; true when that is new.
    pub(super) fn set_finding_peers(&mut self, now: Instant, finding_peers: bool) -> bool {
        self.replicator.set_finding_peers(now, &view(&self.log), finding_peers)
    }

    pub(super) fn looks_for_upgrade(&self) -> bool {
        self.replicator.looks_for_upgrade()
    }

    pub(super) fn want_seek(&mut self, now: Instant, demand: DemandId, byte: (u64, u64), below: TreeIndex) {
        self.replicator.want_seek(now, &view(&self.log), demand, byte, below);
    }

    pub(super) fn want_range(&mut self, now: Instant, demand: DemandId, range: DownloadRange) {
        let range = match range {
            DownloadRange::Range { start, end, linear } => WantedRange::Span { start, end, linear },
            DownloadRange::Blocks(blocks) => WantedRange::Blocks(blocks),
        };
        self.replicator.want_range(now, &view(&self.log), demand, range);
    }

    pub(super) fn cancel(&mut self, now: Instant, demand: DemandId) {
        self.replicator.cancel(now, &view(&self.log), demand);
    }

    /// Removes one waiter of a block; gives the demand nobody waits for any more.
    pub(super) fn drop_get(&mut self, index: u64, request: RequestId) -> Option<DemandId> {
        let entry = self.gets.get_mut(&index)?;
        entry.waiters.retain(|waiter| *waiter != request);
        if entry.waiters.is_empty() { self.gets.remove(&index).map(|entry| entry.demand) } else { None }
    }

    /// Data is asked for, so every connection gets a channel.
    pub(super) fn is_downloading(&self) -> bool {
        self.replicator.is_downloading()
    }

    fn deadline(&self) -> Option<Instant> {
        [self.replicator.deadline(), self.idle_since].into_iter().flatten().min()
    }

    /// Nobody holds it, nobody replicates it, and nothing of it is under way.
    fn is_idle(&self) -> bool {
        let quiet = self.replicator.is_idle() && self.log.is_settled();
        quiet && self.sessions.is_empty() && self.deferred.is_empty() && !self.truncating
    }
}

impl Corestore {
    /// Carries out everything the replicator of `id` asks for.
    pub(super) fn carry_out_effects(&mut self, id: &DiscoveryKey) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(id) {
            core.replicator.work(now, &view(&core.log));
        }
        while let Some(effect) = self.cores.get_mut(id).and_then(|core| core.replicator.poll_effect()) {
            self.carry_out(*id, effect);
        }
        if let Some(core) = self.cores.get(id) {
            self.timers.set(Timer::Core(*id), core.deadline());
        }
    }

    fn carry_out(&mut self, id: DiscoveryKey, effect: Effect) {
        match effect {
            Effect::Send { peer, message } => self.send(peer, &message),
            Effect::Load { id: load_id, load } => {
                let Some(core) = self.cores.get(&id) else { return };
                let read = rows::read_core(core.slot, &load.nodes, &load.blocks);
                self.ask_store(StorageOp::Read(read), Pending::Load { core: id, id: load_id, load });
            }
            Effect::Accept { peer, verified, manifest } => {
                let commit = self.cores.get_mut(&id).map(|core| core.log.accept(verified, manifest));
                self.take_from_peer(id, peer, commit);
            }
            Effect::Reorg { peer, ancestors, verified } => {
                let commit = self.cores.get_mut(&id).map(|core| core.log.reorg(ancestors, &verified));
                self.take_from_peer(id, peer, commit);
            }
            Effect::Conflict { .. } => {
                if let Some(commit) = self.cores.get_mut(&id).map(|core| core.log.freeze()) {
                    self.write_commit(id, commit, Then::Frozen);
                }
            }
            Effect::CloseChannel { peer } => self.close_channel(peer),
            Effect::Reopen => self.attach_everywhere(id),
            Effect::Fail { peer, reason } => self.fail_peer(peer, reason),
            Effect::Done { demand, result } => self.demand_done(id, demand, result),
            other => self.tell_effect(id, other),
        }
    }

    fn tell_effect(&mut self, core: DiscoveryKey, effect: Effect) {
        let connection = |machine: &Self, peer| machine.peers.get(&peer).map(|peer| peer.connection);
        match effect {
            Effect::VerificationFailed { peer, reason } => {
                if let Some(connection) = connection(self, peer) {
                    self.event(Event::VerificationFailed { core, connection, reason });
                }
            }
            Effect::Uploaded { peer, index, byte_length } => {
                if let Some(connection) = connection(self, peer) {
                    self.event(Event::Uploaded { core, index, byte_length, connection });
                }
            }
            Effect::Extension { peer, name, payload } => {
                if let Some(connection) = connection(self, peer) {
                    self.event(Event::Extension { core, connection, name, payload });
                }
            }
            Effect::RemoteContiguousLength(length) => self.tell_remote_length(core, length),
            _ => {}
        }
    }

    fn take_from_peer(
        &mut self,
        id: DiscoveryKey,
        peer: PeerId,
        commit: Option<Result<crate::log::Commit, crate::log::LogError>>,
    ) {
        let connection = self.peers.get(&peer).map_or(ConnectionId(0), |peer| peer.connection);
        match commit {
            Some(Ok(commit)) => self.write_commit(id, commit, Then::Peer { peer, connection }),
            Some(Err(_)) => self.reject_commit(id, peer),
            None => {}
        }
    }

    /// A change a peer gave could not be stored: the replicator may ask again.
    pub(super) fn reject_commit(&mut self, id: DiscoveryKey, peer: PeerId) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.replicator.on_rejected(now, &view(&core.log), peer);
            self.dirty_cores.insert(id);
        }
    }

    /// What a peer gave could not be stored: the replicator asks for nothing for a while.
    pub(super) fn store_failed(&mut self, id: DiscoveryKey, peer: PeerId) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.replicator.on_store_failed(now, peer);
            self.dirty_cores.insert(id);
        }
    }

    pub(super) fn on_loaded(&mut self, id: DiscoveryKey, load: LoadId, loaded: Loaded) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.replicator.on_loaded(now, &view(&core.log), load, loaded);
            self.dirty_cores.insert(id);
        }
    }

    pub(super) fn peer_opened(&mut self, id: DiscoveryKey, peer: PeerId, seeks: bool) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.peers.insert(peer);
            core.idle_since = None;
            core.replicator.open_peer(now, &view(&core.log), peer, seeks);
            self.dirty_cores.insert(id);
        }
    }

    pub(super) fn peer_message(&mut self, id: DiscoveryKey, peer: PeerId, message: Message) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.replicator.on_message(now, &view(&core.log), peer, message);
            self.dirty_cores.insert(id);
        }
    }

    /// Stops answering a peer, or goes on.
    pub(super) fn set_clogged(&mut self, id: DiscoveryKey, peer: PeerId, clogged: bool) {
        if let Some(core) = self.cores.get_mut(&id) {
            core.replicator.set_clogged(peer, clogged);
            self.dirty_cores.insert(id);
        }
    }

    pub(super) fn peer_closed(&mut self, id: DiscoveryKey, peer: PeerId, by_remote: bool) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.peers.remove(&peer);
            core.replicator.close_peer(now, &view(&core.log), peer, by_remote);
            self.dirty_cores.insert(id);
        }
        self.note_idle(id);
    }

    pub(super) fn broadcast_extension(&mut self, id: DiscoveryKey, name: &str, payload: &Bytes) {
        if let Some(core) = self.cores.get_mut(&id) {
            core.replicator.broadcast_extension(name, payload);
            self.dirty_cores.insert(id);
        }
    }

    /// A session on the core was opened: data is wanted.
    pub(super) fn session_opened(&mut self, id: DiscoveryKey, session: SessionId) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.sessions.insert(session);
            core.idle_since = None;
            core.replicator.set_active(now, &view(&core.log), true);
            self.dirty_cores.insert(id);
        }
    }

    /// A session on the core was closed: without any, data is wanted for a little longer only.
    pub(super) fn session_closed(&mut self, id: DiscoveryKey, session: SessionId) {
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&id) {
            core.sessions.remove(&session);
            if core.sessions.is_empty() {
                core.replicator.set_active(now, &view(&core.log), false);
                self.dirty_cores.insert(id);
            }
        }
        self.note_idle(id);
    }

    /// Starts the idle clock of a core nobody holds and no peer replicates.
    fn note_idle(&mut self, id: DiscoveryKey) {
        let at = self.now.after(self.config.idle_core);
        if let Some(core) = self.cores.get_mut(&id) {
            core.idle_since = (core.sessions.is_empty() && core.peers.is_empty()).then_some(at);
            self.dirty_cores.insert(id);
        }
    }

    pub(super) fn core_deadline(&mut self, id: DiscoveryKey) {
        let now = self.now;
        let Some(core) = self.cores.get_mut(&id) else { return };
        core.replicator.on_deadline(now, &view(&core.log));
        self.dirty_cores.insert(id);
        if core.idle_since.is_none_or(|at| at > now) {
            return;
        }
        if core.is_idle() {
            self.cores.remove(&id);
        } else {
            self.note_idle(id);
        }
    }
}
