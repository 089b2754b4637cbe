//! A peer on a newer fork: its signed tree first, then hash requests until the last shared block is known.

use super::effect::{Effect, Load, Loaded, PeerId};
use super::replicator::{InFlight, Loading, Replicator};
use super::view::CoreView;
use super::wire::{Data, Message, Request};
use crate::merkle::{LoadedNodes, ProofRequest, Reorg, RequestUpgrade, Roots};
use alloc::string::ToString;
use alloc::vec::Vec;

/// The search for where a newer fork begins.
#[derive(Debug)]
pub(super) struct ForkSearch {
    pub(super) peer: PeerId,
    /// The request under way.
    pub(super) request: Option<u64>,
    fork: u64,
    reorg: Option<Reorg>,
    loaded: LoadedNodes,
}

impl Replicator {
    /// Asks a peer on a newer fork for its whole tree, unless a search for that fork is under way.
    pub(super) fn start_fork(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let Some(sync) = self.peers.get(&peer).filter(|entry| !entry.paused).and_then(|entry| entry.sync) else {
            return;
        };
        if view.frozen || self.fork.as_ref().is_some_and(|search| search.fork >= sync.fork) {
            return;
        }
        let upgrade = Some(RequestUpgrade { start: 0, length: sync.length });
        let request = self.fork_request(view, peer, sync.fork, ProofRequest { upgrade, ..ProofRequest::default() });
        self.fork = Some(ForkSearch {
            peer,
            request: Some(request),
            fork: sync.fork,
            reorg: None,
            loaded: LoadedNodes::default(),
        });
    }

    fn fork_request(&mut self, view: &CoreView<'_>, peer: PeerId, fork: u64, proof: ProofRequest) -> u64 {
        let id = self.next_id();
        self.in_flight.insert(id, InFlight { peer, block: None, upgrade: false, seek: None, fork });
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.in_flight.insert(id);
        }
        let manifest = view.manifest.is_none();
        self.send(peer, Message::Request(Request { id, fork, proof, manifest, priority: 0 }));
        id
    }

    pub(super) fn on_fork_data(&mut self, view: &CoreView<'_>, peer: PeerId, data: Data) {
        let Some(mut search) = self.fork.take() else { return };
        search.request = None;
        let result = match search.reorg.as_mut() {
            Some(reorg) => reorg.update(&data.proof).map_err(|error| error.to_string()),
            None => self.learn_manifest(view, data.manifest.as_ref()).and_then(|learnt| {
                let verifier = view.verifier.or(learnt.as_ref());
                let check = |roots: &Roots, signature: &[u8]| {
                    verifier.is_some_and(|verifier| verifier.verify(roots, signature))
                };
                let reorg = Reorg::new(&view.staged.roots, &data.proof, &check).map_err(|error| error.to_string())?;
                if let Some(learnt) = &learnt {
                    let manifest = Some(learnt.manifest().clone());
                    let verified = crate::merkle::Verified::nothing(view.staged.roots.fork);
                    self.effect(Effect::Accept { peer, verified, manifest });
                }
                search.reorg = Some(reorg);
                Ok(())
            }),
        };
        match result {
            Ok(()) => {
                self.fork = Some(search);
                self.go_on_fork(view);
            }
            Err(reason) => {
                if let Some(entry) = self.peers.get_mut(&peer) {
                    entry.paused = true;
                }
                self.effect(Effect::VerificationFailed { peer, reason });
            }
        }
    }

    pub(super) fn fork_loaded(&mut self, view: &CoreView<'_>, loaded: &Loaded) {
        if let Some(search) = &mut self.fork {
            search.loaded.merge(&loaded.nodes);
            self.go_on_fork(view);
        }
    }

    fn go_on_fork(&mut self, view: &CoreView<'_>) {
        let Some(search) = &mut self.fork else { return };
        let Some(reorg) = &mut search.reorg else { return };
        let nodes = reorg.advance(&search.loaded);
        if !nodes.is_empty() {
            return self.load(Load { nodes, blocks: Vec::new() }, Loading::Fork);
        }
        let (peer, fork) = (search.peer, search.fork);
        if let Some(hash) = reorg.want() {
            let proof = ProofRequest { hash: Some(hash), ..ProofRequest::default() };
            let id = self.fork_request(view, peer, fork, proof);
            if let Some(search) = &mut self.fork {
                search.request = Some(id);
            }
            return;
        }
        let search = self.fork.take();
        let Some(reorg) = search.and_then(|search| search.reorg) else { return };
        if let Some(ancestors) = reorg.ancestors() {
            self.effect(Effect::Reorg { peer, ancestors, verified: reorg.into_verified() });
        }
    }
}
