//! Who is asked for what next.

use super::effect::PeerId;
use super::peer::WANT_REGION;
use super::replicator::Replicator;
use super::requests::Purpose;
use super::view::CoreView;
use super::wire::{Message, Want};
use crate::merkle::{ProofRequest, RequestBlock, RequestSeek, RequestUpgrade, TreeIndex, missing_nodes};
use alloc::vec::Vec;

impl Replicator {
    /// Asks every peer for as much as its window allows.
    pub(super) fn update(&mut self, view: &CoreView<'_>) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.update_peer(view, peer);
        }
    }

    /// Asks one peer for as much as its window allows.
    pub(super) fn update_peer(&mut self, view: &CoreView<'_>, peer: PeerId) {
        if view.frozen || !self.downloading || self.store_retry_at.is_some() {
            return;
        }
        let (room, much) = self.room(view, peer);
        for _ in 0..room {
            if !self.ask(view, peer, much) {
                return;
            }
        }
    }

    /// Sends one request to a peer; false when there is none to send. Without `much` room, only what somebody waits for.
    fn ask(&mut self, view: &CoreView<'_>, peer: PeerId, much: bool) -> bool {
        let Some(entry) = self.peers.get(&peer) else { return false };
        let Some(sync) = entry.sync.filter(|sync| sync.fork == view.head.roots.fork) else { return false };
        // While a cut is on its way to the store, what is published is about to go.
        if view.staged.roots.fork != sync.fork || entry.paused || !sync.uploading {
            return false;
        }
        self.ask_upgrade(view, peer)
            || self.ask_manifest(view, peer)
            || self.ask_data(view, peer, much)
            || self.ask_hot(view, peer)
    }

    fn ask_data(&mut self, view: &CoreView<'_>, peer: PeerId, much: bool) -> bool {
        let valid = self.valid_length(view, peer);
        if let Some(index) = self.next_block(peer, valid) {
            self.demands.queue.remove(&index);
            self.request_block(view, peer, index);
            return true;
        }
        if self.ask_seek(view, peer) {
            return true;
        }
        let next = if much { self.next_of_spans(view, peer, valid) } else { None };
        if let Some(index) = next {
            self.request_block(view, peer, index);
        }
        next.is_some()
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
        let acked = sync.remote_length == length && sync.length > length && view.staged.roots.length == length;
        if self.requests.upgrading || !acked || !sync.can_upgrade || entry.refused_upgrade {
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
        }
        self.forbid_push(view, peer);
        self.request(view, peer, proof, Purpose::Data);
        true
    }

    /// The manifest of a core that is still empty.
    fn ask_manifest(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let Some(entry) = self.peers.get(&peer) else { return false };
        let sync = entry.sync.unwrap_or_default();
        let due = view.manifest.is_none() && sync.has_manifest && sync.length == 0 && !entry.refused_upgrade;
        if !due || self.requests.manifest || self.requests.upgrading {
            return false;
        }
        self.request(view, peer, ProofRequest::default(), Purpose::Manifest);
        true
    }

    fn ask_seek(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        let length = view.head.roots.length;
        if self.peers.get(&peer).is_none_or(|entry| entry.length() < length || !entry.seeks || entry.refused_upgrade) {
            return false;
        }
        let waiting = self.demands.seeks.iter().find(|(_, seek)| !seek.busy);
        let Some((demand, seek)) = waiting.map(|(demand, seek)| (*demand, *seek)) else { return false };
        // Asked from its first leaf on, so that both children of that node come along: every answer leads further
        // down, even one that leaves the seek itself out.
        let (first, _) = seek.below.spans();
        let proof = ProofRequest {
            hash: Some(RequestBlock { index: first.0, nodes: u64::from(seek.below.depth()) }),
            seek: Some(RequestSeek { bytes: seek.bytes, padding: seek.padding }),
            ..ProofRequest::default()
        };
        if let Some(seek) = self.demands.seeks.get_mut(&demand) {
            seek.busy = true;
        }
        self.request(view, peer, proof, Purpose::Seek(demand));
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
            offered && !self.requests.busy.get(*index)
        });
        if found.is_none()
            && let Some(index) = unknown
        {
            self.want_region(peer, index);
        }
        found
    }

    /// Asks a peer to tell of the region around a block, taking back the oldest such wish when there are many.
    fn want_region(&mut self, peer: PeerId, index: u64) {
        let region = index / WANT_REGION;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if index < entry.contiguous() || entry.wanted.contains(&region) {
            return;
        }
        let want = |region: u64| Want { start: region.saturating_mul(WANT_REGION), length: WANT_REGION, any: false };
        entry.wanted.push_back(region);
        let unwanted = if entry.wanted.len() > self.config.max_wanted { entry.wanted.pop_front() } else { None };
        if let Some(oldest) = unwanted {
            self.send(peer, Message::Unwant(want(oldest)));
        }
        self.send(peer, Message::Want(want(region)));
    }

    fn next_of_spans(&mut self, view: &CoreView<'_>, peer: PeerId, valid: u64) -> Option<u64> {
        let several = self.peers.len() > 1;
        let spans = self.demands.spans.values().take(MAX_SPANS);
        let spans: Vec<(u64, u64, bool)> =
            spans.map(|span| (span.progress, span.end.unwrap_or(u64::MAX).min(valid), span.linear)).collect();
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
            self.want_unknown(view, peer, start, end);
        }
        None
    }

    /// Asks a peer to tell of the first region of a range where we lack blocks it has not spoken of.
    fn want_unknown(&mut self, view: &CoreView<'_>, peer: PeerId, start: u64, end: u64) {
        let mut index = start;
        for _ in 0..MAX_REGIONS {
            index = self.first_idle(view, index);
            let Some(entry) = self.peers.get(&peer).filter(|_| index < end) else { return };
            if index >= entry.contiguous() && !entry.wanted.contains(&(index / WANT_REGION)) {
                return self.want_region(peer, index);
            }
            index = (index / WANT_REGION).saturating_add(1).saturating_mul(WANT_REGION);
        }
    }

    /// The first block at or after `index` that we lack and nobody is asked for.
    fn first_idle(&self, view: &CoreView<'_>, mut index: u64) -> u64 {
        loop {
            let missing = view.bitfield.first_unset(index);
            index = self.requests.busy.first_unset(missing);
            if index == missing {
                return index;
            }
        }
    }

    /// The first block of the range that we lack, nobody is asked for, and this peer has.
    fn next_missing(&self, view: &CoreView<'_>, peer: PeerId, start: u64, end: u64) -> Option<u64> {
        let entry = self.peers.get(&peer)?;
        let mut index = start;
        while index < end {
            let idle = self.first_idle(view, index);
            let offered = entry.next_offer(idle).filter(|offered| *offered < end)?;
            if offered == idle && entry.offers(idle) {
                return Some(idle);
            }
            // It could not give that one, or its next lies further on.
            index = offered.max(idle.saturating_add(u64::from(offered == idle)));
        }
        None
    }

    fn request_block(&mut self, view: &CoreView<'_>, peer: PeerId, index: u64) {
        let urgent = self.demands.wants_block(index);
        let exact = self.requests.unproven.remove(&index)
            || self.peers.get(&peer).is_none_or(|entry| entry.unproven >= self.config.max_unproven);
        let mut ahead = false;
        let nodes = missing_nodes(TreeIndex::leaf(index), view.head.roots.length, &mut |range| {
            let stored = view.bitfield.any(range.clone());
            ahead = !stored && !exact && self.requests.brings(peer, urgent, range);
            stored || ahead
        });
        let proof = ProofRequest { block: Some(RequestBlock { index, nodes }), ..ProofRequest::default() };
        self.request_ahead(view, peer, proof, Purpose::Data, ahead);
        if self.hotswap_at.is_none() {
            self.hotswap_at = Some(self.now.after(self.config.hotswap_after));
        }
    }

    /// With nothing else to ask, a block another peer is late with.
    fn ask_hot(&mut self, view: &CoreView<'_>, peer: PeerId) -> bool {
        if self.peers.len() < 2 || self.hotswap_at.is_none_or(|at| at > self.now) {
            return false;
        }
        let valid = self.valid_length(view, peer);
        let Some(entry) = self.peers.get(&peer) else { return false };
        let late = |id: u64| self.requests.get(id).is_some_and(|request| request.peer != peer && self.is_late(request));
        let hot = self.requests.blocks().find(|index| {
            let mut ids = self.requests.for_block(*index);
            let fresh = ids.all(late) && self.requests.for_block(*index).count() < self.config.hotswap_peers;
            fresh && *index < valid && entry.offers(*index)
        });
        let Some(index) = hot else { return false };
        self.request_block(view, peer, index);
        true
    }
}

/// Wanted blocks looked at before giving up on a peer for now.
const SCAN: usize = 256;
/// Ranges looked at.
const MAX_SPANS: usize = 64;
/// Regions of a range looked at.
const MAX_REGIONS: usize = 16;
