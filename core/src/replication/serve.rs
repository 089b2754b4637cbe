//! Answering a peer's requests: plan, load, build, send.

use super::config::ReplicatorConfig;
use super::effect::{Effect, Load, Loaded, PeerId};
use super::replicator::{Loading, Replicator};
use super::requests::average_block;
use super::view::CoreView;
use super::wire::{Data, INVALID_REQUEST, Message, NOT_AVAILABLE, Request, Want};
use crate::merkle::{BuildError, LoadedNodes, Proof, ProofPlan};
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Serving {
    ticket: u64,
    request: Request,
    plan: ProofPlan,
    nodes: LoadedNodes,
    blocks: BTreeMap<u64, Bytes>,
    fork: u64,
}

impl Replicator {
    /// Takes a request in; one with the same number replaces an earlier one that is not answered yet.
    pub(super) fn on_request(&mut self, view: &CoreView<'_>, peer: PeerId, request: Request) {
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
        let place = entry.queue.iter().position(|(_, other)| urgent && other.priority < request.priority);
        entry.queue.insert(place.unwrap_or(entry.queue.len()), (ticket, request));
        self.serve_next(view, peer);
    }

    pub(super) fn on_cancel(&mut self, peer: PeerId, id: u64) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if let Some(ticket) = entry.serving.remove(&id) {
            entry.queue.retain(|(of, _)| *of != ticket);
        }
    }

    /// Takes up requests as far as the store may be asked for at once.
    fn serve_next(&mut self, view: &CoreView<'_>, peer: PeerId) {
        let most = max_loads(&self.config, view);
        while let Some(entry) = self.peers.get_mut(&peer).filter(|entry| entry.loads < most) {
            let Some((ticket, request)) = entry.queue.pop_front() else { return };
            self.start_serving(view, peer, ticket, request);
        }
    }

    fn start_serving(&mut self, view: &CoreView<'_>, peer: PeerId, ticket: u64, request: Request) {
        let roots = &view.head.roots;
        if request.fork != roots.fork || request.proof.block.is_some_and(|block| !view.bitfield.get(block.index)) {
            return self.refuse(view, peer, &request, ticket);
        }
        let prologue = view.verifier.and_then(|verifier| verifier.prologue()).map(|prologue| prologue.length);
        match ProofPlan::new(roots, &request.proof, prologue) {
            Err(_) => self.refuse_invalid(peer, &request, ticket),
            Ok(plan) => {
                let (nodes, blocks) = (LoadedNodes::default(), BTreeMap::new());
                self.go_on_serving(view, peer, Serving { ticket, request, plan, nodes, blocks, fork: roots.fork });
            }
        }
    }

    fn go_on_serving(&mut self, view: &CoreView<'_>, peer: PeerId, mut serving: Serving) {
        let nodes = loop {
            // What is remembered may lead to further needs: a seek goes down level by level.
            let mut needs = serving.plan.needs(&serving.nodes);
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
        let blocks: Vec<u64> =
            serving.plan.block().filter(|index| !serving.blocks.contains_key(index)).into_iter().collect();
        if nodes.is_empty() && blocks.is_empty() {
            return self.answer(view, peer, serving);
        }
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.loads = entry.loads.saturating_add(1);
        }
        self.load(Load { nodes, blocks }, Loading::Serve { peer, serving: alloc::boxed::Box::new(serving) });
    }

    pub(super) fn serve_loaded(&mut self, view: &CoreView<'_>, peer: PeerId, mut serving: Serving, loaded: &Loaded) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.loads = entry.loads.saturating_sub(1);
        let wanted = entry.serving.get(&serving.request.id) == Some(&serving.ticket);
        let block = serving.plan.block();
        let complete =
            block.is_none_or(|index| loaded.blocks.contains_key(&index) || serving.blocks.contains_key(&index));
        if wanted && (serving.fork != view.head.roots.fork || !complete) {
            self.refuse(view, peer, &serving.request, serving.ticket);
        } else if wanted {
            loaded.nodes.iter().for_each(|node| self.recent.insert(*node));
            serving.nodes.merge(&loaded.nodes);
            serving.blocks.extend(loaded.blocks.iter().map(|(index, block)| (*index, block.clone())));
            self.go_on_serving(view, peer, serving);
        }
        self.serve_next(view, peer);
    }

    fn answer(&mut self, view: &CoreView<'_>, peer: PeerId, serving: Serving) {
        let (request, ticket) = (serving.request, serving.ticket);
        let index = serving.plan.block();
        let block = index.and_then(|index| serving.blocks.get(&index).cloned());
        match serving.plan.build(&serving.nodes, block, &view.head.signature) {
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
