//! Our requests: their numbers, whom they were sent to, how many a peer may have, and what is under way to the store.

use super::effect::{DemandId, PeerId};
use super::replicator::Replicator;
use super::view::CoreView;
use super::wire::{Message, Request};
use crate::log::Bitfield;
use crate::merkle::ProofRequest;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Range;

/// One request of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) peer: PeerId,
    pub(super) proof: ProofRequest,
    pub(super) fork: u64,
    pub(super) purpose: Purpose,
    pub(super) sent: Instant,
    /// Somebody waits for this very block: the peer answers it before others.
    pub(super) urgent: bool,
    /// Its proof may end at a node that comes with an earlier answer.
    pub(super) ahead: bool,
    /// The peer's round when it was sent.
    round: u64,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A block, a longer tree, or both.
    Data,
    /// The manifest alone.
    Manifest,
    /// A byte that is looked for.
    Seek(DemandId),
    /// Where a newer fork begins.
    Fork,
}

impl InFlight {
    pub(super) fn block(&self) -> Option<u64> {
        self.proof.block.map(|block| block.index)
    }

    /// What its answer gives.
    pub(super) fn storing(&self) -> Storing {
        let (block, upgrade, purpose) = (self.block(), self.is_upgrade(), self.purpose);
        Storing { fork: self.fork, block, upgrade, purpose, ahead: self.ahead }
    }

    pub(super) fn is_upgrade(&self) -> bool {
        self.purpose == Purpose::Data && self.proof.upgrade.is_some()
    }
}

/// What a peer gave in answer to one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storing {
    pub(super) fork: u64,
    pub(super) block: Option<u64>,
    pub(super) upgrade: bool,
    pub(super) purpose: Purpose,
    /// As [`InFlight::ahead`].
    pub(super) ahead: bool,
}

/// What a peer gave and the store has yet to take, all at once.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) blocks: Vec<u64>,
    pub(super) upgrade: bool,
    pub(super) purpose: Purpose,
}

/// Everything that is asked for or on its way to the store.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// By number, from 1 on.
    slots: Vec<Option<InFlight>>,
    under_way: usize,
    /// Numbers that may be used again: numbers stay small, as the reference's do.
    free: Vec<u64>,
    /// Blocks that are asked for, each with the numbers of its requests.
    asked: BTreeSet<(u64, u64)>,
    /// Per peer, in the order of its commits.
    storing: BTreeMap<PeerId, VecDeque<Given>>,
    /// The blocks of those.
    stored_next: Bitfield,
    /// Blocks whose proof did not reach what we have: their uncles are counted on nothing but that next time.
    pub(super) unproven: BTreeSet<u64>,
    /// Blocks asked for or on their way to the store.
    pub(super) busy: Bitfield,
    /// An upgrade is asked for, or on its way to the store.
    pub(super) upgrading: bool,
    /// The manifest alone is.
    pub(super) manifest: bool,
}

impl Requests {
    pub(super) fn get(&self, id: u64) -> Option<&InFlight> {
        self.slots.get(place(id)?)?.as_ref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way == 0 && self.storing.is_empty()
    }

