//! Taking a peer's data: match it to a request, verify it, hand it on to be stored.

use super::effect::{Effect, Loaded, PeerId};
use super::parked::Hanging;
use super::replicator::Replicator;
use super::requests::{InFlight, Purpose, Storing};
use super::view::CoreView;
use super::wire::{Data, INVALID_REQUEST, NOT_AVAILABLE};
use crate::manifest::{Manifest, Verifier};
use crate::merkle::{Anchor, InvalidProof, Node, Proof, Roots, Verified, verify, verify_all};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};

/// An answer that brings a block of the tree we know.
#[derive(Debug)]
pub(super) struct Arrived {
    peer: PeerId,
    storing: Storing,
    proof: Proof,
}

impl Replicator {
    /// Takes an answer; true when it is looked at together with others that come along.
    pub(super) fn on_data(&mut self, view: &CoreView<'_>, peer: PeerId, data: Data) -> bool {
        let id = data.request;
        self.note_upgrade(peer, &data.proof);
        if id == 0 {
            if self.is_push(view, peer, &data) {
                self.on_push(view, peer, data.proof);
            } else {
                self.on_unasked(view, peer, data);
            }
            return false;
        }
        if self.requests.get(id).is_none_or(|request| request.peer != peer) {
            return false;
        }
        let Some(request) = self.take_answered(id) else { return false };
        let plain = data.manifest.is_none() && data.proof.hash.is_none() && data.proof.seek.is_none();
        let current = request.fork == view.staged.roots.fork && request.fork == view.head.roots.fork;
        let block = data.proof.block.is_some() && data.proof.upgrade.is_none();
        if plain && block && current && view.verifier.is_some() && answers(&request, &data) {
            self.arrived.push(Arrived { peer, storing: request.storing(), proof: data.proof });
            return true;
        }
        self.verify_arrived(view);
        self.on_answer(view, peer, &request, data);
        false
    }

    /// Verifies the answers that came together.
    pub(super) fn verify_arrived(&mut self, view: &CoreView<'_>) {
        let arrived = core::mem::take(&mut self.arrived);
        if arrived.is_empty() {
            return;
        }
        let check =
            |roots: &Roots, signature: &[u8]| view.verifier.is_some_and(|verifier| verifier.verify(roots, signature));
        let anchors = verify_all(&view.staged.roots, arrived.iter().map(|arrived| &arrived.proof), &check);
        let peers: BTreeSet<PeerId> = arrived.iter().map(|arrived| arrived.peer).collect();
        for (Arrived { peer, storing, .. }, anchor) in arrived.into_iter().zip(anchors) {
            self.take_verified(view, peer, storing, anchor, None);
        }
        self.settle_parked(view);
        peers.into_iter().for_each(|peer| self.update_peer(view, peer));
    }

    /// Answers of a peer that were not looked at yet.
    pub(super) fn arrived_of(&self, peer: PeerId) -> usize {
        self.arrived.iter().filter(|arrived| arrived.peer == peer).count()
    }

    fn on_answer(&mut self, view: &CoreView<'_>, peer: PeerId, request: &InFlight, data: Data) {
        if request.purpose == Purpose::Fork {
            return self.on_fork_data(view, peer, request.fork, data);
        }
        if request.fork != view.staged.roots.fork || request.fork != view.head.roots.fork {
            // The log moved to another fork meanwhile.
            return self.give_back(request.block(), request.is_upgrade(), request.purpose);
        }
        if !answers(request, &data) {
            return self.unanswered(view, peer, request, 0);
        }
        self.accept_data(view, peer, request, data);
    }

    fn accept_data(&mut self, view: &CoreView<'_>, peer: PeerId, request: &InFlight, data: Data) {
        let storing = request.storing();
        let learnt = match learn_manifest(view, data.manifest.as_ref()) {
            Ok(learnt) => learnt,
            Err(reason) => return self.reject_data(view, peer, storing, reason),
        };
        let verifier = view.verifier.or(learnt.as_ref());
        let check =
            |roots: &Roots, signature: &[u8]| verifier.is_some_and(|verifier| verifier.verify(roots, signature));
        let manifest = learnt.as_ref().map(|verifier| verifier.manifest().clone());
        if data.proof == (Proof { fork: data.proof.fork, ..Proof::default() }) {
            let verified = Verified::nothing(data.proof.fork);
            return self.accept_effect(peer, storing, Effect::Accept { peer, verified, manifest });
        }
        let anchor = verify(&view.staged.roots, &data.proof, &check);
        self.take_verified(view, peer, storing, anchor, manifest);
    }

    pub(super) fn take_verified(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        storing: Storing,
        anchor: Result<Anchor, InvalidProof>,
        manifest: Option<Manifest>,
    ) {
        match anchor {
            Err(error) => self.reject_data(view, peer, storing, error.to_string()),
            Ok(Anchor::Verified(verified)) => self.accept(peer, storing, verified, manifest),
            Ok(Anchor::Stored(unanchored)) => {
                self.anchor(view, Hanging { peer, unanchored: Box::new(unanchored), manifest, storing });
            }
        }
    }

