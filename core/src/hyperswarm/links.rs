//! Connections from their first try to their end, one to each peer: ours, and peers' calls.

use super::machine::Hyperswarm;
use super::output::{Admission, LinkId, Output};
use super::peer::Peer;
use crate::crypto::PublicKey;
use crate::time::Instant;

/// A connection to a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// Since when it stands.
    pub(super) open: Option<Instant>,
    client: bool,
}

impl Hyperswarm {
    /// A connection we tried to make stands. False: it is not wanted any more.
    pub fn connected(&mut self, now: Instant, link: LinkId) -> bool {
        let Some(key) = self.by_link.get(&link).copied() else { return false };
        self.links.get_mut(&key).into_iter().for_each(|link| link.open = Some(now));
        self.peers.entry(key).or_insert_with(Peer::new).connected(now);
        self.dial();
        true
    }

    /// A peer called us. `spoke`: bytes went both ways on the connection to it that we have, if any; then it must have
    /// lost that one. Otherwise both called at once, and on both sides the call of the greater key stays; so it does when
    /// our own call stands since a moment ago: the peer's may have been under way before.
    pub fn called(&mut self, now: Instant, key: PublicKey, spoke: impl FnOnce(LinkId) -> bool) -> Admission {
        if self.suspended || !self.admits(&key) {
            return Admission::Refused;
        }
        if let Some(Link { id: existing, open, client }) = self.links.get(&key).copied() {
            let crossing = self.config.crossing;
            let lost = open.is_some_and(|since| !client || now.since(since) >= crossing) && spoke(existing);
            if !lost && self.own > key {
                return Admission::Duplicate;
            }
            self.outputs.push_back(Output::Close(existing));
            self.end_link(now, existing);
        }
        self.unqueue(&key);
        self.peers.entry(key).or_insert_with(Peer::new).called();
        let link = self.link(key, Some(now));
        Admission::Admitted(link)
    }

    /// Whether a peer may connect.
    pub fn admits(&self, key: &PublicKey) -> bool {
        *key != self.own && !self.peers.get(key).is_some_and(|peer| peer.banned)
    }

    /// A connection is over, or could not be made.
    pub fn closed(&mut self, now: Instant, link: LinkId) {
        self.end_link(now, link);
        self.forget_idle();
        self.dial();
    }

    /// A connection could not be made, because no hole can be punched: a blind relay helps, and soon.
    pub fn unpunchable(&mut self, now: Instant, link: LinkId) {
        let key = self.by_link.get(&link).copied();
        key.and_then(|key| self.peers.get_mut(&key)).into_iter().for_each(Peer::needs_relay);
        self.closed(now, link);
    }

    /// `called`: when the peer made it; `None` when we are about to.
    pub(super) fn link(&mut self, key: PublicKey, called: Option<Instant>) -> LinkId {
        self.last_link = self.last_link.saturating_add(1);
        let id = LinkId(self.last_link);
        self.links.insert(key, Link { id, open: called, client: called.is_none() });
        self.by_link.insert(id, key);
        id
    }

    pub(super) fn unlink(&mut self, id: LinkId) -> Option<(PublicKey, Link)> {
        let key = self.by_link.remove(&id)?;
        Some((key, self.links.remove(&key)?))
    }

    pub(super) fn end_link(&mut self, now: Instant, id: LinkId) {
        let Some((key, link)) = self.unlink(id) else { return };
        let jitter = self.chance(self.config.backoff_jitter);
        let wanted = !self.suspended && self.is_wanted(&key);
        let Some(peer) = self.peers.get_mut(&key).filter(|_| link.client) else { return };
        peer.disconnected(now, &self.config);
        if let Some(pause) = peer.backoff(&self.config).filter(|_| wanted) {
            let at = now.after(pause).after(jitter);
            peer.retry_at = Some(at);
            self.retries.insert((at, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hyperswarm::JoinOptions;
    use crate::hyperswarm::machine::testing::{TOPIC, dialled, record, swarm};
    use crate::time::Duration;
    use alloc::vec;

    #[test]
    fn of_two_calls_at_once_the_greater_keys_stays_on_both_sides() {
        for (own, other, admitted) in [(1, 2, true), (2, 1, false)] {
            let mut swarm = swarm(own);
            swarm.found(TOPIC, vec![record(other)]);
            let [(link, _)] = dialled(&mut swarm)[..] else { panic!("one is dialled") };
            let answer = swarm.called(Instant::ZERO, PublicKey([other; 32]), |_| false);
            assert_eq!(matches!(answer, Admission::Admitted(_)), admitted);
            assert_eq!(swarm.poll_output(), admitted.then_some(Output::Close(link)));
            assert_eq!(swarm.connected(Instant::ZERO, link), !admitted);
        }
    }

    #[test]
    fn a_call_that_crosses_ours_is_no_sign_of_a_loss() {
        let (mut swarm, other) = (swarm(9), PublicKey([2; 32]));
        swarm.found(TOPIC, vec![record(2)]);
        let [(link, _)] = dialled(&mut swarm)[..] else { panic!("one is dialled") };
        assert!(swarm.connected(Instant::ZERO, link));
        let (soon, later) = (Instant::ZERO.after(Duration::from_secs(2)), Instant::ZERO.after(Duration::from_secs(9)));
        assert_eq!(swarm.called(soon, other, |_| true), Admission::Duplicate);
        assert_eq!(swarm.called(later, other, |_| false), Admission::Duplicate);
        assert!(matches!(swarm.called(later, other, |_| true), Admission::Admitted(_)));
    }

    #[test]
    fn a_peer_that_lost_its_connection_gets_another() {
        let (mut swarm, other) = (swarm(9), PublicKey([2; 32]));
        let Admission::Admitted(first) = swarm.called(Instant::ZERO, other, |_| false) else { panic!("admitted") };
        assert_eq!(swarm.called(Instant::ZERO, other, |_| false), Admission::Duplicate);
        assert!(matches!(swarm.called(Instant::ZERO, other, |_| true), Admission::Admitted(_)));
        assert_eq!(swarm.poll_output(), Some(Output::Close(first)));
        assert_eq!(swarm.status().connections, 1);
    }

    #[test]
    fn a_lost_connection_is_made_again_and_a_limit_counts() {
        let mut swarm = swarm(1);
        swarm.join(TOPIC, JoinOptions { limit: 1, ..JoinOptions::default() });
        swarm.found(TOPIC, vec![record(2), record(3)]);
        let [(link, key)] = dialled(&mut swarm)[..] else { panic!("the limit is one") };
        assert!(swarm.connected(Instant::ZERO, link));
        swarm.closed(Instant::ZERO, link);
        let again = swarm.deadline().unwrap();
        assert!(again >= Instant::ZERO.after(Duration::from_secs(1)));
        swarm.handle_deadline(again);
        assert_eq!(dialled(&mut swarm)[0].1, key);
    }

    #[test]
    fn a_peer_no_hole_leads_to_is_dialled_by_a_relay_soon() {
        let mut swarm = swarm(1);
        swarm.found(TOPIC, vec![record(2)]);
        let Some(Output::Connect { link, relay: false, .. }) = swarm.poll_output() else { panic!("dialled") };
        swarm.unpunchable(Instant::ZERO, link);
        let again = swarm.deadline().unwrap();
        assert!(again <= Instant::ZERO.after(Duration::from_secs(2)), "{again:?}");
        swarm.handle_deadline(again);
        assert!(matches!(swarm.poll_output(), Some(Output::Connect { relay: true, .. })));
    }
}
