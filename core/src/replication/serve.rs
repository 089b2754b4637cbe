//! Answering a peer's requests: plan, load, build, send. Requests that come together are read together.

use super::config::ReplicatorConfig;
use super::effect::{Effect, Load, Loaded, PeerId};
use super::replicator::{Loading, Replicator};
use super::requests::average_block;
use super::view::CoreView;
use super::wire::{Data, INVALID_REQUEST, Message, NOT_AVAILABLE, Request, Want};
use crate::log::Head;
use crate::merkle::{BuildError, LoadedNodes, Proof, ProofPlan, TreeIndex};
use crate::time::{Duration, Instant};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Serving {
    ticket: u64,
    request: Request,
    plan: ProofPlan,
    /// The tree it is proven from.
    head: Arc<Head>,
    needs: Vec<TreeIndex>,
    nodes: LoadedNodes,
    block: Option<Bytes>,
}

impl Replicator {
    /// Takes a request in; one with the same number replaces an earlier one that is not answered yet.
    pub(super) fn on_request(&mut self, peer: PeerId, request: Request) {
        let ticket = self.next_id();
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if let Some(replaced) = entry.serving.insert(request.id, ticket) {
            entry.queue.retain(|(of, _)| *of != replaced);
        }
        if entry.serving.len() > self.config.max_serving {
            let reason = String::from("the peer asks for more at once than anyone may");
            return self.effect(Effect::Fail { peer, reason });
        }
        let urgent = request.priority > 0;
        let place = entry.queue.iter().rposition(|(_, other)| !urgent || other.priority >= request.priority);
        entry.queue.insert(place.map_or(0, |place| place.saturating_add(1)), (ticket, request));
        self.to_serve.insert(peer);
    }

