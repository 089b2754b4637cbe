//! Commits on their way to the store: one batch in flight, the next one gathering behind it; published when stored.

use super::corestore::Corestore;
use super::io::{CommandError, ConnectionId, Event, Outcome, RequestId};
use super::pending::Pending;
use crate::crypto::DiscoveryKey;
use crate::log::{Applied, Commit, CommitId, Hypercore};
use crate::replication::{Committed, PeerId};
use crate::storage::{CoreSlot, Durability, StorageError, StorageOp, WriteBatch, WriteOp, rows};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Writes {
    gathering: WriteBatch,
    entries: Vec<Entry>,
    in_flight: Option<Vec<Entry>>,
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
    Create(Box<Hypercore>),
    Peer { peer: PeerId, connection: ConnectionId },
}

impl Default for Writes {
    fn default() -> Self {
        Self { gathering: empty(), entries: Vec::new(), in_flight: None }
    }
}

impl Corestore {
    pub(super) fn write_commit(&mut self, core: DiscoveryKey, commit: Commit, then: Then) {
        if let Some(slot) = self.cores.get(&core).map(|core| core.slot) {
            self.write_commit_of(slot, core, commit, then);
        }
    }

    pub(super) fn write_commit_of(&mut self, slot: CoreSlot, core: DiscoveryKey, commit: Commit, then: Then) {
        let id = commit.id;
        rows::add_commit(&mut self.writes.gathering, slot, commit);
        self.writes.entries.push(Entry { core, slot, commit: id, then });
    }

    /// Records that belong to no core; always durable.
    pub(super) fn write_records(&mut self, ops: Vec<WriteOp>) {
        self.writes.gathering.durability = Durability::Durable;
        self.writes.gathering.ops.extend(ops);
    }

    /// Issues what was gathered, when nothing is in flight. True when it did.
    pub(super) fn issue_write(&mut self) -> bool {
        if self.writes.in_flight.is_some() || (self.writes.entries.is_empty() && self.writes.gathering.ops.is_empty()) {
            return false;
        }
        let batch = core::mem::replace(&mut self.writes.gathering, empty());
        self.writes.in_flight = Some(core::mem::take(&mut self.writes.entries));
        self.ask_store(StorageOp::Write(batch), Pending::Write);
        true
    }

    pub(super) fn written(&mut self, result: Result<(), StorageError>) {
        let entries = self.writes.in_flight.take().unwrap_or_default();
        match result {
            Ok(()) => entries.into_iter().for_each(|entry| self.publish(entry)),
            Err(error) => self.write_failed(entries, &error),
        }
    }

    fn publish(&mut self, entry: Entry) {
        if let Then::Create(mut log) = entry.then {
            log.apply(entry.commit);
            self.opened(entry.slot, *log);
            return;
        }
        let Some(core) = self.cores.get_mut(&entry.core) else { return };
        let Some(applied) = core.log.apply(entry.commit) else { return };
        let from = match &entry.then {
            Then::Peer { peer, .. } => Some(*peer),
            _ => None,
        };
        core.on_committed(self.now, &committed(&applied, from));
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
            Then::Nothing | Then::Create(_) | Then::Peer { .. } => {}
        }
    }

    /// Nothing of the batch was stored, so nothing gathered on top of it can be either.
    fn write_failed(&mut self, entries: Vec<Entry>, error: &StorageError) {
        let gathered = core::mem::take(&mut self.writes.entries);
        self.writes.gathering = empty();
        for entry in entries.into_iter().chain(gathered) {
            if let Some(core) = self.cores.get_mut(&entry.core) {
                core.log.abandon();
                self.dirty_cores.insert(entry.core);
            }
            match entry.then {
                Then::Appended(request) | Then::Done(request) => {
                    self.resolve(request, Err(CommandError::Storage(error.clone())));
                }
                Then::Create(_) => self.open_failed(entry.core, &CommandError::Storage(error.clone())),
                Then::Peer { peer, .. } => self.reject_commit(entry.core, peer),
                Then::Nothing => {}
            }
        }
    }
}

fn committed(applied: &Applied, from: Option<PeerId>) -> Committed {
    let end =
        |start: u64, blocks: &Vec<bytes::Bytes>| start.saturating_add(u64::try_from(blocks.len()).unwrap_or(u64::MAX));
    Committed {
        truncated_to: applied.truncated_to,
        grew_from: applied.grew_from,
        added: applied.added.iter().map(|(start, blocks)| *start..end(*start, blocks)).collect(),
        cleared: applied.cleared.clone(),
        manifest: applied.manifest,
        from,
    }
}

fn empty() -> WriteBatch {
    WriteBatch { ops: Vec::new(), durability: Durability::Buffered }
}
