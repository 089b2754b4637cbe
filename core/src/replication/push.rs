//! A block nobody asked for: sent before the word that the log is longer, to a peer that follows it block by block
//! (`hypercore/lib/replicator.js`, `push`). It saves that peer a round trip, the longest part of the block's way.
//!
//! A peer says in its sync that it takes such blocks. One is sent to it when it has everything before, wants data, and
//! has said so since the last block: whoever appends faster than that announces, and is asked for many at once.
//!
//! We say it to one peer at a time, so that no block comes twice, and only while the newest block is one that somebody
//! waited for. The reference answers the next request for a longer tree of a peer it may push to from where its own last
//! proof on the channel ended, whatever was asked; so the peer must be the one that proved our length.

use super::effect::{Committed, Effect, PeerId};
use super::replicator::Replicator;
use super::requests::{Purpose, Storing};
use super::view::CoreView;
use super::wire::{Data, Message};
use crate::merkle::{Anchor, LoadedNodes, Proof, ProofPlan, ProofRequest, RequestBlock, RequestUpgrade, Roots, verify};
use bytes::Bytes;

impl Replicator {
    /// Sends the block by which the log grew to a peer that waits for it.
    pub(super) fn push(&mut self, view: &CoreView<'_>, peer: PeerId, committed: &Committed) {
        let (Some(index), Some(block)) = (committed.grew_from, &committed.newest) else { return };
        if committed.from == Some(peer) || committed.truncated_to.is_some() || !self.takes_push(view, peer, index) {
            return;
        }
        let Some(proof) = self.newest_proof(view, index, block) else { return };
        self.send(peer, Message::Data(Data { request: 0, proof, manifest: None }));
        self.effect(Effect::Uploaded { peer, index, byte_length: block.len() });
    }

    /// True when a peer takes block `index` unasked: it has all before it, knows of none after, and asked for nothing.
    fn takes_push(&self, view: &CoreView<'_>, peer: PeerId, index: u64) -> bool {
        let Some(entry) = self.peers.get(&peer) else { return false };
        let Some(sync) = entry.sync.filter(|sync| sync.allow_push && sync.downloading) else { return false };
        let at_end = (sync.fork, sync.length) == (view.head.roots.fork, index) && entry.contiguous() >= index;
        at_end && index > 0 && entry.serving.is_empty() && !entry.clogged && !entry.closing && !view.frozen
    }

    /// The proof of the newest block for who has all before it. Such a proof holds nodes of the tree's right edge only,
    /// which is at hand; if ever it were not, the block would be asked for as any other.
    fn newest_proof(&self, view: &CoreView<'_>, index: u64, block: &Bytes) -> Option<Proof> {
        let head = view.head;
        let request = ProofRequest {
            block: Some(RequestBlock { index, nodes: 0 }),
            upgrade: Some(RequestUpgrade { start: index, length: head.roots.length.checked_sub(index)? }),
            ..ProofRequest::default()
        };
        let prologue = view.verifier.and_then(|verifier| verifier.prologue()).map(|prologue| prologue.length);
        let mut plan = ProofPlan::new(&head.roots, &request, prologue).ok()?;
        let nodes = LoadedNodes::default();
        if !plan.needs(&head.roots, &nodes).is_empty() {
            return None;
        }
        plan.build(&head.roots, &nodes, Some(block.clone()), &head.signature).ok()
    }

    /// The log grew or was cut: whose next block we take unasked from now on. Called before waiting callers are told.
    pub(super) fn choose_pusher(&mut self, view: &CoreView<'_>, committed: &Committed) {
        if committed.grew_from.is_some() || committed.truncated_to.is_some() {
            let followed = committed.truncated_to.is_none() && self.demands.follow(view.head.roots.length);
            self.pusher = committed.from.filter(|_| followed);
        }
    }

    /// True when this peer may send its next block unasked.
    pub(super) fn may_push(&self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let proved = self.peers.get(&peer).map(|entry| entry.upgraded_to);
        self.pusher == Some(peer) && proved == Some(view.head.roots.length) && !view.frozen
    }

    /// Takes back what our last sync allowed a peer, when it is so no more: else it answers what is asked now from
    /// another length than ours.
    pub(super) fn forbid_push(&mut self, view: &CoreView<'_>, peer: PeerId) {
        if self.peers.get(&peer).is_some_and(|entry| entry.may_push) && !self.may_push(view, peer) {
            self.send_sync(view, peer);
        }
    }

    /// Notes how long the tree is that a peer's data proves.
    pub(super) fn note_upgrade(&mut self, peer: PeerId, proof: &Proof) {
        if let (Some(entry), Some(upgrade)) = (self.peers.get_mut(&peer), &proof.upgrade) {
            let end = match upgrade.additional_nodes.last() {
                Some(last) => (last.index.spans().1.0 / 2).saturating_add(1),
                None => upgrade.start.saturating_add(upgrade.length),
            };
            entry.upgraded_to = entry.upgraded_to.max(end);
        }
    }

    /// True when data nobody asked for is the block past our end, from who may send it.
    pub(super) fn is_push(&self, view: &CoreView<'_>, peer: PeerId, data: &Data) -> bool {
        let (roots, staged) = (&view.head.roots, &view.staged.roots);
        let length = roots.length;
        let allowed = self.downloading && self.peers.get(&peer).is_some_and(|entry| entry.may_push && !entry.paused);
        let ready = staged == roots && !view.frozen && view.verifier.is_some() && self.store_retry_at.is_none();
        let next = data.proof.upgrade.as_ref().is_some_and(|upgrade| upgrade.start == length && upgrade.start > 0)
            && data.proof.block.as_ref().is_some_and(|block| block.index >= length);
        let plain = data.proof.hash.is_none() && data.proof.seek.is_none() && data.manifest.is_none();
        // A longer tree may be on its way already.
        allowed && ready && next && plain && data.proof.fork == roots.fork && !self.requests.upgrading
    }

    /// Takes the block past our end as if it had been asked for.
    pub(super) fn on_push(&mut self, view: &CoreView<'_>, peer: PeerId, proof: Proof) {
        let block = proof.block.as_ref().map(|block| block.index);
        let storing = Storing { fork: proof.fork, block, upgrade: true, purpose: Purpose::Data, ahead: false };
        self.requests.upgrading = true;
        let check =
            |roots: &Roots, signature: &[u8]| view.verifier.is_some_and(|verifier| verifier.verify(roots, signature));
        let anchor: Result<Anchor, _> = verify(&view.staged.roots, &proof, &check);
        self.take_verified(view, peer, storing, anchor, None);
    }
}