    /// Every request under way.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &InFlight)> {
        (1..).zip(&self.slots).filter_map(|(id, slot)| slot.as_ref().map(|request| (id, request)))
    }

    /// The numbers of the requests for a block.
    pub(super) fn for_block(&self, index: u64) -> impl Iterator<Item = u64> {
        self.asked.range((index, 0)..=(index, u64::MAX)).map(|(_, id)| *id)
    }

    /// Blocks that are asked for.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u64> {
        let after = |index: u64| self.asked.range((index, 0)..).next().map(|(index, _)| *index);
        core::iter::successors(after(0), move |index| after(index.checked_add(1)?))
    }

    /// True when an answer of `peer` that comes before one asked for now, or what is on its way to the store, brings a
    /// block of this range. It may be true and this false.
    pub(super) fn brings(&self, peer: PeerId, urgent: bool, range: Range<u64>) -> bool {
        let before = |id: u64| {
            let request = self.get(id).filter(|request| request.peer == peer && request.proof.upgrade.is_none());
            request.is_some_and(|request| request.urgent || !urgent)
        };
        let asked = self.asked.range((range.start, 0)..(range.end, 0)).take(SCAN);
        self.stored_next.any(range) || asked.into_iter().any(|(_, id)| before(*id))
    }

    fn add(&mut self, request: InFlight) -> u64 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u64::try_from(self.slots.len()).unwrap_or(u64::MAX)
        });
        if let Some(index) = request.block() {
            self.asked.insert((index, id));
            self.busy.set(index, true);
        }
        self.upgrading |= request.is_upgrade();
        self.manifest |= request.purpose == Purpose::Manifest;
        if let Some(slot) = place(id).and_then(|place| self.slots.get_mut(place)) {
            *slot = Some(request);
            self.under_way = self.under_way.saturating_add(1);
        }
        id
    }

    /// Forgets a request; its block stays busy and its number taken.
    fn take(&mut self, id: u64) -> Option<InFlight> {
        let request = self.slots.get_mut(place(id)?)?.take()?;
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(index) = request.block() {
            self.asked.remove(&(index, id));
        }
        Some(request)
    }

    /// True when nobody is asked for the block and it is not on its way to the store: it is not busy any more.
    fn settle_block(&mut self, index: u64) -> bool {
        let idle = self.for_block(index).next().is_none() && !self.stored_next.get(index);
        if idle {
            self.busy.set(index, false);
        }
        idle
    }

    /// Notes what is handed over to the store; `joined` when together with the last.
    pub(super) fn store(&mut self, peer: PeerId, storing: Storing, joined: bool) {
        if let Some(index) = storing.block {
            self.stored_next.set(index, true);
        }
        let queue = self.storing.entry(peer).or_default();
        match queue.back_mut().filter(|_| joined) {
            Some(given) => given.blocks.extend(storing.block),
            None => {
                let blocks = storing.block.into_iter().collect();
                queue.push_back(Given { blocks, upgrade: storing.upgrade, purpose: storing.purpose });
            }
        }
    }

    /// The oldest of what a peer gave was stored, or could not be.
    pub(super) fn stored(&mut self, peer: PeerId) -> Option<Given> {
        let queue = self.storing.get_mut(&peer)?;
        let oldest = queue.pop_front();
        if queue.is_empty() {
            self.storing.remove(&peer);
        }
        self.settle(oldest?)
    }

    /// What a peer gave will not be stored: the one before its last `later` ones.
    pub(super) fn not_stored(&mut self, peer: PeerId, later: usize) -> Option<Given> {
        let queue = self.storing.get_mut(&peer)?;
        let place = queue.len().checked_sub(later.saturating_add(1))?;
        let given = queue.remove(place);
        if queue.is_empty() {
            self.storing.remove(&peer);
        }
        self.settle(given?)
    }

    fn settle(&mut self, given: Given) -> Option<Given> {
        for index in &given.blocks {
            self.stored_next.set(*index, false);
            self.settle_block(*index);
        }
        self.upgrading &= !given.upgrade;
        self.manifest &= given.purpose != Purpose::Manifest;
        Some(given)
    }

    fn storing_of(&self, peer: PeerId) -> usize {
        let queue = self.storing.get(&peer);
        queue.into_iter().flatten().map(|given| given.blocks.len().max(1)).fold(0, usize::saturating_add)
    }
}

impl Replicator {
    /// Sends a request and remembers it.
    pub(super) fn request(&mut self, view: &CoreView<'_>, peer: PeerId, proof: ProofRequest, purpose: Purpose) {
        self.request_ahead(view, peer, proof, purpose, false);
    }