    pub(super) fn on_cancel(&mut self, peer: PeerId, id: u64) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if let Some(ticket) = entry.serving.remove(&id) {
            entry.queue.retain(|(of, _)| *of != ticket);
        }
    }

    /// Lets a peer's requests wait while what it was sent is not on its way.
    pub fn set_clogged(&mut self, peer: PeerId, clogged: bool) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.clogged = clogged;
            self.to_serve.insert(peer);
        }
    }

    /// Takes up requests that wait, as far as the store may be asked for at once.
    pub(super) fn serve(&mut self, view: &CoreView<'_>) {
        while let Some(peer) = self.to_serve.pop_first() {
            let most = max_loads(&self.config, view);
            let mut group = Vec::new();
            while let Some(entry) = self.peers.get_mut(&peer).filter(|entry| !entry.clogged && entry.loads < most) {
                let Some((ticket, request)) = entry.queue.pop_front() else { break };
                group.extend(self.start_serving(view, peer, ticket, request));
            }
            self.load_for(peer, group);
        }
    }

    /// Plans an answer; gives what must be read for it, if anything.
    fn start_serving(&mut self, view: &CoreView<'_>, peer: PeerId, ticket: u64, request: Request) -> Option<Serving> {
        let head = Arc::clone(view.head);
        let stored = request.proof.block.is_none_or(|block| view.bitfield.get(block.index));
        if request.fork != head.roots.fork || !stored {
            self.refuse(view, peer, &request, ticket);
            return None;
        }
        let prologue = view.verifier.and_then(|verifier| verifier.prologue()).map(|prologue| prologue.length);
        let Ok(plan) = ProofPlan::new(&head.roots, &request.proof, prologue) else {
            self.refuse_invalid(peer, &request, ticket);
            return None;
        };
        let (needs, nodes) = (Vec::new(), LoadedNodes::default());
        self.go_on_serving(view, peer, Serving { ticket, request, plan, head, needs, nodes, block: None })
    }

    /// Answers if everything is there; else gives it back, and it counts as being read.
    fn go_on_serving(&mut self, view: &CoreView<'_>, peer: PeerId, mut serving: Serving) -> Option<Serving> {
        serving.needs = loop {
            // What is remembered may lead to further needs: a seek goes down level by level.
            let mut needs = serving.plan.needs(&serving.head.roots, &serving.nodes);
            let all = needs.len();
            needs.retain(|index| match self.recent.get(*index) {
                Some(node) => {
                    serving.nodes.insert(*node);
                    false
                }
                None => true,
            });
            if !needs.is_empty() || all == 0 {
                break needs;
            }
        };
        if serving.needs.is_empty() && serving.block.is_some() == serving.plan.block().is_some() {
            self.answer(view, peer, serving);
            return None;
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.loads = entry.loads.saturating_add(1);
        }
        Some(serving)
    }

    fn load_for(&mut self, peer: PeerId, group: Vec<Serving>) {
        if group.is_empty() {
            return;
        }
        let nodes = group.iter().flat_map(|serving| serving.needs.iter().copied()).collect();
        let blocks = group.iter().filter(|serving| serving.block.is_none());
        let blocks = blocks.filter_map(|serving| serving.plan.block()).collect();
        self.load(Load { nodes, blocks }, Loading::Serve { peer, group });
    }

    pub(super) fn serve_loaded(&mut self, view: &CoreView<'_>, peer: PeerId, group: Vec<Serving>, loaded: &Loaded) {
        if loaded.failed && group.len() > 1 {
            // What is damaged costs the others nothing: each is read by itself.
            return group.into_iter().for_each(|serving| self.load_for(peer, Vec::from([serving])));
        }
        loaded.nodes.iter().for_each(|node| self.recent.insert(*node));
        let mut further = Vec::new();
        for mut serving in group {
            let Some(entry) = self.peers.get_mut(&peer) else { return };
            entry.loads = entry.loads.saturating_sub(1);
            if entry.serving.get(&serving.request.id) != Some(&serving.ticket) {
                continue;
            }
            serving.nodes.extend(serving.needs.iter().filter_map(|index| loaded.nodes.get(*index)).copied());
            let block = serving.plan.block();
            serving.block = serving.block.or_else(|| loaded.blocks.get(&block?).cloned());
            if serving.head.roots.fork != view.head.roots.fork || (block.is_some() && serving.block.is_none()) {
                self.refuse(view, peer, &serving.request, serving.ticket);
            } else {
                further.extend(self.go_on_serving(view, peer, serving));
            }
        }
        self.load_for(peer, further);
        self.to_serve.insert(peer);
    }

    fn answer(&mut self, view: &CoreView<'_>, peer: PeerId, serving: Serving) {
        let Serving { request, ticket, plan, head, nodes, block, .. } = serving;
        match plan.build(&head.roots, &nodes, block, &head.signature) {
            Err(BuildError::Invalid(_)) => self.refuse_invalid(peer, &request, ticket),
            Err(_) => self.refuse(view, peer, &request, ticket),
            Ok(proof) => {
                let sent = proof.block.as_ref().map(|block| (block.index, block.value.len()));
                if self.send_data(view, peer, &request, ticket, proof)
                    && let Some((index, byte_length)) = sent
                {
                    self.effect(Effect::Uploaded { peer, index, byte_length });
                }
            }
        }
    }

    /// Sends an answer unless the request was taken back; a proof of nothing is none.
    fn send_data(&mut self, view: &CoreView<'_>, peer: PeerId, request: &Request, ticket: u64, proof: Proof) -> bool {
        let compat = view.verifier.is_some_and(crate::manifest::Verifier::is_compat);
        let manifest = view.manifest.filter(|_| request.manifest && !compat).cloned();
        let empty = proof.block.is_none() && proof.hash.is_none() && proof.seek.is_none() && proof.upgrade.is_none();
        let message = if empty && manifest.is_none() {
            Message::NoData { request: request.id, reason: NOT_AVAILABLE }
        } else {
            Message::Data(Data { request: request.id, proof, manifest })
        };
        self.reply(peer, request, ticket, message)
    }

    fn reply(&mut self, peer: PeerId, request: &Request, ticket: u64, message: Message) -> bool {
        let Some(entry) = self.peers.get_mut(&peer) else { return false };
        if entry.serving.get(&request.id) != Some(&ticket) {
            return false;
        }
        entry.serving.remove(&request.id);
        let closing = entry.closing && request.id == 0;
        self.send(peer, message);
        if closing {
            self.effect(Effect::CloseChannel { peer });
        }
        true
    }

    /// Says that there is no answer; the manifest goes out even so.
    fn refuse(&mut self, view: &CoreView<'_>, peer: PeerId, request: &Request, ticket: u64) {
        let proof = Proof { fork: view.head.roots.fork, ..Proof::default() };
        self.send_data(view, peer, request, ticket, proof);
    }

    /// No tree can prove that: the answer comes late, and later the more often it happens.
    fn refuse_invalid(&mut self, peer: PeerId, request: &Request, ticket: u64) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.invalid_requests = entry.invalid_requests.saturating_add(1);
        if entry.invalid_requests >= self.config.max_invalid_requests {
            let reason = String::from("the peer keeps asking for what no tree can prove");
            return self.effect(Effect::Fail { peer, reason });
        }
        let at = self.now.after(back_off(entry.invalid_requests));
        self.late_answers.insert((at, peer, ticket), *request);
    }

    /// When the next late answer is due.
    pub(super) fn answer_at(&self) -> Option<Instant> {
        self.late_answers.keys().next().map(|(at, ..)| *at)
    }

    pub(super) fn send_late_answers(&mut self) {
        while let Some(due) = self.late_answers.first_entry().filter(|due| due.key().0 <= self.now) {
            let ((_, peer, ticket), request) = due.remove_entry();
            let message = Message::NoData { request: request.id, reason: INVALID_REQUEST };
            self.reply(peer, &request, ticket, message);
        }
    }

    /// Tells a peer what we have of a region: a run from 0 on when that says it, bits otherwise.
    pub(super) fn on_want(&mut self, view: &CoreView<'_>, peer: PeerId, want: Want) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if !entry.wants.add(want) {
            return;
        }
        let (length, contiguous) = (view.head.roots.length, view.contiguous_length);
        let end = want.start.saturating_add(want.length);
        if end < contiguous || length == contiguous || (want.any && want.start < contiguous) {
            return self.send(peer, Message::Range { drop: false, start: 0, length: contiguous });
        }
        let end = end.min(length);
        if want.any {
            if let Some(start) = view.bitfield.first_set(want.start).filter(|found| *found < end) {
                self.send(peer, Message::Range { drop: false, start, length: 1 });
            }
            return;
        }
        for page in want.start / PAGE_BITS..=end.saturating_sub(1) / PAGE_BITS {
            if let Some(bits) = view.bitfield.page(page).filter(|_| want.start < end) {
                let start = page.saturating_mul(PAGE_BITS);
                self.send(peer, Message::Bitfield { start, bits: window(bits.as_slice(), start, &(want.start..end)) });
            }
        }
    }
}

/// The whole words of a page that meet a range: the page itself when the range covers it.
fn window(bits: &[u8], start: u64, range: &core::ops::Range<u64>) -> Bytes {
    let last = range.end.saturating_sub(start).div_ceil(32).saturating_mul(4);
    let end = usize::try_from(last).unwrap_or(usize::MAX).min(bits.len());
    Bytes::copy_from_slice(bits.get(..end).unwrap_or(bits))
}

/// Requests of one peer read from the store at once.
fn max_loads(config: &ReplicatorConfig, view: &CoreView<'_>) -> usize {
    let by_bytes = config.load_bytes.checked_div(average_block(view)).unwrap_or(u64::MAX);
    usize::try_from(by_bytes).unwrap_or(usize::MAX).clamp(1, config.max_loads)
}

/// How late an invalid request is answered (`replicator.js`, `backoff`).
fn back_off(invalid_requests: u32) -> Duration {
    Duration::from_millis(match invalid_requests {
        0..16 => 200,
        16..32 => 500,
        32..48 => 1000,
        _ => 5000,
    })
}

const PAGE_BITS: u64 = crate::log::PAGE_BITS;
