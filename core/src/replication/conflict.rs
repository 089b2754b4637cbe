//! Two histories under one key: asking a peer for its own, comparing, and showing ours to everyone.

use super::effect::{Effect, Load, Loaded, PeerId};
use super::replicator::{Loading, Replicator};
use super::view::CoreView;
use super::wire::{Data, Message, Request};
use crate::merkle::{Anchor, Proof, ProofRequest, RequestUpgrade, Roots, verify};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

impl Replicator {
    /// Untrue data: callers are told, the peer is asked nothing more, and asked for the history it holds.
    pub(super) fn distrust(&mut self, view: &CoreView<'_>, peer: PeerId, reason: String) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.paused = true;
        entry.bad_data = entry.bad_data.saturating_add(1);
        let length = view.head.roots.length.min(entry.length());
        self.effect(Effect::VerificationFailed { peer, reason });
        if length > 0 {
            let proof = history(length);
            let fork = view.head.roots.fork;
            self.send(peer, Message::Request(Request { fork, proof, ..Request::default() }));
        }
    }

    /// Data nobody asked for: only another history's proof matters.
    pub(super) fn on_unasked(&mut self, view: &CoreView<'_>, peer: PeerId, data: Data) {
        let roots = &view.head.roots;
        let Some(upgrade) = data.proof.upgrade.as_ref().filter(|upgrade| upgrade.start == 0) else { return };
        let Some(verifier) = view.verifier.filter(|_| data.proof.fork == roots.fork && !view.frozen) else { return };
        if upgrade.length > roots.length || upgrade.length == 0 || self.is_comparing(peer) {
            return;
        }
        let check = |roots: &Roots, signature: &[u8]| verifier.verify(roots, signature);
        let empty = Roots { fork: roots.fork, ..Roots::default() };
        if !matches!(verify(&empty, &data.proof, &check), Ok(Anchor::Verified(_))) {
            return;
        }
        // The signature covers what follows too; the histories are compared where both have one.
        let Some(theirs) = Roots::from_nodes(roots.fork, upgrade.length, upgrade.nodes.clone()) else { return };
        let nodes = Roots::indices(theirs.length);
        self.load(Load { nodes, blocks: Vec::new() }, Loading::Conflict { peer, theirs, proof: Box::new(data.proof) });
    }

    fn is_comparing(&self, of: PeerId) -> bool {
        self.loading.values().any(|loading| matches!(loading, Loading::Conflict { peer, .. } if *peer == of))
    }

    pub(super) fn conflict_loaded(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        theirs: &Roots,
        proof: Proof,
        loaded: &Loaded,
    ) {
        let ours = Roots::indices(theirs.length).iter().map(|index| loaded.nodes.get(*index).copied()).collect();
        let ours: Option<Vec<_>> = ours;
        let same_fork = theirs.fork == view.head.roots.fork && theirs.length <= view.head.roots.length;
        let Some(ours) = ours.filter(|_| same_fork) else { return };
        if ours != theirs.nodes {
            self.effect(Effect::Conflict { peer, fork: theirs.fork, length: theirs.length, proof });
        } else if let Some(entry) = self.peers.get_mut(&peer)
            && entry.bad_data < self.config.max_bad_data
        {
            // The same history: what was wrong may have been an accident.
            entry.paused = false;
            self.update_peer(view, peer);
        }
    }

    /// The core is frozen: shows our history to a peer, then closes its channel.
    pub(super) fn show_history(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.closing = true;
        let length = view.head.roots.length.min(entry.length());
        if length > 0 && entry.fork() == Some(view.head.roots.fork) {
            let request = Request { fork: view.head.roots.fork, proof: history(length), ..Request::default() };
            self.on_request(peer, request);
        } else {
            self.effect(Effect::CloseChannel { peer });
        }
    }
}

/// "Prove your first `length` blocks from nothing."
fn history(length: u64) -> ProofRequest {
    ProofRequest { upgrade: Some(RequestUpgrade { start: 0, length }), ..ProofRequest::default() }
}