    /// Accepts a proof that ends at `node`, which is true.
    pub(super) fn confirm(&mut self, view: &CoreView<'_>, hanging: Hanging, node: &Node) {
        let Hanging { peer, unanchored, manifest, storing } = hanging;
        match unanchored.confirm(Some(node)) {
            Ok(verified) => self.accept(peer, storing, verified, manifest),
            Err(error) => self.reject_data(view, peer, storing, error.to_string()),
        }
    }

    fn accept(&mut self, peer: PeerId, storing: Storing, verified: Verified, manifest: Option<Manifest>) {
        if let Some(index) = storing.block {
            self.cancel_others(index);
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.not_available = 0;
        }
        verified.nodes().iter().for_each(|node| self.recent.insert(*node));
        self.accept_effect(peer, storing, Effect::Accept { peer, verified, manifest });
    }

    pub(super) fn anchor_loaded(&mut self, view: &CoreView<'_>, hanging: Hanging, loaded: &Loaded) {
        let Hanging { peer, storing, .. } = hanging;
        let node = loaded.nodes.get(hanging.unanchored.needs());
        match node {
            _ if loaded.failed || storing.fork != view.staged.roots.fork => {
                self.give_back(storing.block, storing.upgrade, storing.purpose);
            }
            Some(node) => self.confirm(view, hanging, node),
            None if storing.ahead => self.unproven(view, peer, storing),
            None => {
                let error = InvalidProof::HashMismatch { node: hanging.unanchored.needs() };
                self.reject_data(view, peer, storing, error.to_string());
            }
        }
    }

    fn reject_data(&mut self, view: &CoreView<'_>, peer: PeerId, storing: Storing, reason: String) {
        self.give_back(storing.block, storing.upgrade, storing.purpose);
        self.distrust(view, peer, reason);
        self.settle_upgrades(view);
        self.update(view);
    }

    /// The peer has no answer.
    pub(super) fn on_no_data(&mut self, view: &CoreView<'_>, peer: PeerId, id: u64, reason: u64) {
        if self.requests.get(id).is_none_or(|request| request.peer != peer) {
            return;
        }
        if let Some(request) = self.take_answered(id) {
            self.unanswered(view, peer, &request, reason);
        }
    }

    /// A request came to nothing: others are asked, and a peer that fails too often is asked nothing more.
    fn unanswered(&mut self, view: &CoreView<'_>, peer: PeerId, request: &InFlight, reason: u64) {
        let limit = self.config.max_not_available;
        self.give_back(request.block(), request.is_upgrade(), request.purpose);
        if let Some(entry) = self.peers.get_mut(&peer) {
            match reason {
                INVALID_REQUEST => entry.invalid_answers = entry.invalid_answers.saturating_add(1),
                0 | NOT_AVAILABLE => entry.not_available = entry.not_available.saturating_add(1),
                _ => {}
            }
            entry.paused |= entry.not_available >= limit || entry.invalid_answers >= limit;
            match (request.purpose, request.block()) {
                (Purpose::Fork, _) => entry.refused_fork = entry.fork(),
                (_, Some(index)) if !request.is_upgrade() => entry.refuse(index),
                _ => entry.refused_upgrade = true,
            }
        }
        if request.purpose == Purpose::Fork {
            self.forks.remove(&peer);
            self.start_forks(view);
        }
        self.settle_upgrades(view);
        self.update(view);
    }
}

/// The rules of a core whose manifest was not known.
pub(super) fn learn_manifest(view: &CoreView<'_>, manifest: Option<&Manifest>) -> Result<Option<Verifier>, String> {
    if view.verifier.is_some() {
        return Ok(None);
    }
    let manifest = match manifest {
        Some(manifest) => manifest.clone(),
        // A compat core's manifest follows from its key, and is never sent.
        None => Manifest::compat(crate::crypto::PublicKey(view.key.0)),
    };
    Verifier::new(manifest, view.key).map(Some).map_err(|error| error.to_string())
}

/// True when the data holds what was asked for and nothing else.
fn answers(request: &InFlight, data: &Data) -> bool {
    let (asked, given) = (&request.proof, &data.proof);
    let block = given.block.as_ref().map(|block| block.index) == asked.block.map(|block| block.index);
    let hash = given.hash.as_ref().is_none_or(|hash| asked.hash.is_some_and(|asked| asked.index == hash.index.0));
    let seek = given.seek.as_ref().is_none_or(|seek| asked.seek.is_some_and(|asked| asked.bytes == seek.bytes));
    let upgrade = given.upgrade.is_some() == asked.upgrade.is_some();
    let something = match request.purpose {
        Purpose::Manifest => data.manifest.is_some(),
        Purpose::Seek(_) => given.hash.is_some() || given.seek.is_some(),
        Purpose::Data | Purpose::Fork => true,
    };
    request.fork == given.fork && block && hash && seek && upgrade && something
}
