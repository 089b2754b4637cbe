//! Commits on their way to the store: one batch in flight, the next one gathering behind it; published when stored.

use super::corestore::Corestore;
use super::io::{CommandError, ConnectionId, Event, GetOptions, Outcome, RequestId, SessionId};
use super::pending::Pending;
use super::timers::Timer;
use crate::crypto::DiscoveryKey;
use crate::log::{Applied, Commit, CommitId, Hypercore};
use crate::replication::{Committed, PeerId};
use crate::storage::{CoreSlot, Durability, RecordKey, StorageError, StorageOp, WriteOp, rows};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Writes {
    gathering: rows::Gathering,
    entries: Vec<Entry>,
    /// Records that belong to no core; kept until they are stored, however often a write fails.
    records: Vec<WriteOp>,
    in_flight: Option<InFlight>,
    /// A write failed: records alone are not tried again before that.
    retry_at: Option<Instant>,
    /// Cores that could not be frozen.
    unfrozen: BTreeSet<DiscoveryKey>,
}

#[derive(Debug)]
struct InFlight {
    entries: Vec<Entry>,
    records: Vec<WriteOp>,
}

#[derive(Debug)]
struct Entry {
    core: DiscoveryKey,
    slot: CoreSlot,
    commit: CommitId,
    then: Then,
}

/// What happens once a commit is stored.
#[derive(Debug)]
pub(super) enum Then {
    Nothing,
    Appended(RequestId),
    Done(RequestId),
    /// A damaged block was dropped: it is fetched.
    Fetch(Fetch),
    Proven {
        request: RequestId,
        length: u64,
    },
    Create(Box<Hypercore>),
    Purged(RequestId),
    Frozen,
    Peer {
        peer: PeerId,
        connection: ConnectionId,
    },
}

/// A caller's wish for a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetch {
    pub(super) request: RequestId,
    pub(super) session: SessionId,
    pub(super) index: u64,
    pub(super) options: GetOptions,
}

impl Corestore {
    pub(super) fn write_commit(&mut self, core: DiscoveryKey, commit: Commit, then: Then) {
        if let Some(slot) = self.cores.get(&core).map(|core| core.slot) {
            self.add_commit(slot, core, commit, then);
        }
    }

    /// Writes a new core: the records that find it, and its first commit.
    pub(super) fn write_created(
        &mut self,
        slot: CoreSlot,
        records: Vec<(RecordKey, Vec<u8>)>,
        commit: Commit,
        log: Box<Hypercore>,
    ) {
        let core = *log.discovery_key();
        for (key, value) in records {
            self.writes.gathering.add(WriteOp::PutRecord(key, value.into()));
        }
        self.add_commit(slot, core, commit, Then::Create(log));
    }

    fn add_commit(&mut self, slot: CoreSlot, core: DiscoveryKey, commit: Commit, then: Then) {
        let id = commit.id;
        self.writes.gathering.add_commit(slot, commit);
        self.writes.entries.push(Entry { core, slot, commit: id, then });
    }

    /// Removes everything of a core.
    pub(super) fn write_purge(&mut self, slot: CoreSlot, core: DiscoveryKey, request: RequestId) {
        self.writes.unfrozen.remove(&core);
        self.writes.gathering.add_purge(slot, &core);
        self.writes.entries.push(Entry { core, slot, commit: CommitId(0), then: Then::Purged(request) });
    }

    /// Records that belong to no core; always durable.
    pub(super) fn write_records(&mut self, ops: Vec<WriteOp>) {
        self.writes.records.extend(ops);
    }

    /// Issues what was gathered, when nothing is in flight. True when it did.
    pub(super) fn issue_write(&mut self) -> bool {
        let records_due = !self.writes.records.is_empty() && self.writes.retry_at.is_none();
        if self.writes.in_flight.is_some() || (self.writes.entries.is_empty() && !records_due) {
            return false;
        }
        let mut batch = core::mem::take(&mut self.writes.gathering).into_batch();
        let records = core::mem::take(&mut self.writes.records);
        if !records.is_empty() {
            batch.durability = Durability::Durable;
            batch.ops.splice(0..0, records.iter().cloned());
        }
        self.writes.in_flight = Some(InFlight { entries: core::mem::take(&mut self.writes.entries), records });
        self.ask_store(StorageOp::Write(batch), Pending::Write);
        true
    }

    pub(super) fn written(&mut self, result: Result<(), StorageError>) {
        let Some(mut in_flight) = self.writes.in_flight.take() else { return };
        match result {
            Ok(()) => {
                self.writes.retry_at = None;
                in_flight.entries.into_iter().for_each(|entry| self.publish(entry));
            }
            Err(error) => {
                in_flight.records.append(&mut self.writes.records);
                self.writes.records = in_flight.records;
                self.write_failed(in_flight.entries, &error);
                if !self.writes.records.is_empty() || !self.writes.unfrozen.is_empty() {
                    let at = self.now.after(self.config.store_retry);
                    self.writes.retry_at = Some(at);
                    self.timers.set(Timer::Store, Some(at));
                }
            }
        }
    }

