//! Commands that wait for peers or for rows: who waits, for what, and how that ends.

use super::audit::Auditing;
use super::cores::Wanted;
use super::corestore::Corestore;
use super::io::{CommandError, Outcome, RequestId, SessionId};
use super::timers::Timer;
use crate::crypto::DiscoveryKey;
use crate::merkle::{ByteSeek, LoadedNodes};
use crate::replication::{DemandId, DemandResult};
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A command that waits for peers or for rows.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) session: SessionId,
    pub(super) core: DiscoveryKey,
    pub(super) what: WaitingFor,
}

#[derive(Debug)]
pub(super) enum WaitingFor {
    Block { index: u64, raw: bool },
    Demand(DemandId),
    Seek { seek: ByteSeek, loaded: LoadedNodes, demand: Option<DemandId>, rounds: u32 },
    Audit(Box<Auditing>),
}

impl Corestore {
    /// A request waits from now on.
    pub(super) fn start_waiting(&mut self, request: RequestId, waiting: Waiting) {
        if let Some(session) = self.sessions.get_mut(&waiting.session) {
            session.waiting.insert(request);
        }
        self.waiting.insert(request, waiting);
    }

    /// A request waits no longer.
    pub(super) fn stop_waiting(&mut self, request: RequestId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&request)?;
        if let Some(session) = self.sessions.get_mut(&waiting.session) {
            session.waiting.remove(&request);
        }
        self.timers.clear(Timer::Request(request));
        Some(waiting)
    }

    /// Ends a request with [`CommandError::Timeout`] if it is not answered after `patience`; one that is answered
    /// already, or answered by the store alone, is not touched. For `get` its options do the same.
    pub fn time_out(&mut self, request: RequestId, patience: Duration) {
        if self.waiting.contains_key(&request) {
            self.timers.set(Timer::Request(request), Some(self.now.after(patience)));
        }
    }

    /// Gives up a request; it is answered with [`CommandError::Cancelled`] unless it was answered before.
    pub fn cancel(&mut self, request: RequestId) {
        self.give_up(request, CommandError::Cancelled);
        self.settle();
    }

    /// Ends a waiting request with an error.
    pub(super) fn give_up(&mut self, request: RequestId, error: CommandError) {
        let Some(waiting) = self.stop_waiting(request) else { return };
        let now = self.now;
        if let Some(core) = self.cores.get_mut(&waiting.core) {
            let demand = match waiting.what {
                WaitingFor::Block { index, .. } => core.drop_get(index, request),
                WaitingFor::Demand(demand) => Some(demand),
                WaitingFor::Seek { demand, .. } => demand,
                WaitingFor::Audit(_) => None,
            };
            if let Some(demand) = demand {
                core.demands.remove(&demand);
                core.cancel(now, demand);
                self.dirty_cores.insert(waiting.core);
            }
        }
        self.resolve(request, Err(error));
    }

    /// Ends every request of a core that waits for peers.
    pub(super) fn fail_waiting(&mut self, id: DiscoveryKey, error: &CommandError) {
        let sessions = self.cores.get(&id).into_iter().flat_map(|core| &core.sessions);
        let requests = sessions.filter_map(|session| self.sessions.get(session)).flat_map(|session| &session.waiting);
        let of_peers = |request: &&RequestId| {
            self.waiting.get(request).is_some_and(|waiting| !matches!(waiting.what, WaitingFor::Audit(_)))
        };
        let requests: Vec<RequestId> = requests.filter(of_peers).copied().collect();
        for request in requests {
            self.give_up(request, error.clone());
        }
    }

    /// A truncation moved every snapshot's valid end; who waits there for a block past it waits in vain.
    pub(super) fn bound_snapshots(&mut self, core: DiscoveryKey, length: u64) {
        let ids: Vec<SessionId> = self.cores.get(&core).into_iter().flat_map(|core| &core.sessions).copied().collect();
        let mut in_vain = Vec::new();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let Some(snapshot) = session.snapshot.as_mut() else { continue };
            snapshot.valid = snapshot.valid.min(length);
            let valid = snapshot.valid;
            in_vain.extend(session.waiting.iter().copied().filter(|request| {
                let waiting = self.waiting.get(request).map(|waiting| &waiting.what);
                matches!(waiting, Some(WaitingFor::Block { index, .. }) if *index >= valid)
            }));
        }
        for request in in_vain {
            self.give_up(request, CommandError::SnapshotNotAvailable);
        }
    }

    /// A demand came to its end.
    pub(super) fn demand_done(&mut self, id: DiscoveryKey, demand: DemandId, result: DemandResult) {
        let Some(core) = self.cores.get_mut(&id) else { return };
        match core.demands.remove(&demand) {
            Some(Wanted::Request(request)) => self.request_done(request, result),
            Some(Wanted::Block(index)) if result == DemandResult::Impossible => {
                let waiters = core.gets.remove(&index).map(|entry| entry.waiters).unwrap_or_default();
                for request in waiters {
                    self.give_up(request, CommandError::OutOfBounds);
                }
            }
            // The block itself answers, when its commit is published.
            Some(Wanted::Block(index)) => {
                core.demands.insert(demand, Wanted::Block(index));
            }
            None => {}
        }
    }

    fn request_done(&mut self, request: RequestId, result: DemandResult) {
        let Some(waiting) = self.waiting.get(&request) else { return };
        if matches!(waiting.what, WaitingFor::Seek { .. }) && result == DemandResult::Ready {
            self.advance_seek(request);
            return;
        }
        self.stop_waiting(request);
        let outcome = match result {
            DemandResult::Ready => Ok(Outcome::Done),
            DemandResult::Upgraded(grew) => Ok(Outcome::Updated(grew)),
            DemandResult::Impossible => Err(CommandError::OutOfBounds),
        };
        self.resolve(request, outcome);
    }
}