    /// As [`Replicator::request`]; `ahead` as in [`InFlight`].
    pub(super) fn request_ahead(
        &mut self,
        view: &CoreView<'_>,
        peer: PeerId,
        proof: ProofRequest,
        purpose: Purpose,
        ahead: bool,
    ) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let sync = entry.sync.unwrap_or_default();
        let urgent = proof.block.is_some_and(|block| self.demands.wants_block(block.index));
        let (fork, sent, round) = (sync.fork, self.now, entry.round);
        let id = self.requests.add(InFlight { peer, proof, fork, purpose, sent, urgent, ahead, round });
        entry.in_flight = entry.in_flight.saturating_add(1);
        let manifest = view.manifest.is_none() && (sync.has_manifest || purpose == Purpose::Fork);
        self.send(peer, Message::Request(Request { id, fork, proof, manifest, priority: u64::from(urgent) }));
    }

    /// A request was answered: its number is free, and so are those cancelled before it was sent.
    pub(super) fn take_answered(&mut self, id: u64) -> Option<InFlight> {
        let request = self.requests.take(id)?;
        self.requests.free.push(id);
        if let Some(entry) = self.peers.get_mut(&request.peer) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            let took = self.now.since(request.sent);
            let known = entry.round_trip;
            // The shortest of late ones: a full window makes answers late, which says nothing of the way.
            entry.round_trip = if known.is_zero() || took < known { took } else { known + (took - known) / 64 };
            let usual = entry.answers_after;
            entry.answers_after = if usual.is_zero() { took } else { (usual * 7 + took) / 8 };
            while let Some((_, free)) = entry.cancelled.front().filter(|(round, _)| *round <= request.round) {
                self.requests.free.push(*free);
                entry.cancelled.pop_front();
            }
        }
        Some(request)
    }

    /// Takes a request back. Its number is used again only after a later request was answered, for the answer may be
    /// under way.
    pub(super) fn cancel_request(&mut self, id: u64) -> Option<InFlight> {
        let request = self.requests.take(id)?;
        if let Some(entry) = self.peers.get_mut(&request.peer) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
            entry.round = entry.round.saturating_add(1);
            entry.cancelled.push_back((entry.round, id));
            self.send(request.peer, Message::Cancel { request: id });
        }
        Some(request)
    }

    /// A peer is gone: its requests are nobody's, and their numbers free, since its channel is over.
    pub(super) fn drop_requests(&mut self, peer: PeerId, cancelled: VecDeque<(u64, u64)>) {
        self.requests.free.extend(cancelled.into_iter().map(|(_, id)| id));
        let of_peer = self.requests.iter().filter(|(_, request)| request.peer == peer);
        let ids: Vec<u64> = of_peer.map(|(id, _)| id).collect();
        for id in ids {
            if let Some(request) = self.requests.take(id) {
                self.requests.free.push(id);
                self.give_back(request.block(), request.is_upgrade(), request.purpose);
            }
        }
    }

    /// What a request was for must be asked again.
    pub(super) fn give_back(&mut self, block: Option<u64>, upgrade: bool, purpose: Purpose) {
        if let Some(index) = block
            && self.requests.settle_block(index)
        {
            self.demands.requeue(index);
        }
        self.requests.upgrading &= !upgrade;
        match purpose {
            Purpose::Manifest => self.requests.manifest = false,
            Purpose::Seek(demand) => {
                if let Some(seek) = self.demands.seeks.get_mut(&demand) {
                    seek.busy = false;
                }
            }
            Purpose::Data | Purpose::Fork => {}
        }
    }

    /// Takes back every request for a block that nobody wants any more.
    pub(super) fn cancel_block(&mut self, index: u64) {
        for id in self.requests.for_block(index).collect::<Vec<u64>>() {
            // The longer tree that was asked for along with it is wanted still.
            if self.requests.get(id).is_some_and(|request| request.is_upgrade()) {
                continue;
            }
            self.cancel_request(id);
        }
        self.requests.unproven.remove(&index);
        self.requests.settle_block(index);
    }

    /// A block is here: whoever else was asked for it need not answer.
    pub(super) fn cancel_others(&mut self, index: u64) {
        for id in self.requests.for_block(index).collect::<Vec<u64>>() {
            if let Some(request) = self.cancel_request(id)
                && request.is_upgrade()
            {
                self.requests.upgrading = false;
            }
        }
    }

    /// How many more requests a peer may be sent, and whether blocks that nobody waits for may be among them: many of
    /// those are asked for at once, so that requests, answers and writes travel in groups.
    pub(super) fn room(&self, view: &CoreView<'_>, peer: PeerId) -> (usize, bool) {
        let Some(entry) = self.peers.get(&peer) else { return (0, false) };
        let window = self.window(view, entry.round_trip);
        let storing = self.requests.storing_of(peer) >= window.saturating_mul(2);
        if storing || entry.cancelled.len() >= self.config.max_cancelled {
            return (0, false);
        }
        let open = entry.in_flight.saturating_add(self.parked_of(peer)).saturating_add(self.arrived_of(peer));
        (window.saturating_sub(open), entry.in_flight <= window / 2)
    }

    /// Requests a peer may have unanswered: more for a far one or for small blocks, fewer for large blocks.
    fn window(&self, view: &CoreView<'_>, round_trip: Duration) -> usize {
        let config = &self.config;
        let unit = config.long_round_trip.as_millis().max(1);
        let peers = u128::try_from(self.peers.len()).unwrap_or(u128::MAX).max(1);
        let base = u128::try_from(config.window).unwrap_or(u128::MAX);
        // Several far peers share what one would get.
        let scaled = base.saturating_mul(round_trip.as_millis()).saturating_mul(peers.min(2)) / unit / peers;
        let average = average_block(view);
        let small = u128::from(config.near_bytes.checked_div(average).unwrap_or(0)) / peers;
        let window = usize::try_from(scaled.max(small)).unwrap_or(usize::MAX).clamp(config.window, config.max_window);
        let by_bytes = config.window_bytes.checked_div(average).unwrap_or(u64::MAX);
        let by_bytes = usize::try_from(by_bytes).unwrap_or(usize::MAX).max(2);
        window.max(config.min_window).min(by_bytes)
    }

    /// When the oldest block asked for may be asked of another peer too.
    pub(super) fn hotswap_at(&self) -> Option<Instant> {
        self.hotswap_at.filter(|_| self.peers.len() > 1 && !self.requests.asked.is_empty())
    }

    /// True when a request is older than its peer's answers are by far, so that it is no waste to ask another one.
    pub(super) fn is_late(&self, request: &InFlight) -> bool {
        let usual = self.peers.get(&request.peer).map_or(Duration::ZERO, |peer| peer.answers_after);
        let patience = (usual * LATE).min(self.config.hotswap_at_last).max(self.config.hotswap_after);
        request.sent.after(patience) <= self.now
    }

    /// What a peer gave will not be stored, and must be asked for again.
    pub(super) fn give_all_back(&mut self, given: Given) {
        given.blocks.iter().for_each(|index| self.give_back(Some(*index), false, Purpose::Data));
        self.give_back(None, given.upgrade, given.purpose);
    }
}

/// Where the request of a number is kept.
fn place(id: u64) -> Option<usize> {
    usize::try_from(id.checked_sub(1)?).ok()
}

/// So many times as long as its peer's answers take, a request is late.
const LATE: u32 = 3;

/// Requests looked at for one that brings a block of a range.
const SCAN: usize = 16;

/// Bytes of this core's blocks on average; 0 when it has none.
pub(super) fn average_block(view: &CoreView<'_>) -> u64 {
    let roots = &view.head.roots;
    roots.byte_length.checked_div(roots.length).unwrap_or(0)
}
