//! What callers may ask of an open core. Every command returns at once; its answer is [`Event::Resolved`].

use super::cores::{GetEntry, Wanted};
use super::corestore::Corestore;
use super::io::{CommandError, DownloadRange, Event, GetOptions, Outcome, RequestId, SessionId};
use super::pending::Pending;
use super::timers::Timer;
use super::waiting::{Waiting, WaitingFor};
use super::writes::Fetch;
use crate::crypto::DiscoveryKey;
use crate::log::Applied;
use crate::merkle::{ByteSeek, LoadedNodes, TreeIndex};
use crate::replication::DemandId;
use crate::storage::{StorageError, StorageOp, rows};
use crate::time::Duration;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

impl Corestore {
    /// Gets a block, from peers if need be. Answered by [`Outcome::Block`].
    pub fn get(&mut self, session: SessionId, index: u64, options: GetOptions) -> RequestId {
        let request = RequestId(self.next_id());
        self.get_or_fail(Fetch { request, session, index, options });
        self.settle();
        request
    }

    pub(super) fn get_or_fail(&mut self, fetch: Fetch) {
        if let Err(error) = self.start_get(fetch) {
            self.resolve(fetch.request, Err(error));
        }
    }

    fn start_get(&mut self, fetch: Fetch) -> Result<(), CommandError> {
        let Fetch { request, session, index, options } = fetch;
        let id = self.session_core(session)?;
        if let Some(session) = self.sessions.get(&session) {
            session.check_index(index)?;
        }
        let core = self.cores.get(&id).ok_or(CommandError::SessionClosed)?;
        if core.log.has(index) {
            let read = rows::read_core(core.slot, &[], &[index]);
            self.ask_store(StorageOp::Read(read), Pending::Get(fetch));
            return Ok(());
        }
        if core.log.is_frozen() {
            return Err(CommandError::Conflict);
        }
        if !options.wait {
            self.resolve(request, Ok(Outcome::Block(None)));
            return Ok(());
        }
        if options.timeout_ms > 0 {
            let at = self.now.after(Duration::from_millis(options.timeout_ms));
            self.timers.set(Timer::Request(request), Some(at));
        }
        let what = WaitingFor::Block { index, raw: options.raw };
        self.start_waiting(request, Waiting { session, core: id, what });
        self.want_block(id, index, request);
        Ok(())
    }

    fn want_block(&mut self, id: DiscoveryKey, index: u64, request: RequestId) {
        let demand = DemandId(self.next_id());
        let now = self.now;
        let Some(core) = self.cores.get_mut(&id) else { return };
        if let Some(entry) = core.gets.get_mut(&index) {
            entry.waiters.push(request);
            return;
        }
        core.gets.insert(index, GetEntry { demand, waiters: Vec::from([request]) });
        core.demands.insert(demand, Wanted::Block(index));
        core.want_block(now, demand, index);
        self.dirty_cores.insert(id);
    }

    /// A stored block cannot be read: whoever waits for peers gets it from them, when there are any.
    pub(super) fn block_unreadable(&mut self, fetch: Fetch, error: StorageError) {
        let damaged = matches!(error, StorageError::Damaged(_));
        let id = self.session_core(fetch.session).ok().filter(|_| damaged && fetch.options.wait);
        let id = id.filter(|id| self.cores.get(id).is_some_and(|core| !core.peers.is_empty() && !core.log.is_frozen()));
        match id {
            Some(id) => self.fetch_again(id, fetch),
            None => self.resolve(fetch.request, Err(CommandError::Storage(error))),
        }
    }

    /// A stored block was read for a caller.
    pub(super) fn block_read(&mut self, fetch: Fetch, block: Option<Bytes>) {
        let Fetch { request, session, index, options } = fetch;
        let Some(holder) = self.sessions.get(&session) else {
            return self.resolve(request, Err(CommandError::SessionClosed));
        };
        let Some(core) = self.cores.get(&holder.core) else {
            return self.resolve(request, Err(CommandError::SessionClosed));
        };
        let result = match block {
            Some(block) => holder.reveal(&core.log, index, block, options.raw).map(|block| Outcome::Block(Some(block))),
            // Cut or cleared while the read was under way.
            None if !core.log.has(index) => Err(CommandError::SnapshotNotAvailable),
            None => Err(CommandError::Damaged(format!("block {index} of core {}", core.log.key()))),
        };
        self.resolve(request, result);
    }

