//! Where both sides stand: syncs, who can prove whose upgrade, and whether anyone wants data at all.

use super::effect::{Committed, DemandResult, Effect, Load, PeerId};
use super::replicator::{Loading, Replicator};
use super::view::CoreView;
use super::wire::{Message, Sync};
use crate::merkle::Roots;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

impl Replicator {
    /// Says whether anyone here uses the core. Data is asked for while someone does, and for a while after.
    pub fn set_active(&mut self, now: Instant, view: &CoreView<'_>, active: bool) {
        self.now = now;
        if !active {
            if self.downloading && self.linger_until.is_none() {
                let (shortest, longest) = self.config.linger;
                let spread = u64::try_from(longest.saturating_sub(shortest).as_millis()).unwrap_or(0);
                let extra = Duration::from_millis(self.random_below(spread.saturating_add(1)));
                self.linger_until = Some(now.after(shortest.saturating_add(extra)));
            }
            return;
        }
        self.linger_until = None;
        if !self.downloading {
            self.downloading = true;
            self.tell_everyone(view);
            self.start_forks(view);
            self.update(view);
        }
        self.effect(Effect::Reopen);
    }

    /// The last user left long enough ago: say so, and close where the other side wants nothing either.
    pub(super) fn linger_over(&mut self, view: &CoreView<'_>) {
        self.linger_until = None;
        self.downloading = false;
        self.forks.clear();
        self.tell_everyone(view);
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.close_if_idle(peer);
        }
    }

    fn tell_everyone(&mut self, view: &CoreView<'_>) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.tell_length(view, peer));
    }

    /// Closes a channel on which neither side wants data.
    fn close_if_idle(&mut self, peer: PeerId) -> bool {
        let theirs = self.peers.get(&peer).and_then(|entry| entry.sync);
        let idle = !self.downloading && theirs.is_some_and(|sync| !sync.downloading);
        if idle {
            self.effect(Effect::CloseChannel { peer });
        }
        idle
    }

    pub(super) fn on_sync(&mut self, view: &CoreView<'_>, peer: PeerId, sync: Sync) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let length_changed = entry.length() != sync.length || entry.fork() != Some(sync.fork);
        if entry.sync.is_some_and(|old| old.fork != sync.fork) {
            entry.forgive();
            entry.refused_fork = None;
        }
        entry.sync = Some(sync);
        entry.refused_upgrade = false;
        if self.close_if_idle(peer) {
            return;
        }
        let same_fork = sync.fork == roots.fork;
        if !same_fork {
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.can_upgrade = false;
            }
        } else if length_changed {
            self.check_upgrade(view, peer, sync);
        }
        if same_fork && roots.length > sync.length && !self.is_checking_upgrade(peer) {
            self.send_sync(view, peer);
        }
        self.start_forks(view);
        self.settle_upgrades(view);
    }

    /// Finds out whether we can prove the upgrade from the peer's length to ours.
    fn check_upgrade(&mut self, view: &CoreView<'_>, peer: PeerId, sync: Sync) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.can_upgrade = sync.length == 0;
        if sync.length == 0 || sync.length >= roots.length || self.is_checking_upgrade(peer) {
            return;
        }
        let nodes = Roots::indices(sync.length);
        let then = Loading::CanUpgrade { peer, length: sync.length, fork: sync.fork };
        self.load(Load { nodes, blocks: Vec::new() }, then);
    }

    fn is_checking_upgrade(&self, of: PeerId) -> bool {
        self.loading.values().any(|loading| matches!(loading, Loading::CanUpgrade { peer, .. } if *peer == of))
    }

    pub(super) fn upgrade_checked(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        (length, fork): (u64, u64),
        known: bool,
    ) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let Some(sync) = entry.sync.filter(|sync| sync.fork == roots.fork) else { return };
        if (sync.length, sync.fork) != (length, fork) {
            // It moved on while we looked.
            return self.check_upgrade(view, peer, sync);
        }
        entry.can_upgrade = known;
        if known {
            entry.proven_length = length;
        }
        if roots.length > length {
            self.send_sync(view, peer);
        }
    }

    pub(super) fn send_sync(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let downloading = self.downloading && !view.frozen;
        let may_push = downloading && self.may_push(view, peer);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.may_push = may_push;
        let roots = &view.head.roots;
        let theirs = entry.sync.unwrap_or_default();
        if theirs.fork != roots.fork {
            entry.can_upgrade = false;
        }
        let compat = view.verifier.is_some_and(crate::manifest::Verifier::is_compat);
        let sync = Sync {
            fork: roots.fork,
            length: roots.length,
            remote_length: if theirs.fork == roots.fork { theirs.length } else { 0 },
            can_upgrade: entry.can_upgrade,
            uploading: true,
            downloading,
            has_manifest: view.manifest.is_some() && !compat,
            allow_push: may_push,
        };
        self.send(peer, Message::Sync(sync));
    }

    /// Sends a sync, after finding out whether we can prove the upgrade when that is not known.
    pub(super) fn tell_length(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let roots = &view.head.roots;
        let Some(entry) = self.peers.get(&peer) else { return };
        let behind = entry.sync.filter(|sync| sync.fork == roots.fork && sync.length < roots.length);
        match behind {
            Some(_) if self.is_checking_upgrade(peer) => {}
            Some(sync) if !entry.can_upgrade && sync.length > 0 => self.check_upgrade(view, peer, sync),
            _ => self.send_sync(view, peer),
        }
    }

    /// Tells peers what changed: dropped blocks, a longer log, new blocks near its end or where they look.
    pub(super) fn announce(&mut self, view: &CoreView<'_>, committed: &Committed) {
        let moved = committed.grew_from.is_some() || committed.truncated_to.is_some() || committed.manifest;
        let cut = committed.truncated_to.map(|length| length..committed.old_length.max(length));
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.push(view, peer, committed);
            for dropped in [&cut, &committed.cleared].into_iter().flatten().filter(|range| !range.is_empty()) {
                let length = dropped.end.saturating_sub(dropped.start);
                self.send(peer, Message::Range { drop: true, start: dropped.start, length });
            }
            for added in &committed.added {
                self.announce_blocks(view, peer, added);
            }
            if committed.frozen {
                self.show_history(view, peer);
            } else if moved {
                self.tell_length(view, peer);
            }
        }
    }

    /// A gapless log is told of whole, once; other blocks when they lie near the end or where the peer looks, unless
    /// it has them.
    fn announce_blocks(&mut self, view: &CoreView<'_>, peer: PeerId, added: &core::ops::Range<u64>) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let length = view.head.roots.length;
        let everything = view.contiguous_length == length;
        let (told, first_time) = if everything { (0..length, entry.told < length) } else { (added.clone(), false) };
        if everything {
            entry.told = length;
        }
        let near_end = added.start.saturating_add(NEAR_END) >= length;
        let of_use = everything || near_end || entry.wants.wants(added);
        if first_time || (of_use && !entry.has_all(told.clone())) {
            let length = told.end.saturating_sub(told.start);
            self.send(peer, Message::Range { drop: false, start: told.start, length });
        }
    }

    /// Answers who looks for a longer log, once the first peers spoke and none of them has one.
    pub(super) fn settle_upgrades(&mut self, view: &CoreView<'_>) {
        let roots = &view.head.roots;
        let asked = || self.peers.values().take(UPGRADE_PEERS);
        let all_spoke = match self.peers.is_empty() {
            true => !self.finding_peers,
            false => asked().all(|peer| peer.sync.is_some()),
        };
        let newer = asked().any(|peer| {
            !peer.refused_upgrade
                && !peer.paused
                && peer.refused_fork != peer.fork()
                && peer.sync.is_some_and(|sync| {
                    sync.uploading && sync.length > 0 && (sync.fork, sync.length) > (roots.fork, roots.length)
                })
        });
        let waiting = self.requests.upgrading || !self.forks.is_empty();
        if all_spoke && !newer && !waiting {
            for demand in core::mem::take(&mut self.demands.upgrades) {
                self.effect(Effect::Done { demand, result: DemandResult::Upgraded(false) });
            }
        }
    }
}

/// Blocks this close to the end are announced to everyone, as the reference does.
const NEAR_END: u64 = 256;
/// Peers whose word an update waits for, as the reference does.
const UPGRADE_PEERS: usize = 3;
