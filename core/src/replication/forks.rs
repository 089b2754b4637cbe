//! Peers on a newer fork: its signed tree first, then hash requests until the last shared block is known.
//!
//! Every such peer is asked for its tree; the first that proves one goes on alone, unless it falls silent.

use super::effect::{Effect, Load, Loaded, PeerId};
use super::receive::learn_manifest;
use super::replicator::{Loading, Replicator};
use super::requests::{Purpose, Storing};
use super::view::CoreView;
use super::wire::Data;
use crate::manifest::Manifest;
use crate::merkle::{LoadedNodes, ProofRequest, Reorg, RequestUpgrade, Roots, Verified};
use crate::time::Instant;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The search for where one peer's newer fork begins.
#[derive(Debug)]
pub(super) struct ForkSearch {
    fork: u64,
    /// Set once the fork's tree was proven.
    reorg: Option<Reorg>,
    loaded: LoadedNodes,
    /// A request is under way since then.
    asked_at: Option<Instant>,
}

impl Replicator {
    /// Asks every peer on a newer fork for its tree, unless a proven one that is as new is being followed.
    pub(super) fn start_forks(&mut self, view: &CoreView<'_>) {
        if view.frozen || !self.downloading {
            return;
        }
        let newest = view.staged.roots.fork;
        let proven = self.forks.values().filter(|search| search.reorg.is_some()).map(|search| search.fork).max();
        let newer = |(peer, entry): (&PeerId, &super::peer::Peer)| {
            let sync = entry.sync.filter(|sync| sync.fork > newest && sync.length > 0 && sync.uploading)?;
            let asked = self.forks.get(peer).is_some_and(|search| search.fork == sync.fork);
            let in_vain = entry.paused || entry.refused_fork == Some(sync.fork);
            (!asked && !in_vain && proven.is_none_or(|proven| proven < sync.fork)).then_some((*peer, sync))
        };
        let due: Vec<_> = self.peers.iter().filter_map(newer).collect();
        for (peer, sync) in due {
            let upgrade = Some(RequestUpgrade { start: 0, length: sync.length });
            self.request(view, peer, ProofRequest { upgrade, ..ProofRequest::default() }, Purpose::Fork);
            let loaded = LoadedNodes::default();
            let search = ForkSearch { fork: sync.fork, reorg: None, loaded, asked_at: Some(self.now) };
            self.forks.insert(peer, search);
        }
    }

    /// The answer to a request about fork `asked`.
    pub(super) fn on_fork_data(&mut self, view: &CoreView<'_>, peer: PeerId, asked: u64, data: Data) {
        if self.forks.get(&peer).is_some_and(|search| search.fork != asked) {
            // A refusal of what was asked before the peer moved on; the present fork was asked for since.
            return;
        }
        let Some(mut search) = self.forks.remove(&peer) else { return };
        if data.proof.fork != search.fork {
            // It moved on: its sync says where.
            return self.start_forks(view);
        }
        search.asked_at = None;
        let first = search.reorg.is_none();
        match self.take_fork_proof(view, peer, &mut search, &data) {
            Ok(()) => {
                let fork = search.fork;
                if first {
                    // Proven: older forks, and others as new, need not be looked at.
                    self.forks.retain(|_, other| other.fork > fork);
                }
                self.forks.insert(peer, search);
                self.go_on_fork(view, peer);
            }
            Err(reason) => {
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.paused = true;
                }
                self.effect(Effect::VerificationFailed { peer, reason });
                self.start_forks(view);
                self.settle_upgrades(view);
            }
        }
    }

    fn take_fork_proof(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        search: &mut ForkSearch,
        data: &Data,
    ) -> Result<(), String> {
        if let Some(reorg) = search.reorg.as_mut() {
            return reorg.update(&data.proof).map_err(|error| error.to_string());
        }
        let learnt = learn_manifest(view, data.manifest.as_ref())?;
        let verifier = view.verifier.or(learnt.as_ref());
        let check =
            |roots: &Roots, signature: &[u8]| verifier.is_some_and(|verifier| verifier.verify(roots, signature));
        let reorg = Reorg::new(&view.staged.roots, &data.proof, &check).map_err(|error| error.to_string())?;
        if let Some(learnt) = &learnt {
            self.accept_manifest(view, peer, learnt.manifest().clone());
        }
        search.reorg = Some(reorg);
        Ok(())
    }

    fn accept_manifest(&mut self, view: &CoreView<'_>, peer: PeerId, manifest: Manifest) {
        let storing =
            Storing { fork: view.staged.roots.fork, block: None, upgrade: false, purpose: Purpose::Fork, ahead: false };
        let verified = Verified::nothing(view.staged.roots.fork);
        self.accept_effect(peer, storing, Effect::Accept { peer, verified, manifest: Some(manifest) });
    }

    pub(super) fn fork_loaded(&mut self, view: &CoreView<'_>, peer: PeerId, loaded: &Loaded) {
        if loaded.failed {
            // What cannot be read must not pass for what differs.
            self.forks.remove(&peer);
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.refused_fork = entry.fork();
            }
        } else if let Some(search) = self.forks.get_mut(&peer) {
            search.loaded.merge(&loaded.nodes);
            self.go_on_fork(view, peer);
        }
    }

    fn go_on_fork(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let Some(search) = self.forks.get_mut(&peer) else { return };
        let Some(reorg) = &mut search.reorg else { return };
        let nodes = reorg.advance(&search.loaded);
        if !nodes.is_empty() {
            return self.load(Load { nodes, blocks: Vec::new() }, Loading::Fork { peer });
        }
        if let Some(hash) = reorg.want() {
            search.asked_at = Some(self.now);
            let proof = ProofRequest { hash: Some(hash), ..ProofRequest::default() };
            self.request(view, peer, proof, Purpose::Fork);
            return;
        }
        let Some(reorg) = self.forks.remove(&peer).and_then(|search| search.reorg) else { return };
        if let Some(ancestors) = reorg.ancestors() {
            let storing = Storing {
                fork: view.staged.roots.fork,
                block: None,
                upgrade: false,
                purpose: Purpose::Fork,
                ahead: false,
            };
            let verified = reorg.into_verified();
            self.accept_effect(peer, storing, Effect::Reorg { peer, ancestors, verified });
        }
    }

    /// When a peer on a newer fork has been silent too long.
    pub(super) fn fork_deadline(&self) -> Option<Instant> {
        let asked = self.forks.values().filter_map(|search| search.asked_at).min();
        asked.map(|at| at.after(self.config.fork_patience))
    }

    /// Gives up on silent peers, so that others may be followed.
    pub(super) fn forks_late(&mut self, view: &CoreView<'_>) {
        let patience = self.config.fork_patience;
        let late = |search: &ForkSearch| search.asked_at.is_some_and(|at| at.after(patience) <= self.now);
        let silent: Vec<PeerId> = self.forks.iter().filter(|(_, search)| late(search)).map(|(peer, _)| *peer).collect();
        if silent.is_empty() {
            return;
        }
        for peer in silent {
            let requests = self.requests.iter().filter(|(_, of)| of.peer == peer && of.purpose == Purpose::Fork);
            let ids: Vec<u64> = requests.map(|(id, _)| id).collect();
            for id in ids {
                self.cancel_request(id);
            }
            self.forks.remove(&peer);
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.refused_fork = entry.fork();
            }
        }
        self.start_forks(view);
        self.settle_upgrades(view);
    }
}