    /// Blocks became stored: everyone who waits for one gets it from memory.
    pub(super) fn answer_gets(&mut self, id: DiscoveryKey, applied: Applied) {
        for (start, blocks) in applied.added {
            for (index, block) in (start..).zip(blocks) {
                let Some(core) = self.cores.get_mut(&id) else { return };
                let Some(entry) = core.gets.remove(&index) else { continue };
                core.demands.remove(&entry.demand);
                core.cancel(self.now, entry.demand);
                self.dirty_cores.insert(id);
                for request in entry.waiters {
                    self.answer_get(request, id, index, block.clone());
                }
            }
        }
    }

    fn answer_get(&mut self, request: RequestId, id: DiscoveryKey, index: u64, block: Bytes) {
        let Some(waiting) = self.stop_waiting(request) else { return };
        let WaitingFor::Block { raw, .. } = waiting.what else { return };
        let found = self.sessions.get(&waiting.session).zip(self.cores.get(&id));
        let result = match found {
            Some((session, core)) => session.reveal(&core.log, index, block, raw),
            None => Err(CommandError::SessionClosed),
        };
        self.resolve(request, result.map(|block| Outcome::Block(Some(block))));
    }

    /// Looks for a longer log. Without `wait` it answers at once with `false`; a writer or a snapshot has nothing to
    /// look for. With it, the word of the first three peers is heard; while there is none it waits for one as long as
    /// peers are being found (see [`Corestore::start_finding_peers`]), and answers `false` when nobody is left to come.
    /// Answered by [`Outcome::Updated`].
    pub fn update(&mut self, session: SessionId, wait: bool) -> RequestId {
        let request = RequestId(self.next_id());
        match self.session_core(session) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(core) if !wait || self.writable_core(session).is_ok() || self.is_snapshot(session) => {
                let _ = core;
                self.resolve(request, Ok(Outcome::Updated(false)));
            }
            Ok(core) => {
                let finding = self.is_finding_peers(&core);
                self.looking.insert(core);
                self.demand(request, session, core, |core, now, demand| core.want_upgrade(now, demand, finding));
            }
        }
        self.settle();
        request
    }

    /// Peers are being looked for from now on, by a dial or a lookup; an update without peers waits for what comes of
    /// it. Every start needs one [`Corestore::stop_finding_peers`].
    pub fn start_finding_peers(&mut self) {
        self.finding_peers = self.finding_peers.saturating_add(1);
    }

    /// One search for peers is over; what it found was given as [`super::Input::Opened`] before.
    pub fn stop_finding_peers(&mut self) {
        self.finding_peers = self.finding_peers.saturating_sub(1);
        self.settle();
    }

    /// Whether a peer of this core may still turn up by itself.
    fn is_finding_peers(&self, core: &DiscoveryKey) -> bool {
        self.finding_peers > 0 || self.is_meeting(core)
    }

    /// Tells cores that look for a longer log when nobody is left to come; true when that changed something.
    pub(super) fn tell_finding(&mut self) -> bool {
        let now = self.now;
        let mut changed = false;
        for id in core::mem::take(&mut self.looking) {
            let finding = self.is_finding_peers(&id);
            let Some(core) = self.cores.get_mut(&id) else { continue };
            if core.set_finding_peers(now, finding) {
                changed = true;
                self.dirty_cores.insert(id);
            }
            if core.looks_for_upgrade() {
                self.looking.insert(id);
            }
        }
        changed
    }

    fn is_snapshot(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.snapshot.is_some())
    }

    /// Downloads blocks. Answered by [`Outcome::Done`] when all are stored; a live range never is: cancel it.
    pub fn download(&mut self, session: SessionId, range: DownloadRange) -> RequestId {
        let request = RequestId(self.next_id());
        match self.session_core(session) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(core) => self.demand(request, session, core, move |core, now, demand| {
                core.want_range(now, demand, range);
            }),
        }
        self.settle();
        request
    }

    fn demand(
        &mut self,
        request: RequestId,
        session: SessionId,
        id: DiscoveryKey,
        start: impl FnOnce(&mut super::cores::OpenedCore, crate::time::Instant, DemandId),
    ) {
        let demand = DemandId(self.next_id());
        let now = self.now;
        let Some(core) = self.cores.get_mut(&id) else { return };
        core.demands.insert(demand, Wanted::Request(request));
        start(core, now, demand);
        self.start_waiting(request, Waiting { session, core: id, what: WaitingFor::Demand(demand) });
        self.dirty_cores.insert(id);
    }

    /// Finds the block that holds byte `byte` (counted without encryption padding), from peers if need be. Answered
    /// by [`Outcome::Sought`].
    pub fn seek(&mut self, session: SessionId, byte: u64) -> RequestId {
        let request = RequestId(self.next_id());
        match self.start_seek(session, byte) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(None) => self.resolve(request, Ok(Outcome::Sought(None))),
            Ok(Some((core, seek))) => {
                let what = WaitingFor::Seek { seek, loaded: LoadedNodes::default(), demand: None, rounds: 0 };
                self.start_waiting(request, Waiting { session, core, what });
                self.advance_seek(request);
            }
        }
        self.settle();
        request
    }

    fn start_seek(&self, session: SessionId, byte: u64) -> Result<Option<(DiscoveryKey, ByteSeek)>, CommandError> {
        let id = self.session_core(session)?;
        let padding = self.sessions.get(&session).map_or(0, super::sessions::Session::padding);
        let core = self.cores.get(&id).ok_or(CommandError::SessionClosed)?;
        Ok(ByteSeek::new(&core.log.head().roots, byte, padding).map(|seek| (id, seek)))
    }

    /// Goes on with a seek: done, or load the next nodes.
    pub(super) fn advance_seek(&mut self, request: RequestId) {
        let Some(waiting) = self.waiting.get(&request) else { return };
        let WaitingFor::Seek { seek, loaded, .. } = &waiting.what else { return };
        let Some(core) = self.cores.get(&waiting.core) else { return };
        let needs = seek.needs(loaded);
        if needs.is_empty() {
            let found = seek.found(loaded);
            self.stop_waiting(request);
            self.resolve(request, Ok(Outcome::Sought(found)));
        } else {
            let read = rows::read_core(core.slot, &needs, &[]);
            self.ask_store(StorageOp::Read(read), Pending::Seek { request });
        }
    }

    pub(super) fn seek_loaded(&mut self, request: RequestId, rows: &LoadedNodes) {
        let demand = DemandId(self.next_id());
        let now = self.now;
        let Some(waiting) = self.waiting.get_mut(&request) else { return };
        let WaitingFor::Seek { seek, loaded, demand: wanted, rounds } = &mut waiting.what else { return };
        let Some(core) = self.cores.get_mut(&waiting.core) else { return };
        let needs = seek.needs(loaded);
        let complete = needs.iter().all(|index| rows.get(*index).is_some());
        needs.iter().filter_map(|index| rows.get(*index)).for_each(|node| loaded.insert(*node));
        if complete {
            self.advance_seek(request);
            return;
        }
        *rounds = rounds.saturating_add(1);
        if *rounds > SEEK_ROUNDS {
            return self.give_up(request, CommandError::OutOfBounds);
        }
        let below = needs.first().map_or(TreeIndex::default(), |missing| missing.parent());
        *wanted = Some(demand);
        core.demands.insert(demand, Wanted::Request(request));
        core.want_seek(now, demand, (seek.byte_offset(), seek.padding()), below);
        self.dirty_cores.insert(waiting.core);
    }

    pub(super) fn session_core(&self, session: SessionId) -> Result<DiscoveryKey, CommandError> {
        self.sessions.get(&session).map(|session| session.core).ok_or(CommandError::SessionClosed)
    }

    /// Sends an extension message to every peer of this session's core. Peers without that extension ignore it.
    pub fn send_extension(&mut self, session: SessionId, name: &str, payload: &Bytes) {
        let Ok(id) = self.session_core(session) else { return };
        self.broadcast_extension(id, name, payload);
        self.settle();
    }

    pub(super) fn tell_remote_length(&mut self, id: DiscoveryKey, length: u64) {
        if let Some(core) = self.cores.get_mut(&id) {
            core.remote_contiguous_length = length;
        }
        self.event(Event::RemoteContiguousLength { core: id, length });
    }
}

/// No tree is deeper; peers that answer a seek with nothing of use are not asked for ever.
const SEEK_ROUNDS: u32 = 64;
