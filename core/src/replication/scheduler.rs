//! Who is asked for what next.

use super::effect::DemandId;
use super::effect::PeerId;
use super::peer::{Peer, WANT_REGION};
use super::replicator::{InFlight, Replicator};
use super::view::CoreView;
use super::wire::{Message, Request, Want};
use crate::merkle::{ProofRequest, RequestBlock, RequestSeek, RequestUpgrade, TreeIndex, missing_nodes};
use alloc::vec::Vec;

impl Replicator {
    /// Asks every peer for as much as its window allows.
    pub(super) fn update(&mut self, view: &CoreView<'_>) {
        if view.frozen {
            return;
        }
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            while self.ask(view, peer) {}
        }
    }

    /// Sends one request to a peer; false when there is none to send.
    fn ask(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let Some(entry) = self.peers.get(&peer) else { return false };
        let Some(sync) = entry.sync.filter(|sync| sync.fork == view.head.roots.fork) else { return false };
        if entry.paused || !sync.uploading || entry.in_flight.len() >= self.config.window {
            return false;
        }
        self.ask_upgrade(view, peer) || self.ask_manifest(view, peer) || self.ask_data(view, peer)
    }

    fn ask_data(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let valid = self.valid_length(view, peer);
        if let Some(index) = self.next_block(peer, valid) {
            self.demands.queue.remove(&index);
            self.request_block(view, peer, index);
            return true;
        }
        if self.ask_seek(view, peer) {
            return true;
        }
        match self.next_of_spans(view, peer, valid) {
            Some(index) => {
                self.request_block(view, peer, index);
                true
            }
            None => false,
        }
    }

    /// Blocks below this are the same on both sides.
    fn valid_length(&self, view: &CoreView<'_>, peer: PeerId) -> u64 {
        let length = view.head.roots.length;
        let Some(entry) = self.peers.get(&peer) else { return 0 };
        if entry.can_upgrade || entry.length() >= length {
            entry.length().min(length)
        } else {
            entry.proven_length.min(length)
        }
    }

    /// A longer tree, with the first wanted block past our end.
    fn ask_upgrade(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let length = view.head.roots.length;
        let Some(entry) = self.peers.get(&peer) else { return false };
        let Some(sync) = entry.sync else { return false };
        let acked = sync.remote_length == length && sync.length > length;
        if self.upgrading.is_some() || !acked || !sync.can_upgrade || entry.refused_upgrade {
            return false;
        }
        let within = length..sync.length;
        let block = self.demands.queue.range(within).copied().find(|index| entry.offers(*index));
        let upgrade = RequestUpgrade { start: length, length: sync.length.saturating_sub(length) };
        let proof = ProofRequest {
            block: block.map(|index| RequestBlock { index, nodes: 0 }),
            upgrade: Some(upgrade),
            ..ProofRequest::default()
        };
        if let Some(index) = block {
            self.demands.queue.remove(&index);
            self.busy.insert(index);
        }
        self.upgrading = Some(peer);
        self.request(view, peer, proof, None);
        true
    }

    /// The manifest of a core that is still empty.
    fn ask_manifest(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let sync = self.peers.get(&peer).and_then(|entry| entry.sync).unwrap_or_default();
        if view.manifest.is_some() || self.manifest_asked || !sync.has_manifest || self.upgrading.is_some() {
            return false;
        }
        self.manifest_asked = true;
        self.request(view, peer, ProofRequest::default(), None);
        true
    }

    fn ask_seek(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let length = view.head.roots.length;
        if self.peers.get(&peer).is_none_or(|entry| entry.length() < length) {
            return false;
        }
        let waiting = self.demands.seeks.iter().find(|(_, seek)| seek.request.is_none() && !seek.answered);
        let Some((demand, seek)) = waiting.map(|(demand, seek)| (*demand, *seek)) else { return false };
        // A seek goes below a node: the root that holds the byte, reached from its first leaf.
        let mut left = seek.bytes;
        let root = view.head.roots.nodes.iter().find(|root| {
            let size = root.unpadded_size(seek.padding);
            let here = left < size;
            left = left.saturating_sub(size);
            here
        });
        let Some(root) = root else { return false };
        let (first, _) = root.index.spans();
        let proof = ProofRequest {
            hash: Some(RequestBlock { index: first.0, nodes: u64::from(root.index.depth()) }),
            seek: Some(RequestSeek { bytes: seek.bytes, padding: seek.padding }),
            ..ProofRequest::default()
        };
        self.request(view, peer, proof, Some(demand));
        true
    }

    /// A wanted block this peer has; asks it to tell of the region when it is not known to.
    fn next_block(&mut self, peer: PeerId, valid: u64) -> Option<u64> {
        let entry = self.peers.get(&peer)?;
        let mut unknown = None;
        let found = self.demands.queue.range(..valid).take(SCAN).copied().find(|index| {
            let offered = entry.offers(*index);
            if !offered && unknown.is_none() {
                unknown = Some(*index);
            }
            offered && !self.busy.contains(index)
        });
        if found.is_none()
            && let Some(index) = unknown
        {
            self.want_region(peer, index);
        }
        found
    }

    fn want_region(&mut self, peer: PeerId, index: u64) {
        let region = index / WANT_REGION;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if index >= entry.contiguous() && entry.wanted.insert(region) {
            let want = Want { start: region.saturating_mul(WANT_REGION), length: WANT_REGION, any: false };
            self.send(peer, Message::Want(want));
        }
    }

    fn next_of_spans(&mut self, view: &CoreView<'_>, peer: PeerId, valid: u64) -> Option<u64> {
        let several = self.peers.len() > 1;
        let spans: Vec<(u64, u64, bool)> = self
            .demands
            .spans
            .values()
            .map(|span| (span.progress, span.end.unwrap_or(u64::MAX).min(valid), span.linear))
            .collect();
        for (start, end, linear) in spans {
            if start >= end {
                continue;
            }
            // Alone with one peer, in order is best: the store then grows without gaps.
            let skip = if linear || !several { 0 } else { self.random_below(end.saturating_sub(start)) };
            let middle = start.saturating_add(skip);
            let found =
                self.next_missing(view, peer, middle, end).or_else(|| self.next_missing(view, peer, start, middle));
            if found.is_some() {
                return found;
            }
            if !self.peers.get(&peer)?.offers(start) {
                self.want_region(peer, start);
            }
        }
        None
    }

    /// The first block of the range that we lack, nobody is asked for, and this peer has.
    fn next_missing(&self, view: &CoreView<'_>, peer: PeerId, start: u64, end: u64) -> Option<u64> {
        let entry = self.peers.get(&peer)?;
        let mut index = start;
        while index < end {
            index = view.bitfield.first_unset(index);
            index = entry.next_offer(index)?;
            if index >= end {
                return None;
            }
            if !view.bitfield.get(index) && !self.busy.contains(&index) && entry.offers(index) {
                return Some(index);
            }
            index = index.saturating_add(1);
        }
        None
    }

    fn request_block(&mut self, view: &CoreView<'_>, peer: PeerId, index: u64) {
        let stored = |range: core::ops::Range<u64>| view.bitfield.any(range);
        let nodes = missing_nodes(TreeIndex::leaf(index), view.head.roots.length, &stored);
        self.busy.insert(index);
        let proof = ProofRequest { block: Some(RequestBlock { index, nodes }), ..ProofRequest::default() };
        self.request(view, peer, proof, None);
    }

    /// Sends a request and remembers it.
    pub(super) fn request(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        proof: ProofRequest,
        seek: Option<DemandId>,
    ) -> u64 {
        let id = self.next_id();
        let fork = self.peers.get(&peer).and_then(|entry| entry.sync).map_or(0, |sync| sync.fork);
        let has_manifest = self.peers.get(&peer).is_some_and(|entry| entry.sync.is_some_and(|sync| sync.has_manifest));
        let block = proof.block.map(|block| block.index);
        let upgrade = proof.upgrade.is_some() && fork == view.head.roots.fork;
        self.in_flight.insert(id, InFlight { peer, block, upgrade, seek, fork });
        self.peers.get_mut(&peer).map(|entry: &mut Peer| entry.in_flight.insert(id));
        if let Some(seek) = seek.and_then(|demand| self.demands.seeks.get_mut(&demand)) {
            seek.request = Some(id);
        }
        let priority = u64::from(block.is_some_and(|index| self.demands.wants_block(index)));
        let manifest = view.manifest.is_none() && has_manifest;
        self.send(peer, Message::Request(Request { id, fork, proof, manifest, priority }));
        id
    }
}

/// Wanted blocks looked at before giving up on a peer for now.
const SCAN: usize = 256;
