//! Answering a peer's requests: plan, load, build, send.

use super::effect::{Effect, Load, Loaded, PeerId};
use super::replicator::{Loading, Replicator};
use super::view::CoreView;
use super::wire::{Data, INVALID_REQUEST, Message, NOT_AVAILABLE, Request};
use crate::merkle::{LoadedNodes, Proof, ProofPlan};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Serving {
    request: Request,
    plan: ProofPlan,
    nodes: LoadedNodes,
    blocks: BTreeMap<u64, Bytes>,
    fork: u64,
}

impl Replicator {
    pub(super) fn on_request(&mut self, view: &CoreView<'_>, peer: PeerId, request: Request) {
        let roots = &view.head.roots;
        if request.fork != roots.fork || request.proof.block.is_some_and(|block| !view.bitfield.get(block.index)) {
            return self.refuse(view, peer, &request, NOT_AVAILABLE);
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.serving.insert(request.id, request);
            if entry.serving.len() > self.config.max_serving {
                let reason = String::from("the peer asks for more at once than anyone may");
                return self.effect(Effect::Fail { peer, reason });
            }
        }
        let prologue = view.verifier.and_then(|verifier| verifier.prologue()).map(|prologue| prologue.length);
        match ProofPlan::new(roots, &request.proof, prologue) {
            Err(_) => self.refuse_invalid(view, peer, &request),
            Ok(plan) => {
                let serving =
                    Serving { request, plan, nodes: LoadedNodes::default(), blocks: BTreeMap::new(), fork: roots.fork };
                self.go_on_serving(view, peer, serving);
            }
        }
    }

    fn go_on_serving(&mut self, view: &CoreView<'_>, peer: PeerId, mut serving: Serving) {
        let nodes = serving.plan.needs(&serving.nodes);
        let blocks: Vec<u64> =
            serving.plan.block().filter(|index| !serving.blocks.contains_key(index)).into_iter().collect();
        if nodes.is_empty() && blocks.is_empty() {
            self.answer(view, peer, serving);
        } else {
            self.load(Load { nodes, blocks }, Loading::Serve { peer, serving });
        }
    }

    pub(super) fn serve_loaded(&mut self, view: &CoreView<'_>, peer: PeerId, mut serving: Serving, loaded: &Loaded) {
        if serving.fork != view.head.roots.fork {
            return self.refuse(view, peer, &serving.request, NOT_AVAILABLE);
        }
        let complete = serving
            .plan
            .block()
            .is_none_or(|index| loaded.blocks.contains_key(&index) || serving.blocks.contains_key(&index));
        if !complete {
            return self.refuse(view, peer, &serving.request, NOT_AVAILABLE);
        }
        serving.nodes.merge(&loaded.nodes);
        serving.blocks.extend(loaded.blocks.iter().map(|(index, block)| (*index, block.clone())));
        self.go_on_serving(view, peer, serving);
    }

    fn answer(&mut self, view: &CoreView<'_>, peer: PeerId, serving: Serving) {
        let request = serving.request;
        let wanted = self.peers.get_mut(&peer).and_then(|entry| entry.serving.remove(&request.id));
        if wanted.is_none() {
            // Cancelled, or the channel is gone.
            return;
        }
        let index = serving.plan.block();
        let block = index.and_then(|index| serving.blocks.get(&index).cloned());
        match serving.plan.build(&serving.nodes, block, &view.head.signature) {
            Err(crate::merkle::BuildError::Invalid(_)) => self.refuse_invalid(view, peer, &request),
            Err(_) => self.refuse(view, peer, &request, NOT_AVAILABLE),
            Ok(proof) => {
                let sent = proof.block.as_ref().map(|block| (block.index, block.value.len()));
                self.send_data(view, peer, &request, proof);
                if let Some((index, byte_length)) = sent {
                    self.effect(Effect::Uploaded { peer, index, byte_length });
                }
            }
        }
    }

    fn send_data(&mut self, view: &CoreView<'_>, peer: PeerId, request: &Request, proof: Proof) {
        let compat = view.verifier.is_some_and(crate::manifest::Verifier::is_compat);
        let manifest = view.manifest.filter(|_| request.manifest && !compat).cloned();
        let empty = proof.block.is_none() && proof.hash.is_none() && proof.seek.is_none() && proof.upgrade.is_none();
        if empty && manifest.is_none() {
            return self.send(peer, Message::NoData { request: request.id, reason: NOT_AVAILABLE });
        }
        self.send(peer, Message::Data(Data { request: request.id, proof, manifest }));
    }

    /// Says that there is no answer; the manifest goes out even so.
    fn refuse(&mut self, view: &CoreView<'_>, peer: PeerId, request: &Request, reason: u64) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.serving.remove(&request.id);
        }
        if request.manifest && view.manifest.is_some() {
            let proof = Proof { fork: view.head.roots.fork, ..Proof::default() };
            return self.send_data(view, peer, request, proof);
        }
        self.send(peer, Message::NoData { request: request.id, reason });
    }

    fn refuse_invalid(&mut self, view: &CoreView<'_>, peer: PeerId, request: &Request) {
        self.refuse(view, peer, request, INVALID_REQUEST);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.invalid_requests = entry.invalid_requests.saturating_add(1);
        if entry.invalid_requests >= self.config.max_invalid_requests {
            let reason = String::from("the peer keeps asking for what no tree can prove");
            self.effect(Effect::Fail { peer, reason });
        }
    }
}
