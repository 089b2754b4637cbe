//! Changes callers make to a core: append, truncate, clear. One behind the other, and each answered once it is stored.

use super::cores::Deferred;
use super::corestore::Corestore;
use super::io::{CommandError, RequestId, SessionId};
use super::pending::Pending;
use super::writes::{Fetch, Then};
use crate::crypto::{BlockCipher, DiscoveryKey};
use crate::log::{LogError, TruncatePlan};
use crate::merkle::LoadedNodes;
use crate::storage::{ReadBatch, StorageOp, rows};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

impl Corestore {
    /// Appends blocks as one batch under one signature. Answered by [`Outcome::Appended`] once they are stored.
    pub fn append(&mut self, session: SessionId, blocks: Vec<Bytes>) -> RequestId {
        let request = RequestId(self.next_id());
        match self.writable_core(session) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(core) => {
                let cipher = self.cipher_of(session);
                self.defer_or_run(core, Deferred::Append { request, cipher, blocks });
            }
        }
        self.settle();
        request
    }

    /// Cuts the log to `new_length` blocks on `fork` (the next one when `None`). Answered by [`Outcome::Done`].
    pub fn truncate(&mut self, session: SessionId, new_length: u64, fork: Option<u64>) -> RequestId {
        let request = RequestId(self.next_id());
        match self.writable_core(session) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(core) => self.defer_or_run(core, Deferred::Truncate { request, new_length, fork }),
        }
        self.settle();
        request
    }

    /// Drops stored blocks; they may be fetched again. Answered by [`Outcome::Done`].
    pub fn clear(&mut self, session: SessionId, range: Range<u64>) -> RequestId {
        let request = RequestId(self.next_id());
        match self.session_core(session) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(core) => self.defer_or_run(core, Deferred::Clear { request, range, then: Then::Done(request) }),
        }
        self.settle();
        request
    }

    /// Drops a block that cannot be read any more, so that peers can give it again, and gets it from them.
    pub(super) fn fetch_again(&mut self, id: DiscoveryKey, fetch: Fetch) {
        let (request, range) = (fetch.request, fetch.index..fetch.index.saturating_add(1));
        self.defer_or_run(id, Deferred::Clear { request, range, then: Then::Fetch(fetch) });
    }

    pub(super) fn writable_core(&self, session: SessionId) -> Result<DiscoveryKey, CommandError> {
        let holder = self.sessions.get(&session).ok_or(CommandError::SessionClosed)?;
        let core = self.cores.get(&holder.core).ok_or(CommandError::SessionClosed)?;
        if core.log.is_frozen() {
            return Err(CommandError::Conflict);
        }
        if holder.read_only || !core.log.is_writable() { Err(CommandError::NotWritable) } else { Ok(holder.core) }
    }

    /// Runs a change, or queues it behind one that must be stored first.
    pub(super) fn defer_or_run(&mut self, id: DiscoveryKey, change: Deferred) {
        let Some(core) = self.cores.get_mut(&id) else { return };
        core.deferred.push_back(change);
        self.run_deferred(id);
    }

    /// Runs queued changes as far as they may run now.
    pub(super) fn run_deferred(&mut self, id: DiscoveryKey) {
        while let Some(core) = self.cores.get_mut(&id) {
            let must_settle = matches!(core.deferred.front(), Some(Deferred::Truncate { .. } | Deferred::Purge { .. }));
            if core.truncating || (must_settle && !core.log.is_settled()) {
                return;
            }
            match core.deferred.pop_front() {
                None => {
                    core.deferred = VecDeque::new();
                    return;
                }
                Some(Deferred::Append { request, cipher, blocks }) => {
                    let commit = core.log.append(blocks, cipher.as_ref());
                    self.finish_change(id, request, commit, Then::Appended(request));
                }
                Some(Deferred::Clear { request, range, then }) => {
                    let commit = core.log.clear(range);
                    self.finish_change(id, request, commit, then);
                }
                Some(Deferred::Truncate { request, new_length, fork }) => {
                    self.plan_truncate(id, request, new_length, fork);
                }
                Some(Deferred::Purge { request }) => self.run_purge(id, request),
            }
        }
    }

    /// What a session encrypts its blocks with.
    fn cipher_of(&self, session: SessionId) -> Option<BlockCipher> {
        let session = self.sessions.get(&session)?;
        session.cipher(&self.cores.get(&session.core)?.log)
    }

    fn finish_change(
        &mut self,
        id: DiscoveryKey,
        request: RequestId,
        commit: Result<crate::log::Commit, LogError>,
        then: Then,
    ) {
        match commit {
            Ok(commit) => self.write_commit(id, commit, then),
            Err(error) => self.resolve(request, Err(command_error(error))),
        }
    }

    fn plan_truncate(&mut self, id: DiscoveryKey, request: RequestId, new_length: u64, fork: Option<u64>) {
        let Some(core) = self.cores.get_mut(&id) else { return };
        match core.log.plan_truncate(new_length, fork) {
            Err(error) => self.resolve(request, Err(command_error(error))),
            Ok(plan) => {
                core.truncating = true;
                let read: ReadBatch = rows::read_core(core.slot, plan.needs(), &[]);
                self.ask_store(StorageOp::Read(read), Pending::Truncate { request, core: id, plan });
            }
        }
    }

    pub(super) fn truncate_loaded(
        &mut self,
        request: RequestId,
        id: DiscoveryKey,
        plan: &TruncatePlan,
        loaded: &LoadedNodes,
    ) {
        let Some(core) = self.cores.get_mut(&id) else { return };
        core.truncating = false;
        let commit = core.log.truncate(plan, loaded);
        self.finish_change(id, request, commit, Then::Done(request));
        self.run_deferred(id);
    }

    pub(super) fn truncate_over(&mut self, id: DiscoveryKey) {
        if let Some(core) = self.cores.get_mut(&id) {
            core.truncating = false;
        }
        self.run_deferred(id);
    }
}

pub(super) fn command_error(error: LogError) -> CommandError {
    match error {
        LogError::NotWritable => CommandError::NotWritable,
        LogError::BlockTooLarge { position, size } => CommandError::BlockTooLarge { position, size },
        LogError::OutOfBounds | LogError::Moved => CommandError::OutOfBounds,
        LogError::Frozen => CommandError::Conflict,
        LogError::MissingNodes => CommandError::Damaged(format!("{error}")),
    }
}