    /// Tries again what must not be lost.
    pub(super) fn retry_records(&mut self) {
        self.writes.retry_at = None;
        for core in core::mem::take(&mut self.writes.unfrozen) {
            if let Some(commit) = self.cores.get_mut(&core).map(|core| core.log.freeze()) {
                self.write_commit(core, commit, Then::Frozen);
            }
        }
    }

    fn publish(&mut self, entry: Entry) {
        if let Then::Create(mut log) = entry.then {
            log.apply(entry.commit);
            self.opened(entry.slot, *log);
            return;
        }
        if let Then::Purged(request) = entry.then {
            self.event(Event::Purged { core: entry.core });
            self.resolve(request, Ok(Outcome::Done));
            self.purge_over(entry.core);
            return;
        }
        let Some(core) = self.cores.get_mut(&entry.core) else { return };
        let old_length = core.log.head().roots.length;
        let Some(applied) = core.log.apply(entry.commit) else { return };
        let from = match &entry.then {
            Then::Peer { peer, .. } => Some(*peer),
            _ => None,
        };
        core.on_committed(self.now, &committed(&applied, old_length, from));
        self.dirty_cores.insert(entry.core);
        self.tell(entry.core, &entry.then, &applied);
        self.answer_gets(entry.core, applied);
        self.answer_writer(entry.core, entry.then);
        self.run_deferred(entry.core);
    }

    /// Says what became true.
    fn tell(&mut self, core: DiscoveryKey, then: &Then, applied: &Applied) {
        let Some(log) = self.cores.get(&core).map(|core| &core.log) else { return };
        let roots = &log.head().roots;
        let (length, byte_length, fork) = (roots.length, roots.byte_length, roots.fork);
        if let Some(kept) = applied.truncated_to {
            self.bound_snapshots(core, kept);
            self.event(Event::Truncated { core, length: kept, fork });
        }
        if applied.grew_from.is_some() {
            self.event(Event::Appended { core, length, byte_length });
        }
        if let Then::Peer { connection, .. } = then {
            for (start, blocks) in &applied.added {
                for (index, block) in (*start..).zip(blocks) {
                    let connection = *connection;
                    self.event(Event::Downloaded { core, index, byte_length: block.len(), connection });
                }
            }
        }
        if let Some(range) = applied.cleared.clone() {
            self.event(Event::Cleared { core, range });
        }
        if applied.frozen {
            self.event(Event::Conflicted { core, length, fork });
            self.fail_waiting(core, &CommandError::Conflict);
        }
    }

    fn answer_writer(&mut self, core: DiscoveryKey, then: Then) {
        match then {
            Then::Appended(request) => {
                let roots = self.cores.get(&core).map(|core| &core.log.head().roots);
                let (length, byte_length) = roots.map_or((0, 0), |roots| (roots.length, roots.byte_length));
                self.resolve(request, Ok(Outcome::Appended { length, byte_length }));
            }
            Then::Done(request) => self.resolve(request, Ok(Outcome::Done)),
            Then::Fetch(fetch) => self.get_or_fail(fetch),
            Then::Proven { request, length } => self.resolve(request, Ok(Outcome::Proven { length })),
            Then::Nothing | Then::Create(_) | Then::Purged(_) | Then::Frozen | Then::Peer { .. } => {}
        }
    }

    /// Nothing of the batch was stored, so nothing gathered on top of it can be either.
    fn write_failed(&mut self, entries: Vec<Entry>, error: &StorageError) {
        let gathered = core::mem::take(&mut self.writes.entries);
        self.writes.gathering = rows::Gathering::default();
        for entry in entries.into_iter().chain(gathered) {
            if let Some(core) = self.cores.get_mut(&entry.core) {
                core.log.abandon();
                self.dirty_cores.insert(entry.core);
            }
            match entry.then {
                Then::Appended(request)
                | Then::Done(request)
                | Then::Fetch(Fetch { request, .. })
                | Then::Proven { request, .. } => {
                    self.resolve(request, Err(CommandError::Storage(error.clone())));
                }
                Then::Purged(request) => {
                    self.resolve(request, Err(CommandError::Storage(error.clone())));
                    self.purge_over(entry.core);
                }
                Then::Create(_) => self.open_failed(entry.core, &CommandError::Storage(error.clone())),
                Then::Peer { peer, .. } => self.store_failed(entry.core, peer),
                Then::Frozen => {
                    self.writes.unfrozen.insert(entry.core);
                }
                Then::Nothing => {}
            }
        }
    }
}

fn committed(applied: &Applied, old_length: u64, from: Option<PeerId>) -> Committed {
    let end =
        |start: u64, blocks: &Vec<bytes::Bytes>| start.saturating_add(u64::try_from(blocks.len()).unwrap_or(u64::MAX));
    Committed {
        truncated_to: applied.truncated_to,
        old_length,
        grew_from: applied.grew_from,
        added: applied.added.iter().map(|(start, blocks)| *start..end(*start, blocks)).collect(),
        newest: newest(applied),
        cleared: applied.cleared.clone(),
        manifest: applied.manifest,
        frozen: applied.frozen,
        from,
    }
}

/// The block by which a log grew, when it grew by one.
fn newest(applied: &Applied) -> Option<bytes::Bytes> {
    match applied.added.as_slice() {
        [(start, blocks)] if applied.grew_from == Some(*start) && blocks.len() == 1 => blocks.first().cloned(),
        _ => None,
    }
}
