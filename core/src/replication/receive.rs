//! Taking a peer's data: match it to a request, verify it, hand it on to be stored.

use super::effect::{Effect, Load, Loaded, PeerId};
use super::replicator::{InFlight, Loading, Replicator};
use super::view::CoreView;
use super::wire::{Data, Message, Request};
use crate::manifest::{Manifest, Verifier};
use crate::merkle::{Anchor, Proof, ProofRequest, RequestUpgrade, Roots, Unanchored, Verified, verify};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Replicator {
    pub(super) fn on_data(&mut self, view: &CoreView<'_>, peer: PeerId, data: Data) {
        if data.request == 0 {
            return self.on_unasked(view, peer, data);
        }
        if self.in_flight.get(&data.request).is_none_or(|request| request.peer != peer) {
            return;
        }
        let id = data.request;
        let Some(request) = self.take_request(id) else { return };
        if self.fork.as_ref().is_some_and(|fork| fork.request == Some(id)) {
            return self.on_fork_data(view, peer, data);
        }
        if request.fork != view.head.roots.fork || !matches_request(&request, &data) {
            self.give_back(&request);
            return;
        }
        self.accept_data(view, peer, &request, data);
    }

    /// The request is answered; its block stays busy until it is stored.
    fn take_request(&mut self, id: u64) -> Option<InFlight> {
        let request = self.in_flight.remove(&id)?;
        if let Some(peer) = self.peers.get_mut(&request.peer) {
            peer.in_flight.remove(&id);
        }
        if let Some(seek) = request.seek.and_then(|demand| self.demands.seeks.get_mut(&demand)) {
            seek.request = None;
            seek.answered = true;
        }
        Some(request)
    }

    /// What the request was for must be asked again.
    fn give_back(&mut self, request: &InFlight) {
        if let Some(index) = request.block {
            self.busy.remove(&index);
            self.demands.requeue(index);
        }
        if request.upgrade {
            self.upgrading = None;
        }
        if let Some(seek) = request.seek.and_then(|demand| self.demands.seeks.get_mut(&demand)) {
            seek.answered = false;
        }
    }

    fn accept_data(&mut self, view: &CoreView<'_>, peer: PeerId, request: &InFlight, data: Data) {
        let learnt = match self.learn_manifest(view, data.manifest.as_ref()) {
            Ok(learnt) => learnt,
            Err(reason) => return self.reject_data(view, peer, request, reason),
        };
        let verifier = view.verifier.or(learnt.as_ref());
        let check =
            |roots: &Roots, signature: &[u8]| verifier.is_some_and(|verifier| verifier.verify(roots, signature));
        let manifest = learnt.as_ref().map(|verifier| verifier.manifest().clone());
        let empty = data.proof == Proof { fork: data.proof.fork, ..Proof::default() };
        if empty {
            if manifest.is_some() {
                let verified = Verified::nothing(data.proof.fork);
                self.effect(Effect::Accept { peer, verified, manifest });
            }
            return;
        }
        match verify(&view.staged.roots, &data.proof, &check) {
            Err(error) => self.reject_data(view, peer, request, error.to_string()),
            Ok(Anchor::Verified(verified)) => self.accept(peer, request.block, verified, manifest),
            Ok(Anchor::Stored(unanchored)) => {
                let nodes = Vec::from([unanchored.needs()]);
                let (block, upgrade) = (request.block, request.upgrade);
                let then = Loading::Anchor { peer, unanchored, manifest, block, upgrade };
                self.load(Load { nodes, blocks: Vec::new() }, then);
            }
        }
    }

    /// The rules of a core whose manifest was not known.
    pub(super) fn learn_manifest(
        &self,
        view: &CoreView<'_>,
        manifest: Option<&Manifest>,
    ) -> Result<Option<Verifier>, String> {
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

    fn accept(&mut self, peer: PeerId, block: Option<u64>, verified: Verified, manifest: Option<Manifest>) {
        self.accepting.entry(peer).or_default().extend(block);
        self.effect(Effect::Accept { peer, verified, manifest });
    }

    pub(super) fn anchor_loaded(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        unanchored: Unanchored,
        manifest: Option<Manifest>,
        (block, upgrade): (Option<u64>, bool),
        loaded: &Loaded,
    ) {
        let request = InFlight { peer, block, upgrade, seek: None, fork: view.head.roots.fork };
        let index = unanchored.needs();
        match unanchored.confirm(loaded.nodes.get(index)) {
            Ok(verified) => self.accept(peer, block, verified, manifest),
            Err(error) => self.reject_data(view, peer, &request, error.to_string()),
        }
    }

    /// Untrue data: the peer is asked nothing more, callers are told, and it is asked whether it holds another history.
    fn reject_data(&mut self, view: &CoreView<'_>, peer: PeerId, request: &InFlight, reason: String) {
        self.give_back(request);
        let theirs = self.peers.get(&peer).map_or(0, super::peer::Peer::length);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.paused = true;
        }
        self.effect(Effect::VerificationFailed { peer, reason });
        let length = view.head.roots.length.min(theirs);
        if length > 0 {
            let upgrade = Some(RequestUpgrade { start: 0, length });
            let proof = ProofRequest { upgrade, ..ProofRequest::default() };
            let fork = view.head.roots.fork;
            self.send(peer, Message::Request(Request { fork, proof, ..Request::default() }));
        }
    }

    /// Data nobody asked for: only another history's proof matters.
    fn on_unasked(&mut self, view: &CoreView<'_>, peer: PeerId, data: Data) {
        let roots = &view.head.roots;
        let from_start = data.proof.upgrade.as_ref().is_some_and(|upgrade| upgrade.start == 0);
        let Some(verifier) = view.verifier.filter(|_| from_start && data.proof.fork == roots.fork) else { return };
        let check = |roots: &Roots, signature: &[u8]| verifier.verify(roots, signature);
        let empty = Roots { fork: roots.fork, ..Roots::default() };
        let Ok(Anchor::Verified(verified)) = verify(&empty, &data.proof, &check) else { return };
        let Some(theirs) = verified.upgrade().map(|upgrade| upgrade.roots.clone()) else { return };
        if theirs.length > roots.length {
            return;
        }
        let nodes = Roots::indices(theirs.length);
        self.load(Load { nodes, blocks: Vec::new() }, Loading::Conflict { peer, theirs, proof: Box::new(data.proof) });
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
        if let Some(ours) = ours.filter(|_| same_fork)
            && ours != theirs.nodes
        {
            self.effect(Effect::Conflict { peer, fork: theirs.fork, length: theirs.length, proof });
        }
    }
}

/// True when the data holds what the request was for.
fn matches_request(request: &InFlight, data: &Data) -> bool {
    let block = data.proof.block.as_ref().map(|block| block.index);
    let upgrade = data.proof.upgrade.is_some();
    request.fork == data.proof.fork
        && (request.block.is_none() || request.block == block)
        && (block.is_none() || request.block == block)
        && (!request.upgrade || upgrade)
}
