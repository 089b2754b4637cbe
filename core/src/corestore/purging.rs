//! Purging: a core leaves the store, with everything that is stored of it.

use super::cores::Deferred;
use super::corestore::Corestore;
use super::io::{CommandError, RequestId, SessionId};
use super::opening::Target;
use super::timers::Timer;
use crate::crypto::DiscoveryKey;

impl Corestore {
    /// Removes a core from the store: blocks, nodes, keys, all. Changes made before are carried out first; every
    /// session of it is closed, and no peer is served any more. Answered by [`Outcome::Done`] once that is stored; when
    /// storing fails the core stays whole, and can be opened again.
    ///
    /// A local name stays: opening it makes the same core anew, empty. Whoever has the old blocks takes what is
    /// appended then for a second history, signed with the same key, and stops following: purge a core of one's own only
    /// when nobody else reads it.
    ///
    /// [`Outcome::Done`]: super::Outcome::Done
    pub fn purge(&mut self, session: SessionId) -> RequestId {
        let request = RequestId(self.next_id());
        match self.session_core(session) {
            Err(error) => self.resolve(request, Err(error)),
            Ok(core) => {
                self.purging.entry(core).or_default();
                self.part_with(core);
                self.defer_or_run(core, Deferred::Purge { request });
            }
        }
        self.settle();
        request
    }

    /// Closes every session and every channel of a core.
    fn part_with(&mut self, id: DiscoveryKey) {
        let Some(core) = self.cores.get(&id) else { return };
        let (sessions, peers) = (core.sessions.clone(), core.peers.clone());
        sessions.into_iter().for_each(|session| self.end_session(session));
        peers.into_iter().for_each(|peer| self.close_channel(peer));
    }

    /// Everything that was asked for before is stored.
    pub(super) fn run_purge(&mut self, id: DiscoveryKey, request: RequestId) {
        self.part_with(id);
        self.timers.clear(Timer::Core(id));
        match self.cores.remove(&id) {
            Some(core) => self.write_purge(core.slot, id, request),
            None => {
                self.purge_over(id);
                self.resolve(request, Err(CommandError::NotFound));
            }
        }
    }

    /// Waits until the core is gone; gives the target back when it is not leaving.
    pub(super) fn wait_for_purge(&mut self, target: Target) -> Option<Target> {
        match self.purging.get_mut(&target.discovery_key) {
            Some(waiting) => {
                waiting.push(target);
                None
            }
            None => Some(target),
        }
    }

    /// The core is gone, or stays after all.
    pub(super) fn purge_over(&mut self, id: DiscoveryKey) {
        let waiting = self.purging.remove(&id).unwrap_or_default();
        waiting.into_iter().for_each(|target| self.open_target(target));
    }
}
